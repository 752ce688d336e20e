//! One case each: what other clients got wrong, and what the server may do. In simulated time, at the naive server.

use proto_nats::jetstream::{ConsumerLoss, Notice, Phase, Retention, Trouble};
use proto_nats::{Operation, SECOND_NS};

use crate::model::Server;
use crate::world::{World, settings};

/// Noticed, and reading again, within this.
const LIMIT_NS: u64 = 15 * SECOND_NS;

/// A live reader of a busy stream.
pub fn live(is_old: bool) -> World {
    live_with(is_old, &["md.events.>"])
}

fn live_with(is_old: bool, filters: &[&str]) -> World {
    let mut world = World::new(1, is_old, settings(filters));
    world.server.make_stream(world.now_ns, &["md.events.>"]);
    world.publishes_one_in = 10;
    world.run(20 * SECOND_NS);
    world.connect();
    world.run_until(LIMIT_NS, World::is_live).expect("it catches up");
    world.run(5 * SECOND_NS);
    world
}

/// After a fault: the next message that is published is applied in time, and all before it.
#[track_caller]
pub fn check_recovers(world: &mut World, loss: Option<ConsumerLoss>) {
    let next_id = world.server.next_id;
    let reaches = |world: &World| world.applied.last().is_some_and(|(id, _)| *id > next_id);
    assert!(world.run_until(LIMIT_NS, reaches).is_some(), "{:?}", world.reader.report(world.now_ns));
    world.publishes_one_in = 0;
    world.run(SECOND_NS);
    world.check_complete();
    if let Some(loss) = loss {
        assert!(world.has_noticed(|notice| *notice == Notice::ConsumerLost(loss)), "{:?}", world.notices);
    }
    let report = world.reader.report(world.now_ns);
    assert!(report.phase == Phase::Live && report.lag_ns == Some(0), "{report:?}");
}

fn newest(server: &mut Server) -> String {
    server.consumers.last().expect("there is a consumer").name.clone()
}

#[test]
fn pulls_that_were_lost_are_asked_for_again() {
    for is_old in [false, true] {
        let mut world = live(is_old);
        world.server.drop_pulls();
        check_recovers(&mut world, None);
        assert_eq!(world.reader.report(world.now_ns).consumers_lost, 0, "once may be a lost batch");
    }
}

#[test]
fn a_connection_that_was_away() {
    for is_old in [false, true] {
        let mut world = live(is_old);
        world.disconnect();
        world.run(20 * SECOND_NS);
        assert_eq!(world.reader.report(world.now_ns).phase, Phase::Offline);
        world.connect();
        check_recovers(&mut world, None);
        let report = world.reader.report(world.now_ns);
        assert!(report.resets == 0 && report.missed == 0, "{report:?}");
    }
}

#[test]
fn a_deleted_consumer() {
    for (is_old, is_said) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut world = live(is_old);
        let name = newest(&mut world.server);
        world.server.delete_consumer(&name, is_said);
        check_recovers(&mut world, Some(ConsumerLoss::Gone));
    }
}

#[test]
fn a_silent_consumer() {
    for is_old in [false, true] {
        let mut world = live(is_old);
        world.server.consumers.last_mut().unwrap().is_dead = true;
        check_recovers(&mut world, None);
    }
}

#[test]
fn one_that_delivers_nothing_though_there_is_more() {
    for (filters, loss) in [("md.events.>", ConsumerLoss::Stalled), ("md.events.trade.>", ConsumerLoss::Quiet)] {
        let mut world = live_with(false, &[filters]);
        world.server.consumers.last_mut().unwrap().is_stalled = true;
        check_recovers(&mut world, Some(loss));
    }
}

#[test]
fn a_quiet_filter_does_not_make_it_restless() {
    let mut world = live_with(false, &["md.events.trade.>"]);
    world.subjects = vec!["md.events.quote.A"];
    world.run(600 * SECOND_NS);
    let lost = world.reader.report(world.now_ns).consumers_lost;
    assert!((1..10).contains(&lost), "{lost} consumers");
}

#[test]
fn heartbeats_that_stop() {
    let mut world = live(false);
    world.publishes_one_in = 0;
    world.run(SECOND_NS);
    world.server.consumers.last_mut().unwrap().beats = false;
    world.run(LIMIT_NS);
    world.publishes_one_in = 10;
    check_recovers(&mut world, Some(ConsumerLoss::Silent));
}

#[test]
fn creating_that_fails_for_a_while() {
    let mut world = live(false);
    world.server.refuses = Some("insufficient resources");
    let name = newest(&mut world.server);
    world.server.delete_consumer(&name, true);
    world.run(30 * SECOND_NS);
    let is_said = |notice: &Notice| matches!(notice, Notice::Trouble(Trouble::Refused(..)));
    assert!(world.has_noticed(is_said) && world.reader.trouble().is_some());
    let told = world.notices.len();
    assert!(told < 10, "once, not each time: {:?}", world.notices);
    world.server.refuses = None;
    check_recovers(&mut world, Some(ConsumerLoss::Gone));
    assert!(world.reader.trouble().is_none() && world.has_noticed(|notice| *notice == Notice::TroubleOver));
}

#[test]
fn a_change_of_leader() {
    for keeps_consumers in [false, true] {
        let mut world = live(false);
        world.server.change_leader("n2", keeps_consumers);
        check_recovers(&mut world, None);
        assert_eq!(world.reader.report(world.now_ns).missed, 0);
    }
}

#[test]
fn a_stream_made_anew() {
    for is_old in [false, true] {
        let mut world = live(is_old);
        world.server.delete_stream();
        world.server.make_stream(world.now_ns, &["md.events.>"]);
        check_recovers(&mut world, None);
        assert!(world.has_noticed(|notice| *notice == Notice::StreamMadeAnew));
        assert_eq!(world.reader.report(world.now_ns).resets, 1);
    }
}

#[test]
fn a_stream_made_anew_while_the_connection_was_away_and_grown_past_the_old_one() {
    let mut world = live(false);
    world.disconnect();
    world.server.delete_stream();
    world.server.make_stream(world.now_ns, &["md.events.>"]);
    world.run(60 * SECOND_NS);
    world.connect();
    check_recovers(&mut world, None);
    assert!(world.has_noticed(|notice| *notice == Notice::StreamMadeAnew));
}

#[test]
fn a_stream_that_went_back() {
    for (is_old, keeps_consumer) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut world = live(is_old);
        world.publishes_one_in = 0;
        world.run(SECOND_NS);
        world.server.go_back(20);
        if !keeps_consumer {
            world.server.consumers.clear();
        }
        let is_said = |world: &World| world.has_noticed(|notice| matches!(notice, Notice::StreamWentBack { .. }));
        assert!(world.run_until(LIMIT_NS, is_said).is_some(), "noticed in time");
        world.publishes_one_in = 10;
        check_recovers(&mut world, None);
        let report = world.reader.report(world.now_ns);
        assert!(report.resets == 1 && report.missed == 0, "{report:?}");
    }
}

/// Its sequences are beyond the last one applied by the time that there is a connection again.
#[test]
fn a_stream_that_went_back_and_grew_again() {
    for filters in [&["md.events.>"][..], &["md.events.trade.>"], &["md.events.trade.A", "md.events.quote.A"]] {
        let mut world = live_with(false, filters);
        world.disconnect();
        world.server.go_back(30);
        world.run(30 * SECOND_NS);
        world.connect();
        check_recovers(&mut world, None);
    }
}

#[test]
fn what_a_purge_took_is_counted() {
    for filters in [&["md.events.>"][..], &["md.events.trade.>"]] {
        let mut world = live_with(false, filters);
        let behind_id = world.server.next_id - 1;
        world.disconnect();
        world.run(20 * SECOND_NS);
        world.server.purge(usize::MAX);
        world.connect();
        check_recovers(&mut world, None);
        let (missed, lost) = (world.reader.report(world.now_ns).missed, world.lost_count(behind_id));
        assert!(lost > 0 && missed >= lost && (filters[0] != "md.events.>" || missed == lost), "{missed} of {lost}");
        assert!(world.has_noticed(|notice| matches!(notice, Notice::Missed(_))));
    }
}

/// All of it was read, until it was made to take other subjects too. What of them is passed over is not missed, before the next
/// look and after it, while the connection is there and while it is away; and what is lost is told as before.
#[test]
fn a_stream_that_is_widened() {
    for (is_old, pause_ns, is_away) in
        [(false, 0, false), (false, 3 * SECOND_NS, false), (true, SECOND_NS, false), (false, SECOND_NS, true)]
    {
        let mut world = live(is_old);
        let behind_id = world.server.next_id - 1;
        world.run(pause_ns);
        if is_away {
            world.disconnect();
        }
        world.server.stream.as_mut().expect("it is there").subjects.push("other.>".to_owned());
        world.subjects.push("other.A");
        world.run(10 * SECOND_NS);
        if is_away {
            world.connect();
            world.run_until(LIMIT_NS, World::is_live).expect("it reads again");
        }
        world.run(30 * SECOND_NS);
        let report = world.reader.report(world.now_ns);
        assert!(report.missed == 0 && world.lost_count(behind_id) == 0, "{report:?} {:?}", world.notices);
        assert_eq!(report.consumers_lost, 0, "{:?}", world.notices);

        let (behind_id, gone_ns) = (world.server.next_id - 1, world.now_ns);
        world.disconnect();
        world.run(20 * SECOND_NS);
        world.server.purge(usize::MAX);
        world.connect();
        check_recovers(&mut world, None);
        world.run(10 * SECOND_NS);
        let (missed, lost) = (world.reader.report(world.now_ns).missed, world.lost_count(behind_id));
        assert!(lost > 0 && missed >= lost, "{missed} of {lost}");
        assert!(world.notices.iter().any(|(at_ns, notice)| *at_ns > gone_ns && matches!(notice, Notice::Missed(_))));
    }
}

/// By number, by age; what is asked for comes now and then, often, never. What is passed over is not taken for lost.
#[test]
fn a_part_of_a_stream_that_holds_little_loses_nothing() {
    for (is_old, holds_ns) in [(false, SECOND_NS), (true, SECOND_NS), (false, 5 * SECOND_NS)] {
        for (filters, by_age) in [
            (&["md.events.trade.>"][..], false),
            (&["md.events.trade.>"], true),
            (&["md.events.trade.A", "md.events.quote.B"], true),
            (&["md.events.book_l2.>"], true),
            (&["md.events.book_l2.>"], false),
        ] {
            let mut world = World::new(1, is_old, settings(filters));
            // Ten ticks have five messages at the mean, a second fifty.
            world.server.messages_max = if by_age { usize::MAX } else { (holds_ns / SECOND_NS) as usize * 50 };
            world.server.make_stream(world.now_ns, &["md.events.>"]);
            world.server.stream.as_mut().unwrap().max_age_ns = if by_age { holds_ns } else { 0 };
            world.subjects = vec!["md.events.quote.A"];
            world.publishes_one_in = 5;
            world.run(10 * SECOND_NS);
            world.connect();
            world.run_until(LIMIT_NS, World::is_live).expect("it catches up");
            let behind_id = world.server.next_id - 1;
            for pause_ns in [SECOND_NS / 3, 3 * SECOND_NS, 20 * SECOND_NS, SECOND_NS] {
                world.publish("md.events.trade.A");
                world.run(pause_ns);
            }
            world.subjects.push("md.events.trade.A");
            world.run(20 * SECOND_NS);
            let report = world.reader.report(world.now_ns);
            let context = format!("{is_old} {holds_ns} {filters:?} {by_age} {report:?} {:?}", world.notices);
            assert!(report.missed == 0 && world.lost_count(behind_id) == 0, "{context}");

            // And what is lost is told: nothing is delivered for longer than it is held.
            world.subjects.push("md.events.book_l2.A");
            let behind_id = world.server.next_id - 1;
            world.server.consumers.last_mut().unwrap().is_stalled = true;
            let applied_count = world.applied.len();
            // A quiet filter has its consumer changed less and less often.
            let goes_on = |world: &World| world.applied.len() > applied_count + 20;
            world.run_until(100 * SECOND_NS, goes_on).expect("another consumer takes over");
            let (missed, lost) = (world.reader.report(world.now_ns).missed, world.lost_count(behind_id));
            assert!(missed >= lost && lost > 0, "{missed} of {lost}; {context}");
        }
    }
}

/// Where nothing waited when the connection was lost, what it is behind counts from then on; once it is known, by what waits.
#[test]
fn how_far_behind_it_is_while_it_cannot_read() {
    for is_old in [false, true] {
        let mut world = live(is_old);
        world.publishes_one_in = 0;
        world.run(10 * SECOND_NS);
        let lag_ns = |world: &World| world.reader.report(world.now_ns).lag_ns.expect("it is known");
        assert_eq!(lag_ns(&world), 0);
        world.disconnect();
        world.run(20 * SECOND_NS);
        // It was heard two heartbeats before at the earliest.
        let away_ns = 20 * SECOND_NS..25 * SECOND_NS;
        assert!(away_ns.contains(&lag_ns(&world)), "{}", lag_ns(&world));
        world.publish("md.events.trade.A");
        world.answers_late_ns = 2 * SECOND_NS;
        world.connect();
        world.run(SECOND_NS);
        assert_eq!(world.reader.report(world.now_ns).phase, Phase::Preparing);
        assert!((21 * SECOND_NS..26 * SECOND_NS).contains(&lag_ns(&world)), "{}", lag_ns(&world));
        let is_read = |world: &World| world.reader.report(world.now_ns).phase == Phase::Live;
        let begun_ns = world.now_ns;
        world.run_until(LIMIT_NS, is_read).expect("it is read again");
        let report = world.reader.report(world.now_ns);
        let since_ns = 21 * SECOND_NS + world.now_ns - begun_ns;
        assert!(report.pending > 0 && lag_ns(&world) >= since_ns - 2 * SECOND_NS, "{report:?}");
        world.run(5 * SECOND_NS);
        assert_eq!(lag_ns(&world), 0);
    }
}

/// A consumer is made anew for a quiet filter, and 2.9 brings again what is not for us: that waited since the last one was
/// heard, not since the last message that was.
#[test]
fn a_quiet_filter_is_not_behind() {
    let mut world = live_with(true, &["md.events.trade.A", "md.events.quote.A"]);
    world.subjects = vec!["md.events.heartbeat.x"];
    world.run(60 * SECOND_NS);
    world.publishes_one_in = 0;
    let mut lag_ns_max = 0;
    world.run_until(120 * SECOND_NS, |world| {
        lag_ns_max = lag_ns_max.max(world.reader.report(world.now_ns).lag_ns.expect("it is known"));
        false
    });
    assert!(world.reader.report(world.now_ns).consumers_lost > 0, "it was made anew");
    assert!(lag_ns_max < 5 * SECOND_NS, "{lag_ns_max}");
}

/// The driver takes nothing for a minute: nothing is asked for that there is no room for, and then it goes on.
#[test]
fn without_room_nothing_is_asked_for() {
    let mut world = live(false);
    world.handles = 0;
    world.run(60 * SECOND_NS);
    world.handles = 64;
    world.publishes_one_in = 0;
    world.run(30 * SECOND_NS);
    world.check_complete();
    assert_eq!(world.reader.report(world.now_ns).missed, 0);
}

#[test]
fn a_message_longer_than_what_is_asked_for() {
    for is_old in [false, true] {
        let mut world = live(is_old);
        world.publishing_bytes = world.capacity / 3;
        world.publish("md.events.trade.A");
        world.publishing_bytes = 200;
        check_recovers(&mut world, None);
        assert_eq!(world.reader.report(world.now_ns).missed, 0);
    }
}

#[test]
fn a_retention_that_takes_what_was_read() {
    let mut world = World::new(1, false, settings(&["md.events.>"]));
    world.server.make_stream(world.now_ns, &["md.events.>"]);
    world.server.stream.as_mut().unwrap().retention = "workqueue";
    world.connect();
    world.run(20 * SECOND_NS);
    assert_eq!(world.reader.trouble(), Some(&Trouble::WrongRetention(Retention::WorkQueue)));
    assert!(world.server.consumers.is_empty());
    world.server.stream.as_mut().unwrap().retention = "limits";
    world.publishes_one_in = 10;
    check_recovers(&mut world, None);
}

#[test]
fn other_subjects() {
    let mut world = World::new(1, false, settings(&["md.events.trade.A", "md.events.quote.A"]));
    world.server.make_stream(world.now_ns, &["orders.>"]);
    world.connect();
    world.run(10 * SECOND_NS);
    assert_eq!(world.reader.trouble(), Some(&Trouble::OtherSubjects(vec!["orders.>".to_owned()])));
    world.server.stream.as_mut().unwrap().subjects = vec!["md.events.trade.*".to_owned()];
    world.run(10 * SECOND_NS);
    assert!(world.has_noticed(|notice| *notice == Notice::SubjectsMissing(vec!["md.events.quote.A".to_owned()])));
    assert!(world.is_live());
}

#[test]
fn a_missing_stream_is_made_where_that_is_wanted() {
    let mut settings = settings(&["md.events.>"]);
    settings.creates_stream = true;
    let mut world = World::new(1, false, settings);
    world.connect();
    assert!(world.run_until(LIMIT_NS, World::is_live).is_some());
    world.server.delete_stream();
    world.publishes_one_in = 10;
    check_recovers(&mut world, None);
    assert!(world.has_noticed(|notice| *notice == Notice::StreamMadeAnew));
}

#[test]
fn what_the_user_may_not_do() {
    let mut world = live(false);
    let now_ns = world.now_ns;
    world.reader.handle_refusal(Operation::Publish, "md.elsewhere", now_ns);
    world.reader.handle_refusal(Operation::Subscribe, "_INBOX.somebody.*", now_ns);
    world.reader.handle_refusal(Operation::Publish, "$JS.API.CONSUMER.DELETE.MD.x", now_ns);
    assert_eq!(world.reader.trouble(), None);
    let subject = "$JS.API.CONSUMER.MSG.NEXT.MD.x";
    world.reader.handle_refusal(Operation::Publish, subject, now_ns);
    assert_eq!(world.reader.trouble(), Some(&Trouble::NoPermission(Operation::Publish, subject.to_owned())));
    check_recovers(&mut world, Some(ConsumerLoss::PullsRefused));
    let inbox = world.reader.inbox();
    world.reader.handle_refusal(Operation::Subscribe, &inbox, now_ns);
    assert_eq!(world.reader.trouble(), Some(&Trouble::NoPermission(Operation::Subscribe, inbox)));
}

#[test]
fn the_newest_of_each_subject_from_before_the_window() {
    for (is_old, filters) in [
        (false, &["md.events.>"][..]),
        (true, &["md.events.>"]),
        (false, &["md.events.trade.>", "md.events.quote.A"]),
        (true, &["md.events.trade.>", "md.events.quote.A"]),
    ] {
        let mut world = World::new(1, is_old, settings(filters));
        world.server.make_stream(world.now_ns, &["md.events.>"]);
        for subject in ["trade.A", "trade.B", "quote.A", "trade.A", "quote.B"] {
            world.publish(&format!("md.events.{subject}"));
        }
        world.run(75 * SECOND_NS);
        for subject in ["trade.C", "quote.B", "trade.B"] {
            world.publish(&format!("md.events.{subject}"));
            world.run(SECOND_NS);
        }
        world.connect();
        world.run(SECOND_NS);
        assert!(world.is_live());
        // Of trade.B and quote.B there is something newer.
        let expected: &[u64] = if filters.len() == 1 { &[3, 4, 6, 7, 8] } else { &[3, 4, 6, 8] };
        assert_eq!(world.applied_ids(), expected, "{is_old} {filters:?}");
        assert!(world.present_error_ns().is_some_and(|error_ns| error_ns < SECOND_NS / 10));
    }
}

/// Its answers have no `ts`; but a consumer says when it was made.
#[test]
fn an_old_server_tells_its_time_by_new_consumers() {
    for (is_old, expected) in [(true, 2), (false, 0)] {
        let mut world = live(is_old);
        world.run(1_500 * SECOND_NS);
        let report = world.reader.report(world.now_ns);
        assert_eq!(report.consumers_lost, expected, "{:?}", world.notices);
        assert!(world.present_error_ns().is_some_and(|error_ns| error_ns < SECOND_NS / 10));
        check_recovers(&mut world, None);
    }
}

/// What it asks for at first, word for word.
#[test]
fn requests() {
    let mut world = World::new(7, false, settings(&["md.events.trade.A", "md.events.quote.A"]));
    let inbox = world.reader.inbox();
    let inbox = inbox.strip_suffix('*').expect("a wildcard");
    assert!(world.reader.poll_request(world.now_ns).is_none() && world.reader.next_deadline(world.now_ns).is_none());
    world.reader.handle_connected(world.now_ns);
    let publication = world.reader.poll_request(world.now_ns).expect("a look at the stream");
    assert_eq!(publication.subject, "$JS.API.STREAM.INFO.MD");
    assert_eq!(publication.reply_to, Some(format!("{inbox}1").as_str()));
    assert!(publication.payload.is_empty());
    assert!(world.reader.poll_request(world.now_ns).is_none(), "one at a time");
    let mut elsewhere = settings(&["md.events.>"]);
    elsewhere.domain = Some("hub".to_owned());
    let mut world = World::new(7, false, elsewhere);
    world.reader.handle_connected(world.now_ns);
    let publication = world.reader.poll_request(world.now_ns).expect("a look at the stream");
    assert_eq!(publication.subject, "$JS.hub.API.STREAM.INFO.MD");
}
