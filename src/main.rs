//! Arguments to `cli`; no logic.

fn main() -> std::process::ExitCode {
    lightship::cli::run()
}
