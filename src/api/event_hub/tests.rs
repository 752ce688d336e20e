use super::*;
use crate::engine::alerts::alert::{About, AlertKind, AlertState, Involved, SymbolName};
use crate::engine::random::Random;
use crate::engine::time::UnixNanos;

fn update(hub: &mut Hub, symbol: &str, text: &str) {
    let document = text.as_bytes().to_vec();
    let symbol_len = symbol.find('@').unwrap_or(symbol.len());
    hub.update(SymbolUpdate { name: symbol.into(), symbol_len, document });
}

fn alert(symbol: &str) -> Output {
    let about = About::Symbol(SymbolName::new(symbol), Involved::Nobody);
    let (kind, state) = (AlertKind::Latency, AlertState::Firing);
    Output::Alert(Alert { ts: UnixNanos(0), kind, state, about, value: None, threshold: None })
}

fn hub() -> Hub {
    Hub::new("abc".to_owned())
}

/// All that there is for the reader: name and data of each event.
fn events(hub: &mut Hub, reader: u64) -> Vec<(String, String)> {
    let mut text = Vec::new();
    while hub.is_ready(reader, Waker::noop()) {
        let begin = text.len();
        hub.take(reader, &mut text);
        assert!(text.len() > begin, "ready means that there is something");
    }
    let text = String::from_utf8(text).expect("text");
    let fields = |event: &str, field: &str| {
        let lines: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix(field)).collect();
        lines.concat()
    };
    let events = text.split_terminator("\n\n").filter(|event| !event.starts_with("retry"));
    events.map(|event| (fields(event, "event: "), fields(event, "id: ") + &fields(event, "data: "))).collect()
}

fn shown(hub: &mut Hub, reader: u64) -> String {
    let events = events(hub, reader);
    events.iter().map(|(name, data)| format!("{name} {data}")).collect::<Vec<_>>().join("; ")
}

/// As `shown`, of outputs the ids alone.
fn ids(hub: &mut Hub, reader: u64) -> String {
    let events = events(hub, reader);
    let data = events.iter().map(|(name, data)| if name == "alert" { data.split('{').next().unwrap() } else { data });
    data.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_newest_of_each_symbol_and_how_many_were_lost() {
    let mut hub = hub();
    let reader = hub.join(None, None).expect("there is room");
    assert!(hub.is_ready(reader, Waker::noop()), "the beginning is to be sent");
    assert_eq!(shown(&mut hub, reader), "");
    assert!(!hub.is_ready(reader, Waker::noop()));
    update(&mut hub, "A", "a1");
    update(&mut hub, "B", "b1");
    assert_eq!(shown(&mut hub, reader), "features a1; features b1");
    update(&mut hub, "A", "a2");
    update(&mut hub, "A", "a3");
    update(&mut hub, "B", "b2");
    update(&mut hub, "A", "a4");
    let lost = r#"lost {"features":2,"signals_and_alerts":0}"#;
    assert_eq!(shown(&mut hub, reader), format!("{lost}; features b2; features a4"));
    update(&mut hub, "B", "b3");
    assert_eq!(shown(&mut hub, reader), "features b3", "what was told is not told again");
    hub.set_status(b"s1");
    hub.set_status(b"s2");
    assert_eq!(shown(&mut hub, reader), "status s2", "of a status the newest counts");
}

#[test]
fn a_symbol_alone() {
    let mut hub = hub();
    let reader = hub.join(Some("A"), None).expect("there is room");
    hub.end_look();
    for (symbol, text) in [("A", "a1"), ("AB", "ab"), ("A@x", "ax1"), ("A@x", "ax2"), ("A@y", "ay")] {
        update(&mut hub, symbol, text);
    }
    hub.give(alert("A"));
    hub.give(alert("AB"));
    let lost = r#"{"features":1,"signals_and_alerts":0}"#;
    assert_eq!(ids(&mut hub, reader), format!("abc-1 {lost} ay ax2 a1"));
}

/// Who wants one symbol learns with the status how far it has been looked at, so that others' signals are no loss.
#[test]
fn signals_of_others_are_no_loss_to_a_symbol_s_reader() {
    let mut hub = hub();
    let reader = hub.join(Some("A"), None).expect("there is room");
    hub.end_look();
    (0..3 * LATEST_MAX).for_each(|_| hub.give(alert("B")));
    hub.set_status(b" s");
    let id = format!("abc-{}", 3 * LATEST_MAX);
    assert_eq!(shown(&mut hub, reader), format!("status {id} s"));
    hub.leave(reader);
    hub.give(alert("A"));
    let again = hub.join(Some("A"), Some(&id)).expect("there is room");
    assert_eq!(ids(&mut hub, again), format!("abc-{}", 3 * LATEST_MAX + 1));
}

#[test]
fn signals_and_alerts_go_on_after_the_last_that_was_had() {
    let mut hub = hub();
    let reader = hub.join(None, None).expect("there is room");
    hub.give(alert("before"));
    hub.end_look();
    assert_eq!(ids(&mut hub, reader), "", "what was given before is for those who ask for it");
    (2..=5).for_each(|_| hub.give(alert("A")));
    assert_eq!(ids(&mut hub, reader), "abc-2 abc-3 abc-4 abc-5");
    let mut check = |id: &str, expected: &str| {
        let reader = hub.join(None, Some(id)).expect("there is room");
        assert_eq!(ids(&mut hub, reader), expected, "{id}");
        hub.leave(reader);
    };
    check("abc-3", "abc-4 abc-5");
    check("abc-5", "");
    for foreign in ["abd-3", "abc-6", "abc-", "3", "", "abc--1", "abc-99999999999999999999"] {
        check(foreign, "abc-1 abc-2 abc-3 abc-4 abc-5");
    }
    // Three of which nothing is known any more, and more than are kept.
    hub.note_missed(3);
    (0..LATEST_MAX).for_each(|_| hub.give(alert("A")));
    let late = hub.join(None, Some("abc-4")).expect("there is room");
    let told = shown(&mut hub, late);
    assert!(told.contains(r#""signals_and_alerts":4}"#), "5 to 8: {told}");
    let told = shown(&mut hub, reader);
    assert!(told.contains(r#""signals_and_alerts":3}"#), "6 to 8: {told}");
}

#[test]
fn readers_and_what_is_held_are_bounded() {
    let mut hub = hub();
    let readers: Vec<u64> = std::iter::from_fn(|| hub.join(None, None)).collect();
    assert_eq!(readers.len(), READERS_MAX);
    readers[1..].iter().for_each(|reader| hub.leave(*reader));
    let reader = readers[0];
    let large = "x".repeat(HELD_BYTES_MAX / 4);
    ["A", "B", "C", "D", "E"].iter().for_each(|symbol| update(&mut hub, symbol, &large));
    assert!(hub.held_bytes <= HELD_BYTES_MAX && hub.held.len() == 3, "{} of {}", hub.held_bytes, hub.held.len());
    let events = events(&mut hub, reader);
    assert_eq!((events.len(), &*events[0].1), (4, r#"{"features":2,"signals_and_alerts":0}"#));
    // Symbols that are gone are not lost.
    let next = hub.next_update();
    update(&mut hub, "F", "f");
    hub.forget_before(next);
    assert_eq!(shown(&mut hub, reader), "features f");
    hub.leave(reader);
    assert_eq!((hub.held_bytes, hub.held.len(), hub.order.len()), (0, 0, 0));
}

#[test]
fn what_is_taken_and_what_is_lost_are_all_that_there_was() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut hub = hub();
        let wanted = [None, Some("S1"), Some("S2"), None];
        let readers = wanted.map(|symbol| hub.join(symbol, None).expect("there is room"));
        let mut made = [0u64; 4];
        let mut had = [0u64; 4];
        let mut newest = HashMap::new();
        let mut seen = [(); 4].map(|()| HashMap::new());
        for number in 0..500 {
            let symbol = format!("S{}", random.below(5));
            update(&mut hub, &symbol, &format!("{symbol}:{number}"));
            newest.insert(symbol.clone(), number);
            let is_wanted = wanted.map(|wanted| wanted.is_none_or(|wanted| wanted == symbol));
            made.iter_mut().zip(is_wanted).for_each(|(made, is_wanted)| *made += u64::from(is_wanted));
            let is_last = number == 499;
            for (index, reader) in readers.iter().enumerate() {
                // The last one is the slowest.
                if !is_last && random.below(1 + 20 * index as u64) > 0 {
                    continue;
                }
                for (name, data) in events(&mut hub, *reader) {
                    if name == "lost" {
                        let lost: serde_json::Value = serde_json::from_str(&data).expect("JSON");
                        had[index] += lost["features"].as_u64().expect("a count");
                    } else {
                        let (symbol, number) = data.split_once(':').expect("as made");
                        seen[index].insert(symbol.to_owned(), number.parse::<i32>().expect("as made"));
                        had[index] += 1;
                    }
                }
            }
        }
        assert_eq!(made, had, "seed {seed}");
        assert!(seen[0] == newest && seen[3] == newest, "seed {seed}");
    }
}
