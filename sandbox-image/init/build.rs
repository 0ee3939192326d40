//! No start-up code, and no loader that would look for libraries: there are none.

fn main() {
    for argument in ["-nostartfiles", "-Wl,--no-dynamic-linker"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
