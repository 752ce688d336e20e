//! clap's errors as one line that says what is wrong, where, and what is accepted.
//!
//! clap's own texts repeat what they could not read, and that may be a secret: an address without its flag, a password
//! that begins with a dash. So a line here is made of what the grammar knows, and of flags that look like flags.

use std::ffi::OsString;

use clap::Command as Grammar;
use clap::error::{ContextKind, ContextValue, ErrorKind as Clap};

use crate::config::dot_env::DotEnv;
use crate::config::layers::{env_name, env_value};
use crate::config::shown::{shown, shown_refused};

/// Longer than any flag there is.
const FLAG_BYTES_MAX: usize = 40;

/// Why there are no settings: help, which is a result (0), or a refusal (2).
#[derive(Debug)]
pub enum Exit {
    /// Help or version was asked for.
    Told(clap::Error),
    /// The command line is none: one line, without its line end.
    Misused(String),
    /// A setting has no value that is accepted, or `.env` cannot be read: one line, without its line end.
    Refused(String),
}

/// The arguments, the program's name first.
pub(super) struct Given {
    /// With the command, also where it was left out.
    pub args: Vec<OsString>,
    /// Arguments that were put in before those that were given.
    added: usize,
}

impl Given {
    /// `args` begin with the program's name; without a command `run` is put in.
    pub fn new(mut args: Vec<OsString>) -> Given {
        // Settings without a command are the service's.
        let runs_without_saying = match args.get(1).map(|arg| arg.to_string_lossy()) {
            None => true,
            Some(first) => first.starts_with('-') && !matches!(&*first, "-h" | "--help" | "-V" | "--version"),
        };
        if runs_without_saying {
            args.insert(1.min(args.len()), "run".into());
        }
        Given { args, added: usize::from(runs_without_saying) }
    }

    /// clap's error as help, or as one line without secrets.
    pub fn refusal(&self, error: clap::Error, declared: &Grammar, dot_env: &DotEnv) -> Exit {
        let line = match error.kind() {
            Clap::DisplayHelp | Clap::DisplayVersion => return Exit::Told(error),
            Clap::ValueValidation => self.invalid_value(&error, declared, dot_env),
            _ => None,
        };
        match line {
            Some(line) => Exit::Refused(line),
            None => Exit::Misused(self.wrong_usage(&error, declared)),
        }
    }

    fn invalid_value(&self, error: &clap::Error, declared: &Grammar, dot_env: &DotEnv) -> Option<String> {
        // clap names the argument as its usage shows it: `--http-port <PORT>`.
        let flag = context(error, ContextKind::InvalidArg)?.split(' ').next()?;
        let value = context(error, ContextKind::InvalidValue)?;
        let accepted = std::error::Error::source(error)?;
        let name = self
            .command(declared)?
            .get_arguments()
            .find(|arg| arg.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long)))
            .and_then(env_name);
        let Some(name) = name else {
            return Some(format!("{flag} is {}, accepted is {accepted}", shown(value)));
        };
        let from = if self.position(flag).is_some() {
            flag.to_owned()
        } else if env_value(name).is_some() {
            "the environment".to_owned()
        } else if let Some(line) = dot_env.line(name) {
            format!(".env line {line}")
        } else {
            "its default".to_owned()
        };
        Some(format!("{name} is {} (from {from}), accepted is {accepted}", shown_refused(name, value)))
    }

    fn wrong_usage(&self, error: &clap::Error, declared: &Grammar) -> String {
        let flag = || context(error, ContextKind::InvalidArg).and_then(|arg| arg.split(' ').next()).unwrap_or("a flag");
        let similar =
            |kind| context(error, kind).map_or(String::new(), |similar| format!("; a similar one is {similar}"));
        let said = match error.kind() {
            Clap::UnknownArgument => {
                let given = context(error, ContextKind::InvalidArg).unwrap_or_default();
                format!("{}{}", self.unexpected(given), similar(ContextKind::SuggestedArg))
            }
            Clap::InvalidSubcommand => {
                let given = context(error, ContextKind::InvalidSubcommand).unwrap_or_default();
                let names: Vec<&str> = declared.get_subcommands().map(Grammar::get_name).collect();
                let similar = similar(ContextKind::SuggestedSubcommand);
                format!("{} is no command, accepted is one of {}{similar}", self.numbered(given), names.join(", "))
            }
            Clap::MissingRequiredArgument => match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::Strings(missing)) => format!("{} is missing", missing.join(" ")),
                _ => "something is missing".to_owned(),
            },
            Clap::ArgumentConflict => format!("{} is given twice", flag()),
            Clap::InvalidValue | Clap::TooFewValues | Clap::WrongNumberOfValues => format!("{} needs a value", flag()),
            Clap::TooManyValues => format!("{} takes no value", flag()),
            Clap::InvalidUtf8 => "an argument is not UTF-8 text".to_owned(),
            _ => "the arguments cannot be read".to_owned(),
        };
        let command = self.command(declared).map_or(String::new(), |command| format!("{} ", command.get_name()));
        format!("{said}; see senpai-md-consumer {command}--help")
    }

    /// The command that is asked for, where there is such a one.
    fn command<'g>(&self, declared: &'g Grammar) -> Option<&'g Grammar> {
        declared.find_subcommand(self.args.get(1)?)
    }

    /// A flag by its name, if it is one: behind a flag about NATS it may be that one's value.
    fn unexpected(&self, given: &str) -> String {
        let is_flag = given.strip_prefix("--").is_some_and(|name| {
            name.len() <= FLAG_BYTES_MAX
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        });
        let end = self.position(given).unwrap_or(self.args.len());
        let may_be_value = self.args[..end].iter().any(|arg| arg.to_string_lossy().starts_with("--nats"));
        match is_flag && !may_be_value {
            true => format!("unexpected argument {given}"),
            false => format!("{} is unexpected and not repeated here, as it may be a secret", self.numbered(given)),
        }
    }

    /// `argument 2`, counted behind the program's name.
    fn numbered(&self, given: &str) -> String {
        match self.position(given) {
            Some(position) => format!("argument {}", position - self.added),
            None => "an argument".to_owned(),
        }
    }

    /// Of an argument, or of a flag with or without its value.
    fn position(&self, given: &str) -> Option<usize> {
        let is_it = |arg: &OsString| {
            arg.to_string_lossy().strip_prefix(given).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        // clap reports `-x` of `-xyz`.
        let is_cluster =
            |arg: &OsString| given.len() == 2 && given.starts_with('-') && arg.to_string_lossy().starts_with(given);
        (1..self.args.len()).find(|index| is_it(&self.args[*index]) || is_cluster(&self.args[*index]))
    }
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    }
}
