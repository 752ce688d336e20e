//! A user that may not do all that the service wants to do.

use crate::publisher::Login;
use crate::stage::{Loss, NAME, RECOVERY_LIMIT, Report, Stage};
use crate::support::nats_server::{NatsServer, Release};
use crate::support::{eventually, holds};

fn publisher() -> Login {
    Login { user: Some(("publisher", "other")), ..Login::default() }
}

fn url(server: &NatsServer) -> String {
    format!("nats://service:secret@127.0.0.1:{}", server.port())
}

fn configuration(permissions: &str) -> String {
    format!(
        "authorization {{ users: [\n\
         {{ user: service, password: secret, permissions: {{ {permissions} }} }}\n\
         {{ user: publisher, password: other }}\n] }}"
    )
}

/// The events to read and `senpai.>` to write are all it needs: nothing is refused, and there is no inbox to grant.
pub fn least(release: Release) -> Result<Report, &'static str> {
    let permissions = configuration("subscribe: { allow: \"md.events.>\" }, publish: { allow: \"senpai.>\" }");
    let server = NatsServer::start_with(release, &permissions);
    let mut stage = Stage::start(&url(&server), server.port(), publisher(), &[]);
    stage.wait_flow(stage.received_count() + 200);
    stage.service.wait_ready();
    let subscriptions = server.subscriptions_of(NAME);
    assert!(!subscriptions.is_empty(), "the service has subscribed");
    assert!(subscriptions.iter().all(|subject| subject.starts_with("md.events.")), "{subscriptions:?}");
    let log = server.log();
    assert!(!log.contains("Violation"), "the server has refused something:\n{log}");
    Ok(stage.settle(Vec::new(), Loss::Nothing, Some(&server)))
}

/// Snapshots are refused: /health says how many subjects that are and names one, the log says so once a minute and not for each,
/// and everything else goes on.
pub fn on_publish(release: Release) -> Result<Report, &'static str> {
    let server = NatsServer::start_with(release, &configuration("publish: { deny: \"senpai.features.>\" }"));
    let mut stage = Stage::start(&url(&server), server.port(), publisher(), &[]);
    eventually("the log names the subject", || {
        let log = stage.service.log();
        holds(log.contains("senpai.features."), log)
    });
    stage.wait_flow(stage.received_count() + 200);
    assert_eq!(stage.reconnect_count(), 0, "the connection lives");
    stage.service.wait_ready();
    let health = stage.health();
    let trouble = health["troubles"][0].as_str().unwrap_or_default();
    let count = trouble.strip_prefix("NATS refuses to take ").and_then(|trouble| trouble.split_once(" subjects, "));
    let count = count.and_then(|(count, _)| count.parse::<u64>().ok());
    assert!(count.is_some_and(|count| count > 1) && trouble.contains("senpai.features."), "{health}");
    let log = stage.service.log();
    let lines = log.matches("NATS refuses to take").count();
    assert!(lines <= 2, "{lines} lines for {} refusals:\n{log}", stage.received_count());
    // What the server refuses is not published; what is on its way, a batch or two and more on a busy machine, is not known to
    // be refused yet.
    let (_, metrics) = stage.service.get("/metrics");
    let published = metrics.lines().filter(|line| line.starts_with("senpai_feature_publish_total{"));
    let published: f64 = published.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum();
    assert!(published <= stage.received_count() as f64 / 4.0, "{published}:\n{metrics}");
    Ok(stage.settle(Vec::new(), Loss::Nothing, Some(&server)))
}

/// Events are refused, from the start and again when the permission is revoked: the service says so and is not ready. With the
/// permission it is, on its next connection.
pub fn on_subscribe(release: Release) -> Result<Report, &'static str> {
    let mut server = NatsServer::start_with(release, &configuration("subscribe: { allow: \"other.>\" }"));
    let mut stage = Stage::begin(&url(&server), &[]);
    stage.publish(server.port(), publisher());
    stage.wait_trouble(&["md.events.", "permission"]);
    let health = stage.health();
    assert_eq!((&health["status"], &health["nats_connected"]), (&"degraded".into(), &true.into()), "{health}");
    assert_eq!(server.connections_of(NAME, false).len(), 1, "the connection lives");
    assert_eq!(stage.received_count(), 0);
    assert!(stage.service.log().contains("md.events."), "the log names the subject:\n{}", stage.service.log());

    stage.note_break();
    server.terminate();
    server.configure(&configuration(""));
    let back = server.start_again();
    let first = stage.wait_recovered(back, 1, RECOVERY_LIMIT);

    stage.note_break();
    server.configure(&configuration("subscribe: { deny: \"md.events.>\" }"));
    server.reload();
    stage.wait_trouble(&["md.events.>", "permission"]);
    let health = stage.health();
    assert_eq!((&health["status"], &health["nats_connected"]), (&"degraded".into(), &true.into()), "{health}");
    assert_eq!(stage.reconnect_count(), 1, "the connection lives");
    let said = "NATS refuses the subscription to md.events.>";
    eventually("the log says it again", || {
        let log = stage.service.log();
        holds(log.matches(said).count() == 2, log)
    });

    server.terminate();
    server.configure(&configuration(""));
    let back = server.start_again();
    let second = stage.wait_recovered(back, 2, RECOVERY_LIMIT);
    Ok(stage.settle(vec![first, second], Loss::InHand, None))
}
