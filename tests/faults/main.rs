//! Faults, one scenario each, between the service's binary and real nats-servers of two releases.
//!
//! ```text
//!   publisher ──► nats-server ──► (proxy) ──► senpai-md-consumer ──► HTTP ──► the scenario
//!      └─────── each event's fate ────────────────┴─── what has arrived ──────────┘
//! ```
//!
//! Each scenario starts its own servers on free ports, breaks something, and waits until the service says that it is
//! whole again and events flow. At its end every event is accounted for, see `stage`. The table at the end has what was
//! measured; `cargo test --test faults -- WORD` runs the scenarios with WORD in their name, and
//! `RESTARTS=200 cargo test --test faults -- restarts` restarts the server that many times.

#[path = "../reference/mod.rs"]
mod reference;
#[path = "../support/mod.rs"]
mod support;

mod advertised;
mod authentication;
mod certificates;
mod cluster;
mod jwt;
mod limits;
mod permissions;
mod publisher;
mod restarts;
mod silence;
mod stage;
mod table;
mod tls;
mod transfer;

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
    ("silence_for_15_s", silence::a_server_that_stands_still),
    ("close_at_each_byte_received", transfer::closed_at_every_byte_from_the_server),
    ("close_at_each_byte_sent", transfer::closed_at_every_byte_to_the_server),
    ("cut_short", transfer::cut_short),
    ("network_forgets", silence::a_network_that_forgets),
    ("server_does_not_hear", silence::a_server_that_does_not_hear),
    ("advertised_0", advertised::none),
    ("advertised_10", advertised::ten),
    ("advertised_256", advertised::many),
    ("advertised_20000", advertised::a_flood),
    ("flapping", advertised::flapping),
    ("advertised_elsewhere", advertised::untrusted),
    ("creds_out_of_date", authentication::creds_out_of_date),
    ("revoked", authentication::revoked),
    ("wrong_password", authentication::a_wrong_password),
    ("wrong_password_in_url", authentication::a_wrong_password_in_the_url),
    ("tls_wrong_name", tls::a_wrong_name),
    ("tls_expired", tls::an_expired_certificate),
    ("tls_certificate_of_an_authority", tls::the_certificate_of_an_authority),
    ("tls_not_offered", tls::not_offered),
    ("tls_first", tls::first),
    ("restarts_at_random", restarts::many_at_random),
    ("restart", restarts::stopped_and_started),
    ("kill", restarts::killed),
    ("another_server_on_the_port", restarts::replaced_by_another),
    ("a_node_dies", cluster::a_node_dies),
    ("not_discovered", cluster::only_the_configured_server),
    ("a_node_dies_tls", cluster::a_node_dies_behind_tls),
    ("lame_duck", cluster::a_node_in_lame_duck_mode),
    ("lame_duck_among_hung", cluster::a_lame_duck_among_hung_servers),
    ("lame_duck_alone", cluster::a_node_in_lame_duck_mode_alone),
    ("byte_by_byte", transfer::byte_by_byte),
    ("late", transfer::late),
    ("token", authentication::token),
    ("nkey", authentication::nkey),
    ("creds", authentication::creds),
    ("tls_own_authority", tls::own_authority),
    ("tls_mutual", tls::mutual),
    ("tls_server_name", tls::a_name_of_its_own),
    ("least_permissions", permissions::least),
    ("permission_to_publish", permissions::on_publish),
    ("permission_to_subscribe", permissions::on_subscribe),
    ("max_payload", limits::a_small_max_payload),
    ("slow_consumer", limits::cut_as_slow_consumer),
    ("slow_consumer_that_reads", limits::cut_while_reading),
    ("burst_of_large_books", limits::a_burst_of_large_books),
];

/// One release takes the place of the other.
const REPLACES: &[&str] = &["another_server_on_the_port"];

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(SIDE_BY_SIDE);
    let table = Table::default();
    let mut trials = Vec::new();
    for (name, scenario) in SCENARIOS {
        for (release, which) in [(Release::Current, "current"), (Release::Old, "old")] {
            let (table, full_name) = (table.clone(), format!("{name}::{which}"));
            let needs_old = release == Release::Old || REPLACES.contains(name);
            let is_skipped = needs_old && Release::Old.is_skipped(&full_name);
            let trial = Trial::test(full_name, move || {
                table.begin(name, release);
                table.end(name, release, scenario(release));
                Ok(())
            });
            trials.push(trial.with_ignored_flag(is_skipped));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    table.print();
    conclusion.exit();
}
