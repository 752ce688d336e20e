//! JetStream: the service's binary reads a stream of real nats-servers of two releases while things break. One scenario each.
//!
//! ```text
//!   producer ──► stream on nats-server ──► (proxy) ──► senpai-md-consumer ──► HTTP, outputs ──► the scenario
//!      └─ acknowledgements ──┴─ what it holds ────────────────┴─── what has been applied ──────────┘
//! ```
//!
//! Each scenario has its own servers on free ports. At its end all that the stream holds has been applied, once; what it
//! lost by the scenario's doing, and the service had not read by then, the service must have told. The table at the end has
//! the counts. `cargo test --test jetstream -- WORD` runs the scenarios with WORD in their name. Those that take minutes
//! carry the harness's `#[ignore]`: `-- --ignored` runs them.

#[path = "../reference/mod.rs"]
mod reference;
#[path = "../support/mod.rs"]
mod support;

mod backlog;
mod client;
mod clock;
mod cluster;
mod connection;
mod market;
mod parts;
mod producer;
mod restart;
mod servers;
mod stage;
mod streams;
mod table;
mod wrong;

use std::time::Instant;

use libtest_mimic::{Arguments, Trial};

use stage::Report;
use support::nats_server::Release;
use table::Table;

/// Most of a scenario is waiting, so more of them than cores run side by side.
const SIDE_BY_SIDE: usize = 8;

/// A scenario gives what it has measured, or why it does not apply to that release.
type Scenario = fn(Release) -> Result<Report, &'static str>;

/// Those that wait longest go first.
const SCENARIOS: &[(&str, Scenario)] = &[
    ("restart_of_the_service", restart::against_an_uninterrupted_run),
    ("signal_of_the_last_event", restart::signal_of_the_last_event),
    ("server_stands_still", servers::stands_still),
    ("leader_moves", cluster::another_leader),
    ("only_server_restarts", cluster::the_only_server_of_a_stream_restarts),
    ("backlog", backlog::events_that_waited),
    ("behind", backlog::behind),
    ("catch_up_100000", backlog::catch_up_100_000),
    ("clock_an_hour_before", clock::an_hour_before),
    ("clock_an_hour_behind", clock::an_hour_behind),
    ("kill_file", servers::killed_with_file_storage),
    ("kill_memory", servers::killed_with_memory_storage),
    ("kill_memory_made_anew", servers::killed_and_made_anew),
    ("cut_while_pulls_wait", connection::cut_while_pulls_wait),
    ("cuts_at_random", connection::cut_at_random),
    ("stalled_while_catching_up", connection::stalled_while_catching_up),
    ("consumer_deleted", streams::consumer_deleted),
    ("purged", streams::purged),
    ("stream_made_anew", streams::made_anew),
    ("went_back", streams::went_back),
    ("went_back_and_grew", streams::went_back_and_grew),
    ("work_queue", wrong::work_queue),
    ("interest", wrong::interest),
    ("missing", wrong::missing),
    ("other_subjects", wrong::other_subjects),
    ("may_not_publish", wrong::may_not_publish),
    ("may_not_subscribe", wrong::may_not_subscribe),
    ("no_jetstream", wrong::no_jetstream),
    ("two_cores", parts::two_cores),
    ("two_shards", parts::two_shards),
    ("symbols", parts::symbols),
    ("prefix_and_domain", parts::prefix_and_domain),
];

/// Left out where nothing else is asked for, as they take minutes.
const LONG: &[(&str, Scenario)] = &[("catch_up_1000000", backlog::catch_up_1_000_000)];

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(SIDE_BY_SIDE);
    let table = Table::default();
    let mut trials = Vec::new();
    let scenarios = SCENARIOS.iter().map(|scenario| (scenario, false));
    for ((name, scenario), is_long) in scenarios.chain(LONG.iter().map(|scenario| (scenario, true))) {
        for (release, which) in [(Release::Current, "current"), (Release::Old, "old")] {
            let (table, full_name) = (table.clone(), format!("{name}::{which}"));
            let is_skipped = release == Release::Old && release.is_skipped(&full_name);
            // One that this machine cannot run is none.
            if is_skipped {
                continue;
            }
            let trial = Trial::test(full_name, move || {
                table.begin(name, release);
                let begun = Instant::now();
                let outcome = scenario(release);
                table.end(name, release, begun.elapsed(), outcome);
                Ok(())
            });
            trials.push(trial.with_ignored_flag(is_long));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    table.print();
    conclusion.exit();
}
