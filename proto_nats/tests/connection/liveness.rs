//! Silence, PINGs, and pauses in reading.

use super::*;

#[test]
fn silence_is_noticed_within_ten_seconds() {
    let mut client = ready_client(&["a"]);
    client.pass(3_999).sent("").pass(1).sent("PING\r\n").pass(3_999).sent("").actions(&[]);
    client.pass(1).sent("").ends(Reason::Stale { silent_ns: 8 * SECOND_NS });
}

#[test]
fn anything_at_all_breaks_the_silence() {
    let mut client = ready_client(&["a"]);
    for bytes in ["PONG\r\n", "MSG a 1 1\r\nx\r\n", "PING\r\n", "+OK\r\n", "INFO {}\r\n"] {
        client.pass(7_999).receive(bytes);
    }
    client.pass(7_999);
    client.connection.note_received(client.now_ns);
    client.pass(7_999);
    assert!(client.connection.is_ready());
}

#[test]
fn a_stall_of_our_own_is_not_taken_for_silence() {
    let mut client = ready_client(&["a"]);
    client.pass(4_000).sent("PING\r\n");
    // The PONG waits in the socket while the process is stopped; the clock is looked at first.
    client.stall(60_000).sent("PING\r\n").actions(&[]).receive("PONG\r\n").pass(3_000);
    assert!(client.connection.is_ready());
    // And a server that is really gone is still found out.
    client.pass(1_000).sent("PING\r\n").stall(30_000).sent("PING\r\n").actions(&[]);
    client.stall(30_000).ends(Reason::Stale { silent_ns: 64 * SECOND_NS });
}

#[test]
fn pings_go_out_whatever_else_arrives() {
    let mut client = ready_client(&["a"]);
    let mut pings = 0;
    for _ in 0..365 {
        client.receive("MSG a 1 1\r\nx\r\n").pass(1_000);
        pings += client.out.len() / "PING\r\n".len();
        client.out.clear();
        if client.connection.state() == ConnectionState::Closed {
            break;
        }
    }
    assert_eq!(pings, 2, "outstanding at most");
    client.ends(Reason::PingsUnanswered { count: 2 });
}

#[test]
fn answered_pings_go_on_forever() {
    let mut client = ready_client(&["a"]);
    let mut pings = 0;
    for _ in 0..3_600 {
        client.receive("MSG a 1 1\r\nx\r\n").pass(1_000);
        if !client.out.is_empty() {
            client.sent("PING\r\n").receive("PONG\r\n");
            pings += 1;
        }
    }
    assert_eq!(pings, 30, "in an hour");
    assert!(client.connection.is_ready());
}

#[test]
fn while_nobody_reads_silence_means_nothing() {
    let mut client = ready_client(&["a"]);
    client.connection.handle_reading_paused(client.now_ns);
    assert_eq!(client.connection.next_deadline(), None);
    client.pass(300_000).stall(1).sent("").actions(&[]);
    client.connection.handle_reading_resumed(client.now_ns);
    client.pass(3_999).sent("").pass(1).sent("PING\r\n").receive("PONG\r\n");
    assert!(client.connection.is_ready());
}

#[test]
fn a_pause_during_the_handshake_stretches_its_limit() {
    let mut client = client(&["a"]);
    client.receive(PLAIN).receive("PONG\r\n").pass(4_000);
    client.connection.handle_reading_paused(client.now_ns);
    client.pass(20_000);
    client.connection.handle_reading_resumed(client.now_ns);
    client.pass(999).receive("PONG\r\n");
    assert!(client.connection.is_ready());
}
