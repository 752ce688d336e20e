//! Reads the settings, does what the command says, ends with 0, 1 (failed) or 2 (wrong usage or settings).

use std::process::ExitCode;

use senpai_md_consumer::config::{self, Command};

fn main() -> ExitCode {
    let cli = match config::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit.report(),
    };
    let done: Result<(), String> = match cli.command {
        Command::Run(_) => Err("run is not built yet".to_owned()),
        Command::Demo(_) => Err("demo is not built yet".to_owned()),
        Command::Feed(_) => Err("feed is not built yet".to_owned()),
        Command::Replay(_) => Err("replay is not built yet".to_owned()),
        Command::Bench(_) => Err("bench is not built yet".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            eprintln!("error: {line}");
            ExitCode::FAILURE
        }
    }
}
