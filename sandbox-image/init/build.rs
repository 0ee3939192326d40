//! No start-up code, no loader that would look for libraries, for there are none, and nothing whose address
//! has to be put in at the start. What the standard library brings along lies in the file, and nobody looks
//! at it.

fn main() {
    for argument in ["-nostartfiles", "-no-pie", "-Wl,--no-dynamic-linker"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
