//! Streams that cannot be read. It is said which command mends it, and once that is done the service goes on by itself.

use std::time::Instant;

use serde_json::{Value, json};

use crate::client::{Operator, STREAM};
use crate::stage::{JETSTREAM, LIMIT, Report, Stage, Stream};
use crate::support::nats_server::{NatsServer, Release};

/// The service says `words`, the alert fires, `mend` is done, and it reads.
fn check(
    release: Release,
    configuration: &str,
    prepare: impl Fn(&NatsServer),
    words: &[&str],
    mend: impl Fn(&mut NatsServer),
) -> Result<Report, &'static str> {
    let mut server = NatsServer::start_with(release, configuration);
    prepare(&server);
    let mut stage = Stage::begin(&server.url(), server.port(), &[]);
    stage.wait_trouble(words);
    stage.wait_alert("is not read");
    stage.wait_log(LIMIT, words[0]);
    assert_eq!(stage.events_in(), 0, "nothing is read by another way");
    mend(&mut server);
    let back = Instant::now();
    stage.produce();
    stage.wait_recovered(back);
    let mut report = stage.settle(Stream::Kept);
    report.note = format!("told: {}", words[0]);
    Ok(report)
}

fn make(server: &NatsServer, more: &Value) {
    Operator::new(server.port()).make_stream(more);
}

fn make_again(server: &mut NatsServer) {
    Operator::new(server.port()).delete_stream();
    make(server, &json!({}));
}

pub fn work_queue(release: Release) -> Result<Report, &'static str> {
    let prepare = |server: &NatsServer| make(server, &json!({ "retention": "workqueue" }));
    check(release, JETSTREAM, prepare, &["work-queue retention", "nats stream rm MD_EVENTS"], make_again)
}

pub fn interest(release: Release) -> Result<Report, &'static str> {
    let prepare = |server: &NatsServer| make(server, &json!({ "retention": "interest" }));
    check(release, JETSTREAM, prepare, &["interest retention", "nats stream rm MD_EVENTS"], make_again)
}

pub fn missing(release: Release) -> Result<Report, &'static str> {
    let words = ["there is no such stream", "nats stream add MD_EVENTS --subjects 'md.events.>'"];
    check(release, JETSTREAM, |_| (), &words, |server| make(server, &json!({})))
}

pub fn other_subjects(release: Release) -> Result<Report, &'static str> {
    let prepare = |server: &NatsServer| make(server, &json!({ "subjects": ["orders.>"] }));
    let words = ["other subjects", "orders.>", "nats stream edit MD_EVENTS --subjects 'md.events.>'"];
    check(release, JETSTREAM, prepare, &words, |server| {
        let operator = Operator::new(server.port());
        let mut config = operator.info(&json!({}))["config"].take();
        config["subjects"] = json!(["md.events.>"]);
        operator.must(&format!("STREAM.UPDATE.{STREAM}"), &config);
    })
}

/// Of the user that has no name: the service, the producer and, once it may, the operator.
fn permitted(permissions: &str) -> String {
    format!(
        "{JETSTREAM}\nauthorization {{ users: [\n\
         {{ user: operator, password: \"\" }}\n\
         {{ user: service, password: \"\", permissions: {{ {permissions} }} }}\n] }}\nno_auth_user: service\n"
    )
}

fn of_permissions(
    release: Release,
    permissions: &str,
    words: &[&str],
    apply: impl Fn(&mut NatsServer),
) -> Result<Report, &'static str> {
    let prepare = |server: &NatsServer| {
        Operator::as_user(server.port(), "operator").make_stream(&json!({ "storage": "file" }));
    };
    check(release, &permitted(permissions), prepare, words, |server| {
        server.configure(&permitted("publish: \">\", subscribe: \">\""));
        apply(server);
    })
}

pub fn may_not_publish(release: Release) -> Result<Report, &'static str> {
    let words = ["may not publish to $JS.API", "permissions", "$JS.API.CONSUMER.MSG.NEXT.MD_EVENTS"];
    of_permissions(release, "publish: [\"senpai.>\"], subscribe: \">\"", &words, |server| server.reload())
}

/// A subscription that was refused is asked for again every few seconds.
pub fn may_not_subscribe(release: Release) -> Result<Report, &'static str> {
    let words = ["subscription to _INBOX.", "grant this user permissions: {subscribe: [", "_INBOX.>"];
    of_permissions(release, "publish: \">\", subscribe: [\"md.>\"]", &words, |server| server.reload())
}

pub fn no_jetstream(release: Release) -> Result<Report, &'static str> {
    check(
        release,
        "",
        |_| (),
        &["the server has no JetStream", "nats-server -js"],
        |running| {
            running.terminate();
            running.configure(JETSTREAM);
            running.start_again();
            make(running, &json!({}));
        },
    )
}
