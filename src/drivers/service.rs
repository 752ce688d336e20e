//! The service: one executor a core, each with a shard; the first one answers HTTP and hears the signals.

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;

use async_channel::{Receiver, Sender, bounded};

use super::access::Access;
use super::api::Api;
use super::clock::Clock;
use super::executor;
use super::http_server::HttpServer;
use super::logging;
use super::query::{Query, answer};
use super::serve::{self, HttpBeside};
use super::shard::{Shard, ShardSettings};
use super::stop::Stop;
use crate::config::{CoreArgs, EngineArgs, HttpArgs, SubjectArgs};
use crate::engine::engine::EngineSettings;
use crate::engine::intake::Ownership;
use crate::engine::signal::SignalSettings;

/// What a question to a shard may wait behind.
const QUERIES_WAITING: usize = 64;

pub fn engine_settings(subjects: &SubjectArgs, engine: &EngineArgs) -> EngineSettings {
    EngineSettings {
        subject_prefix: subjects.subject_prefix.clone(),
        symbols_max: engine.max_symbols,
        window_trades: engine.window_trades,
        publish_interval: engine.features_interval_ns(),
        rolling_window: engine.rolling_window_ns,
        clock_skew_max: engine.max_clock_skew_ns,
        signal: SignalSettings {
            return_threshold: engine.signal_return_threshold,
            volume_threshold: engine.signal_volume_threshold,
            spread_max_bps: engine.signal_spread_max_bps,
            cooldown: engine.signal_cooldown_ns,
            age_max: engine.signal_max_age_ns,
        },
    }
}

/// The settings of each core's shard. The window trades are shared out; symbols and queue are each core's own.
pub fn shard_settings(
    access: Access,
    subjects: &SubjectArgs,
    cores: &CoreArgs,
    engine: &EngineArgs,
) -> Vec<ShardSettings> {
    let (shard, shard_count) = cores.shard.map_or((0, 1), |shard| (shard.index, shard.count));
    let core_count = cores.cores as u32;
    let access = Arc::new(access);
    let client_name = access.client_name();
    let per_core = (0..core_count).map(|core| {
        let ownership = Ownership { shard, shard_count, core, core_count };
        ShardSettings {
            engine: EngineSettings {
                window_trades: engine.window_trades.div_ceil(cores.cores),
                ..engine_settings(subjects, engine)
            },
            ownership,
            queue_bytes: engine.queue_bytes,
            busy_poll: cores.busy_poll,
            access: access.clone(),
            client_name: if core_count == 1 { client_name.to_owned() } else { format!("{client_name}-{core}") },
            subjects: subscriptions(subjects, ownership),
        }
    });
    per_core.collect()
}

/// Everything, or what the listed symbols that this core owns need, and heartbeats.
fn subscriptions(subjects: &SubjectArgs, ownership: Ownership) -> Vec<String> {
    let prefix = &subjects.subject_prefix;
    if subjects.symbols.is_all() {
        return vec![format!("{prefix}.>")];
    }
    let owned = subjects.symbols.0.iter().filter(|symbol| ownership.owns(symbol.as_bytes()));
    let kinds = ["trade", "quote", "book_l2"];
    let mut list: Vec<String> =
        owned.flat_map(|symbol| kinds.map(|kind| format!("{prefix}.{kind}.{symbol}"))).collect();
    list.push(format!("{prefix}.heartbeat.>"));
    list
}

/// Runs until SIGTERM or SIGINT; then drains and returns.
pub fn run(shards: Vec<ShardSettings>, http: &HttpArgs) -> Result<(), String> {
    run_bound(shards, HttpServer::bind(&http.http_host, http.http_port)?)
}

/// As [`run`], with the HTTP port already bound.
pub fn run_bound(shards: Vec<ShardSettings>, server: HttpServer) -> Result<(), String> {
    let address = server.local_addr();
    log::info!(address:%; "HTTP on http://{address}");
    let clock = Clock::start();
    let signals = signal_stream()?;
    let listener = server.listener().map_err(executor::cannot_start)?;
    let ownership = shards[0].ownership;
    let channels: Vec<(Sender<Query>, Receiver<Query>)> = shards.iter().map(|_| bounded(QUERIES_WAITING)).collect();
    let senders: Vec<Sender<Query>> = channels.iter().map(|(sender, _)| sender.clone()).collect();

    let mut settings = shards.into_iter().zip(channels.into_iter().map(|(_, receiver)| receiver));
    let (first_settings, first_queries) = settings.next().expect("there is a core");
    let mut others = Vec::new();
    for (settings, queries) in settings {
        let name = format!("shard-{}", settings.ownership.core);
        others.push(executor::spawn(&name, move || run_shard(settings, queries, HttpBeside::default(), clock))?);
    }
    let first = async move {
        let http_stop = Stop::new();
        let requests = Rc::new(Cell::new(0));
        let api = Rc::new(Api {
            shards: senders.clone(),
            ownership,
            clock,
            requests: requests.clone(),
            http: server.counters(),
        });
        let beside = HttpBeside { requests, listener: Some(listener) };
        let http = glommio::spawn_local({
            let stop = http_stop.clone();
            async move { server.serve(api, stop).await }
        });
        let shard = glommio::spawn_local(run_shard(first_settings, first_queries, beside, clock));
        wait_for_signal(signals).await;
        log::info!("stopping: draining the NATS connection");
        for sender in &senders {
            let _ = sender.send(Query::Stop).await;
        }
        shard.await;
        http_stop.set();
        http.await;
    };
    executor::run("shard-0", first)?;
    for other in others {
        other.join().map_err(|_| "a core has ended in error: please report the lines above as a bug")??;
    }
    Ok(())
}

async fn run_shard(settings: ShardSettings, queries: Receiver<Query>, http: HttpBeside, clock: Clock) {
    let _end = EndOnPanic;
    let shard = Rc::new(RefCell::new(Shard::new(settings, clock)));
    let stop = Stop::new();
    let answering = glommio::spawn_local({
        let (shard, questions, stop) = (shard.clone(), queries.clone(), stop.clone());
        async move {
            let _end = EndOnPanic;
            answer(shard, questions, stop).await;
        }
    });
    serve::run(shard, http, stop).await;
    queries.close();
    answering.await;
}

/// A core that has met a bug of ours ends the process: the other cores would go on as if nothing were missing.
struct EndOnPanic;

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            log::error!("a core has ended in error, so the service ends; please report the lines above as a bug");
            logging::flush();
            std::process::exit(1);
        }
    }
}

/// A stream that gets a byte for each SIGTERM and SIGINT.
fn signal_stream() -> Result<UnixStream, String> {
    let (receiver, sender) = UnixStream::pair().map_err(|error| format!("cannot listen for signals: {error}"))?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        let sender = sender.try_clone().map_err(|error| format!("cannot listen for signals: {error}"))?;
        signal_hook::low_level::pipe::register(signal, sender)
            .map_err(|error| format!("cannot listen for signals: {error}"))?;
    }
    Ok(receiver)
}

/// Waits on a thread of its own: signals are rare, and a thread that sleeps costs nothing.
async fn wait_for_signal(mut signals: UnixStream) {
    let (signalled, signal) = bounded::<()>(1);
    std::thread::spawn(move || {
        let _ = signals.read(&mut [0]);
        let _ = signalled.try_send(());
    });
    let _ = signal.recv().await;
}
