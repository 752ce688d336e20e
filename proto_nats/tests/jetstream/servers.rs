//! Real servers, the current one and an old one: what they do is what counts.

use std::time::{Duration, Instant};

use proto_nats::jetstream::{ConsumerLoss, Notice, Phase, Retention, StreamReader, Trouble};
use proto_nats::{MILLISECOND_NS, Msg, Operation, SECOND_NS};

use crate::live::{Client, NatsServer, Operator, Release};
use crate::world::settings;

const ALL: &[&str] = &["md.events.>"];
const TRADE: &str = "md.events.trade.A";
const MEMORY: &str = r#","storage":"memory""#;

fn caught_up(client: &Client) -> bool {
    client.notices.contains(&Notice::CaughtUp)
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn publish(operator: &mut Operator, range: std::ops::Range<u32>) {
    for text in numbers(range) {
        operator.store(TRADE, &text);
    }
}

#[test]
fn a_missing_stream_is_made_and_read() {
    for release in Release::all("a_missing_stream_is_made_and_read") {
        let server = NatsServer::with_jetstream(release);
        let mut operator = Operator::new(&server);
        let waits = settings(ALL);
        let mut makes = waits.clone();
        makes.creates_stream = true;
        let mut client = Client::new(&server, waits);
        client.until("the stream is missing", |client| client.reader.trouble() == Some(&Trouble::NoStream));
        let mut maker = Client::new(&server, makes);
        maker.until("there is nothing to read", caught_up);
        assert!(maker.notices.contains(&Notice::StreamCreated), "{:?}", maker.notices);
        client.until("the one that waits finds it", caught_up);
        assert!(client.reader.trouble().is_none());
        publish(&mut operator, 0..20);
        maker.until_applied(20);
        client.until_applied(20);
        assert_eq!(
            (maker.texts(), client.texts()),
            (numbers(0..20).iter().map(String::as_str).collect(), maker.texts())
        );
        let info = operator.api("STREAM.INFO.MD", "");
        let config = &info["config"];
        let shown = format!("{config}");
        assert!(config["storage"] == "memory" && config["retention"] == "limits", "{shown}");
        assert!(config["discard"] == "old" && config["max_bytes"] == 1_u64 << 30, "{shown}");
        assert!(config["max_age"] == 300 * SECOND_NS && config["subjects"][0] == "md.events.>", "{shown}");
        // The server's clock is this machine's.
        let present_ns = client.reader.present(client.now_ns()).expect("it is known");
        let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        assert!(present_ns.abs_diff(here) < SECOND_NS, "{present_ns} {here}");
        let report = client.reader.report(client.now_ns());
        assert!(report.phase == Phase::Live && report.lag_ns == Some(0) && report.missed == 0, "{report:?}");
    }
}

#[test]
fn warm_start() {
    for release in Release::all("warm_start") {
        let server = NatsServer::with_jetstream(release);
        let mut operator = Operator::new(&server);
        operator.make_stream(MEMORY);
        for (subject, text) in [("A", "old"), ("B", "b"), ("A", "newest of A"), ("C", "c, not asked for")] {
            operator.store(&format!("md.events.trade.{subject}"), text);
        }
        // The window begins 10 s and its own length before the present.
        let mut settings = settings(&["md.events.trade.A", "md.events.trade.B", "md.events.quote.*"]);
        settings.rolling_window_ns = 500 * MILLISECOND_NS;
        let stored = Instant::now();
        while stored.elapsed() < Duration::from_millis(10_700) {
            std::thread::sleep(Duration::from_millis(50));
        }
        for (subject, text) in [("trade.A", "1"), ("trade.C", "not asked for"), ("quote.A", "2"), ("trade.B", "3")] {
            operator.store(&format!("md.events.{subject}"), text);
        }
        let mut client = Client::new(&server, settings.clone());
        client.until("it catches up", caught_up);
        operator.store("md.events.trade.C", "nor this");
        operator.store("md.events.quote.A", "4");
        client.until_applied(4);
        // Of A and B there is something newer, and what is older is not among the newest.
        assert_eq!(client.texts(), ["1", "2", "3", "4"], "{release:?}");
        settings.filters = vec!["md.events.trade.*".to_owned()];
        let mut client = Client::new(&server, settings);
        client.until("it catches up", caught_up);
        assert_eq!(client.texts(), ["1", "not asked for", "3", "nor this"], "{release:?}");
    }
}

#[test]
fn the_newest_of_each_comes_first() {
    for release in Release::all("the_newest_of_each_comes_first") {
        let server = NatsServer::with_jetstream(release);
        let mut operator = Operator::new(&server);
        operator.make_stream(MEMORY);
        for (subject, text) in [("A", "old"), ("B", "b"), ("A", "a"), ("C", "c")] {
            operator.store(&format!("md.events.trade.{subject}"), text);
        }
        let stored = Instant::now();
        while stored.elapsed() < Duration::from_millis(10_200) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut settings = settings(ALL);
        settings.rolling_window_ns = 0;
        let mut client = Client::new(&server, settings);
        client.until("it catches up", caught_up);
        assert_eq!(client.texts(), ["b", "a", "c"], "{release:?}");
        operator.store(TRADE, "live");
        client.until_applied(4);
    }
}

#[test]
fn a_deleted_consumer_is_made_anew() {
    for release in Release::all("a_deleted_consumer_is_made_anew") {
        let server = NatsServer::with_jetstream(release);
        let mut operator = Operator::new(&server);
        operator.make_stream(MEMORY);
        let mut client = Client::new(&server, settings(ALL));
        client.until("it catches up", caught_up);
        for round in 0..5 {
            publish(&mut operator, round * 10..round * 10 + 10);
            client.until_applied(round as usize * 10 + 5);
            let names = operator.api("CONSUMER.NAMES.MD", "");
            let names = names["consumers"].as_array().expect("a list").clone();
            assert!(!names.is_empty());
            for name in names {
                operator.api(&format!("CONSUMER.DELETE.MD.{}", name.as_str().unwrap()), "");
            }
        }
        publish(&mut operator, 50..60);
        let took = client.until_applied(60);
        assert_eq!(client.texts(), numbers(0..60), "{release:?}");
        assert!(client.notices.contains(&Notice::ConsumerLost(ConsumerLoss::Gone)), "{:?}", client.notices);
        assert!(took < Duration::from_secs(15), "{took:?}");
        let names = operator.api("CONSUMER.NAMES.MD", "");
        assert_eq!(names["consumers"].as_array().map(Vec::len), Some(1), "{names}");
    }
}

/// The reader does not hear the first answer, so that it asks again: the server has the consumer, and makes no other.
#[test]
fn a_consumer_that_is_asked_for_again_is_made_once() {
    for release in Release::all("a_consumer_that_is_asked_for_again_is_made_once") {
        let server = NatsServer::with_jetstream(release);
        let mut operator = Operator::new(&server);
        operator.make_stream("");
        publish(&mut operator, 0..20);
        let mut reader = StreamReader::new(settings(ALL), 1);
        let mut now_ns = SECOND_NS;
        reader.handle_connected(now_ns);
        let mut created = Vec::new();
        while created.len() < 2 {
            now_ns = reader.next_deadline(now_ns).expect("a connection has a deadline").max(now_ns);
            reader.handle_time(now_ns);
            let Some(publication) = reader.poll_request(now_ns) else { continue };
            let payload = String::from_utf8(publication.payload.to_vec()).expect("JSON");
            let reply_to = publication.reply_to.expect("it wants an answer").to_owned();
            let is_create = publication.subject.contains(".CONSUMER.CREATE.");
            let answer = operator.request(publication.subject, &payload);
            assert!(answer.get("error").is_none(), "{release:?}: {answer}");
            if is_create {
                created.push((answer["name"].clone(), answer["created"].clone()));
            } else {
                let payload = answer.to_string().into_bytes();
                let subject = reply_to.as_bytes();
                reader.handle_msg(&Msg { subject, sid: 1, reply_to: None, headers: None, payload: &payload }, now_ns);
            }
        }
        assert_eq!(created[0], created[1], "{release:?}");
        let names = operator.api("CONSUMER.NAMES.MD", "");
        assert_eq!(names["consumers"].as_array().map(Vec::len), Some(1), "{release:?}: {names}");
    }
}

#[test]
fn what_was_purged_is_counted() {
    for release in Release::all("what_was_purged_is_counted") {
        let server = NatsServer::with_jetstream(release);
        let mut operator = Operator::new(&server);
        operator.make_stream(MEMORY);
        publish(&mut operator, 0..10);
        let mut client = Client::new(&server, settings(ALL));
        client.room = 6_000;
        client.until("it catches up", caught_up);
        client.room = 0;
        // The pulls under way take some; the others wait in the stream.
        publish(&mut operator, 10..110);
        client.until("what was asked for is there", |client| client.reader.report(client.now_ns()).pending > 20);
        operator.api("STREAM.PURGE.MD", "");
        publish(&mut operator, 110..120);
        client.room = 6_000;
        client.until("the last is applied", |client| client.texts().last() == Some(&"119"));
        // Some were on their way before the purge.
        let texts = client.texts();
        let kept = texts.iter().position(|text| *text == "110").expect("what came after the purge is applied") as u32;
        assert!((10..110).contains(&kept), "{release:?}: {texts:?}");
        assert_eq!(texts, [numbers(0..kept), numbers(110..120)].concat(), "{release:?}");
        // Whether the stream takes anything else by now, the next look tells.
        let missed = |client: &Client| client.reader.report(client.now_ns()).missed;
        client.until("it is told", |client| missed(client) > 0);
        assert_eq!(missed(&client), u64::from(110 - kept), "{release:?}: {:?}", client.notices);
    }
}

/// All of the stream has left it three times by the end, and what was asked for was a hundredth of it.
#[test]
fn what_a_part_of_a_stream_passes_over_is_not_missed() {
    for release in Release::all("what_a_part_of_a_stream_passes_over_is_not_missed") {
        let server = NatsServer::with_jetstream(release);
        let mut operator = Operator::new(&server);
        operator.make_stream(r#","storage":"memory","max_age":1500000000"#);
        operator.store(TRADE, "0");
        let mut client = Client::new(&server, settings(&["md.events.trade.>"]));
        client.until("it catches up", caught_up);
        let mut wanted = numbers(0..1);
        for _ in 0..3 {
            let first_sequence = |operator: &mut Operator| {
                let state = operator.api("STREAM.INFO.MD", "")["state"].take();
                let sequence = |name: &str| state[name].as_u64().expect("a sequence");
                (sequence("first_seq"), sequence("last_seq"))
            };
            let (_, last) = first_sequence(&mut operator);
            while first_sequence(&mut operator).0 <= last {
                wanted.push(wanted.len().to_string());
                operator.store(TRADE, wanted.last().expect("it was just pushed"));
                for _ in 0..100 {
                    operator.publish("md.events.quote.A", "not asked for");
                    client.turn();
                }
            }
        }
        client.until_applied(wanted.len());
        assert_eq!(client.texts(), wanted, "{release:?}");
        let report = client.reader.report(client.now_ns());
        assert_eq!(report.missed, 0, "{release:?}: {report:?} {:?}", client.notices);
    }
}

/// All of it was read; then an operator has it take other subjects as well, of which a hundred times as much comes.
#[test]
fn what_a_widened_stream_takes_besides_is_not_missed() {
    for release in Release::all("what_a_widened_stream_takes_besides_is_not_missed") {
        let server = NatsServer::with_jetstream(release);
        let mut operator = Operator::new(&server);
        operator.make_stream(MEMORY);
        let mut client = Client::new(&server, settings(ALL));
        client.until("it catches up", caught_up);
        publish(&mut operator, 0..20);
        client.until_applied(20);
        let mut config = operator.api("STREAM.INFO.MD", "")["config"].take();
        config["subjects"].as_array_mut().expect("subjects").push("other.>".into());
        let answer = operator.api("STREAM.UPDATE.MD", &config.to_string());
        assert!(answer["error"].is_null(), "{release:?}: {answer}");
        // At once, and over several looks.
        for number in 20..60 {
            for _ in 0..100 {
                operator.publish("other.A", "not asked for");
            }
            publish(&mut operator, number..number + 1);
            client.until_applied(number as usize + 1);
            let until_ns = client.now_ns() + SECOND_NS / 5;
            client.until("a moment has passed", |client| client.now_ns() > until_ns);
        }
        assert_eq!(client.texts(), numbers(0..60), "{release:?}");
        let report = client.reader.report(client.now_ns());
        assert!(report.missed == 0 && report.consumers_lost == 0, "{release:?}: {report:?} {:?}", client.notices);
    }
}

#[test]
fn a_stream_that_is_made_anew_is_read_from_its_beginning() {
    for release in Release::all("a_stream_that_is_made_anew_is_read_from_its_beginning") {
        let server = NatsServer::with_jetstream(release);
        let mut operator = Operator::new(&server);
        operator.make_stream(MEMORY);
        publish(&mut operator, 0..30);
        let mut client = Client::new(&server, settings(ALL));
        client.until("it catches up", caught_up);
        operator.api("STREAM.DELETE.MD", "");
        operator.make_stream(MEMORY);
        publish(&mut operator, 30..70);
        let took = client.until_applied(70);
        assert_eq!(client.texts(), numbers(0..70), "{release:?}");
        assert!(took < Duration::from_secs(15), "{took:?}");
        assert!(client.notices.contains(&Notice::StreamMadeAnew), "{:?}", client.notices);
        let report = client.reader.report(client.now_ns());
        assert!(report.resets == 1 && report.missed == 0, "{report:?}");
    }
}

#[test]
fn a_server_that_is_killed_and_comes_back_goes_on() {
    for release in Release::all("a_server_that_is_killed_and_comes_back_goes_on") {
        let mut server = NatsServer::with_jetstream(release);
        let mut operator = Operator::new(&server);
        operator.make_stream(r#","storage":"file""#);
        let mut client = Client::new(&server, settings(ALL));
        client.until("it catches up", caught_up);
        for round in 0..3 {
            publish(&mut operator, round * 20..round * 20 + 20);
            client.until_applied(round as usize * 20 + 10);
            server.kill();
            client.until("the connection has ended", |client| {
                client.reader.report(client.now_ns()).phase == Phase::Offline
            });
            server.start_again();
            operator = Operator::new(&server);
            // Before the client is back, and after.
            client.until("it is back", |client| client.reader.report(client.now_ns()).phase != Phase::Offline);
        }
        publish(&mut operator, 60..80);
        client.until_applied(80);
        assert_eq!(client.texts(), numbers(0..80), "{release:?}");
        let report = client.reader.report(client.now_ns());
        assert!(report.resets == 0 && report.missed == 0, "{report:?} {:?}", client.notices);
    }
}

/// A memory stream does not survive its server.
#[test]
fn a_memory_stream_is_made_again_after_its_server_was_killed() {
    for release in Release::all("a_memory_stream_is_made_again_after_its_server_was_killed") {
        let mut server = NatsServer::with_jetstream(release);
        let mut settings = settings(ALL);
        settings.creates_stream = true;
        let mut client = Client::new(&server, settings);
        client.until("it catches up", caught_up);
        publish(&mut Operator::new(&server), 0..20);
        client.until_applied(20);
        server.kill();
        server.start_again();
        client.until("it reads again", |client| {
            let report = client.reader.report(client.now_ns());
            client.notices.iter().any(|notice| matches!(notice, Notice::StreamMadeAnew | Notice::StreamWentBack { .. }))
                && report.phase == Phase::Live
        });
        publish(&mut Operator::new(&server), 20..40);
        client.until_applied(40);
        assert_eq!(client.texts(), numbers(0..40), "{release:?} {:?}", client.notices);
    }
}

#[test]
fn troubles_are_told() {
    for release in Release::all("troubles_are_told") {
        let check = |configuration: &str, make: Option<&str>, is_meant: &dyn Fn(&Trouble) -> bool| {
            let server = NatsServer::start(release, configuration);
            if let Some(more) = make {
                Operator::new(&server).make_stream(more);
            }
            let mut client = Client::new(&server, settings(ALL));
            client.until(configuration, |client| client.reader.trouble().is_some_and(is_meant));
            // It goes on trying.
            let told = client.notices.len();
            let tried = client.now_ns() + SECOND_NS;
            client.until("some time has passed", |client| client.now_ns() > tried);
            assert!(client.reader.trouble().is_some_and(is_meant), "{:?}", client.notices[told..].to_vec());
            assert!(client.notices[told..].is_empty(), "said once: {:?}", client.notices);
        };
        let js = "jetstream {store_dir: \"STORE\"}";
        check("", None, &|trouble| *trouble == Trouble::NoJetStream);
        check(
            &format!("{js}\naccounts {{A {{users [{{user: a, password: a}}]}}}}\nno_auth_user: a"),
            None,
            &|trouble| *trouble == Trouble::NotForThisAccount,
        );
        check(js, None, &|trouble| *trouble == Trouble::NoStream);
        check(js, Some(r#","retention":"workqueue""#), &|trouble| {
            *trouble == Trouble::WrongRetention(Retention::WorkQueue)
        });
        check(js, Some(r#","retention":"interest""#), &|trouble| {
            *trouble == Trouble::WrongRetention(Retention::Interest)
        });
        check(
            &format!(
                "{js}\nauthorization {{users [{{user: a, password: a, permissions: {{publish: [\"md.>\"]}}}}]}}\n\
                 no_auth_user: a"
            ),
            None,
            &|trouble| matches!(trouble, Trouble::NoPermission(Operation::Publish, subject) if subject == "$JS.API.STREAM.INFO.MD"),
        );
    }
}

/// Not a measurement to hold anything against, but one to look at.
#[test]
fn throughput_is_shown() {
    const COUNT: u32 = 100_000;
    for release in Release::all("throughput_is_shown") {
        let server = NatsServer::with_jetstream(release);
        let mut operator = Operator::new(&server);
        operator.make_stream(MEMORY);
        let payload = "x".repeat(200);
        for _ in 0..COUNT - 1 {
            operator.publish(TRADE, &payload);
        }
        operator.store(TRADE, &payload);
        let mut client = Client::new(&server, settings(ALL));
        client.keeps = false;
        let took = client.until("all is applied", |client| client.applied_count >= u64::from(COUNT));
        let per_second = f64::from(COUNT) / took.as_secs_f64();
        eprintln!("{release:?}: {per_second:.0} messages a second in {took:?}");
        let report = client.reader.report(client.now_ns());
        assert!(report.missed == 0 && report.consumers_lost == 0, "{report:?} {:?}", client.notices);
    }
}
