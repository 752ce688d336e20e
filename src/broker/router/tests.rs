use super::*;
use crate::engine::random::Random;

const LIMITS: BrokerLimits = BrokerLimits { connections: 8, subscriptions: 8, output_bytes: 4096, payload_bytes: 64 };
const QUIET: &str = "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n";

fn broker() -> Broker {
    Broker::new("127.0.0.1", 4222, LIMITS, 7)
}

/// Connects, and takes the INFO off.
fn connect(broker: &mut Broker, hello: &str) -> ClientId {
    let id = broker.handle_connect("127.0.0.1");
    let info = output(broker, id);
    assert!(info.starts_with("INFO {") && info.ends_with("}\r\n") && info.contains("\"headers\":true"), "{info}");
    assert_eq!(broker.handle_bytes(id, hello.as_bytes()), Standing::Open);
    id
}

/// Everything there is to write, with `<end>` behind it where the connection is to be closed.
fn output(broker: &mut Broker, id: ClientId) -> String {
    let mut all = String::new();
    let mut buffer = Vec::new();
    loop {
        match broker.poll_output(id, &mut buffer) {
            Output::Bytes => all.push_str(std::str::from_utf8(&buffer).unwrap()),
            Output::Nothing => return all,
            Output::End => return all + "<end>",
        }
        buffer.clear();
    }
}

/// One client says `hello` and then `input`, in one piece and cut at every byte: the answer is `expected`.
fn check_after(hello: &str, input: &str, expected: &str) {
    for cut in 0..=input.len() {
        let mut broker = broker();
        let id = connect(&mut broker, hello);
        let (head, tail) = input.as_bytes().split_at(cut);
        broker.handle_bytes(id, head);
        broker.handle_bytes(id, tail);
        assert_eq!(output(&mut broker, id), expected, "{input:?} cut at {cut}");
    }
    let mut broker = broker();
    let id = connect(&mut broker, hello);
    for byte in input.as_bytes() {
        broker.handle_bytes(id, &[*byte]);
    }
    assert_eq!(output(&mut broker, id), expected, "{input:?} byte by byte");
}

fn check(input: &str, expected: &str) {
    check_after(QUIET, input, expected);
}

#[test]
fn messages_come_back_to_their_subscribers() {
    check("PING\r\n", "PONG\r\n");
    check("ping\r\nPONG\r\nPING\r\n", "PONG\r\nPONG\r\n");
    check("SUB a 1\r\nPUB a 2\r\nhi\r\n", "MSG a 1 2\r\nhi\r\n");
    check("SUB a 1\r\nPUB a r 0\r\n\r\n", "MSG a 1 r 0\r\n\r\n");
    check("SUB a 1\r\nPUB a 8\r\nPING\r\n\r\n\r\n", "MSG a 1 8\r\nPING\r\n\r\n\r\n");
    check("SUB a.* x\r\nPUB a.b 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a.b.c 1\r\n3\r\n", "MSG a.b x 1\r\n1\r\n");
    check("SUB a.> x\r\nPUB a 1\r\n1\r\nPUB a.b.c 1\r\n2\r\n", "MSG a.b.c x 1\r\n2\r\n");
    check("SUB a 1\r\nSUB > 2\r\nPUB a 1\r\n1\r\n", "MSG a 1 1\r\n1\r\nMSG a 2 1\r\n1\r\n");
    check("SUB a 1\r\nSUB b 1\r\nPUB b 1\r\n1\r\nPUB a 1\r\n2\r\n", "MSG a 1 1\r\n2\r\n");
    check("SUB a 1\r\nHPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
}

#[test]
fn unsubscribing() {
    check("SUB a 1\r\nUNSUB 1\r\nPUB a 1\r\n1\r\n", "");
    check("UNSUB 1\r\nPING\r\n", "PONG\r\n");
    let three = "PUB a 1\r\n1\r\nPUB a 1\r\n2\r\nPUB a 1\r\n3\r\n";
    check(&format!("SUB a 1\r\nUNSUB 1 2\r\n{three}"), "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n");
    let two = "PUB a 1\r\n2\r\nPUB a 1\r\n3\r\n";
    check(&format!("SUB a 1\r\nPUB a 1\r\n1\r\nUNSUB 1 2\r\n{two}"), "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n");
    check("SUB a 1\r\nPUB a 1\r\n1\r\nUNSUB 1 1\r\nPUB a 1\r\n2\r\n", "MSG a 1 1\r\n1\r\n");
    check("SUB a 1\r\nUNSUB 1 1\r\nPUB a 1\r\n1\r\nSUB a 1\r\nPUB a 1\r\n2\r\n", {
        "MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n"
    });
}

#[test]
fn a_request_without_responders_is_answered() {
    let no = "HMSG r 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n";
    check("SUB r 1\r\nPUB a r 1\r\n1\r\n", no);
    check("SUB r.* 1\r\nPUB a r.x 1\r\n1\r\n", "HMSG r.x 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
    check("SUB r 1\r\nPUB a 1\r\n1\r\n", "");
    check("PUB a r 1\r\n1\r\n", "");
    check("SUB r 1\r\nSUB a 2\r\nPUB a r 1\r\n1\r\n", "MSG a 2 r 1\r\n1\r\n");
    check("SUB r 1\r\nUNSUB 1 1\r\nPUB a r 1\r\n1\r\nPUB a r 1\r\n1\r\n", no);
    check_after("CONNECT {}\r\n", "SUB r 1\r\nPUB a r 1\r\n1\r\n", "");
}

#[test]
fn verbose_pedantic_and_echo() {
    // As a person with telnet sees it.
    check_after("", "SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n", "+OK\r\n+OK\r\nMSG a 1 2\r\nhi\r\nPONG\r\n");
    let connect = "CONNECT {\"verbose\":true,\"pedantic\":true}\r\n";
    check_after("", &format!("{connect}SUB a 1\r\nUNSUB 1\r\n"), "+OK\r\n+OK\r\n+OK\r\n");
    check_after("CONNECT {\"echo\":false}\r\n", "SUB a 1\r\nPUB a 1\r\n1\r\n", "");
    let mut broker = broker();
    let deaf = self::connect(&mut broker, "CONNECT {\"echo\":false}\r\nSUB a 1\r\n");
    let other = self::connect(&mut broker, &format!("{QUIET}SUB a 2\r\n"));
    broker.handle_bytes(deaf, b"PUB a 1\r\n1\r\n");
    assert_eq!((output(&mut broker, deaf), output(&mut broker, other)), ("".into(), "MSG a 2 1\r\n1\r\n".into()));
}

#[test]
fn what_is_refused_and_what_ends_the_connection() {
    check("SUB a..b 1\r\nPING\r\n", "-ERR 'Invalid Subject'\r\nPONG\r\n");
    check("SUB a.>.b 1\r\nPING\r\n", "-ERR 'Invalid Subject'\r\nPONG\r\n");
    check("SUB > 1\r\nPUB a.* 1\r\n1\r\nPUB .a 1\r\n1\r\n", &"-ERR 'Invalid Publish Subject'\r\n".repeat(2));
    check("SUB > 1\r\nPUB a r.* 1\r\n1\r\n", "-ERR 'Invalid Reply Subject'\r\n");
    let nine: String = (0..9).map(|sid| format!("SUB a {sid}\r\n")).collect();
    check(&format!("{nine}PING\r\n"), "-ERR 'maximum subscriptions exceeded'\r\nPONG\r\n");

    let ends = |input: &str, message: &str| check(input, &format!("-ERR '{message}'\r\n<end>"));
    ends("GET / HTTP/1.1\r\nPING\r\n", "Unknown Protocol Operation");
    ends("PUB a x\r\nPING\r\n", "Parser Error");
    ends("PUB a 1\r\n12\r\nPING\r\n", "Parser Error");
    ends("CONNECT []\r\nPING\r\n", "Parser Error");
    ends("PUB a 65\r\nPING\r\n", "Maximum Payload Violation");
    ends("CONNECT {\"no_responders\":true}\r\n", "no responders requires headers support");
    ends("CONNECT {}\r\nHPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "message headers not supported");
    let mut broker = broker();
    let id = connect(&mut broker, QUIET);
    assert_eq!(broker.handle_bytes(id, format!("SUB {}", "a".repeat(4100)).as_bytes()), Standing::Ended);
    assert_eq!(output(&mut broker, id), "-ERR 'maximum control line exceeded'\r\n<end>");
    assert_eq!(broker.handle_bytes(id, b"PING\r\n"), Standing::Ended);
}

#[test]
fn a_client_without_headers_gets_the_payload() {
    let mut broker = broker();
    let plain = connect(&mut broker, "CONNECT {}\r\nSUB a 1\r\n");
    let other = connect(&mut broker, QUIET);
    broker.handle_bytes(other, b"HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    assert_eq!(output(&mut broker, plain), "MSG a 1 2\r\nhi\r\n");
}

#[test]
fn a_queue_group_shares_and_everyone_else_gets_all() {
    let mut broker = broker();
    let members: Vec<_> = (0..3).map(|_| connect(&mut broker, &format!("{QUIET}SUB a.* q 1\r\n"))).collect();
    let wider = connect(&mut broker, &format!("{QUIET}SUB a.> q 1\r\nSUB > other 2\r\n"));
    let plain = connect(&mut broker, &format!("{QUIET}SUB a.b 1\r\n"));
    let publisher = connect(&mut broker, QUIET);
    let mut shares = [0; 4];
    for _ in 0..400 {
        broker.handle_bytes(publisher, b"PUB a.b 1\r\n1\r\n");
        let mut copies = 0;
        for (share, member) in shares.iter_mut().zip(members.iter().chain([&wider])) {
            let count = output(&mut broker, *member).matches("MSG a.b 1 ").count();
            *share += count;
            copies += count;
        }
        assert_eq!(copies, 1);
        assert_eq!(output(&mut broker, plain), "MSG a.b 1 1\r\n1\r\n");
    }
    assert!(shares.iter().all(|share| (60..140).contains(share)), "{shares:?}");
    assert_eq!(broker.counters.messages_in, 400);
    assert_eq!(broker.counters.messages_out, 1200);
    broker.handle_disconnect(members[0]);
    broker.handle_bytes(publisher, b"PUB a.b 1\r\n1\r\n");
    assert_eq!(broker.subscriptions.count(), 5);
}

#[test]
fn a_slow_client_is_cut_off_and_the_others_go_on() {
    let mut broker = broker();
    let slow = connect(&mut broker, &format!("{QUIET}SUB a 1\r\nSUB a 2\r\n"));
    let quick = connect(&mut broker, &format!("{QUIET}SUB a 1\r\n"));
    let publisher = connect(&mut broker, QUIET);
    let frame = format!("PUB a 64\r\n{}\r\n", "x".repeat(64));
    let mut standings = Vec::new();
    for _ in 0..100 {
        standings.push(broker.handle_bytes(publisher, frame.as_bytes()));
        assert!(output(&mut broker, quick).starts_with("MSG a 1 64\r\n"));
    }
    assert_eq!(output(&mut broker, slow), "<end>");
    assert!(broker.is_cut(slow) && !broker.is_cut(quick));
    assert_eq!((broker.counters.slow_consumers, broker.subscriptions.count()), (1, 1));
    let pressed = standings.iter().filter(|standing| **standing == Standing::TooFast).count();
    assert!((5..10).contains(&pressed), "{pressed}");
    assert_eq!(standings.last(), Some(&Standing::Open));
    // Answers count, too.
    let pinging = connect(&mut broker, QUIET);
    let standing = broker.handle_bytes(pinging, "PING\r\n".repeat(1000).as_bytes());
    assert_eq!((standing, broker.is_cut(pinging)), (Standing::Ended, true));
}

#[test]
fn publications_from_within_arrive_and_wake_once() {
    let mut broker = broker();
    let id = connect(&mut broker, &format!("{QUIET}SUB md.> 1\r\n"));
    while broker.poll_wakeup().is_some() {}
    broker.publish(b"md.events.x", b"1");
    broker.publish(b"md.events.x", b"2");
    broker.publish(b"other", b"3");
    assert_eq!((broker.poll_wakeup(), broker.poll_wakeup()), (Some(id), None));
    assert_eq!(output(&mut broker, id), "MSG md.events.x 1 1\r\n1\r\nMSG md.events.x 1 1\r\n2\r\n");
    broker.publish(b"md.events.x", b"3");
    assert_eq!(broker.poll_wakeup(), Some(id));
}

#[test]
fn no_bytes_make_it_panic() {
    let words: [&[u8]; 16] = [
        b"PUB a 1\r\nx\r\n",
        b"SUB > 1\r\n",
        b"SUB a q 2\r\n",
        b"UNSUB 1",
        b" 5\r\n",
        b"\r\n",
        b"PING\r\n",
        b"HPUB a r ",
        b"12 13\r\nNATS/1.0\r\n\r\n",
        b"CONNECT {}",
        b" ",
        b"a",
        b"PUB a r ",
        b"2\r\n..\r\n",
        b"\xff",
        b"SUB r 9\r\n",
    ];
    let mut random = Random::new(1);
    for seed in 0..2_000 {
        let mut broker = broker();
        let ids: Vec<_> = (0..4).map(|_| connect(&mut broker, QUIET)).collect();
        for _ in 0..40 {
            let pick = random.draw() as usize;
            let id = ids[pick % 4];
            broker.handle_bytes(id, words[pick / 4 % words.len()]);
            if pick.is_multiple_of(29) {
                broker.handle_disconnect(id);
            }
        }
        for id in ids {
            let _ = output(&mut broker, id);
            broker.handle_disconnect(id);
        }
        assert_eq!((broker.subscriptions.count(), broker.clients.len()), (0, 0), "seed {seed}");
    }
}
