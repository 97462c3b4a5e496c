//! `cargo faults`: an alias in `.cargo/config.toml`.

use std::process::ExitCode;

use clap::Parser as _;
use system_tests::faults::matrix;

#[tokio::main]
async fn main() -> ExitCode {
    match matrix::run(matrix::Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
