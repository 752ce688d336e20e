//! Requests that were lost, and servers that take long: how long an answer is waited for, and what is asked for again.

use proto_nats::jetstream::{ConsumerLoss, Notice, Request, Trouble};
use proto_nats::{Operation, SECOND_NS};

use crate::cases::{check_recovers, live};
use crate::world::{World, settings};

/// One second more than there is to wait for: waits between attempts, rounds through the server.
const MARGIN_NS: u64 = SECOND_NS;

/// A reader that begins with a stream of some minutes.
fn beginning(is_old: bool) -> World {
    let mut world = World::new(1, is_old, settings(&["md.events.>"]));
    world.server.make_stream(world.now_ns, &["md.events.>"]);
    world.publishes_one_in = 100;
    world.run(120 * SECOND_NS);
    world
}

fn has_told(world: &World, request: Request) -> bool {
    world.has_noticed(|notice| *notice == Notice::Trouble(Trouble::NoAnswer(request)))
}

#[track_caller]
fn check_lost(word: &'static str, request: Request, count: usize, waits_s: u64) {
    for is_old in [false, true] {
        let mut world = beginning(is_old);
        world.loses = (word, count);
        world.connect();
        let limit_ns = waits_s * SECOND_NS + MARGIN_NS;
        assert!(world.run_until(limit_ns, World::is_live).is_some(), "{word} {count}: {:?}", world.notices);
        assert!(has_told(&world, request), "{:?}", world.notices);
        assert!(world.reader.trouble().is_none());
        assert_eq!(world.server.made, ["last_per_subject", "by_start_time"]);
        world.check_complete();
    }
}

#[test]
fn a_request_that_was_lost_is_found_soon() {
    check_lost("STREAM.INFO", Request::StreamInfo, 1, 3);
    check_lost("STREAM.INFO", Request::StreamInfo, 2, 3 + 6);
    check_lost("CONSUMER.CREATE", Request::ConsumerCreate, 1, 3);
    check_lost("CONSUMER.CREATE", Request::ConsumerCreate, 2, 3 + 6);
    check_lost("CONSUMER.CREATE", Request::ConsumerCreate, 3, 3 + 6 + 12 + 1);
}

/// However long it takes, each consumer is made once, and waiting for it costs one round trip more.
#[test]
fn a_slow_server_makes_a_consumer_once() {
    for is_old in [false, true] {
        for making_s in [1, 2, 4, 7, 11, 16, 25] {
            let mut world = beginning(is_old);
            world.server.making_ns = making_s * SECOND_NS;
            world.connect();
            // A look that came just before may be given up, and come again a little later.
            let limit_ns = 2 * (making_s * SECOND_NS + 4 * SECOND_NS) + MARGIN_NS;
            assert!(world.run_until(limit_ns, World::is_live).is_some(), "{making_s} s: {:?}", world.server.made);
            assert_eq!(world.server.made, ["last_per_subject", "by_start_time"], "{making_s} s");
            assert_eq!(has_told(&world, Request::ConsumerCreate), making_s > 3, "{making_s} s: {:?}", world.notices);
            assert!(world.reader.trouble().is_none());
            world.publishes_one_in = 0;
            world.run(SECOND_NS);
            world.check_complete();
        }
    }
}

/// A server that reads nothing for long looks dead to the connection: the consumer is found by its name on the next one.
#[test]
fn a_consumer_is_asked_for_on_the_next_connection() {
    for is_old in [false, true] {
        let mut world = beginning(is_old);
        world.server.making_ns = 15 * SECOND_NS;
        world.connect();
        world.run(8 * SECOND_NS);
        world.disconnect();
        world.connect();
        world.run(10 * SECOND_NS);
        assert!(world.server.made == ["last_per_subject", "by_start_time"], "{:?}", world.server.made);
        world.run(8 * SECOND_NS);
        world.disconnect();
        world.connect();
        assert!(world.run_until(10 * SECOND_NS, World::is_live).is_some(), "{:?}", world.server.made);
        assert!(world.server.made == ["last_per_subject", "by_start_time"], "{:?}", world.server.made);
        world.publishes_one_in = 0;
        world.run(SECOND_NS);
        world.check_complete();
    }
}

/// One that was not answered for is deleted when something else is wanted, or when it has been asked for long enough.
#[test]
fn what_is_not_wanted_any_more_is_deleted() {
    let mut world = beginning(false);
    world.loses = ("CONSUMER.CREATE", usize::MAX);
    world.connect();
    world.run(90 * SECOND_NS);
    assert!(world.server.made.is_empty());
    let deleted = |world: &World| world.server.deleted.len();
    let count = deleted(&world);
    assert!((1..4).contains(&count), "after 30 s each: {:?}", world.server.deleted);
    world.loses = ("", 0);
    assert!(world.run_until(15 * SECOND_NS, World::is_live).is_some());

    // The consumer begins with a stream that is another one by the time that it is there.
    let mut world = beginning(false);
    world.server.making_ns = 5 * SECOND_NS;
    world.connect();
    world.run(SECOND_NS);
    world.server.go_back(20);
    world.run(4 * SECOND_NS);
    world.server.making_ns = 0;
    assert!(world.run_until(15 * SECOND_NS, World::is_live).is_some());
    world.publishes_one_in = 0;
    world.run(SECOND_NS);
    world.check_complete();
}

#[test]
fn answers_that_all_come_late_are_waited_for() {
    for late_s in [2, 5, 8] {
        let mut world = live(false);
        world.answers_late_ns = late_s * SECOND_NS;
        world.disconnect();
        world.connect();
        // 3 s and 6 s are too short for the worst of them: a look, a consumer, and a look in between.
        let limit_ns = 4 * (12 + 4) * SECOND_NS;
        world.run_until(limit_ns, World::is_live).expect("it is read");
        assert_eq!(has_told(&world, Request::StreamInfo), late_s > 3);
        world.answers_late_ns = 0;
        check_recovers(&mut world, None);
    }
}

/// The window begins earlier by as much as the server's time may be wrong: 2.9 says when it began with a consumer, and no
/// more.
#[test]
fn a_window_is_whole_though_the_time_is_not_known_well() {
    for (is_old, making_s, lost) in [(true, 14, 0), (true, 0, 2), (false, 14, 0)] {
        let mut world = beginning(is_old);
        world.server.making_ns = making_s * SECOND_NS;
        world.loses = ("CONSUMER.CREATE", lost);
        world.connect();
        let is_known = |world: &World| !world.server.starts_ns.is_empty();
        let begun_ns = world.now_ns;
        world.run_until(60 * SECOND_NS, is_known).expect("the window is asked for");
        let wanted_ns = crate::model::EPOCH_NS + world.now_ns - 60 * SECOND_NS;
        let early_ns = wanted_ns as i64 - world.server.starts_ns[0] as i64;
        let waited_ns = world.now_ns - begun_ns;
        assert!(early_ns >= 0 && early_ns as u64 <= waited_ns + 10 * SECOND_NS, "{early_ns} ns of {waited_ns}");
    }
}

/// A consumer of 2.9 that was long in coming leaves its time uncertain: another one tells it better, soon.
#[test]
fn a_time_that_is_not_known_well_is_asked_for_again() {
    let mut world = live(true);
    world.server.making_ns = 9 * SECOND_NS;
    world.disconnect();
    world.connect();
    world.run_until(30 * SECOND_NS, World::is_live).expect("it is read again");
    world.server.making_ns = 0;
    assert!(world.present_error_ns() > Some(2 * SECOND_NS), "{:?}", world.present_error_ns());
    check_recovers(&mut world, None);
    world.run(10 * SECOND_NS);
    assert!(world.present_error_ns() < Some(SECOND_NS / 10), "{:?}", world.present_error_ns());

    // But not again and again, where that takes long each time.
    let mut world = live(true);
    world.server.making_ns = 9 * SECOND_NS;
    world.disconnect();
    world.connect();
    world.run(600 * SECOND_NS);
    let renewed = |(_, notice): &&(u64, Notice)| *notice == Notice::ConsumerLost(ConsumerLoss::Renewed);
    let count = world.notices.iter().filter(renewed).count();
    assert!((3..7).contains(&count), "{count} times");
}

/// Where this user may not hear the answers, none is waited for longer: it is read soon when that is mended.
#[test]
fn a_user_who_may_not_hear_answers_is_not_a_slow_server() {
    let mut world = beginning(false);
    world.connect();
    let inbox = world.reader.inbox();
    world.reader.handle_refusal(Operation::Subscribe, &inbox, world.now_ns);
    world.loses = ("API", usize::MAX);
    world.run(60 * SECOND_NS);
    world.loses = ("", 0);
    // The look under way, and the longest wait for the next.
    assert!(world.run_until((3 + 4) * SECOND_NS + MARGIN_NS, World::is_live).is_some(), "{:?}", world.notices);
}

/// Where a filter takes all that the stream does, a server before 2.10 is spared it; what the stream takes later is not
/// applied.
#[test]
fn an_old_server_need_not_filter() {
    for (is_old, deleted, filters, expected) in [
        (true, 0, &["md.events.>"][..], false),
        (true, 0, &["md.events.trade.>", "md.events.quote.>"], false),
        (true, 0, &["md.events.trade.>"], true),
        (true, 3, &["md.events.>"], true),
        (false, 0, &["md.events.>"], true),
    ] {
        let mut world = World::new(1, is_old, settings(filters));
        let subjects = if filters.len() > 1 { filters } else { &["md.events.>"] };
        world.server.make_stream(world.now_ns, subjects);
        world.server.deleted_count = deleted;
        world.publishes_one_in = 10;
        world.run(20 * SECOND_NS);
        world.connect();
        world.run_until(15 * SECOND_NS, World::is_live).expect("it catches up");
        let context = format!("{is_old} {deleted} {filters:?}");
        assert_eq!(world.server.consumers.last().expect("one is read").is_filtered(), expected, "{context}");
        if expected {
            continue;
        }
        world.server.stream.as_mut().unwrap().subjects.push("orders.>".to_owned());
        world.subjects.push("orders.A");
        world.run(20 * SECOND_NS);
        world.publishes_one_in = 0;
        world.run(SECOND_NS);
        world.check_complete();
        let report = world.reader.report(world.now_ns);
        assert!(report.missed == 0 && report.consumers_lost == 0 && report.lag_ns == Some(0), "{context}: {report:?}");
    }
}
