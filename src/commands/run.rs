//! The service: one executor a core, each with a shard; the first one answers HTTP, the main thread hears the signals.
//!
//! ```text
//!   main      start: memory, port, executors ──► begin ──► waits: a signal? a core that has ended? ──► stop ──► joined
//!   shard-0             made, waits ───────────► shard, HTTP ─────────────────────────────────────────► drained
//!   shard-1             made, waits ───────────► shard ───────────────────────────────────────────────► drained
//! ```
//!
//! The start is one transaction: no event is asked for, and nothing is said to work, before everything is there that the
//! settings ask for; where something is missing, what has started is stopped, and the error says what to do.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use proto_nats::jetstream::ReaderSettings;

use crate::api::endpoints::Api;
use crate::config::{CoreArgs, EngineArgs, HttpArgs, JetStreamArgs, SubjectArgs};
use crate::engine::alerts::alert::AlertSettings;
use crate::engine::alerts::board::AlertBoard;
use crate::engine::bounds::LATENCY_ROWS_SPARE;
use crate::engine::bounds::ROLLING_WINDOW_MAX_NS;
use crate::engine::memory::{NoMemory, Table};
use crate::engine::ownership::Ownership;
use crate::engine::rules::guards::Ages;
use crate::engine::rules::momentum::SignalSettings;
use crate::engine::settings::{EngineSettings, ProviderMode, ProviderSettings};
use crate::engine::time::NANOS_PER_SECOND;
use crate::http::server::{HttpLimits, HttpServer};
use crate::nats::credentials::Access;
use crate::nats::session::StreamSettings;
use crate::runtime::bell::Bell;
use crate::runtime::clock::Clock;
use crate::runtime::executor::{self, Waiting};
use crate::runtime::kernel;
use crate::runtime::log_text::plain;
use crate::runtime::signals::{Listening, Request};
use crate::runtime::stop::Stop;
use crate::runtime::supervisor::{State, Supervisor};
use crate::runtime::task;
use crate::runtime::turns::Turns;
use crate::service::cache_warming::CacheWarmer;
use crate::service::connection_loop;
use crate::service::requests::{Pulse, RequestQueue, ShardHandle, ShardRequest, answer_requests, request_channel};
use crate::service::worker::{Worker, WorkerSettings};

/// What is beside the tables: connections, answers, and for each core the stacks of its threads. Not kept, but it must be
/// there at the start: a later allocation that fails aborts the process.
const BESIDE: Table = Table::new("threads, connections and answers", "MAX_SYMBOLS or CORES");
const BESIDE_BYTES: usize = 48 << 20;
const BESIDE_CORE_BYTES: usize = 16 << 20;
/// Of the supervisor's interval: so often the shards are asked, and it is told that they have answered.
const PULSES_PER_INTERVAL: u32 = 4;
/// Of a stream that is made: what it holds at least.
const STREAM_AGE_MIN_NS: u64 = 300 * NANOS_PER_SECOND as u64;
/// From the stop to the end of the last core. A drain takes 5 s at most; systemd and Docker kill after 10.
const STOP_LIMIT: Duration = Duration::from_secs(8);

/// The engine's settings of the whole process. Warns of a rolling window that is longer than what is kept.
pub fn engine_settings(subjects: &SubjectArgs, engine: &EngineArgs) -> EngineSettings {
    if engine.rolling_window_ns > ROLLING_WINDOW_MAX_NS {
        log::warn!(
            "ROLLING_WINDOW_SECONDS is {}: it means {}, as no feature looks back further",
            engine.rolling_window_ns as f64 / NANOS_PER_SECOND as f64,
            ROLLING_WINDOW_MAX_NS / NANOS_PER_SECOND,
        );
    }
    EngineSettings {
        subject_prefix: subjects.subject_prefix.clone(),
        symbols_max: engine.max_symbols,
        window_trades: engine.window_trades,
        latency_rows_spare: LATENCY_ROWS_SPARE,
        publish_interval: engine.features_interval_ns(),
        rolling_window: engine.rolling_window_ns.min(ROLLING_WINDOW_MAX_NS),
        clock_skew_max: engine.max_clock_skew_ns,
        deduplicate_trades: engine.deduplicate_trades,
        providers: ProviderSettings {
            mode: engine.provider_mode,
            preferred: engine.providers.0.clone(),
            timeout: engine.provider_timeout_ns,
        },
        symbol_idle: Some(engine.symbol_idle_ns).filter(|idle| *idle < i64::MAX),
        signal: SignalSettings {
            return_threshold: engine.signal_return_threshold,
            volume_threshold: engine.signal_volume_threshold,
            spread_max_bps: engine.signal_spread_max_bps,
            cooldown: engine.signal_cooldown_ns,
            age_limits: Ages {
                event: engine.signal_max_age_ns,
                quote: engine.signal_max_quote_age_ns,
                gap: engine.signal_max_gap_ns,
            },
        },
        alerts: AlertSettings {
            latency_p95_ms: engine.alert_latency_p95_ms,
            lag: engine.alert_lag_ns,
            gap: engine.alert_gap_ns,
        },
    }
}

/// The settings of each core's shard. The window trades are shared out; symbols and queue are each core's own.
pub fn worker_settings(
    access: Access,
    jetstream: Option<&JetStreamArgs>,
    subjects: &SubjectArgs,
    cores: &CoreArgs,
    engine: &EngineArgs,
) -> Vec<WorkerSettings> {
    let (shard, shard_count) = cores.shard.map_or((0, 1), |shard| (shard.index, shard.count));
    let core_count = cores.cores as u32;
    let access = Arc::new(access);
    let client_name = access.client_name();
    let engine_settings = engine_settings(subjects, engine);
    let per_core = (0..core_count).map(|core| {
        let ownership = Ownership { shard, shard_count, core, core_count };
        WorkerSettings {
            engine: EngineSettings {
                window_trades: engine.window_trades.div_ceil(cores.cores),
                ..engine_settings.clone()
            },
            ownership,
            queue_bytes: engine.queue_bytes,
            busy_poll: cores.busy_poll,
            access: access.clone(),
            client_name: if core_count == 1 { client_name.to_owned() } else { format!("{client_name}-{core}") },
            stream: jetstream.map(|jetstream| stream_settings(jetstream, subjects, ownership, &engine_settings)),
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

/// What a core reads of the stream is what it would subscribe to.
fn stream_settings(
    jetstream: &JetStreamArgs,
    subjects: &SubjectArgs,
    ownership: Ownership,
    engine: &EngineSettings,
) -> StreamSettings {
    let rolling_window_ns = engine.rolling_window as u64;
    StreamSettings {
        reader: ReaderSettings {
            stream: jetstream.jetstream_stream.clone(),
            domain: jetstream.jetstream_domain.clone(),
            filters: subscriptions(subjects, ownership),
            subjects: vec![format!("{}.>", subjects.subject_prefix)],
            creates_stream: jetstream.jetstream_create_stream,
            max_age_ns: (2 * rolling_window_ns).max(STREAM_AGE_MIN_NS),
            max_bytes: jetstream.jetstream_max_bytes,
            rolling_window_ns,
            description: format!("senpai-md-consumer {}, core {}", env!("CARGO_PKG_VERSION"), ownership.core),
        },
        lag_max_ns: engine.signal.age_limits.event as u64,
    }
}

/// Runs until SIGTERM or SIGINT; then drains and returns.
pub fn run(shards: Vec<WorkerSettings>, http: &HttpArgs) -> Result<(), String> {
    kernel::grant(shards.len(), HttpLimits::default().connections)?;
    Service::start(shards, http)?.run()
}

/// A service that has all it needs and waits to begin. Dropped instead, it ends before the drop returns.
pub struct Service {
    address: SocketAddr,
    cores: Vec<Waiting<()>>,
    shards: Vec<ShardHandle>,
    events: mpsc::Receiver<ServiceEvent>,
    /// For those who have events to tell.
    tell: mpsc::Sender<ServiceEvent>,
    _signals: Listening,
}

enum ServiceEvent {
    Signal(Request),
    /// A thread that the service needs.
    Ended {
        name: String,
        is_panic: bool,
    },
}

impl Service {
    /// Reserves the memory, takes the port, makes every core's executor. The kernel must have granted what that needs.
    /// The error is one line that says what to do.
    pub fn start(settings: Vec<WorkerSettings>, http: &HttpArgs) -> Result<Service, String> {
        let clock = Clock::start();
        let bells = settings.iter().map(|_| Bell::new().map(Arc::new)).collect::<Result<Vec<_>, _>>();
        let bells = bells.map_err(|error| {
            format!("an executor cannot be made, as there is no event descriptor for it ({}): raise the limit (ulimit -n, LimitNOFILE)", plain(&error))
        })?;
        let board = AlertBoard::new(settings[0].engine.alerts, settings.len()).map_err(|error| error.to_string())?;
        let cores = settings
            .into_iter()
            .zip(&bells)
            .map(|(settings, bell)| {
                // HTTP is on the first core: it is told there when an answer has come.
                let requests = request_channel(bell.clone(), bells[0].clone());
                Core::reserve(settings, board.clone(), requests, clock)
            })
            .collect::<Result<Vec<_>, _>>();
        let cores = cores.and_then(|cores| {
            BESIDE.list::<u8>(BESIDE_BYTES + BESIDE_CORE_BYTES * cores.len())?;
            Ok(cores)
        });
        let cores = cores.map_err(|no_memory| no_memory.to_string())?;
        let server = HttpServer::bind(&http.http_host, http.http_port)?;
        let (tell, events) = mpsc::channel();
        let signals = Listening::start({
            let tell = tell.clone();
            move |request| drop(tell.send(ServiceEvent::Signal(request)))
        })?;
        let (address, ownership) = (server.local_addr(), cores[0].settings.ownership);
        let provider_mode = cores[0].settings.engine.providers.mode;
        let mut service = Service { address, cores: Vec::new(), shards: Vec::new(), events, tell, _signals: signals };
        service.shards = cores.iter().map(|core| core.shard.clone()).collect();
        let mut http = Some(Http { server, shards: service.shards.clone(), ownership, provider_mode, board });
        for (index, core) in cores.into_iter().enumerate() {
            let (name, http) = (format!("shard-{index}"), http.take());
            let core = executor::start(&name, service.watch(&name), move || core.run(http))?;
            service.cores.push(core);
        }
        Ok(service)
    }

    /// Where HTTP is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// To be told when a thread has ended that the service needs, with whether by a panic: without it there is no service.
    pub fn watch(&self, name: &str) -> impl FnOnce(bool) + Send + use<> {
        let (tell, name) = (self.tell.clone(), name.to_owned());
        move |is_panic| drop(tell.send(ServiceEvent::Ended { name, is_panic }))
    }

    /// Until SIGTERM or SIGINT, and the drain after it. The error is that a core has ended before, or does not end; other
    /// cores may still be at work then, as the process is to end at once.
    pub fn run(mut self) -> Result<(), String> {
        let mut is_cpu_time_over = false;
        let threads: Vec<_> = self.cores.drain(..).map(Waiting::begin).collect();
        let address = self.address;
        log::info!(address:%; "HTTP on http://{address}");
        let supervisor = Supervisor::of_this_process();
        supervisor.tell(State::Ready);
        let pulse_every = supervisor.watchdog().map(|interval| interval / PULSES_PER_INTERVAL);
        let mut pulse = pulse_every.map(|_| Pulse::ask(&self.shards));
        let clock = Clock::start();
        let mut pulse_ns = 0;
        loop {
            let event = match pulse_every {
                None => self.events.recv().ok(),
                Some(every) => {
                    let left = every.saturating_sub(Duration::from_nanos(clock.elapsed_ns() - pulse_ns));
                    self.events.recv_timeout(left).ok()
                }
            };
            let Some(event) = event else {
                // This holds a sender itself, so it is the time that is over.
                pulse_ns = clock.elapsed_ns();
                if pulse.as_ref().is_some_and(Pulse::is_felt) {
                    supervisor.tell(State::Working);
                    pulse = Some(Pulse::ask(&self.shards));
                }
                continue;
            };
            match event {
                ServiceEvent::Signal(Request::Stop) => break,
                ServiceEvent::Signal(Request::ReadRules) => {
                    log::info!("SIGHUP is reserved for reading rules again; this version has none, so nothing changes");
                }
                // The kernel says it again each second.
                ServiceEvent::Signal(Request::CpuTimeOver) if is_cpu_time_over => {}
                ServiceEvent::Signal(Request::CpuTimeOver) => {
                    is_cpu_time_over = true;
                    log::warn!(
                        "the limit of processor time is reached (ulimit -t); the kernel ends this at the hard limit"
                    );
                }
                ServiceEvent::Ended { name, .. } => return Err(ended_in_error(&name)),
            }
        }
        supervisor.tell(State::Stopping);
        log::info!("stopping: draining the NATS connection");
        for shard in &self.shards {
            shard.send_now(ShardRequest::Stop);
        }
        let (clock, mut running) = (Clock::start(), threads.len());
        while running > 0 {
            let left = STOP_LIMIT.saturating_sub(Duration::from_nanos(clock.elapsed_ns()));
            match self.events.recv_timeout(left) {
                Ok(ServiceEvent::Signal(_)) => {}
                Ok(ServiceEvent::Ended { name, is_panic: true }) => return Err(ended_in_error(&name)),
                Ok(ServiceEvent::Ended { .. }) => running -= 1,
                Err(_) => return Err(format!("{running} cores have not ended within {STOP_LIMIT:?} of the stop")),
            }
        }
        // Nothing is left of them but that.
        threads.into_iter().for_each(|thread| drop(thread.join()));
        log::info!("stopped");
        Ok(())
    }
}

fn ended_in_error(name: &str) -> String {
    format!("{name} has ended in error, so the service ends; please report the lines above as a bug")
}

/// What a core needs, reserved before there is a thread for it.
struct Core {
    // Boxed, as futures that hold them are moved on a thread's stack.
    worker: Box<Worker>,
    settings: WorkerSettings,
    warmer: Box<CacheWarmer>,
    shard: ShardHandle,
    requests: RequestQueue,
}

/// What the first core has beside its shard.
struct Http {
    server: HttpServer,
    shards: Vec<ShardHandle>,
    ownership: Ownership,
    provider_mode: ProviderMode,
    board: Arc<AlertBoard>,
}

impl Core {
    fn reserve(
        settings: WorkerSettings,
        board: Arc<AlertBoard>,
        (shard, requests): (ShardHandle, RequestQueue),
        clock: Clock,
    ) -> Result<Core, NoMemory> {
        let (worker, warmer) = (Box::new(Worker::new(&settings, board, clock)?), Box::new(CacheWarmer::new()?));
        Ok(Core { worker, settings, warmer, shard, requests })
    }

    /// Until [`ShardRequest::Stop`]; HTTP answers as long as the shard is there.
    async fn run(self, http: Option<Http>) {
        let Core { worker, settings, warmer, requests, .. } = self;
        let clock = worker.shard.clock;
        let (stop, turns) = (Stop::new(), Rc::new(Turns::new(requests.bell.clone())));
        let serving = http.map(|Http { server, shards, ownership, provider_mode, board }| {
            let counts = Rc::default();
            let (stop, turns) = (stop.clone(), turns.clone());
            let for_events = turns.clone();
            let api = Api::new(shards, ownership, provider_mode, board, clock, Rc::clone(&counts), for_events);
            let api = Rc::new(api);
            task::spawn(async move { server.serve(api, stop, turns, counts).await })
        });
        run_worker(worker, settings, warmer, requests, turns).await;
        stop.set();
        if let Some(serving) = serving {
            serving.await;
        }
    }
}

async fn run_worker(
    worker: Box<Worker>,
    settings: WorkerSettings,
    warmer: Box<CacheWarmer>,
    requests: RequestQueue,
    turns: Rc<Turns>,
) {
    let worker = Rc::new(RefCell::new(*worker));
    let stop = Stop::new();
    let answering = task::spawn({
        let (worker, requests, turns, stop) = (worker.clone(), requests.clone(), turns.clone(), stop.clone());
        async move { answer_requests(worker, requests, turns, stop).await }
    });
    connection_loop::run(worker, settings, warmer, turns, &requests.bell, stop).await;
    requests.close();
    answering.await;
}
