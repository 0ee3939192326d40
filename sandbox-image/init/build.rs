//! Linker arguments: no start-up code, no dynamic loader (there are no libraries to load) and no
//! relocations. The parts of the standard library that end up in the file are never used.

fn main() {
    for argument in ["-nostartfiles", "-no-pie", "-Wl,--no-dynamic-linker"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
