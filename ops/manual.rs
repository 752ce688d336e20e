//! Writes what a package has beside the binary, out of the very commands that the binary has: man pages, one of the
//! program and one of each command, and completions for bash, zsh and fish.
//!
//!   cargo run --example manual -- FOLDER
//!
//! In FOLDER: `man/`, and `completions/` with the names under which the shells look for them. `ops/release.sh` puts them
//! where they belong.

use std::fs;
use std::io::Result;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use senpai_md_consumer::config::Cli;

/// What `after_help` has its examples behind.
const EXAMPLES: &str = "Examples:\n";

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("the folder to write to"));
    write_pages(&folder.join("man"))?;
    write_completions(&folder.join("completions"))
}

fn write_pages(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let source = program.render_version().trim().to_owned();
    for command in program.get_subcommands().chain([&program]) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        fs::write(folder.join(format!("{name}.1")), page(command.clone(), &source)?)?;
    }
    Ok(())
}

/// As clap_mangen makes it, but for the synopsis, which would list each of 60 options, and for the examples, whose lines it
/// would run together.
fn page(mut command: Command, source: &str) -> Result<Vec<u8>> {
    let usage = command.render_usage().to_string();
    let after_help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (text, examples) = after_help.split_once(EXAMPLES).expect("each command has examples");
    let has_commands = command.has_subcommands();
    let man = Man::new(command.override_usage(usage.trim_start_matches("Usage: ").to_owned())).source(source);

    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    let mut more = Roff::new();
    more.control("PP", []);
    more.text([roman(text.trim())]);
    more.to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    let mut more = Roff::new();
    more.control("SH", ["EXAMPLES"]);
    more.control("EX", []);
    examples.lines().for_each(|line| _ = more.text([roman(line)]));
    more.control("EE", []);
    more.to_writer(&mut page)?;
    Ok(page)
}

fn write_completions(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    // Without a command the settings are those of `run`.
    let program = Cli::command();
    let run = program.find_subcommand("run").expect("the command that runs the service").clone();
    let mut program = program.args(run.get_arguments());
    let name = program.get_name().to_owned();
    for (shell, file) in
        [(Shell::Bash, name.clone()), (Shell::Zsh, format!("_{name}")), (Shell::Fish, format!("{name}.fish"))]
    {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut program, &name, &mut script);
        let script = String::from_utf8(script).expect("scripts are text");
        // In bash a program with hyphens has two spellings for one state, so that no command is completed
        // (clap-rs/clap#6421).
        let script = script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"));
        fs::write(folder.join(file), script)?;
    }
    Ok(())
}
