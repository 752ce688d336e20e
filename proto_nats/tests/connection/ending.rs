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
    let closed = |after| Reason::Closed { after };
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
    check(Reason::ClosedAsSlowConsumer { paused_ns: 12 * SECOND_NS }, &|client| pause(client, 12_000, 500));
    check(Reason::ClosedAsSlowConsumer { paused_ns: 0 }, &|client| {
        client.connection.handle_reading_paused(client.now_ns);
    });
    check(closed(None), &|client| {
        pause(client, 1_000, 3_000);
        client.receive("PING\r\n").pass(3_000).receive("PING\r\n").pass(3_000).receive("PING\r\n").pass(1_001);
    });
    check(closed(Some(ServerError::StaleConnection)), &|client| {
        pause(client, 1_000, 0);
        client.receive("-ERR 'Stale Connection'\r\n");
    });
    assert_eq!(closed(Some(ServerError::AuthenticationExpired)).cause(), Cause::Refused);
    assert_eq!(closed(Some(ServerError::StaleConnection)).cause(), Cause::Trouble);
}

#[test]
fn the_socket_is_the_truth_not_the_text() {
    let mut client = ready_client(&["a"]);
    client.receive("-ERR 'Stale Connection'\r\n").actions(&[Action::Complaint(ServerError::StaleConnection)]);
    client.receive("MSG a 1 1\r\nx\r\n").pass(3_000);
    assert!(client.connection.is_ready());
}
