//! Every setting and every command: flag > environment > `.env` > default.
//!
//! In: the arguments, the environment and the `.env` file of the working directory. Out: a [`Cli`] of checked values with
//! what the start has to say about them ([`Notes`]), or an [`Exit`]: the help that was asked for (0), or one line naming
//! the setting, its value, where that came from and what is accepted (2). No line repeats what may be a secret. Nothing behind this module checks a setting again.
//!
//! A setting's flag is its environment name in kebab case (`SIGNAL_RETURN_THRESHOLD`, `--signal-return-threshold`);
//! `tests/config.rs` holds flags, names and `.env.example` against each other. Commands take the groups they use.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::engine::settings::ProviderMode;
use crate::engine::time::NANOS_PER_SECOND;

use super::jetstream::JetStreamArgs;
use super::nats_args::NatsArgs;
use super::notes::Notes;
use super::refusal::Exit;
use super::values::{LogFormat, ProviderList, ShardSpec, Speed, Symbols};
use super::{layers, values};

/// The command line, with every setting in its final form.
#[derive(Parser, Debug, Clone)]
#[command(
    name = "senpai-md-consumer",
    version,
    override_usage = "senpai-md-consumer [COMMAND] [OPTIONS]",
    about = "Market events from NATS in; features and signals out.",
    after_help = "\
Without a command it runs the service; `senpai-md-consumer run --help` lists its settings.
Each setting is a flag, an environment variable or a line of ./.env, in that order; .env.example lists them all.

Examples:
  senpai-md-consumer                              the service, for NATS on this machine
  senpai-md-consumer --symbols BTCUSDT,ETHUSDT    the service, for two symbols
  senpai-md-consumer demo                         all of it, with nothing else installed"
)]
pub struct Cli {
    /// Without one on the command line: [`Command::Run`].
    #[command(subcommand)]
    pub command: Command,
}

/// The commands; `main` has a function for each.
#[derive(Subcommand, Debug, Clone)]
pub enum Command {
    /// The service: reads market events from NATS, publishes features and signals, answers HTTP
    #[command(after_help = "\
Examples:
  senpai-md-consumer run
  senpai-md-consumer run --nats-url nats://10.0.0.5:4222,nats://10.0.0.6:4222 --symbols BTCUSDT,ETHUSDT
  SIGNAL_RETURN_THRESHOLD=0.001 HTTP_PORT=9000 senpai-md-consumer")]
    Run(Box<Settings>),

    /// The whole thing with nothing installed: an embedded broker, a generated market or a recording, the service
    #[command(after_help = "\
Examples:
  senpai-md-consumer demo
  senpai-md-consumer demo --seed 7 --cores 2
  senpai-md-consumer demo --file recording.jsonl.gz")]
    Demo(Box<DemoArgs>),

    /// Plays a recording to NATS as market-data-service would
    #[command(after_help = "\
Examples:
  senpai-md-consumer feed recording.jsonl.gz
  senpai-md-consumer feed recording.jsonl.gz --speed 10 --rebase --loop 0
  zcat recording.jsonl.gz | senpai-md-consumer feed - --speed max")]
    Feed(Box<FeedArgs>),

    /// Writes what arrives over NATS as a recording, with receipt times
    #[command(after_help = "\
A FILE that is there is not touched. ctrl-C and SIGTERM end it well. Each second it is written up to then, so that a kill
leaves a file that can be read. A payload that is no JSON is kept as a text.

Examples:
  senpai-md-consumer record market.jsonl.gz
  senpai-md-consumer record market.jsonl --seconds 60 --subject 'md.events.*.BTCUSDT' --subject 'md.events.heartbeat.>'
  senpai-md-consumer record first.jsonl.gz --events 100000")]
    Record(Box<RecordArgs>),

    /// Plays a recording through the engine and writes what would have been published to standard output
    #[command(after_help = "\
Examples:
  senpai-md-consumer replay recording.jsonl.gz > published.jsonl
  senpai-md-consumer replay recording.jsonl --symbols BTCUSDT --signal-return-threshold 0.001
  zcat recording.jsonl.gz | senpai-md-consumer replay - --strict")]
    Replay(Box<ReplayArgs>),

    /// Writes the demo's market as a recording: the same seed and number of symbols, the same bytes
    #[command(after_help = "\
The market begins at 2026-01-01T00:00:00Z. A FILE that is there is replaced when the new one is whole.

Examples:
  senpai-md-consumer generate market.jsonl.gz
  senpai-md-consumer generate market.jsonl --seed 7 --events 1000000 --symbols 1000
  senpai-md-consumer generate - | senpai-md-consumer replay - > published.jsonl")]
    Generate(Box<GenerateArgs>),

    /// How much this machine takes: a recording through protocol, engine and outputs, over and over
    #[command(after_help = "\
Examples:
  senpai-md-consumer bench recording.jsonl.gz
  senpai-md-consumer bench recording.jsonl.gz --seconds 30 --cores 2")]
    Bench(Box<BenchArgs>),

    /// Whether the service would work here: a line for each thing looked at, `ok`, `warn` or `fail` (then it ends with 1)
    #[command(after_help = "\
It looks at the settings, the kernel's limits and io_uring, the port, NATS (connection, login, TLS, permissions, events), and
what `run` reserves at its start. It takes all settings of `run`, reads them as `run` does, and publishes nothing.

Examples:
  senpai-md-consumer check
  senpai-md-consumer check --print
  senpai-md-consumer check --nats-url tls://nats.example:4222 --nats-creds user.creds
  senpai-md-consumer check --health")]
    Check(Box<CheckArgs>),
}

/// What `run` takes: every setting there is.
#[derive(Args, Debug, Clone)]
pub struct Settings {
    /// The servers, and how to log in.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// Where events come from.
    #[command(flatten)]
    pub jetstream: JetStreamArgs,
    /// What is subscribed to.
    #[command(flatten)]
    pub subjects: SubjectArgs,
    /// Who takes which of the symbols.
    #[command(flatten)]
    pub cores: CoreArgs,
    /// For each core; `WINDOW_TRADES` is shared out.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Of the one listener, whatever the number of cores.
    #[command(flatten)]
    pub http: HttpArgs,
    /// Of the process.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What `demo` takes: all of `run` but where NATS is, which is the embedded broker, and JetStream.
#[derive(Args, Debug, Clone)]
pub struct DemoArgs {
    /// A recording to play instead of the generated market (.gz is read as such)
    #[arg(long, value_name = "FILE", value_parser = values::recording)]
    pub file: Option<PathBuf>,
    /// The generated market's seed: the same seed, the same market
    #[arg(long, value_name = "N", default_value = "1", value_parser = values::seed)]
    pub seed: u64,
    /// Port of the embedded broker on 127.0.0.1 (0: any free one)
    #[arg(long, value_name = "PORT", default_value = "4222", value_parser = values::port)]
    pub port: u16,
    /// What the service subscribes to; all of the market or the recording is played.
    #[command(flatten)]
    pub subjects: SubjectArgs,
    /// As the service's.
    #[command(flatten)]
    pub cores: CoreArgs,
    /// As the service's.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// As the service's.
    #[command(flatten)]
    pub http: HttpArgs,
    /// Of the process, broker and market included.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What `feed` takes: a recording, how it is played, and where to.
#[derive(Args, Debug, Clone)]
pub struct FeedArgs {
    /// The recording; `-` is standard input, .gz is read as such
    #[arg(value_name = "FILE", value_parser = values::recording)]
    pub file: PathBuf,
    /// How fast: 1 as recorded, 10 ten times as fast, `max` as fast as it goes
    #[arg(long, value_name = "X", default_value = "1", value_parser = values::speed)]
    pub speed: Speed,
    /// Move the timestamps so that the recording happens now
    #[arg(long)]
    pub rebase: bool,
    /// How many times (0: until stopped)
    #[arg(long = "loop", value_name = "N", default_value = "1", value_parser = values::count)]
    pub loops: u64,
    /// Wait until a stream of JetStream has stored each event; what is published again is stored once
    #[arg(long)]
    pub jetstream: bool,
    /// Where the events go.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// Of the process.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What `replay` takes: a recording and what the engine does with it. There is no socket, and no clock.
#[derive(Args, Debug, Clone)]
pub struct ReplayArgs {
    /// The recording; `-` is standard input, .gz is read as such
    #[arg(value_name = "FILE", value_parser = values::recording)]
    pub file: PathBuf,
    /// End with 1 at the first line that is no record or whose event is malformed
    #[arg(long)]
    pub strict: bool,
    /// Which of the recorded events are taken.
    #[command(flatten)]
    pub subjects: SubjectArgs,
    /// As the service's.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Of the process; what would have been published is not a part of it.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What `generate` takes: the recording that it writes, and of which market.
#[derive(Args, Debug, Clone)]
pub struct GenerateArgs {
    /// Where the recording goes; `-` is standard output, .gz is written as such
    #[arg(value_name = "FILE", value_parser = values::new_recording)]
    pub file: PathBuf,
    /// The market's seed
    #[arg(long, value_name = "N", default_value = "1", value_parser = values::seed)]
    pub seed: u64,
    /// How many events; of the demo's market some 390 a second
    #[arg(long, value_name = "N", default_value = "100000", value_parser = values::event_count)]
    pub events: u64,
    /// How many symbols: the demo's five first, then made-up ones, each quieter than the one before it
    #[arg(long, value_name = "N", default_value = "5", value_parser = values::symbol_count)]
    pub symbols: usize,
    /// Of the process.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What `bench` takes: a recording and what the engine does with it.
#[derive(Args, Debug, Clone)]
pub struct BenchArgs {
    /// The recording; .gz is read as such
    #[arg(value_name = "FILE", value_parser = values::recording)]
    pub file: PathBuf,
    /// How long
    #[arg(long = "seconds", value_name = "S", default_value = "10", value_parser = values::bench_seconds)]
    pub duration_ns: i64,
    /// Cores to use, one independent engine each; no more than there are
    #[arg(long, env, value_name = "N", default_value = "1", value_parser = values::cores)]
    pub cores: usize,
    /// Which of the recorded events are taken.
    #[command(flatten)]
    pub subjects: SubjectArgs,
    /// That of each core, which has all of `WINDOW_TRADES`.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Of the process; the figures are not a part of it.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What `record` takes: the recording that it writes, and of what.
#[derive(Args, Debug, Clone)]
pub struct RecordArgs {
    /// Where the recording goes: a file that is not there yet, .gz is written as such; `-` is standard output
    #[arg(value_name = "FILE", value_parser = values::new_recording)]
    pub file: PathBuf,
    /// What is recorded, with * and >; may be given several times (none: {SUBJECT_PREFIX}.>)
    #[arg(long = "subject", value_name = "SUBJECT", value_parser = values::subscription)]
    pub subjects: Vec<String>,
    /// End after so many seconds (none: when it is stopped)
    #[arg(long = "seconds", value_name = "S", value_parser = values::record_seconds)]
    pub duration_ns: Option<i64>,
    /// End after so many events (none: when it is stopped)
    #[arg(long, value_name = "N", value_parser = values::event_count)]
    pub events: Option<u64>,
    /// What the event subjects begin with: {prefix}.trade.{symbol} and so on
    #[arg(long, env, value_name = "SUBJECT", default_value = "md.events", value_parser = values::subject_prefix)]
    pub subject_prefix: String,
    /// Where the events come from.
    #[command(flatten)]
    pub nats: NatsArgs,
    /// Of the process.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What `check` takes: all that `run` takes, as that is what is checked.
#[derive(Args, Debug, Clone)]
pub struct CheckArgs {
    /// Look at nothing but the service that listens as the settings say: does its /health answer?
    #[arg(long)]
    pub health: bool,
    /// Look at nothing, and show every setting in force and where it comes from; secrets are masked
    #[arg(long)]
    pub print: bool,
    /// Those of the service.
    #[command(flatten)]
    pub settings: Settings,
}

/// Which events are meant.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Input")]
pub struct SubjectArgs {
    /// What the event subjects begin with: {prefix}.trade.{symbol} and so on
    #[arg(long, env, value_name = "SUBJECT", default_value = "md.events", value_parser = values::subject_prefix)]
    pub subject_prefix: String,
    /// Symbols to follow, a comma list (empty: all)
    #[arg(long, env, value_name = "A,B", default_value = "", hide_default_value = true, value_parser = Symbols::parse)]
    pub symbols: Symbols,
}

/// The machine's share in it.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Cores and sharding")]
pub struct CoreArgs {
    /// Cores to use, each with its own connection and its own symbols
    #[arg(long, env, value_name = "N", default_value = "1", value_parser = values::cores)]
    pub cores: usize,
    /// This instance's share of the symbols, i/n: 0/2 and 1/2 are the two halves (none: all)
    #[arg(long, env, value_name = "I/N", value_parser = ShardSpec::parse)]
    pub shard: Option<ShardSpec>,
    /// Spin instead of sleeping while waiting for the socket: lower latency, a whole core
    #[arg(long, env, value_name = "BOOL", default_value = "false", default_missing_value = "true", num_args = 0..=1,
          action = ArgAction::Set, value_parser = values::boolean)]
    pub busy_poll: bool,
}

/// What the engine is built with. Lengths of time are nanoseconds, whatever unit their setting has.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    /// Symbols that may exist at once, per core; events of further ones are dropped and counted
    #[arg(long, env, value_name = "N", default_value = "10000", value_parser = values::max_symbols)]
    pub max_symbols: usize,
    /// Trades held in the rolling windows, over all symbols
    #[arg(long, env, value_name = "N", default_value = "1000000", value_parser = values::window_trades)]
    pub window_trades: usize,
    /// Bytes of the queue between socket and engine, per core; it must hold the largest message
    #[arg(long, env, value_name = "BYTES", default_value = "8388608", value_parser = values::queue_bytes)]
    pub queue_bytes: usize,
    /// Length of the rolling windows in seconds; under 60 or 10 it shortens those features, over 60 it means 60
    #[arg(long = "rolling-window-seconds", env = "ROLLING_WINDOW_SECONDS", value_name = "S", default_value = "60",
          value_parser = values::rolling_window)]
    pub rolling_window_ns: i64,
    /// How far ahead of local receipt an event's time is believed, in seconds; after one that is not, its provider's events
    /// take local receipt until 5 s without another
    #[arg(long = "max-clock-skew-seconds", env = "MAX_CLOCK_SKEW_SECONDS", value_name = "S", default_value = "1",
          value_parser = values::seconds)]
    pub max_clock_skew_ns: i64,
    /// Trades with an id that are remembered, per core: one that comes again changes nothing (0: none)
    #[arg(long, env, value_name = "N", default_value = "65536", value_parser = values::deduplicate_trades)]
    pub deduplicate_trades: usize,
    /// What a symbol is when several providers send it: primary (the market of one at a time), merged (one market of all) or
    /// separate (a market for each, named SYMBOL@PROVIDER)
    #[arg(long, env, value_name = "MODE", default_value = "primary", value_parser = values::provider_mode)]
    pub provider_mode: ProviderMode,
    /// With primary: the providers, a comma list, the first preferred to the second, and these to all others (empty: none)
    #[arg(long, env, value_name = "A,B", default_value = "", hide_default_value = true, value_parser = ProviderList::parse)]
    pub providers: ProviderList,
    /// With primary: a provider that has not sent a symbol for so long, in seconds, gives way to another
    #[arg(long = "provider-timeout-seconds", env = "PROVIDER_TIMEOUT_SECONDS", value_name = "S", default_value = "30",
          value_parser = values::provider_timeout)]
    pub provider_timeout_ns: i64,
    /// A symbol that has been silent for so long, in seconds, gives up its place when a new one needs it (1 or more; 0: never)
    #[arg(long = "symbol-idle-seconds", env = "SYMBOL_IDLE_SECONDS", value_name = "S", default_value = "3600",
          value_parser = values::idle_seconds)]
    pub symbol_idle_ns: i64,
    /// Feature snapshots a second and symbol at most (0: none)
    #[arg(long, env, value_name = "HZ", default_value = "10", value_parser = values::rate)]
    pub features_pub_rate_hz: f64,
    /// A signal needs return_10s beyond this, up or down (0.003 is 0.3 %)
    #[arg(long, env, value_name = "X", default_value = "0.003", value_parser = values::threshold)]
    pub signal_return_threshold: f64,
    /// A signal needs trade_volume_10s above this
    #[arg(long, env, value_name = "X", default_value = "1.0", value_parser = values::threshold)]
    pub signal_volume_threshold: f64,
    /// A signal needs spread_bps below this
    #[arg(long, env, value_name = "BPS", default_value = "20", value_parser = values::threshold)]
    pub signal_spread_max_bps: f64,
    /// Between two signals of one symbol and direction, in seconds of event time
    #[arg(long = "signal-cooldown-seconds", env = "SIGNAL_COOLDOWN_SECONDS", value_name = "S", default_value = "10",
          value_parser = values::seconds)]
    pub signal_cooldown_ns: i64,
    /// Events older than this at receipt, in seconds, give no signal (0: no limit)
    #[arg(long = "signal-max-age-seconds", env = "SIGNAL_MAX_AGE_SECONDS", value_name = "S", default_value = "5",
          value_parser = values::limit_seconds)]
    pub signal_max_age_ns: i64,
    /// No signal while the newest quote or book is older than this, in seconds (0: no limit)
    #[arg(long = "signal-max-quote-age-seconds", env = "SIGNAL_MAX_QUOTE_AGE_SECONDS", value_name = "S",
          default_value = "30", value_parser = values::limit_seconds)]
    pub signal_max_quote_age_ns: i64,
    /// No signal while return_10s is measured from a trade older than 10 s and this, in seconds: a halt (0: no limit)
    #[arg(long = "signal-max-gap-seconds", env = "SIGNAL_MAX_GAP_SECONDS", value_name = "S", default_value = "60",
          value_parser = values::limit_seconds)]
    pub signal_max_gap_ns: i64,
    /// Alert when the 95th percentile of a symbol's latency is above this, in ms (0: never)
    #[arg(long, env, value_name = "MS", default_value = "1000", value_parser = values::limit_ms)]
    pub alert_latency_p95_ms: f64,
    /// Alert when for 5 s all events of a provider come later than this after their time, in seconds (0: never)
    #[arg(long = "alert-lag-seconds", env = "ALERT_LAG_SECONDS", value_name = "S", default_value = "5",
          value_parser = values::limit_seconds)]
    pub alert_lag_ns: i64,
    /// Alert when nothing has come from a provider for this long, in seconds (0: never)
    #[arg(long = "alert-gap-seconds", env = "ALERT_GAP_SECONDS", value_name = "S", default_value = "15",
          value_parser = values::limit_seconds)]
    pub alert_gap_ns: i64,
}

impl EngineArgs {
    /// Between two snapshots of a symbol; `None` when features are off. Rounded up: the rate is never exceeded.
    pub fn features_interval_ns(&self) -> Option<i64> {
        (self.features_pub_rate_hz > 0.0).then(|| (NANOS_PER_SECOND as f64 / self.features_pub_rate_hz).ceil() as i64)
    }
}

/// Where HTTP answers.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "HTTP")]
pub struct HttpArgs {
    /// Address to listen on; 0.0.0.0 is every IPv4 interface
    #[arg(long, env, value_name = "HOST", default_value = "127.0.0.1", value_parser = values::host)]
    pub http_host: String,
    /// Port to listen on (0: any free one)
    #[arg(long, env, value_name = "PORT", default_value = "8892", value_parser = values::port)]
    pub http_port: u16,
}

/// What is logged, and how.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// What goes to standard error: off, error, warn, info, debug or trace
    #[arg(long, env, value_name = "LEVEL", default_value = "info", value_parser = values::log_level)]
    pub log_level: log::LevelFilter,
    /// How it is written: text, or json with one object a line
    #[arg(long, env, value_name = "FORMAT", default_value = "text", value_parser = values::log_format)]
    pub log_format: LogFormat,
}

/// Reads the arguments (the program's name first), the environment and `.env`.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<(Cli, Notes), Exit> {
    layers::parse(args.into_iter().collect(), ".env".as_ref())
}
