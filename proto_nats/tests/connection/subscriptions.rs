//! Subscriptions, refusals, complaints.

use super::*;

#[test]
fn a_refused_subscription_is_named_and_the_rest_lives_on() {
    let refusal = "-ERR 'Permissions Violation for Subscription to \"secret.>\"'\r\n";
    let mut client = client(&["a", "secret.>"]);
    client.receive(PLAIN).receive("PONG\r\n").actions(&[INFO_RECEIVED]);
    client.receive(refusal).receive("PONG\r\n").actions(&[Action::Ready { refused: 1 }]);
    assert_eq!(client.connection.state(), ConnectionState::Ready);
    assert!(!client.connection.is_ready(), "a service without one of its subjects is not ready");
    let names: Vec<_> = client.connection.refused_subscriptions().map(|refused| refused.subject.as_str()).collect();
    assert_eq!(names, ["secret.>"]);

    let mut later = ready_client(&["a", "secret.>"]);
    later.receive(refusal).actions(&[Action::SubscriptionRefused]);
    assert!(!later.connection.is_ready());
    later.out.clear();
    later.connection.begin_drain(later.now_ns, SECOND_NS, &mut later.out);
    later.sent("UNSUB 1\r\nPING\r\n");
}

/// It is about one of ours, whatever it is called, whenever it comes.
#[test]
fn a_refusal_that_matches_nothing() {
    let cases = [
        ("Permissions Violation for Subscription to \"other.>\"", "other.>"),
        ("Permissions Violation for Subscription to 'a'", "Permissions Violation for Subscription to 'a'"),
        ("permissions violation: subscription", "permissions violation: subscription"),
    ];
    for (text, subject) in cases {
        let refusal = format!("-ERR '{text}'\r\n");
        let operation = Operation::Subscribe;
        let complaint = Action::Complaint(ServerError::PermissionsViolation { operation, subject: subject.to_owned() });
        let mut client = client(&["a", "b"]);
        client.receive(PLAIN).receive("PONG\r\n").receive(&refusal).receive("PONG\r\n");
        client.actions(&[INFO_RECEIVED, complaint.clone(), Action::Ready { refused: 1 }]);
        assert!(!client.connection.is_ready(), "{text}");

        let mut later = ready_client(&["a", "b"]);
        later.receive(&refusal).actions(&[complaint, Action::SubscriptionRefused]);
        assert!(!later.connection.is_ready() && later.connection.refused_count() == 1, "{text}");
    }
}

/// At a reload of its configuration a server refuses what it had granted, and what is refused already again.
#[test]
fn a_permission_that_is_revoked() {
    let refusal = "-ERR 'Permissions Violation for Subscription to \"b\" (sid \"2\")'\r\n";
    let mut client = ready_client(&["a", "b"]);
    client.receive(refusal).actions(&[Action::SubscriptionRefused]);
    assert!(!client.connection.is_ready());
    client.receive(refusal).receive("PING\r\n").actions(&[]);
    let names: Vec<_> = client.connection.refused_subscriptions().map(|refused| refused.subject.as_str()).collect();
    assert_eq!((&names[..], client.connection.refused_count()), (&["b"][..], 1));
}

/// What changes the state is told even where notices are too many, and no more often than there are subscriptions.
#[test]
fn refusals_without_end() {
    let mut client = ready_client(&["a", "b"]);
    client.receive(&"-ERR 'Permissions Violation for Publish to \"x\"'\r\n".repeat(NOTICES_MAX));
    client.receive(&"-ERR 'Permissions Violation for Subscription to \"x\"'\r\n".repeat(1_000));
    let actions: Vec<_> = std::iter::from_fn(|| client.connection.poll_action()).collect();
    let refused = actions.iter().filter(|action| **action == Action::SubscriptionRefused).count();
    assert_eq!((actions.len(), refused, client.connection.refused_count()), (NOTICES_MAX + 2, 2, 2));
}

#[test]
fn messages_that_nobody_has_asked_for() {
    const MSG: &str = "MSG a 1 1\r\nx\r\n";
    client(&["a"]).receive(MSG).ends(Reason::UnaskedMessage);
    let mut logging_in = client(&["a"]);
    logging_in.receive(PLAIN).actions(&[INFO_RECEIVED]);
    assert!(!logging_in.connection.takes_messages());
    logging_in.receive(MSG).ends(Reason::UnaskedMessage);
    let mut subscribed = client(&["a"]);
    subscribed.receive(PLAIN).receive("PONG\r\n").actions(&[INFO_RECEIVED]);
    assert!(subscribed.connection.takes_messages(), "the first may come before the confirmation");
    subscribed.receive(MSG).receive("PONG\r\n").actions(&[Action::Ready { refused: 0 }]);
    subscribed.connection.handle_unusable(Reason::AnswersUnread);
    assert!(subscribed.connection.takes_messages(), "what had arrived by the end is still what was asked for");

    let mut first = client_with(tls(Tls::First), &["a"]);
    first.actions(&[Action::StartTls]).receive(MSG).ends(Reason::DataBeforeTls);
    let mut required = client_with(tls(Tls::Required), &["a"]);
    required.receive("INFO {\"tls_available\":true}\r\n").actions(&[INFO_RECEIVED, Action::StartTls]);
    assert!(!required.connection.takes_messages());
    required.receive(MSG).ends(Reason::DataBeforeTls);
}

#[test]
fn one_subscription_too_many() {
    let mut client = client(&["a", "b"]);
    client.receive(PLAIN).receive("PONG\r\n-ERR 'maximum subscriptions exceeded'\r\nPONG\r\n");
    let complaint = Action::Complaint(ServerError::MaxSubscriptions);
    client.actions(&[INFO_RECEIVED, complaint, Action::Ready { refused: 1 }]);
    assert!(!client.connection.is_ready());
}

#[test]
fn a_refused_publication_is_only_a_complaint() {
    let mut client = ready_client(&["a"]);
    let error = ServerError::PermissionsViolation { operation: Operation::Publish, subject: "senpai.alerts".into() };
    assert_eq!(error.to_string(), "this user may not publish to senpai.alerts");
    client.receive("-ERR 'Permissions Violation for Publish to \"senpai.alerts\"'\r\n");
    client.actions(&[Action::Complaint(error)]);
    assert!(client.connection.is_ready());
}

#[test]
fn a_flood_of_complaints_stays_bounded_and_hides_no_end() {
    let mut client = ready_client(&["a"]);
    client.receive(&"-ERR 'Permissions Violation for Publish to \"x\"'\r\n".repeat(10_000));
    client.connection.handle_end_of_stream(client.now_ns);
    let actions: Vec<_> = std::iter::from_fn(|| client.connection.poll_action()).collect();
    assert_eq!(actions.len(), NOTICES_MAX + 1);
    assert_eq!(actions.last(), Some(&Action::Disconnect(Reason::Closed { after: None, was_behind: false })));
}

#[test]
fn subscribing_later() {
    let mut client = client(&["a"]);
    client.connection.subscribe(Subscription::new(2, "b", None), &mut client.out);
    client.sent("").receive(PLAIN).sent_connect();
    client.receive("PONG\r\n").sent("SUB a 1\r\nSUB b 2\r\nPING\r\n");
    // One more while the others wait for their confirmation: Ready means all three.
    client.connection.subscribe(Subscription::new(3, "c.*", Some("q".into())), &mut client.out);
    client.sent("SUB c.* q 3\r\nPING\r\n").receive("PONG\r\n").actions(&[INFO_RECEIVED]);
    client.receive("PONG\r\n").actions(&[READY]);

    client.connection.subscribe(Subscription::new(4, "d", None), &mut client.out);
    client.sent("SUB d 4\r\nPING\r\n");
    assert!(!client.connection.is_ready());
    client.receive("PONG\r\n").actions(&[Action::Confirmed]);
    assert!(client.connection.is_ready());

    client.connection.unsubscribe(2, &mut client.out);
    client.connection.unsubscribe(99, &mut client.out);
    client.sent("UNSUB 2\r\n");
    client.connection.begin_drain(client.now_ns, SECOND_NS, &mut client.out);
    client.sent("UNSUB 1\r\nUNSUB 3\r\nUNSUB 4\r\nPING\r\n");
}

#[test]
fn a_probe_in_flight_confirms_nothing_sent_after_it() {
    let mut client = ready_client(&["a"]);
    client.pass(4_000).sent("PING\r\n");
    client.connection.subscribe(Subscription::new(2, "b", None), &mut client.out);
    client.receive("PONG\r\n").actions(&[]);
    client.receive("PONG\r\n").actions(&[Action::Confirmed]);
    client.pass(4_000);
    client.out.clear();
    client.connection.begin_drain(client.now_ns, SECOND_NS, &mut client.out);
    client.receive("PONG\r\n").actions(&[]);
    client.receive("PONG\r\n").actions(&[Action::DrainComplete { confirmed: true }]);
}

#[test]
fn a_pong_that_nobody_asked_for_confirms_nothing() {
    let mut client = client(&["a"]);
    client.receive("PONG\r\nPONG\r\nPONG\r\n").receive(PLAIN);
    assert_eq!(client.connection.state(), ConnectionState::AwaitPong);
    let mut ready = ready_client(&["a"]);
    ready.receive("PONG\r\nPONG\r\nPONG\r\n");
    ready.connection.begin_drain(ready.now_ns, SECOND_NS, &mut ready.out);
    assert_eq!(ready.connection.state(), ConnectionState::Draining);
    ready.actions(&[]);

    // Nor is it put by for later: the probe's PONG is not the drain's.
    let mut ready = ready_client(&["a"]);
    ready.receive("PONG\r\nPONG\r\nPONG\r\n").pass(4_000).sent("PING\r\n");
    ready.connection.begin_drain(ready.now_ns, SECOND_NS, &mut ready.out);
    ready.receive("PONG\r\n").actions(&[]);
    ready.receive("PONG\r\n").actions(&[Action::DrainComplete { confirmed: true }]);
}
