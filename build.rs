//! Gives the shared object that cargo builds its SONAME; `make` gives the same to the installed one.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libshmkit.so.0");
    println!("cargo:rerun-if-changed=build.rs");
}
