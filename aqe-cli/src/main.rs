//! The program `aqe`: it reads a command line, calls the libraries and prints what they say.
//!
//! Results go to standard output, everything else to standard error; [`exit::Exit`] lists what the exit codes mean.

mod alerts;
mod args;
mod batch;
mod completions;
mod config;
mod examples;
mod exit;
mod failure;
mod history;
mod memory;
mod monitor;
mod output;
mod performance;
mod report;
mod run;
mod signals;
mod store_place;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Cli, Command};
use self::exit::Exit;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => return explain(&message),
    };
    let outcome = match cli.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Batch(arguments) => batch::run(&arguments),
        Command::History(arguments) => history::run(&arguments),
        Command::Memory(arguments) => memory::run(&arguments.command),
        Command::Monitor(arguments) => monitor::run(&arguments),
        Command::Performance(arguments) => performance::run(&arguments),
        Command::Alerts(arguments) => alerts::run(&arguments.command),
        Command::Config(arguments) => config::run(&arguments.command),
        Command::Completions { shell } => completions::print(shell),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print();
            failure.exit().into()
        }
    }
}

/// Prints help, the version, or what is wrong with the command line.
fn explain(message: &clap::Error) -> ExitCode {
    // Nobody is left to be told when this cannot be written.
    let _ = message.print();
    if message.use_stderr() {
        Exit::Usage
    } else {
        Exit::Success
    }
    .into()
}
