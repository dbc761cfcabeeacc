//! `pooler CONFIG`: see `pooler --help`. Everything is in the library.

fn main() -> std::process::ExitCode {
    pooler::run(std::env::args_os())
}
