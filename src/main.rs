//! The `s2r` program; everything is in the library, behind one door.

fn main() -> std::process::ExitCode {
    s2r::sandboxed().unwrap_or_else(s2r::run)
}
