//! The layers a value may come from.
//!
//! clap reads flags and environment. A line of `.env` becomes the default of its setting for this run: that is the
//! precedence wanted, the process environment stays as it was, and nothing needs `set_var`.

use std::env;
use std::ffi::OsString;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command as Grammar, CommandFactory, FromArgMatches};

use crate::config::dot_env::DotEnv;
use crate::config::names::meant_by;
use crate::config::notes::{InForce, Notes};
use crate::config::refusal::{Exit, Given};
use crate::config::shown::shown_accepted;
use crate::config::{Cli, Command, NatsArgs};

/// The settings of all layers, checked. The error is help, or one line that says which setting is wrong.
pub(super) fn parse(args: Vec<OsString>, dot_env: &Path) -> Result<(Cli, Notes), Exit> {
    let given = Given::new(args);
    let declared = Cli::command();
    let settings = setting_names(&declared);
    let (dot_env, trouble) = match DotEnv::read(dot_env, &settings) {
        Ok(dot_env) => (dot_env, None),
        Err(trouble) => (DotEnv::default(), Some(trouble)),
    };
    let layered = declared.clone().mut_subcommands(|command| command.mut_args(|arg| layered(arg, &dot_env)));
    let read = layered.try_get_matches_from(&given.args);
    let read = read.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let read = read.map_err(|error| given.refusal(error, &declared, &dot_env));
    // Help and version need no settings, so that wrong ones are no reason to withhold them.
    if let Err(told @ Exit::Told(_)) = read {
        return Err(told);
    }
    if let Some(trouble) = trouble {
        return Err(Exit::Refused(trouble));
    }
    check_utf8(&settings)?;
    let (cli, matches) = read?;
    check_together(&cli)?;
    let mut warnings = warnings_of_environment(&settings);
    let settings = settings_in_force(&declared, &matches, &dot_env);
    warnings.extend(dot_env.warnings);
    Ok((cli, Notes { warnings, settings }))
}

/// Of every command, each once.
pub(super) fn setting_names(declared: &Grammar) -> Vec<&str> {
    let mut names: Vec<&str> =
        declared.get_subcommands().flat_map(|command| command.get_arguments()).filter_map(env_name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// `None`: an argument that is no setting.
pub(super) fn env_name(arg: &Arg) -> Option<&str> {
    arg.get_env().and_then(|name| name.to_str())
}

/// `None` where the variable is not set or is empty.
pub(super) fn env_value(name: &str) -> Option<OsString> {
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
    match dot_env.value(&name) {
        // Defaults live as long as the process; this happens once.
        Some(value) => arg.default_value(&*value.to_owned().leak()).hide_default_value(true),
        None => arg,
    }
}

/// clap's own error for this does not say which variable it was.
fn check_utf8(settings: &[&str]) -> Result<(), Exit> {
    match settings.iter().find(|name| env_value(name).is_some_and(|value| value.to_str().is_none())) {
        Some(name) => Err(Exit::Refused(format!("{name} (from the environment) is not UTF-8 text"))),
        None => Ok(()),
    }
}

/// Everything else in the environment is other programs' affair, unless it looks like a slip.
fn warnings_of_environment(settings: &[&str]) -> Vec<String> {
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let warning = |name: String| match meant_by(&name, settings) {
        // Where the setting is there as well, the other one is hardly a slip of it.
        Some(meant) if !settings.contains(&&*name) && env_value(meant).is_none() => {
            Some(format!("{name} (from the environment) is no setting; did you mean {meant}?"))
        }
        _ => None,
    };
    let mut warnings: Vec<String> = names.filter_map(warning).collect();
    warnings.sort();
    warnings
}

/// Of the command that is to be run.
fn settings_in_force(declared: &Grammar, matches: &ArgMatches, dot_env: &DotEnv) -> Vec<InForce> {
    let (command, matches) = matches.subcommand().expect("a command was run");
    let settings = declared.find_subcommand(command).expect("it is declared").get_arguments().filter_map(|arg| {
        let name = env_name(arg)?;
        let id = arg.get_id().as_str();
        let value = matches.get_raw(id).and_then(|mut values| values.next());
        let is_default = arg.get_default_values().first().map(|default| default.as_os_str()) == value;
        let from = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => format!("--{}", arg.get_long()?),
            Some(ValueSource::EnvVariable) => "the environment".to_owned(),
            Some(_) if dot_env.value(name).is_some() => ".env".to_owned(),
            _ => "its default".to_owned(),
        };
        let shown = value.map(|value| shown_accepted(name, &value.to_string_lossy()));
        Some(InForce { name: name.to_owned(), value: shown, from, is_changed: !is_default })
    });
    settings.collect()
}

fn check_together(cli: &Cli) -> Result<(), Exit> {
    match &cli.command {
        Command::Run(args) => check_login(&args.nats)?,
        Command::Feed(args) => check_login(&args.nats)?,
        Command::Record(args) => check_login(&args.nats)?,
        Command::Check(args) => check_login(&args.settings.nats)?,
        _ => {}
    }
    let (subjects, engine) = match &cli.command {
        Command::Run(args) => (&args.subjects, &args.engine),
        Command::Demo(args) => (&args.subjects, &args.engine),
        Command::Replay(args) => (&args.subjects, &args.engine),
        Command::Bench(args) => (&args.subjects, &args.engine),
        Command::Check(args) => (&args.settings.subjects, &args.settings.engine),
        Command::Feed(_) | Command::Record(_) | Command::Generate(_) => return Ok(()),
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
