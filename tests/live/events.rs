//! `/events`: what a reader is sent, what one that is slow loses, and how one goes on that was cut off.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use serde_json::{Value, json};

use crate::support::bus::Bus;
use crate::support::event_stream::{Event, EventStream};
use crate::support::events::{RISE_FLAGS, RISE_WARM_UP, event, now_ns, quote, rising_market, trade};
use crate::support::nats_server::NatsServer;
use crate::support::service::Service;
use crate::support::{eventually, holds};

fn is_of(event: &Event, symbol: &str) -> bool {
    event.name == "features" && event.data["symbol"] == symbol
}

#[test]
fn symbols_come_as_features_latest_has_them_and_the_status_each_second() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &[]);
    let bus = Bus::connect(&server.url());
    let now = now_ns();
    bus.publish(&[quote("BTC/USD", now, 99.0, 101.0), trade("BTC/USD", now, 100.0), quote("B", now, 1.0, 2.0)]);
    service.wait_events_in(3);
    let mut reader = EventStream::open(service.address(), "", None);
    assert_eq!(reader.status, 200);
    assert!(reader.head.contains("\r\nContent-Type: text/event-stream\r\n"), "{}", reader.head);
    let status = reader.next_of("status").data;
    for field in ["instance", "version", "uptime_seconds", "troubles", "queue", "dropped", "events_per_second"] {
        assert!(!status[field].is_null(), "{field}: {status}");
    }
    assert_eq!((&status["ready"], &status["symbols"], &status["event_readers"]), (&json!(true), &json!(2), &json!(1)));
    // A symbol that was silent before comes as well.
    let both = reader.until("both symbols", |event| is_of(event, "BTC/USD"));
    assert!(both.iter().any(|event| is_of(event, "B")), "{both:?}");
    let sent = &both.last().expect("it is there").data;
    let latest = service.document("/features/latest?symbol=BTC/USD");
    let without_time = |document: &Value| {
        let mut document = document.as_object().expect("an object").clone();
        ["ts", "trade_age_ms", "quote_age_ms", "state", "price", "signals"]
            .iter()
            .for_each(|name| _ = document.remove(*name));
        document
    };
    assert_eq!(without_time(sent), without_time(&latest));
    assert_eq!((&sent["price"], &sent["state"]), (&json!(100.0), &json!("BTC/USD")));
    assert_eq!(sent["signals"], json!({ "long": 0, "short": 0 }));
    assert!(sent["trade_age_ms"].is_u64());

    // What changes comes; what does not change any more is looked at once a second.
    bus.publish(&[quote("B", now_ns(), 1.0, 3.0)]);
    reader.until("the new quote", |event| is_of(event, "B") && event.data["features"]["mid"] == json!(2.0));
    let statuses = [(); 2].map(|()| reader.until("a status", |event| event.name == "status"));
    let of_b = statuses[1].iter().filter(|event| is_of(event, "B")).count();
    assert!((1..=4).contains(&of_b), "four rounds from one status to the next: {of_b}");
    assert_eq!(statuses[1].last().map(|event| &event.data["instance"]), Some(&status["instance"]));
}

#[test]
fn a_symbol_that_is_asked_for_comes_alone() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &[]);
    let bus = Bus::connect(&server.url());
    let mut reader = EventStream::open(service.address(), "?symbol=A", None);
    reader.next_of("status");
    let now = now_ns();
    bus.publish(&[quote("AB", now, 1.0, 2.0), quote("A", now, 1.0, 2.0), quote("B", now, 1.0, 2.0)]);
    service.wait_events_in(3);
    reader.until("the symbol", |event| is_of(event, "A"));
    let more = reader.until("a status", |event| event.name == "status");
    assert!(more.iter().all(|event| event.name == "status" || is_of(event, "A")), "{more:?}");
}

#[test]
fn signals_go_on_where_a_reader_was_cut_off() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &[&RISE_FLAGS[..], &["--alert-lag-seconds", "0"]].concat());
    let bus = Bus::connect(&server.url());
    let mut reader = EventStream::open(service.address(), "", None);
    reader.next_of("status");
    let trades = RISE_WARM_UP + 10;
    bus.publish(&rising_market("A", trades));
    service.wait_events_in(trades + 1);
    let signals: Vec<Event> = (0..10).map(|_| reader.next_of("signal")).collect();
    let latest = service.document("/signals/latest");
    let oldest_first: Vec<&Value> = latest["signals"].as_array().expect("a list").iter().rev().collect();
    assert!(signals.iter().map(|signal| &signal.data).eq(oldest_first), "{signals:?}");
    let numbers: Vec<u64> =
        signals.iter().map(|signal| signal.id.rsplit_once('-').expect("an id").1.parse().expect("a number")).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    drop(reader);

    // From then on nothing is looked for, until the next reader comes.
    let status = |reader: &mut EventStream| reader.next_of("status").data["event_readers"].clone();
    let ids = |events: &[Event]| -> Vec<String> {
        events.iter().filter(|event| event.name == "signal").map(|event| event.id.clone()).collect()
    };
    let all: Vec<String> = signals.iter().map(|signal| signal.id.clone()).collect();
    let check = |last: Option<&str>, expected: &[String]| {
        let mut reader = EventStream::open(service.address(), "", last);
        let events =
            [reader.until("a status", |e| e.name == "status"), reader.until("a status", |e| e.name == "status")];
        assert_eq!(ids(&events.concat()), expected, "after {last:?}");
        assert!(status(&mut reader).is_u64());
    };
    check(Some(&all[3]), &all[4..]);
    check(Some(&all[9]), &[]);
    check(None, &[]);
    // An id of a process before this one: all that this one has given is new.
    check(Some("18ecb6ca488091a7-3"), &all);
}

/// Each core has symbols, signals and alerts of its own; their readers see one service.
#[test]
fn two_cores_are_one_service() {
    const SYMBOLS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];
    const SIGNALS: usize = 3;
    let server = NatsServer::start();
    let more = ["--cores", "2", "--alert-lag-seconds", "0", "--alert-latency-p95-ms", "50"];
    let service = Service::start_ready(&server.url(), &[&RISE_FLAGS[..], &more].concat());
    let bus = Bus::connect(&server.url());
    let mut reader = EventStream::open(service.address(), "", None);
    reader.next_of("status");
    for symbol in SYMBOLS {
        bus.publish(&rising_market(symbol, RISE_WARM_UP + SIGNALS));
        let now = now_ns();
        let slow = json!({"provider": "test", "ts_exchange": now - 1_000_000_000, "ts_recv": now, "bid": 1, "ask": 2});
        bus.publish(&[event("quote", symbol, slow)]);
    }
    let mut left = SYMBOLS.to_vec();
    let mut given: Vec<Event> = Vec::new();
    reader.until("each symbol, its signals and its alert", |event| {
        if event.name == "features" && event.data["quote_age_ms"].as_u64() < Some(60_000) {
            left.retain(|symbol| event.data["symbol"] != **symbol);
        }
        given.extend((event.name == "signal" || event.name == "alert").then(|| event.clone()));
        left.is_empty() && given.len() == SYMBOLS.len() * (SIGNALS + 1)
    });
    let stats = service.stats();
    for core in stats["cores"].as_array().expect("a list") {
        assert!(core["symbols"].as_u64() > Some(0) && core["signals_emitted"].as_u64() > Some(0), "{core}");
    }
    for symbol in SYMBOLS {
        let of = |name: &str| given.iter().filter(|it| it.name == name && it.data["symbol"] == symbol).count();
        assert_eq!((of("signal"), of("alert")), (SIGNALS, 1), "{symbol}");
    }
    let number = |event: &Event| -> u64 { event.id.rsplit_once('-').expect("an id").1.parse().expect("a number") };
    let first = number(&given[0]);
    assert!(given.iter().map(number).eq(first..first + given.len() as u64), "{given:?}");
    // From wherever a reader was cut off it gets the rest, in its order.
    for had in [0, 5, given.len() / 2, given.len() - 2] {
        let mut again = EventStream::open(service.address(), "", Some(&given[had].id));
        let mut rest = Vec::new();
        again.until("the last one", |event| {
            rest.extend(Some(event.clone()).filter(|event| event.name == "signal" || event.name == "alert"));
            rest.len() == given.len() - had - 1
        });
        assert_eq!(rest, given[had + 1..], "after {had}");
    }
    let mut none = EventStream::open(service.address(), "", given.last().map(|last| &*last.id));
    let after = none.until("a status", |event| event.name == "status");
    assert!(after.iter().all(|event| event.name != "signal" && event.name != "alert"), "{after:?}");
}

#[test]
fn sixty_four_readers_and_the_rest_is_told_why_not() {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &[]);
    let mut readers: Vec<EventStream> = (0..64).map(|_| EventStream::open(service.address(), "", None)).collect();
    assert!(readers.iter().all(|reader| reader.status == 200));
    let mut refused = EventStream::open(service.address(), "", None);
    assert_eq!((refused.status, &*refused.body()), (503, r#"{"error":"all 64 event streams are taken"}"#));
    readers.iter_mut().for_each(|reader| _ = reader.next_of("status"));
    assert_eq!(service.get("/health").0, 200, "other requests are served");
    // HEAD shows what there would be, and takes no place.
    readers.truncate(63);
    eventually("a place", || {
        let mut head = TcpStream::connect(service.address()).expect("it listens");
        head.write_all(b"HEAD /events HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it takes a request");
        head.shutdown(Shutdown::Write).expect("it is connected");
        let answer = std::io::read_to_string(head).expect("an answer, in time");
        holds(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), answer)
    });
    let mut last = EventStream::open(service.address(), "", None);
    assert_eq!(last.status, 200);
    last.next_of("status");
}

#[test]
fn a_reader_that_does_not_keep_up_is_told_and_holds_up_nothing() {
    const SYMBOLS: usize = 300;
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &[]);
    let bus = Bus::connect(&server.url());
    let name = |index: usize| format!("S{index}");
    let publish = |price: f64| {
        let now = now_ns();
        let quotes: Vec<_> = (0..SYMBOLS).map(|index| quote(&name(index), now, price, price + 1.0)).collect();
        bus.publish(&quotes);
    };
    let mut slow = EventStream::open_narrow(service.address());
    let mut other = EventStream::open(service.address(), "", None);
    // 300 symbols are 180 KB a round: by the tenth the slow one's socket has long been full.
    let mut price = 1.0;
    for _ in 0..10 {
        price += 1.0;
        publish(price);
        let mid = json!(price + 0.5);
        let of_last = name(SYMBOLS - 1);
        let events = other.until("the round", |event| is_of(event, &of_last) && event.data["features"]["mid"] == mid);
        assert!(events.iter().all(|event| event.name != "lost"), "the other one keeps up");
    }
    let told = slow.next_of("lost").data;
    assert!(told["features"].as_u64() > Some(SYMBOLS as u64), "{told}");
    // What comes then is the newest.
    let mid = json!(price + 0.5);
    let mut left: Vec<String> = (0..SYMBOLS).map(name).collect();
    slow.until("the newest of each symbol", |event| {
        if event.name == "features" && event.data["features"]["mid"] == mid {
            left.retain(|name| event.data["symbol"] != **name);
        }
        left.is_empty()
    });
    assert_eq!(service.stats()["http"]["unserved"]["unread"], 0, "it was given its time");
}

#[test]
fn a_stop_ends_the_streams() {
    let server = NatsServer::start();
    let mut service = Service::start_ready(&server.url(), &[]);
    let mut reader = EventStream::open(service.address(), "", None);
    reader.next_of("status");
    let (status, _) = service.terminate();
    assert!(status.success(), "{status}");
    while reader.next().is_some() {}
}
