//! Settings: flags, environment names and `.env.example` agree; flag > environment > `.env` > default; and what is not
//! accepted ends the start with one line (SPEC section 7).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use clap::CommandFactory;
use senpai_md_consumer::config::Cli;
use tempfile::TempDir;

/// The settings that clap knows, by environment name, with the text of their default.
fn declared(command: &str) -> BTreeMap<String, String> {
    let cli = Cli::command();
    let arguments = cli.find_subcommand(command).expect(command).get_arguments();
    let settings = arguments.filter_map(|arg| {
        let name = arg.get_env()?.to_str().unwrap().to_owned();
        let flag = arg.get_long().expect("every setting is a flag");
        assert_eq!(flag, name.to_lowercase().replace('_', "-"));
        assert!(arg.get_help().is_some(), "{name} has no meaning");
        let default = arg.get_default_values().first().map_or("", |value| value.to_str().unwrap());
        Some((name, default.to_owned()))
    });
    settings.collect()
}

#[test]
fn the_example_the_flags_and_the_environment_agree() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example")).unwrap();
    let mut example = BTreeMap::new();
    let mut explained = false;
    for line in text.lines() {
        if let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            assert!(explained, "{name} stands there without its meaning");
            assert_eq!(example.insert(name.to_owned(), value.to_owned()), None, "{name} stands there twice");
        }
        explained = line.starts_with("# ");
    }
    assert_eq!(example, declared("run"));
}

#[test]
fn a_setting_is_the_same_for_every_command() {
    let run = declared("run");
    let cli = Cli::command();
    for command in cli.get_subcommands() {
        for (name, default) in declared(command.get_name()) {
            assert_eq!(run.get(&name), Some(&default), "{name} of {}", command.get_name());
        }
        let help = command.get_after_help().expect("examples").to_string();
        assert!(help.contains("Examples:\n  senpai-md-consumer "), "{}", command.get_name());
    }
}

/// A start in a directory of its own, with nothing of this process's environment.
struct Start {
    directory: TempDir,
    command: Command,
}

impl Start {
    fn with(args: &[&str]) -> Start {
        let directory = TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_senpai-md-consumer"));
        command.args(args).env_clear().current_dir(&directory);
        Start { directory, command }
    }

    fn env(mut self, name: &str, value: &str) -> Start {
        self.command.env(name, value);
        self
    }

    fn dot_env(self, text: impl AsRef<[u8]>) -> Start {
        fs::write(self.directory.path().join(".env"), text).unwrap();
        self
    }

    fn run(mut self) -> Output {
        self.command.output().unwrap()
    }

    /// The line of a refused start.
    #[track_caller]
    fn refusal(self) -> String {
        let output = self.run();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(output.stdout.is_empty(), "results go to standard output, and this is none");
        assert!(said.ends_with('\n') && said.lines().count() == 1, "not one line: {said:?}");
        said.trim_end().to_owned()
    }
}

/// The value that won is made visible by being none that is accepted; its layer is named in the refusal.
#[test]
fn flag_over_environment_over_dot_env_over_default() {
    #[track_caller]
    fn check(start: Start, expected: &str) {
        let line = start.refusal();
        assert!(line.starts_with(&format!("error: {expected}, accepted is ")), "{line}");
    }
    let port = || Start::with(&[]).dot_env("HTTP_PORT=file\n");
    check(port(), r#"HTTP_PORT is "file" (from .env line 1)"#);
    check(port().env("HTTP_PORT", "env"), r#"HTTP_PORT is "env" (from the environment)"#);
    check(port().env("HTTP_PORT", ""), r#"HTTP_PORT is "file" (from .env line 1)"#);
    let flagged = || Start::with(&["--http-port", "flag"]).dot_env("HTTP_PORT=file\n").env("HTTP_PORT", "env");
    check(flagged(), r#"HTTP_PORT is "flag" (from --http-port)"#);
    let flagged = Start::with(&["run", "--http-port=flag"]).dot_env("HTTP_PORT=1\n").env("HTTP_PORT", "2");
    check(flagged, r#"HTTP_PORT is "flag" (from --http-port)"#);

    // And the other way round: what lost is not looked at. `missing` is only found missing after all settings are fine.
    let lost = |start: Start| {
        let output = start.run();
        assert_ne!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let replay = |args: &[&str]| Start::with(&[&["replay", "missing.jsonl"], args].concat());
    lost(replay(&[]));
    lost(replay(&[]).dot_env("MAX_SYMBOLS=no\n").env("MAX_SYMBOLS", "1"));
    lost(replay(&["--max-symbols", "1"]).dot_env("MAX_SYMBOLS=no\n").env("MAX_SYMBOLS", "no"));
    lost(replay(&[]).dot_env("MAX_SYMBOLS=no\nMAX_SYMBOLS=1\n"));
    lost(replay(&[]).dot_env("MAX_SYMBOLS=\n").env("WINDOW_TRADES", ""));
    // What a command does not take it does not judge.
    lost(replay(&[]).dot_env("HTTP_PORT=no\n").env("NATS_URL", "no no"));
}

#[test]
fn dot_env_is_read_as_such() {
    #[track_caller]
    fn check(text: &[u8], expected: &str) {
        let line = Start::with(&[]).dot_env(text).refusal();
        assert!(line.starts_with(&format!("error: {expected}")), "{line}");
    }
    check(b"# note\n\nexport HTTP_PORT='no' # why\n", r#"HTTP_PORT is "no" (from .env line 3)"#);
    check(b"\xef\xbb\xbfHTTP_PORT=no\r\n", r#"HTTP_PORT is "no" (from .env line 1)"#);
    check(b"OTHER=1\nHTTP_PORT='$n\\o'\n", r#"HTTP_PORT is "$n\\o" (from .env line 2)"#);
    check(b"HTTP_PORT=no", r#"HTTP_PORT is "no" (from .env line 1)"#);
    check(b"HTTP_PORT=1\n\nHTTP_PORT=no\n", r#"HTTP_PORT is "no" (from .env line 3)"#);
    check(b"CORES=1\nHTTP PORT=1\n", ".env line 2 is malformed");
    check(b"CORES=1\n\n# note\nsecret words\n", ".env line 4 is malformed");
    check(b"NATS_NAME=secret words\n", ".env line 1 (NATS_NAME=…) is malformed");
    check(b"A='\n'\nB=1\n# =\nNATS_NAME='secret\nA=1\n", ".env line 5 (NATS_NAME=…) is malformed");
    let changed = "a $ stands for a variable there; put the value into single quotes";
    check(b"CORES=1\nNATS_PASSWORD=pa$word\n", &format!(".env line 2 (NATS_PASSWORD=…): {changed}"));
    check(b"NATS_URL=\"nats://$HOST:4222\"\n", &format!(".env line 1 (NATS_URL=…): {changed}"));
    check(b"CORES=1\nNATS_NAME=a\xff\n", ".env line 2 is not UTF-8 text");
}

/// What cannot be read ends a start that needs settings, and nothing else; it never hangs anything.
#[test]
fn a_dot_env_of_no_use() {
    type Make = fn(&Path);
    let kinds: [(&str, Make); 5] = [
        ("line 1 is malformed", |path| fs::write(path, "so much for that").unwrap()),
        ("cannot be read: it is a folder", |path| fs::create_dir(path).unwrap()),
        ("cannot be read: it is longer than 1048576 bytes", |path| fs::write(path, vec![b'#'; 2 << 20]).unwrap()),
        ("cannot be read: it is not a regular file", |path| {
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        }),
        ("cannot be read: it is not a regular file", |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap()),
    ];
    for (expected, make) in kinds {
        let start = |args: &[&str]| {
            let start = Start::with(args);
            make(&start.directory.path().join(".env"));
            start
        };
        for args in [&["--help"][..], &["--version"], &["run", "--help"], &["help", "replay"]] {
            let output = start(args).run();
            assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
            assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}: {output:?}");
        }
        for args in [&[][..], &["replay", "missing.jsonl"]] {
            let line = start(args).refusal();
            assert!(line.starts_with(&format!("error: .env {expected}")), "{line}");
        }
    }
    let mut help = Start::with(&["--help"]).env("CORES", "no");
    help.command.env("NATS_NAME", OsStr::from_bytes(b"\xff"));
    assert_eq!(help.run().status.code(), Some(0), "nor are wrong settings elsewhere a reason");
}

#[test]
fn invalid_values() {
    #[track_caller]
    fn check(name: &str, values: &[&str], accepted: &str) {
        for value in values {
            let line = Start::with(&[]).env(name, value).refusal();
            assert_eq!(line, format!("error: {name} is {value:?} (from the environment), accepted is {accepted}"));
        }
    }
    check("HTTP_PORT", &["65536", "-1", "http"], "a port from 0 to 65535");
    let name = "a name of 1 to 255 bytes without spaces, dots, slashes and wildcards";
    check("JETSTREAM_STREAM", &["MD.EVENTS", "a b", "*"], name);
    check("JETSTREAM_DOMAIN", &["a.b", ">"], name);
    check("JETSTREAM_MAX_BYTES", &["1000", "-1"], "a number of bytes from 1048576 to 1125899906842624");
    check("USE_JETSTREAM", &["maybe"], "true or false");
    check("BUSY_POLL", &["2", "yess"], "true or false");
    let subject = "a subject like md.events, without spaces or wildcards";
    check("SUBJECT_PREFIX", &["md.events.", ".md", "md..events", "md.>", "md.*", "m d"], subject);
    for (outputs, values) in [
        ("senpai.features.>", &["senpai", "senpai.features", "senpai.features.BTC", " senpai "][..]),
        ("senpai.signals.>", &["senpai.signals", "senpai.signals.A.B"]),
        ("senpai.alerts.>", &["senpai.alerts"]),
    ] {
        let accepted = format!("a subject like md.events, and none that covers this service's own {outputs}");
        check("SUBJECT_PREFIX", values, &accepted);
    }
    let symbols =
        "a comma list of symbols like BTCUSDT or BTC/USD, each of at most 128 bytes, without spaces or wildcards";
    check("SYMBOLS", &["A,B C", "*", "A.>", "A..B", "A,B."], symbols);
    let line = Start::with(&[]).env("SYMBOLS", &"A".repeat(129)).refusal();
    assert!(line.ends_with(&format!("accepted is {symbols}")), "{line}");
    check("CORES", &["0", "-1", "257", "1.5", "two"], "a number from 1 to 256");
    let shard = "i/n with i from 0 to n - 1 and n from 1 to 1024, like 0/2";
    check("SHARD", &["2/2", "1", "/", "-1/2", "0/0", "0/1025", "a/b"], shard);
    check("MAX_SYMBOLS", &["0", "1048577"], "a number from 1 to 1048576");
    check("WINDOW_TRADES", &["0", "16777217", "1e6"], "a number from 1 to 16777216");
    check("DEDUPLICATE_TRADES", &["-1", "8388609", "1e4", "all"], "a number of trades from 0 to 8388608");
    check("PROVIDER_MODE", &["first", "primary,merged"], "one of primary, merged, separate");
    let providers = "a comma list of providers' names, each of at most 64 bytes and none of them unknown or other";
    let long = "x".repeat(65);
    check("PROVIDERS", &["unknown", "binance, other", &format!("a,{long}")], providers);
    let many = (0..63).map(|index| index.to_string()).collect::<Vec<_>>().join(",");
    assert!(Start::with(&[]).env("PROVIDERS", &many).refusal().ends_with("accepted is at most 62 providers"));
    check("QUEUE_BYTES", &["65535", "1073741825", "8MiB"], "a number of bytes from 65536 to 1073741824");
    let not_numbers = ["NaN", "inf", "-inf", "infinity", "-1", "-0.001", "1e999", "ten", "1,5"];
    let rate = "0 (off) or a number from 0.0001 to 1000 a second";
    check("FEATURES_PUB_RATE_HZ", &not_numbers, rate);
    check("FEATURES_PUB_RATE_HZ", &["1000.1", "0.00001"], rate);
    for name in ["SIGNAL_RETURN_THRESHOLD", "SIGNAL_VOLUME_THRESHOLD", "SIGNAL_SPREAD_MAX_BPS", "ALERT_LATENCY_P95_MS"]
    {
        check(name, &not_numbers, "a number that is not negative");
    }
    for name in [
        "SIGNAL_COOLDOWN_SECONDS",
        "SIGNAL_MAX_AGE_SECONDS",
        "SIGNAL_MAX_QUOTE_AGE_SECONDS",
        "SIGNAL_MAX_GAP_SECONDS",
        "MAX_CLOCK_SKEW_SECONDS",
        "ALERT_LAG_SECONDS",
        "ALERT_GAP_SECONDS",
    ] {
        check(name, &not_numbers, "a number of seconds from 0 to 31536000 (fractions too)");
    }
    let timeout = "a number of seconds from 1 to 31536000 (fractions too)";
    check("PROVIDER_TIMEOUT_SECONDS", &not_numbers, timeout);
    check("PROVIDER_TIMEOUT_SECONDS", &["0", "0.999"], timeout);
    let idle = "0 (never) or a number of seconds from 1 to 31536000 (fractions too)";
    check("SYMBOL_IDLE_SECONDS", &not_numbers, idle);
    check("SYMBOL_IDLE_SECONDS", &["0.5", "0.999"], idle);
    let window = "a number of seconds from 1 to 3600 (fractions too)";
    check("ROLLING_WINDOW_SECONDS", &not_numbers, window);
    check("ROLLING_WINDOW_SECONDS", &["0", "0.999", "3600.1"], window);
    check("HTTP_HOST", &["a b", "127.0.0.1:80", "[::", "8892"], "an IP address or a host name, without a port");
    check("LOG_LEVEL", &["loud", "6"], "off, error, warn, info, debug or trace");
    check("LOG_FORMAT", &["xml", "1"], "text or json");
}

/// Of settings about NATS, where the secrets are, no refused value is repeated.
#[test]
fn invalid_values_about_nats() {
    #[track_caller]
    fn check(name: &str, values: &[&str], accepted: &str) {
        for value in values {
            let line = Start::with(&[]).env(name, value).refusal();
            assert!(
                line.starts_with(&format!("error: {name} is *** (from the environment), accepted is {accepted}")),
                "{line}"
            );
        }
    }
    let url = "a comma list of nats://[user:password@]host[:port] or tls://...; ";
    check(
        "NATS_URL",
        &["nats://a:0", "nats://a:b"],
        &format!("{url}address 1: the port is not a number from 1 to 65535"),
    );
    check("NATS_URL", &["true", "a,false"], url);
    check("NATS_URL", &["4222", "a b"], &format!("{url}address 1: the host is no host name"));
    check("NATS_NAME", &["  ", "a\tb"], "a text of 1 to 256 bytes without control characters");
    check("NATS_TLS_FIRST", &["2", "first"], "true or false");
    check("NATS_TLS_SERVER_NAME", &["a b", "a:1", "1"], "an IP address or a host name, without a port");
    check("NATS_PING_INTERVAL_SECONDS", &["0", "3601", "NaN"], "a number of seconds from 1 to 3600 (fractions too)");
}

/// Where it would listen is found out before anything is started.
#[test]
fn a_host_that_is_none() {
    for command in ["run", "demo"] {
        let line = Start::with(&[command, "--http-host", "none.invalid"]).refusal();
        assert!(line.starts_with("error: HTTP_HOST none.invalid cannot be resolved ("), "{line}");
    }
}

#[test]
fn logins_and_certificates() {
    let directory = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    #[track_caller]
    fn check(settings: &[(&str, &str)], expected: &str) {
        for command in [&["run"][..], &["feed", "missing.jsonl"]] {
            let start = settings.iter().fold(Start::with(command), |start, (name, value)| start.env(name, value));
            assert_eq!(start.refusal(), format!("error: {expected}"));
        }
    }
    check(&[("NATS_USER", "bob")], "NATS_USER is set, accepted is NATS_USER together with NATS_PASSWORD");
    check(&[("NATS_PASSWORD", "x")], "NATS_PASSWORD is set, accepted is NATS_PASSWORD together with NATS_USER");
    check(&[("NATS_KEY", "x")], "NATS_KEY is set, accepted is NATS_KEY together with NATS_CERT");
    check(
        &[("NATS_USER", "bob"), ("NATS_PASSWORD", "x"), ("NATS_TOKEN", "y"), ("NATS_CREDS", "z")],
        "NATS_USER and NATS_TOKEN and NATS_CREDS are set, accepted is one way to log in",
    );
    let missing = |name: &str, accepted: &str| {
        let expected = format!(
            "{name} names a file that is of no use: it cannot be read (No such file or directory); its path is right up \
             to \"/dev\"; accepted is {accepted}"
        );
        check(&[(name, "/dev/none/x")], &expected);
        check(
            &[(name, "/dev")],
            &format!("{name} is \"/dev\": it cannot be read (it is a folder); accepted is {accepted}"),
        );
    };
    let (seed, creds) = ("a file with a user's nkey seed, SU...", "a .creds file, as nsc writes it");
    missing("NATS_NKEY", seed);
    missing("NATS_CREDS", creds);
    missing("NATS_CA", "a PEM file with certificates");
    let damaged = |name: &str, text: &str, problem: &str, accepted: &str| {
        let path = file("it", text);
        check(&[(name, &path)], &format!("{name} is {path:?}: {problem}; accepted is {accepted}"));
    };
    damaged("NATS_NKEY", "hello", "there is no nkey seed (a line that starts with SU)", seed);
    damaged("NATS_CREDS", "hello", "there is no \"BEGIN NATS USER JWT\" block, as a .creds file has it", creds);
    damaged("NATS_CA", "hello", "it holds none", "a PEM file with certificates");
    damaged(
        "NATS_CA",
        "-----BEGIN CERTIFICATE-----\nAAAA\n",
        "a BEGIN line has no END line",
        "a PEM file with certificates",
    );
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    damaged("NATS_CA", garbage, "a certificate in it cannot be read", "a PEM file with certificates");
    // What belongs into the file is not repeated, whole or damaged.
    for content in [
        "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY",
        "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3V",
        "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY/",
        "/etc/SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY",
        "-----BEGIN NATS USER JWT-----\neyJ0.eyJq.c2ln\n------END NATS USER JWT------\n",
    ] {
        for (name, accepted) in [("NATS_NKEY", "a file with a user's nkey seed, SU..."), ("NATS_CREDS", creds)] {
            let expected = format!("{name} is not a file's name but what belongs into one; accepted is {accepted}");
            check(&[(name, content)], &expected);
        }
    }
}

#[test]
fn wrong_usage() {
    #[track_caller]
    fn check(args: &[&str], expected: &str) {
        assert_eq!(Start::with(args).refusal(), format!("error: {expected}"));
    }
    let accepted = "accepted is";
    check(&["--none"], "unexpected argument --none; see senpai-md-consumer run --help");
    check(
        &["--symbol", "A"],
        "unexpected argument --symbol; a similar one is --symbols; see senpai-md-consumer run --help",
    );
    let secret = "is unexpected and not repeated here, as it may be a secret";
    check(&["run", "A"], &format!("argument 2 {secret}; see senpai-md-consumer run --help"));
    check(&["--cores", "1", "A"], &format!("argument 3 {secret}; see senpai-md-consumer run --help"));
    check(&["-x1"], &format!("argument 1 {secret}; see senpai-md-consumer run --help"));
    let commands = "run, demo, feed, record, replay, generate, bench, check";
    check(
        &["none"],
        &format!("argument 1 is no command, accepted is one of {commands}; see senpai-md-consumer --help"),
    );
    check(
        &["repaly", "f"],
        &format!(
            "argument 1 is no command, accepted is one of {commands}; a similar one is replay; see senpai-md-consumer --help"
        ),
    );
    check(&["feed"], "<FILE> is missing; see senpai-md-consumer feed --help");
    check(&["--http-port"], "--http-port needs a value; see senpai-md-consumer run --help");
    check(&["--cores", "1", "--cores=2"], "--cores is given twice; see senpai-md-consumer run --help");
    check(&["feed", "f", "--rebase=yes"], "--rebase takes no value; see senpai-md-consumer feed --help");
    check(
        &["feed", "f", "--speed", "-1"],
        &format!("--speed is \"-1\", {accepted} max or a number from 0.001 to 1000000"),
    );
    check(&["feed", "f", "--loop", "x"], &format!("--loop is \"x\", {accepted} a whole number from 0 to 1000000000"));
    check(
        &["demo", "--seed", "x"],
        &format!("--seed is \"x\", {accepted} a whole number from 0 to 18446744073709551615"),
    );
    check(
        &["generate", "f", "--symbols", "BTCUSDT"],
        &format!("--symbols is \"BTCUSDT\", {accepted} a number from 1 to 100000"),
    );
    check(&["generate", "f", "--events", "0"], &format!("--events is \"0\", {accepted} a number from 1 to 1000000000"));
    check(
        &["bench", "f", "--seconds", "0"],
        &format!("--seconds is \"0\", {accepted} a number of seconds from 0.1 to 86400 (fractions too)"),
    );
    check(
        &["bench", "f", "--cores", "0"],
        &format!("CORES is \"0\" (from --cores), {accepted} a number from 1 to 256"),
    );
    check(
        &["--symbols", "A,B,C", "--max-symbols", "2"],
        "SYMBOLS names 3 symbols, accepted are as many as MAX_SYMBOLS allows, which is 2",
    );
    check(
        &["--signal-volume-threshold", "-1"],
        &format!(
            "SIGNAL_VOLUME_THRESHOLD is \"-1\" (from --signal-volume-threshold), {accepted} a number that is not negative"
        ),
    );
    let long = Start::with(&["--http-port", &"9".repeat(10_000)]).refusal();
    assert!(long.len() < 300 && long.contains("9\"… (from"), "{long}");
}

#[test]
fn help_and_version_are_results() {
    for args in [&["--help"][..], &["-h"], &["--version"], &["run", "--help"], &["help", "replay"], &["bench", "-h"]] {
        let output = Start::with(args).run();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
}

/// A start of a command that says what it has to say and fails for want of its file.
fn said(start: Start) -> String {
    let output = start.run();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn names_that_are_no_settings_are_told() {
    let replay = || Start::with(&["replay", "missing.jsonl"]);
    let told = said(replay().dot_env("CORES=1\n# note\nNATS_ULR=nats://u:hunter2@a\nOTHER=hunter2\n"));
    for line in [".env line 3: NATS_ULR is no setting; did you mean NATS_URL?", ".env line 4: OTHER is no setting"] {
        assert!(told.contains(line), "{told}");
    }
    assert!(!told.contains("hunter2"), "{told}");

    let told = said(replay().env("SIGNAL_COOLDOWN_SECOND", "hunter2"));
    let line = "SIGNAL_COOLDOWN_SECOND (from the environment) is no setting; did you mean SIGNAL_COOLDOWN_SECONDS?";
    assert!(told.contains(line) && !told.contains("hunter2"), "{told}");

    let others = ["NATS_SERVER", "HTTP_PROXY", "HTTPS_PORT", "LOG_DIR", "PATH", "HTTP_PORTS", "NATS_PORT_4222_TCP"];
    let told = said(others.iter().fold(replay(), |start, name| start.env(name, "x")));
    assert!(!told.contains("is no setting"), "{told}");
    let told = said(replay().env("NATS_URL", "a").env("NATS_URLS", "b"));
    assert!(!told.contains("is no setting"), "it is another program's: {told}");
}

#[test]
fn a_start_says_which_settings_differ_from_their_defaults() {
    // The server that it is to feed is not there.
    let recording = |directory: &TempDir| fs::write(directory.path().join("it.jsonl"), "").unwrap();
    let feed = |args: &[&str]| Start::with(&[&["feed", "it.jsonl"], args].concat());
    let start = feed(&["--nats-url", "nats://u:hunter2@127.0.0.1:1,tls://b"]);
    recording(&start.directory);
    let start = start.dot_env("NATS_NAME='a b'\nHTTP_PORT=1\nNATS_USER=bob\n");
    let told = said(start.env("NATS_PASSWORD", "hunter2").env("NATS_PING_INTERVAL_SECONDS", "120").env("CORES", "2"));
    let line = "settings that differ from their defaults: NATS_URL \"nats://***@127.0.0.1:1,tls://b:4222\" (from --nats-url), \
                NATS_NAME \"a b\" (from .env), NATS_USER \"bob\" (from .env), NATS_PASSWORD *** (from the environment)";
    assert!(told.lines().any(|told| told.ends_with(line)), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    let start = feed(&["--nats-url", "127.0.0.1:1"]).env("NATS_URL", "");
    recording(&start.directory);
    let told = said(start);
    assert!(told.contains("defaults: NATS_URL \"nats://127.0.0.1:1\" (from --nats-url)\n"), "{told}");
}
