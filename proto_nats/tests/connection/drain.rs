//! Draining, at every moment.

use super::*;

#[test]
fn drain() {
    let mut client = ready_client(&["a", "b"]);
    client.connection.begin_drain(client.now_ns, 3 * SECOND_NS, &mut client.out);
    client.sent("UNSUB 1\r\nUNSUB 2\r\nPING\r\n").actions(&[]);
    assert!(!client.connection.is_ready());
    client.receive("MSG a 1 1\r\nx\r\nPING\r\n").sent("PONG\r\n").pass(2_000);
    client.receive("PONG\r\n").sent("").actions(&[Action::DrainComplete { confirmed: true }]);
    assert_eq!(client.connection.state(), ConnectionState::Closed);
}

#[test]
fn drain_has_a_time_limit_even_while_nobody_reads() {
    let mut client = ready_client(&["a"]);
    client.connection.handle_reading_paused(client.now_ns);
    client.connection.begin_drain(client.now_ns, 3 * SECOND_NS, &mut client.out);
    client.pass(2_999).actions(&[]).pass(1).actions(&[Action::DrainComplete { confirmed: false }]);
    assert_eq!(client.connection.state(), ConnectionState::Closed);
}

#[test]
fn drain_before_anything_was_subscribed_is_over_at_once() {
    for bytes in ["", PLAIN, "INFO {\"tls_required\":true}\r\n"] {
        let mut client = client(&["a"]);
        client.receive(bytes);
        client.out.clear();
        while client.connection.poll_action().is_some() {}
        client.connection.begin_drain(client.now_ns, SECOND_NS, &mut client.out);
        client.sent("").actions(&[Action::DrainComplete { confirmed: true }]);
    }
}

#[test]
fn drain_during_the_confirmation() {
    let mut client = client(&["a"]);
    client.receive(PLAIN).receive("PONG\r\n");
    client.out.clear();
    client.connection.begin_drain(client.now_ns, SECOND_NS, &mut client.out);
    client.sent("UNSUB 1\r\nPING\r\n").receive("PONG\r\n").actions(&[INFO_RECEIVED]);
    client.receive("PONG\r\n").actions(&[Action::DrainComplete { confirmed: true }]);
}
