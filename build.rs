//! Gives the shared object that cargo builds its SONAME, and keeps it from being unloaded: the SIGBUS handler
//! of the fault guard is in it. `make` gives the same to the installed one.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libshmkit.so.0");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rerun-if-changed=build.rs");
}
