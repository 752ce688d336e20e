//! Seeded faults, one after the other and together: what must hold, holds whatever happens.

use proto_nats::SECOND_NS;
use proto_nats::jetstream::Notice;

use crate::model::TICK_NS;
use crate::seeds;
use crate::world::{World, settings};

#[test]
fn fixed_seeds() {
    (0..120).for_each(check);
}

#[test]
fn fresh_seeds() {
    seeds::fresh("jetstream", 120).for_each(check);
}

fn check(seed: u64) {
    let outcome = std::panic::catch_unwind(|| run(seed));
    if let Err(panic) = outcome {
        eprintln!("seed {seed} (SEED={seed} SEEDS=1 cargo test -p proto_nats --test jetstream fresh_seeds)");
        std::panic::resume_unwind(panic);
    }
}

/// What an operator, a cluster or a network does.
fn strike(world: &mut World, resets: bool) {
    let newest = world.server.consumers.last().map(|consumer| consumer.name.clone());
    let kind = world.random.below(if resets { 16 } else { 13 });
    world.strikes.push((world.now_ns, kind));
    match (kind, newest) {
        (0, Some(name)) => world.server.delete_consumer(&name, world.random.one_in(2)),
        (1, Some(_)) => world.server.consumers.last_mut().unwrap().is_dead = true,
        (2, Some(_)) => world.server.consumers.last_mut().unwrap().is_stalled = true,
        (3, Some(_)) => world.server.consumers.last_mut().unwrap().beats = false,
        (4, _) => {
            let held = world.server.stream.as_ref().map_or(0, |stream| stream.messages.len());
            let count = world.random.below(held + 1);
            world.server.purge(count);
        }
        (5, _) => {
            let name = world.random.pick(&["n1", "n2"]);
            let keeps = world.random.one_in(2);
            world.server.change_leader(name, keeps);
        }
        (6, _) => world.server.drop_pulls(),
        (7, _) => {
            world.disconnect();
            let away_ns = world.random.below(20) as u64 * SECOND_NS / 2;
            world.run(away_ns);
            world.connect();
        }
        (8, _) => world.server.refuses = Some("insufficient resources"),
        (9, _) if world.random.one_in(2) => world.answers_late_ns = world.random.below(6) as u64 * SECOND_NS,
        (9, _) => world.server.making_ns = world.random.below(10) as u64 * SECOND_NS,
        (10, _) => world.loses_requests = 1 + world.random.below(8),
        (11, _) => world.loses_messages = 20 + world.random.below(200),
        (12, _) => {
            let stream = world.server.stream.as_mut().expect("it is there between two faults");
            stream.subjects.push("other.>".to_owned());
            world.subjects.push("other.A");
        }
        (13, _) => {
            world.server.delete_stream();
            let gone_ns = TICK_NS + world.random.next() % (3 * SECOND_NS);
            world.run(gone_ns);
            world.server.make_stream(world.now_ns, &["md.events.>"]);
        }
        (14, _) => {
            let count = 1 + world.random.below(50);
            world.server.go_back(count);
            // The consumer goes with its server; or it stands ahead, and then it takes a look to notice. (Where the stream
            // grows past it before that, nothing tells.)
            if world.random.one_in(2) {
                world.server.consumers.clear();
            } else {
                heal(world);
                let publishes_one_in = std::mem::take(&mut world.publishes_one_in);
                world.run(15 * SECOND_NS);
                world.publishes_one_in = publishes_one_in;
            }
        }
        (15, _) => {
            world.server.has_jetstream = false;
            world.server.drop_pulls();
        }
        _ => world.handles = 1 + world.random.below(4),
    }
}

fn heal(world: &mut World) {
    world.server.refuses = None;
    world.server.has_jetstream = true;
    world.server.making_ns = 0;
    (world.answers_late_ns, world.loses_requests, world.loses_messages, world.handles) = (0, 0, 0, 64);
}

fn run(seed: u64) {
    let is_old = seed.is_multiple_of(3);
    let filters: &[&str] = match seed % 4 {
        0 => &["md.events.trade.>"],
        1 => &["md.events.trade.A", "md.events.quote.>"],
        _ => &["md.events.>"],
    };
    let reads_all = seed % 4 > 1;
    let mut world = World::new(seed, is_old, settings(filters));
    let resets = world.random.one_in(2);
    let strikes_early = resets && world.random.one_in(3);
    world.capacity = 8_000 + world.random.below(60_000);
    if world.random.one_in(3) {
        world.server.messages_max = 50 + world.random.below(2_000);
    }
    world.server.make_stream(world.now_ns, &["md.events.>"]);
    world.publishes_one_in = 5 + world.random.below(40);
    let before_ns = world.random.below(150) as u64 * SECOND_NS;
    world.run(before_ns);
    world.connect();
    if !strikes_early {
        let caught_up = |world: &World| world.has_noticed(|notice| *notice == Notice::CaughtUp);
        let took = world.run_until(60 * SECOND_NS, caught_up);
        assert!(took.is_some(), "it does not catch up: {:?}", world.reader.report(world.now_ns));
    }
    let first_id = world.server.next_id;
    let missed_before = world.reader.report(world.now_ns).missed;
    for _ in 0..1 + world.random.below(6) {
        let calm_ns = TICK_NS * (1 + world.random.next() % 600);
        world.run(calm_ns);
        strike(&mut world, resets);
        let lasts_ns = TICK_NS * (1 + world.random.next() % 1_500);
        world.run(lasts_ns);
        if world.random.one_in(2) {
            heal(&mut world);
        }
    }
    heal(&mut world);
    // Whatever it was, it is over within that; the stream is busy to the end.
    world.publishes_one_in = 10;
    world.run(45 * SECOND_NS);
    world.publishes_one_in = 0;
    world.run(15 * SECOND_NS);
    // A quiet filter may have had its consumer changed just now, and 2.9 brings the last message and those behind it again.
    world.run_until(SECOND_NS, |world| world.is_live() && world.reader.report(world.now_ns).pending == 0);
    let report = world.reader.report(world.now_ns);
    assert!(world.is_live() && world.reader.trouble().is_none(), "{report:?} {:?}", world.reader.trouble());
    world.check_complete();
    assert!(report.lag_ns == Some(0) && report.has_caught_up, "{report:?}");
    let error_ns = world.present_error_ns();
    assert!(error_ns.is_some_and(|error_ns| error_ns <= 3 * SECOND_NS), "{error_ns:?}");
    if !resets {
        let lost = world.lost_count(first_id - 1);
        let missed = report.missed - missed_before;
        assert_eq!(report.resets, 0);
        let is_widened = world.server.stream.as_ref().is_some_and(|stream| stream.subjects.len() > 1);
        // What never left the stream is not missed, whatever else it takes.
        assert!(missed == 0 || !world.server.removed.is_empty(), "{report:?}");
        match reads_all && !is_widened {
            true => assert_eq!(missed, lost, "{report:?}"),
            false => assert!(missed >= lost, "{missed} of {lost}, {report:?}"),
        }
    }
}
