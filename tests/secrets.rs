//! Whatever may be a secret shows nowhere: not in the error of a wrong start, not in the log of a right one, at any level.

#[path = "reference/mod.rs"]
mod reference;
#[path = "support/mod.rs"]
mod support;

use std::fs;

use clap::Parser;
use senpai_md_consumer::config::Cli;
use support::nats_server::{NatsServer, Release};
use support::service::{Service, command};
use support::{eventually, holds};

/// Parts of the secrets below: a password, a seed, a JWT.
const SECRETS: [&str; 6] = ["hunter2", "w0rdy", "SUACSSL3UAHUDX", "KFSNVUZRF5UHPM", "eyJ0eXAiOiJKV1Qi", "c2lnbmF0dXJl"];
const SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
const JWT: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJqdGkiOiJYIn0.c2lnbmF0dXJl";

#[track_caller]
fn check_quiet(what: &str, said: &str) {
    for secret in SECRETS {
        assert!(!said.contains(secret), "{what}: {said}");
    }
}

/// A start that is refused: by its arguments, its environment or its `.env`.
#[track_caller]
fn check(args: &[&str], env: &[(&str, &str)], dot_env: &str) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(".env"), dot_env).unwrap();
    let mut command = command(&directory);
    let output = command.env("LOG_LEVEL", "trace").args(args).envs(env.iter().copied()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    let what = format!("{args:?} {env:?} {dot_env:?}");
    check_quiet(&what, &said);
    assert!(matches!(output.status.code(), Some(1 | 2)) && !said.is_empty(), "{what}: {:?} {said}", output.status);
}

#[test]
fn arguments() {
    for args in [
        // An address, a password or a token that has lost its flag, or follows one too many.
        &["nats://u:hunter2@h"][..],
        &["hunter2"],
        &["-whunter2"],
        &["help", "hunter2"],
        &["run", "nats://u:hunter2@h"],
        &["run", "hunter2"],
        &["run", "--", "hunter2"],
        &["run", "-xhunter2"],
        &["run", "--nats-tls-first", "hunter2"],
        &["run", "--busy-poll", "nats://u:hunter2@h"],
        &["run", "--cores", "nats://u:hunter2@h"],
        &["run", "--log-level", "u:hunter2@h"],
        &["run", "--http-host", "u:hunter2@h"],
        &["feed", "nats://u:hunter2@h"],
        &["feed", "missing.jsonl", "nats://u:hunter2@h"],
        &["replay", "nats://u:hunter2@h"],
        &["replay", SEED],
        &["bench", JWT],
        &["generate", SEED],
        &["generate", "nats://u:hunter2@h"],
        &["generate", "nats://u:hunter2@h.gz"],
        &["demo", "--file", "nats://u:hunter2@h"],
        &["demo", "--seed", "nats://u:hunter2@h"],
        &["feed", "f", "--rebase=hunter2"],
        // Behind its flag, which cuts it up.
        &["--nats-token", "--hunter2"],
        &["--nats-token", "hunter2", "w0rdy"],
        &["--nats-password", "pass", "hunter2"],
        &["--nats-password", "pass", "--hunter2"],
        &["--nats-password=pass", "w0rdy"],
        &["--nats-user", "u", "--nats-password", "-hunter2", "w0rdy"],
        // Behind a flag that is none.
        &["run", "--nats-urls", "nats://u:hunter2@h"],
        &["run", "--nats-urls=nats://u:hunter2@h"],
        &["run", "--nats-pasword", "hunter2"],
        &["run", "--nats-pasword=hunter2"],
        &["run", "--nats-pass=--hunter2", "--w0rdy"],
        &["run", "--version=hunter2"],
        &["run", "-p", "hunter2"],
    ] {
        check(args, &[], "");
    }
}

#[test]
fn addresses() {
    for url in [
        // The host, or the @, was forgotten.
        "nats://u:hunter2",
        "u:hunter2",
        "nats://u:hunter2@",
        "nats://hunter2@",
        "nats://u:hunter2h:4222",
        "nats://u:p@ss:hunter2",
        "nats://u:hunter2/",
        "nats://[u:hunter2]",
        "nats://[::1]hunter2",
        "nats://a,u:hunter2",
        // A character that should be encoded.
        "nats://u:hunter2/w0rdy@h/x",
        "nats://u:hunter2,w0rdy@h",
        "nats://u:hunter2?w0rdy@h:0",
        "nats://u:w0rdy#hunter2",
        "nats://u:hunter2%zz@h",
        "nats://u:%ffhunter2@h",
        "nats://hunter2%@h",
        // Wrong elsewhere.
        "nats://u:hunter2@h:port",
        "nats://u:hunter2@a b",
        "nats://a,nats://u:hunter2@b:0",
        "nats://u:w0rdy@a,nats://u:hunter2@b:99999,c",
        "ws://u:hunter2@h",
        "https://hunter2@h",
        "hunter2://u@h",
        "nats:/u:hunter2@h:0",
    ] {
        check(&["--nats-url", url], &[], "");
        check(&["feed", "missing.jsonl", &format!("--nats-url={url}")], &[], "");
        check(&[], &[("NATS_URL", url)], "");
        check(&["run"], &[], &format!("NATS_URL='{url}'\n"));
    }
}

/// What belongs into a file, in the place of the file's name.
#[test]
fn files() {
    let creds = format!("-----BEGIN NATS USER JWT-----\n{JWT}\n------END NATS USER JWT------\n{SEED}\n");
    let slashed = format!("{SEED}/");
    let under = format!("/etc/{SEED}");
    let beside = format!("/etc/../{SEED}/x");
    for content in [SEED, JWT, &creds, &slashed, &under, &beside, "nats://u:hunter2@h", "hunter2", "/etc/hunter2"] {
        for name in ["NATS_NKEY", "NATS_CREDS", "NATS_CA"] {
            let settings = [(name, content), ("NATS_URL", "tls://a")];
            check(&["run"], &settings, "");
            check(&["feed", "missing.jsonl"], &settings, "");
            check(&["run", "--nats-url", "tls://a"], &[], &format!("{name}='{content}'\n"));
        }
        check(&["run", "--nats-url", "tls://a", "--nats-cert", content, "--nats-key", content], &[], "");
        check(&["run", "--nats-creds", content, "--nats-url", "nats://a"], &[], "");
    }
}

#[test]
fn dot_env() {
    let wrapped_seed = format!("NATS_NKEY={}\n{}\n", &SEED[..20], &SEED[20..]);
    for text in [
        // Broken over two lines: with and without something that looks like a name before a =.
        "NATS_PASSWORD=pass\nhunter2\n",
        "NATS_PASSWORD=pass\nhunter2==\n",
        "NATS_PASSWORD=pass\nHUNTER2=\nhunter2 w0rdy=\n",
        "NATS_TOKEN=hunter2\nw0rdy=hunter2",
        "NATS_PASSWORD=pass hunter2\n",
        "NATS_PASSWORD='hunter2\nw0rdy=1\n",
        "NATS_PASSWORD=hunter2'w0rdy\n",
        "NATS_PASSWORD=hunter2$w0rdy\n",
        "NATS_PASSWORD=hunter2\\w0rdy\n",
        "NATS_PASSWORD=\"hunter2\\w0rdy\"\n",
        "NATS_USER=u\nNATS_PASSWORD: hunter2\n",
        "NATS_URL=nats://u:hunter2\n@h",
        "hunter2\n",
        "hunter2=hunter2 hunter2",
        "export hunter2",
        &format!("NATS_CREDS={JWT}\n{SEED}\n"),
        &format!("NATS_CREDS=-----BEGIN NATS USER JWT-----\n{JWT}\n"),
        &wrapped_seed,
    ] {
        // Where it can be read all the same, something else ends the start.
        check(&["run", "--cores", "no"], &[], text);
        check(&["replay", "missing.jsonl"], &[], text);
        check(&["feed", "missing.jsonl"], &[], text);
    }
    check(&["replay", "missing.jsonl"], &[("NATS_PASSWORDS", "hunter2"), ("NATS_ULR", "nats://u:hunter2@h")], "");
}

#[test]
fn help() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(".env"), "NATS_NAME=hunter2\nHTTP_HOST=hunter2\n").unwrap();
    let mut command = command(&directory);
    let settings = [("NATS_URL", "nats://u:hunter2@a"), ("NATS_PASSWORD", "hunter2"), ("NATS_TOKEN", "hunter2")];
    let output = command.args(["run", "--help"]).envs(settings).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("[env: NATS_URL]"), "{help}");
    check_quiet("help", &help);
}

#[test]
fn settings_as_debug_shows_them() {
    let args = [
        "it",
        "run",
        "--nats-url=nats://u:hunter2@a,w0rdy@b",
        "--nats-password=hunter2",
        "--nats-token=hunter2",
        &format!("--nats-nkey={SEED}"),
        &format!("--nats-creds={JWT}"),
        &format!("--nats-key={SEED}"),
    ];
    let cli = Cli::try_parse_from(args).unwrap();
    check_quiet("Debug", &format!("{cli:?} {cli:#?}"));
}

/// A service that connects, is refused, and cannot connect, with everything that it logs.
#[test]
fn a_log_at_trace() {
    let users = "authorization { users = [{ user: u, password: hunter2 }] }\n";
    let server = NatsServer::start_with(Release::Current, users);
    let log_until = |url: &str, flags: &[&str], awaited: &str| {
        let mut service = Service::start(url, &[&["--log-level", "trace"], flags].concat());
        eventually(awaited, || holds(service.log().contains(awaited), service.log()));
        check_quiet(url, &service.get("/health").1);
        assert!(service.terminate().0.success());
        check_quiet(url, &service.log());
    };
    let port = server.port();
    log_until(&format!("nats://u:hunter2@127.0.0.1:{port}"), &[], "connected to NATS");
    let login = ["--nats-user", "u", "--nats-password", "hunter2"];
    log_until(&format!("nats://127.0.0.1:{port}"), &login, "connected to NATS");
    log_until(&format!("nats://u:w0rdy@127.0.0.1:{port}"), &[], "authorization violation");
    log_until(&format!("nats://hunter2@127.0.0.1:{port}"), &[], "authorization violation");
    log_until("nats://u:hunter2@127.0.0.1:1,nats://w0rdy@127.0.0.1:2", &[], "connection refused");
    log_until("tls://u:hunter2@127.0.0.1:1", &["--nats-tls-first"], "connection refused");
}
