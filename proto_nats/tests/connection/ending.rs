//! What the end of the stream is taken for.

use super::*;

#[test]
fn the_end_of_a_ready_connection() {
    let check = |expected: Reason, prepare: &dyn Fn(&mut Client)| {
        let mut client = ready_client(&["a"]);
        prepare(&mut client);
        client.connection.handle_end_of_stream(client.now_ns);
        client.ends(expected);
    };
    let closed = |after| Reason::Closed { after, was_behind: false };
    let was_behind = |after| Reason::Closed { after, was_behind: true };
    let pause = |client: &mut Client, pause_ms, then_ms| {
        client.connection.handle_reading_paused(client.now_ns);
        client.pass(pause_ms);
        client.connection.handle_reading_resumed(client.now_ns);
        client.pass(then_ms);
    };
    check(closed(None), &|_| {});
    check(closed(Some(ServerError::StaleConnection)), &|client| {
        client.receive("-ERR 'Stale Connection'\r\n");
    });
    check(closed(Some(ServerError::MaxPayload)), &|client| {
        client.receive("-ERR 'Maximum Payload Violation'\r\n-ERR 'Permissions Violation for Publish to \"x\"'\r\n");
    });
    // A complaint long ago explains nothing, and one that ends nothing neither.
    check(closed(None), &|client| {
        client.receive("-ERR 'Stale Connection'\r\n").pass(5_001);
    });
    check(closed(None), &|client| {
        client.receive("-ERR 'Something new'\r\n");
    });
    // Bytes were left unread: as the socket was not read at all, or not as far as there was something in it.
    let ten_seconds = |client: &mut Client, more_ms: u64| {
        client.pass(3_000).receive("PING\r\n").pass(3_000).receive("PING\r\n").pass(3_000).receive("PING\r\n");
        client.pass(1_000 + more_ms);
    };
    check(was_behind(None), &|client| pause(client, 12_000, 500));
    check(was_behind(None), &|client| client.connection.handle_reading_paused(client.now_ns));
    check(was_behind(None), &|client| client.connection.note_left_unread(client.now_ns));
    for (more_ms, expected) in [(0, was_behind(None)), (1, closed(None))] {
        check(expected.clone(), &|client| {
            pause(client, 1_000, 0);
            ten_seconds(client, more_ms);
        });
        check(expected, &|client| {
            client.connection.note_left_unread(client.now_ns);
            ten_seconds(client, more_ms);
        });
    }
    // Where no more comes than was asked for, nobody is cut for that.
    let mut paced = client_with(ConnectionSettings { is_paced: true, ..ConnectionSettings::default() }, &["a"]);
    paced.receive("INFO {}\r\nPONG\r\nPONG\r\n");
    paced.connection.note_left_unread(paced.now_ns);
    paced.connection.handle_end_of_stream(paced.now_ns);
    assert_eq!(std::iter::from_fn(|| paced.connection.poll_action()).last(), Some(Action::Disconnect(closed(None))));
    check(was_behind(Some(ServerError::StaleConnection)), &|client| {
        pause(client, 1_000, 0);
        client.receive("-ERR 'Stale Connection'\r\n");
    });
    check(closed(Some(ServerError::SlowConsumer)), &|client| {
        client.receive("-ERR 'Slow Consumer'\r\n");
    });
    for reason in [was_behind(None), was_behind(Some(ServerError::MaxPayload)), closed(Some(ServerError::SlowConsumer))]
    {
        assert!(reason.is_slow_consumer_cut() && reason.to_string().ends_with("; events may be lost"), "{reason}");
    }
    for reason in [closed(None), closed(Some(ServerError::MaxPayload))] {
        assert!(!reason.is_slow_consumer_cut() && !reason.to_string().contains("lost"), "{reason}");
    }
    assert_eq!(closed(Some(ServerError::AuthenticationExpired)).cause(), Cause::Refused);
    assert_eq!(closed(Some(ServerError::StaleConnection)).cause(), Cause::Trouble);
}

/// Before anything is subscribed to there is nothing to lose; from the first SUB on there is.
#[test]
fn nothing_is_lost_before_something_is_subscribed_to() {
    let mut client = client(&["a"]);
    client.receive(PLAIN);
    client.connection.note_left_unread(client.now_ns);
    client.connection.handle_end_of_stream(client.now_ns);
    client
        .actions(&[INFO_RECEIVED, Action::Disconnect(Reason::ClosedInHandshake { state: ConnectionState::AwaitPong })]);

    let mut client = self::client(&["a"]);
    client.receive(PLAIN).receive("PONG\r\n");
    client.connection.note_left_unread(client.now_ns);
    client.connection.handle_end_of_stream(client.now_ns);
    client.actions(&[INFO_RECEIVED, Action::Disconnect(Reason::Closed { after: None, was_behind: true })]);
}

#[test]
fn the_socket_is_the_truth_not_the_text() {
    let mut client = ready_client(&["a"]);
    client.receive("-ERR 'Stale Connection'\r\n").actions(&[Action::Complaint(ServerError::StaleConnection)]);
    client.receive("MSG a 1 1\r\nx\r\n").pass(3_000);
    assert!(client.connection.is_ready());
}
