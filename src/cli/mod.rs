//! The command line.

/// Runs s2r with the process's arguments and environment.
pub fn run() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
