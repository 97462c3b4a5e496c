//! `cargo demo`, `cargo up`, `cargo prepare`: aliases in `.cargo/config.toml`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use local::{demo, prepare, up};

/// Haiqu on one machine.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play the main job on real servers and judge it from what the stand-ins received.
    Demo(demo::Arguments),
    /// Keep everything up until Ctrl-C, and say where everything is.
    Up(up::Arguments),
    /// Check every query against its schema and write what is needed to build without a database.
    Prepare(prepare::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let ran = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Up(arguments) => up::run(arguments).await,
        Command::Prepare(arguments) => prepare::run(arguments).await,
    };
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
