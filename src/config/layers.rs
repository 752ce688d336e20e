//! The layers a value may come from, and the one line that says which of them was wrong.
//!
//! clap reads flags and environment. A line of `.env` becomes the default of its setting for this run: that is the
//! precedence wanted, the process environment stays as it was, and nothing needs `set_var`.

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind as Clap};
use clap::{Arg, Command as Grammar, CommandFactory, FromArgMatches};

use super::{Cli, Command, NatsArgs, servers};

/// Longest value an error repeats, in characters.
const SHOWN_CHARS_MAX: usize = 120;

const SECRET_FLAGS: [&str; 2] = ["--nats-password", "--nats-token"];

/// Why there is no [`Cli`]: help, which is a result (0), or a refusal (2).
#[derive(Debug)]
pub enum Exit {
    /// Help or version was asked for.
    Told(clap::Error),
    /// One line, without its line end.
    Refused(String),
}

/// The lines of a `.env` file; the last of several wins, and an empty value is none.
#[derive(Debug, Default)]
pub struct DotEnv(HashMap<String, String>);

impl DotEnv {
    /// A file that is not there is an empty one.
    pub fn read(path: &Path) -> Result<DotEnv, Exit> {
        match std::fs::read_to_string(path) {
            Ok(text) => DotEnv::parse(&text),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(DotEnv::default()),
            Err(error) => Err(Exit::Refused(format!("{} cannot be read: {error}", path.display()))),
        }
    }

    pub fn parse(text: &str) -> Result<DotEnv, Exit> {
        let text = text.trim_start_matches('\u{feff}');
        let mut values = HashMap::new();
        for item in dotenvy::Iter::new(text.as_bytes()) {
            match item {
                Ok((name, value)) if value.is_empty() => drop(values.remove(&name)),
                Ok((name, value)) => drop(values.insert(name, value)),
                Err(dotenvy::Error::LineParse(..)) => return Err(Exit::Refused(malformed(text))),
                Err(error) => return Err(Exit::Refused(format!(".env cannot be read: {error}"))),
            }
        }
        Ok(DotEnv(values))
    }
}

/// Says where, and the name if there is one; the value might be a password. dotenvy does not count lines, and gives
/// only the part it could not read: the culprit follows the longest beginning that can be read.
fn malformed(text: &str) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_fine = |count: &usize| dotenvy::Iter::new(lines[..*count].concat().as_bytes()).all(|item| item.is_ok());
    let before = (0..lines.len()).rev().find(is_fine).unwrap_or(0);
    let name = match lines.get(before).and_then(|line| line.split_once('=')) {
        Some((name, _)) => format!(" ({}=…)", shown(name.trim()).trim_matches('"')),
        None => String::new(),
    };
    let number = before + 1;
    format!(".env line {number}{name} is malformed, accepted is NAME=value, the value in quotes when it has spaces")
}

pub(super) fn parse(mut args: Vec<OsString>, dot_env: &DotEnv) -> Result<Cli, Exit> {
    if runs_without_saying(&args) {
        args.insert(1.min(args.len()), "run".into());
    }
    let declared = Cli::command();
    check_utf8(&declared)?;
    let layered = declared.clone().mut_subcommands(|command| command.mut_args(|arg| layered(arg, dot_env)));
    let cli = layered
        .try_get_matches_from(&args)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| refusal(error, &declared, &args, dot_env))?;
    check_together(&cli)?;
    Ok(cli)
}

/// Settings without a command are the service's.
fn runs_without_saying(args: &[OsString]) -> bool {
    match args.get(1).map(|arg| arg.to_string_lossy()) {
        None => true,
        Some(first) => first.starts_with('-') && !matches!(&*first, "-h" | "--help" | "-V" | "--version"),
    }
}

fn env_name(arg: &Arg) -> Option<&str> {
    arg.get_env().and_then(|name| name.to_str())
}

fn env_value(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn layered(arg: Arg, dot_env: &DotEnv) -> Arg {
    // `--threshold -1` is a refused value with its own line, not an unknown flag.
    let numbers = arg.get_action().takes_values();
    let arg = arg.allow_negative_numbers(numbers).hide_env_values(true);
    let Some(name) = env_name(&arg).map(str::to_owned) else {
        return arg;
    };
    if env_value(&name).is_some() {
        return arg;
    }
    // An empty variable counts as unset. clap keeps the value it saw, so it has to forget the name too.
    let arg = match env::var_os(&name) {
        Some(_) => arg.env(None::<&'static str>),
        None => arg,
    };
    match dot_env.0.get(&name) {
        // Defaults live as long as the process; this happens once.
        Some(value) => arg.default_value(&*value.clone().leak()).hide_default_value(true),
        None => arg,
    }
}

/// clap's own error for this does not say which variable it was.
fn check_utf8(declared: &Grammar) -> Result<(), Exit> {
    let names = declared.get_subcommands().flat_map(|command| command.get_arguments()).filter_map(env_name);
    for name in names {
        if env_value(name).is_some_and(|value| value.to_str().is_none()) {
            return Err(Exit::Refused(format!("{name} (from the environment) is not UTF-8 text")));
        }
    }
    Ok(())
}

fn check_together(cli: &Cli) -> Result<(), Exit> {
    match &cli.command {
        Command::Run(args) => check_login(&args.nats)?,
        Command::Feed(args) => check_login(&args.nats)?,
        _ => {}
    }
    let (subjects, engine) = match &cli.command {
        Command::Run(args) => (&args.subjects, &args.engine),
        Command::Demo(args) => (&args.subjects, &args.engine),
        Command::Replay(args) => (&args.subjects, &args.engine),
        Command::Bench(args) => (&args.subjects, &args.engine),
        Command::Feed(_) => return Ok(()),
    };
    let (count, max) = (subjects.symbols.0.len(), engine.max_symbols);
    match count <= max {
        true => Ok(()),
        false => Err(Exit::Refused(format!(
            "SYMBOLS names {count} symbols, accepted are as many as MAX_SYMBOLS allows, which is {max}"
        ))),
    }
}

/// One way to log in, and no half of one.
fn check_login(nats: &NatsArgs) -> Result<(), Exit> {
    let is_set = [
        ("NATS_USER", nats.nats_user.is_some()),
        ("NATS_PASSWORD", nats.nats_password.is_some()),
        ("NATS_TOKEN", nats.nats_token.is_some()),
        ("NATS_NKEY", nats.nats_nkey.is_some()),
        ("NATS_CREDS", nats.nats_creds.is_some()),
        ("NATS_CERT", nats.nats_cert.is_some()),
        ("NATS_KEY", nats.nats_key.is_some()),
    ];
    let [user, password, .., cert, key] = is_set;
    for (one, other) in [(user, password), (password, user), (cert, key), (key, cert)] {
        if one.1 && !other.1 {
            let (one, other) = (one.0, other.0);
            return Err(Exit::Refused(format!("{one} is set, accepted is {one} together with {other}")));
        }
    }
    let ways: Vec<&str> =
        is_set[..5].iter().filter(|(name, set)| *set && *name != "NATS_PASSWORD").map(|way| way.0).collect();
    match ways.len() {
        0 | 1 => Ok(()),
        _ => Err(Exit::Refused(format!("{} are set, accepted is one way to log in", ways.join(" and ")))),
    }
}

fn refusal(error: clap::Error, declared: &Grammar, args: &[OsString], dot_env: &DotEnv) -> Exit {
    match error.kind() {
        Clap::DisplayHelp | Clap::DisplayVersion => Exit::Told(error),
        Clap::ValueValidation => {
            Exit::Refused(invalid_value(&error, declared, args, dot_env).unwrap_or_else(|| flat(&error, args)))
        }
        _ => Exit::Refused(flat(&error, args)),
    }
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

fn invalid_value(error: &clap::Error, declared: &Grammar, args: &[OsString], dot_env: &DotEnv) -> Option<String> {
    // clap names the argument as its usage shows it: `--http-port <PORT>`.
    let flag = context(error, ContextKind::InvalidArg)?.split(' ').next()?;
    let value = context(error, ContextKind::InvalidValue)?;
    let accepted = std::error::Error::source(error)?;
    let name = declared
        .get_subcommands()
        .flat_map(|command| command.get_arguments())
        .find(|arg| arg.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long)))
        .and_then(env_name);
    let Some(name) = name else {
        return Some(format!("{flag} is {}, accepted is {accepted}", shown(value)));
    };
    let given = |arg: &OsString| {
        arg.to_string_lossy().strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let from = if args.iter().any(given) {
        flag
    } else if env_value(name).is_some() {
        "the environment"
    } else if dot_env.0.contains_key(name) {
        ".env"
    } else {
        "its default"
    };
    let value = match name {
        "NATS_URL" => shown(&servers::redact(value)),
        "NATS_PASSWORD" | "NATS_TOKEN" => "***".to_owned(),
        _ => shown(value),
    };
    Some(format!("{name} is {value} (from {from}), accepted is {accepted}"))
}

/// In quotes, on one line, not endless.
fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// clap's report without its usage, on one line.
fn flat(error: &clap::Error, args: &[OsString]) -> String {
    let report = error.to_string();
    let said: Vec<&str> = report
        .strip_prefix("error: ")
        .unwrap_or(&report)
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty())
        .collect();
    let known = |name: &&str| Cli::command().find_subcommand(name).is_some();
    let command = args.get(1).and_then(|arg| arg.to_str()).filter(known);
    let command = command.map_or(String::new(), |command| format!("{command} "));
    let mut said = said.join(" ").replace(" tip: ", "; ");
    // What follows a secret's flag may be a part of the secret: one that starts with a dash, or has a blank.
    let secrets = args.iter().skip_while(|arg| !SECRET_FLAGS.contains(&&*arg.to_string_lossy())).skip(1);
    for part in secrets.map(|part| part.to_string_lossy()).filter(|part| !part.is_empty()) {
        said = said.replace(&format!("'{part}'"), "***");
    }
    format!("{said}; see senpai-md-consumer {command}--help")
}
