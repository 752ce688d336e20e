//! Texts into values. An `Err` is what would have been accepted; [`crate::config::layers`] puts the setting and the value before it.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use proto_nats::Secret;
use proto_nats::jetstream;
use proto_nats::subject::is_valid_pattern;

use crate::config::files::NamedFile;
use crate::config::shown::may_be_secret;
use crate::engine::bounds::{DEDUPLICATE_TRADES_MAX, PROVIDER_BYTES_MAX, PROVIDERS_LISTED_MAX};
use crate::engine::bounds::{SYMBOL_BYTES_MAX, SYMBOLS_MAX, WINDOW_TRADES_MAX};
use crate::engine::input::subject::is_valid_symbol;
use crate::engine::settings::ProviderMode;
use crate::engine::state::provider::NAMELESS;
use crate::engine::state::symbol_names::{FEATURES_PREFIX, SIGNALS_PREFIX};
use crate::engine::time::NANOS_PER_SECOND;

/// A year: no length of time here makes sense beyond it, and sums with moments stay far from overflow.
const SECONDS_MAX: f64 = 31_536_000.0;
/// Below one snapshot in 10,000 s `0` is what was meant.
const RATE_MIN_HZ: f64 = 0.0001;
const RATE_MAX_HZ: f64 = 1000.0;
const NAME_BYTES_MAX: usize = 256;
/// nats-server takes control lines up to 4 KiB.
const SUBSCRIPTION_BYTES_MAX: usize = 4000;
/// More than any market has, and a few hundred bytes each.
const GENERATED_SYMBOLS_MAX: usize = 100_000;
/// Nothing is published under it yet; the subject itself is that of the alerts.
const ALERTS_PREFIX: &str = "senpai.alerts.";

fn integer<T: FromStr + PartialOrd + fmt::Display>(
    text: &str,
    range: RangeInclusive<T>,
    what: &str,
) -> Result<T, String> {
    match text.trim().parse() {
        Ok(value) if range.contains(&value) => Ok(value),
        _ => Err(format!("{what} from {} to {}", range.start(), range.end())),
    }
}

/// Refuses NaN and the infinities by the range; `+ 0.0` turns a negative zero into zero.
fn decimal(text: &str, range: RangeInclusive<f64>) -> Option<f64> {
    let value: f64 = text.trim().parse().ok()?;
    range.contains(&value).then_some(value + 0.0)
}

fn seconds_within(text: &str, range: RangeInclusive<f64>) -> Result<i64, String> {
    match decimal(text, range.clone()) {
        Some(seconds) => Ok((seconds * NANOS_PER_SECOND as f64).round() as i64),
        None => Err(format!("a number of seconds from {} to {} (fractions too)", range.start(), range.end())),
    }
}

/// 0 s to a year; in ns.
pub fn seconds(text: &str) -> Result<i64, String> {
    seconds_within(text, 0.0..=SECONDS_MAX)
}

/// As [`seconds`]; 0 is no limit, and read as the longest of all lengths.
pub fn limit_seconds(text: &str) -> Result<i64, String> {
    seconds(text).map(|ns| if ns == 0 { i64::MAX } else { ns })
}

/// 0, or 1 s to a year; in ns, as [`limit_seconds`]. A place that changes hands more often holds nothing that is of use.
pub fn idle_seconds(text: &str) -> Result<i64, String> {
    match limit_seconds(text) {
        Ok(ns) if ns >= NANOS_PER_SECOND => Ok(ns),
        _ => Err(format!("0 (never) or a number of seconds from 1 to {SECONDS_MAX} (fractions too)")),
    }
}

/// In ms, as [`threshold`]; 0 is no limit, and read as infinity.
pub fn limit_ms(text: &str) -> Result<f64, String> {
    threshold(text).map(|ms| if ms == 0.0 { f64::INFINITY } else { ms })
}

/// 1 s to a year; in ns. With less, every pause between two events would be a change of the provider.
pub fn provider_timeout(text: &str) -> Result<i64, String> {
    seconds_within(text, 1.0..=SECONDS_MAX)
}

/// 1 s to an hour; in ns.
pub fn rolling_window(text: &str) -> Result<i64, String> {
    seconds_within(text, 1.0..=3600.0)
}

/// 0.1 s to a day; in ns.
pub fn bench_seconds(text: &str) -> Result<i64, String> {
    seconds_within(text, 0.1..=86_400.0)
}

/// 0.1 s to a year; in ns.
pub fn record_seconds(text: &str) -> Result<i64, String> {
    seconds_within(text, 0.1..=31_536_000.0)
}

/// What is subscribed to, wildcards among it.
pub fn subscription(text: &str) -> Result<String, String> {
    match text.len() <= SUBSCRIPTION_BYTES_MAX && is_valid_pattern(text.as_bytes()) {
        true => Ok(text.to_owned()),
        false => Err("a subject like md.events.trade.* or md.events.>".to_owned()),
    }
}

/// In Hz; 0 is off.
pub fn rate(text: &str) -> Result<f64, String> {
    match decimal(text, 0.0..=RATE_MAX_HZ) {
        Some(rate) if rate == 0.0 || rate >= RATE_MIN_HZ => Ok(rate),
        _ => Err(format!("0 (off) or a number from {RATE_MIN_HZ} to {RATE_MAX_HZ} a second")),
    }
}

/// 0 or more.
pub fn threshold(text: &str) -> Result<f64, String> {
    decimal(text, 0.0..=f64::MAX).ok_or_else(|| "a number that is not negative".to_owned())
}

/// 1 s to an hour; in ns.
pub fn ping_interval(text: &str) -> Result<i64, String> {
    seconds_within(text, 1.0..=3600.0)
}

/// Any text; it must be there, and its errors say nothing of it.
pub fn secret(text: &str) -> Result<Secret, String> {
    match text.is_empty() {
        true => Err("a text that is not empty".to_owned()),
        false => Ok(Secret::new(text)),
    }
}

/// A file to be read; whether it is there and of use shows then.
pub fn file(text: &str) -> Result<NamedFile, String> {
    match text.is_empty() {
        true => Err("a file's name".to_owned()),
        false => Ok(NamedFile(text.into())),
    }
}

/// As [`file`], for one whose name errors repeat: what looks like a secret must be there to be a name.
pub fn recording(text: &str) -> Result<PathBuf, String> {
    match text.is_empty() || may_be_secret(text) && !Path::new(text).exists() {
        true => Err("the name of a recording that is there".to_owned()),
        false => Ok(text.into()),
    }
}

/// A recording to be written. Errors repeat its name, so that one that looks like a secret needs a folder that is there or a
/// recording's ending.
pub fn new_recording(text: &str) -> Result<PathBuf, String> {
    let folder = Path::new(text).parent().filter(|folder| !folder.as_os_str().is_empty());
    let ends_as_one = (text.ends_with(".jsonl") || text.ends_with(".gz")) && !text.contains("://");
    match text.is_empty() || may_be_secret(text) && !ends_as_one && !folder.is_some_and(Path::exists) {
        true => Err("the name of a file like market.jsonl.gz, in a folder that is there".to_owned()),
        false => Ok(text.into()),
    }
}

/// From 1 on, up to what the engine can hold.
pub fn max_symbols(text: &str) -> Result<usize, String> {
    integer(text, 1..=SYMBOLS_MAX, "a number")
}

/// From 0 on, up to what is told apart well enough.
pub fn deduplicate_trades(text: &str) -> Result<usize, String> {
    integer(text, 0..=DEDUPLICATE_TRADES_MAX, "a number of trades")
}

/// From 1 on, up to what the engine can hold.
pub fn window_trades(text: &str) -> Result<usize, String> {
    integer(text, 1..=WINDOW_TRADES_MAX, "a number")
}

/// 64 KiB to 1 GiB, the capacity of a receive buffer.
pub fn queue_bytes(text: &str) -> Result<usize, String> {
    integer(text, 64 << 10..=1 << 30, "a number of bytes")
}

/// 1 to 256.
pub fn cores(text: &str) -> Result<usize, String> {
    integer(text, 1..=256, "a number")
}

/// 0: any free one.
pub fn port(text: &str) -> Result<u16, String> {
    integer(text, 0..=u16::MAX, "a port")
}

/// Any 64 bits.
pub fn seed(text: &str) -> Result<u64, String> {
    integer(text, 0..=u64::MAX, "a whole number")
}

/// 0 to a billion.
pub fn count(text: &str) -> Result<u64, String> {
    integer(text, 0..=1_000_000_000, "a whole number")
}

/// 1 to a billion.
pub fn event_count(text: &str) -> Result<u64, String> {
    integer(text, 1..=1_000_000_000, "a number")
}

/// Of a generated market.
pub fn symbol_count(text: &str) -> Result<usize, String> {
    integer(text, 1..=GENERATED_SYMBOLS_MAX, "a number")
}

/// `true`, `1`, `yes`, `on` and their opposites, in any case.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// Of a stream, or of a domain.
pub fn stream(text: &str) -> Result<String, String> {
    match jetstream::is_valid_name(text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "a name of 1 to {} bytes without spaces, dots, slashes and wildcards",
            jetstream::NAME_BYTES_MAX
        )),
    }
}

/// From a mebibyte on.
pub fn stream_bytes(text: &str) -> Result<u64, String> {
    integer(text, 1 << 20..=1 << 50, "a number of bytes")
}

/// In any case.
pub fn log_level(text: &str) -> Result<log::LevelFilter, String> {
    text.trim().parse().map_err(|_| "off, error, warn, info, debug or trace".to_owned())
}

/// How lines on standard error are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line of text.
    Text,
    /// One object a line.
    Json,
}

/// In any case.
pub fn log_format(text: &str) -> Result<LogFormat, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("text or json".to_owned()),
    }
}

/// Trimmed; not empty, bounded, without control characters.
pub fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    match !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(format!("a text of 1 to {NAME_BYTES_MAX} bytes without control characters")),
    }
}

/// An address or a host name; whether it exists shows when it is bound. A number alone would be read as an IPv4 address.
pub fn host(text: &str) -> Result<String, String> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let named = bare.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    let is_number = bare.bytes().all(|b| b.is_ascii_digit());
    match !bare.is_empty() && !is_number && (named || bare.parse::<std::net::Ipv6Addr>().is_ok()) {
        true => Ok(bare.to_owned()),
        false => Err("an IP address or a host name, without a port".to_owned()),
    }
}

/// A literal subject: tokens between dots, none of them empty. Blanks, control characters and wildcards are refused
/// anywhere; NATS itself gives `*` and `>` their meaning only as whole tokens, but as letters they can only confuse.
fn is_subject(text: &str) -> bool {
    !text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '*' | '>'))
        && text.split('.').all(|token| !token.is_empty())
}

/// What event subjects begin with. Where the service's own outputs would begin with it as well, it would take them for
/// events and answer them.
pub fn subject_prefix(text: &str) -> Result<String, String> {
    let prefix = text.trim();
    if !is_subject(prefix) {
        return Err("a subject like md.events, without spaces or wildcards".to_owned());
    }
    let under = format!("{prefix}.");
    let is_of_outputs = |outputs: &&str| outputs.starts_with(&under) || under.starts_with(*outputs);
    match [FEATURES_PREFIX, SIGNALS_PREFIX, ALERTS_PREFIX].into_iter().find(is_of_outputs) {
        None => Ok(prefix.to_owned()),
        Some(outputs) => Err(format!("a subject like md.events, and none that covers this service's own {outputs}>")),
    }
}

/// The symbols that are asked for, in the order given, each once; none means all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Symbols(pub Vec<String>);

impl Symbols {
    /// No symbol is named, so all are meant.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// A comma list; what is listed twice counts once.
    pub(super) fn parse(text: &str) -> Result<Symbols, String> {
        let mut symbols: Vec<String> = Vec::new();
        for symbol in text.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            if !is_valid_symbol(symbol.as_bytes()) || !is_subject(symbol) {
                return Err(format!(
                    "a comma list of symbols like BTCUSDT or BTC/USD, each of at most {SYMBOL_BYTES_MAX} bytes, without spaces or wildcards"
                ));
            }
            if !symbols.iter().any(|known| known == symbol) {
                symbols.push(symbol.to_owned());
            }
        }
        Ok(Symbols(symbols))
    }
}

/// The providers that are preferred, the first to the second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderList(pub Vec<String>);

impl ProviderList {
    /// A comma list; what is listed twice counts once.
    pub(super) fn parse(text: &str) -> Result<ProviderList, String> {
        let mut providers: Vec<String> = Vec::new();
        for provider in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if provider.len() > PROVIDER_BYTES_MAX || NAMELESS.contains(&provider) {
                return Err(format!(
                    "a comma list of providers' names, each of at most {PROVIDER_BYTES_MAX} bytes and none of them {}",
                    NAMELESS.join(" or ")
                ));
            }
            if !providers.iter().any(|known| known == provider) {
                providers.push(provider.to_owned());
            }
        }
        match providers.len() <= PROVIDERS_LISTED_MAX {
            true => Ok(ProviderList(providers)),
            false => Err(format!("at most {PROVIDERS_LISTED_MAX} providers")),
        }
    }
}

/// `primary`, `merged` or `separate`.
pub fn provider_mode(text: &str) -> Result<ProviderMode, String> {
    let named = ProviderMode::ALL.into_iter().find(|mode| text.trim().eq_ignore_ascii_case(mode.name()));
    named.ok_or_else(|| format!("one of {}", ProviderMode::ALL.map(ProviderMode::name).join(", ")))
}

/// One of `count` equal shares of the symbols; `index` counts from 0, as NATS's own `partition()` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardSpec {
    /// Which share.
    pub index: u32,
    /// How many shares there are.
    pub count: u32,
}

impl ShardSpec {
    /// `i/n`, `i` from 0 on.
    pub(super) fn parse(text: &str) -> Result<ShardSpec, String> {
        let shard = text.trim().split_once('/').and_then(|(index, count)| {
            Some(ShardSpec { index: index.trim().parse().ok()?, count: count.trim().parse().ok()? })
        });
        match shard {
            Some(shard) if shard.index < shard.count && shard.count <= 1024 => Ok(shard),
            _ => Err("i/n with i from 0 to n - 1 and n from 1 to 1024, like 0/2".to_owned()),
        }
    }
}

/// How fast a recording is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// This many times as fast as it was recorded.
    Times(f64),
    /// As fast as it goes.
    Max,
}

/// `max`, or times the speed of the recording.
pub fn speed(text: &str) -> Result<Speed, String> {
    if text.trim().eq_ignore_ascii_case("max") {
        return Ok(Speed::Max);
    }
    decimal(text, 0.001..=1e6).map(Speed::Times).ok_or_else(|| "max or a number from 0.001 to 1000000".to_owned())
}
