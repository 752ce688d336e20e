//! What goes to standard error: log lines, the reports of commands, internal errors. As text, or one JSON object a line:
//!
//! ```text
//!   2026-01-31T09:30:00.000000Z WARN  [senpai_md_consumer::service::shard] malformed event on md.events.trade.A: …
//!   {"ts":"2026-01-31T09:30:00.000000Z","level":"warn","target":"senpai_md_consumer::service::shard","message":"malformed
//!    event on md.events.trade.A: …","core":0,"subject":"md.events.trade.A","cause":"…","count":1}
//! ```
//!
//! A line goes to the sink (`log_sink`), which never blocks and never fails. It is one line whatever its message
//! holds, and is cut where it would be longer than `LINE_BYTES_MAX`.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use log::kv::{self, Key, Source, ToValue, Value, VisitSource, VisitValue};
use log::{Level, Log, Metadata, Record};
use serde::ser::{SerializeMap, Serializer};

use crate::config::{LogArgs, LogFormat};
use crate::engine::time::encode_time;
use crate::runtime::MachineError;
use crate::runtime::clock::{Clock, system_now};
use crate::runtime::log_limit::LogLimit;
use crate::runtime::log_sink::{ERASE_LINE, Gap, LINE_BYTES_MAX, Sink, StandardError};

/// Every key that a line may have beside `ts`, `level`, `target` and `message`, and what it holds: the same key for the
/// same thing everywhere. `tests/log.rs` holds the sources against this.
pub const KEYS: [(&str, &str); 16] = [
    ("address", "host and port that is listened on"),
    ("alerts", "alerts concerned"),
    ("cause", "why, in words"),
    ("core", "number of the core whose line it is, from 0"),
    ("count", "how many such occurrences the line stands for, itself included; of lost lines, how many"),
    ("events", "events concerned"),
    ("field", "the event's field that is at fault"),
    ("kind", "kind of the alert, as on senpai.alerts"),
    ("place", "file and line of the source, of an internal error"),
    ("providers", "providers concerned, each with a number"),
    ("server", "NATS server, host:port"),
    ("signals", "signals concerned"),
    ("since", "when it began, as ts"),
    ("snapshots", "snapshots concerned"),
    ("step_s", "by how much the clock has stepped, in seconds"),
    ("subject", "NATS subject"),
];

/// At the end of the service, for a standard error that is slow: it has 5 s to end in and uses the others.
pub const SERVICE_FLUSH: Duration = Duration::from_millis(500);
/// At the end of a command, whose report is a part of what it was asked for.
pub const REPORT_FLUSH: Duration = Duration::from_secs(10);
/// For an internal error, after which the process may end: its line should be written before.
const PANIC_FLUSH: Duration = Duration::from_millis(100);
/// A text that is one of several in a line; also that of nothing but escapes, six bytes each, leaves room for others.
const TEXT_BYTES_MAX: usize = 500;

/// Of a terminal that is as narrow as they come.
const PROGRESS_COLUMNS: usize = 79;

/// Of lines that are a report, or say why something failed.
const OWN_TARGET: &str = "senpai_md_consumer";
const NO_KEYS: [(&str, Value<'static>); 0] = [];

static SINK: OnceLock<Sink> = OnceLock::new();
static FORMAT: OnceLock<LogFormat> = OnceLock::new();
static IS_COLOURED: AtomicBool = AtomicBool::new(false);

/// To be called first of all: from then on no log line can block or fail.
pub fn start() -> Result<(), MachineError> {
    let mut stderr = StandardError::default();
    let sink = Sink::start(move |line| stderr.write(line), gap_line).map_err(MachineError::NoThread)?;
    let _ = SINK.set(sink);
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Log lines are written from now on, as the settings say; they are discarded until then. Reports and failures are always
/// written.
pub fn enable(args: &LogArgs) {
    let _ = FORMAT.set(args.log_format);
    IS_COLOURED.store(io::stderr().is_terminal(), Ordering::Relaxed);
    log::set_max_level(args.log_level);
    // It fails only when a logger is set already, and this is the first.
    let _ = log::set_logger(&Logger);
}

/// Waits until everything is written, up to `limit`: to be called before the process ends.
pub fn flush(limit: Duration) {
    if let Some(sink) = SINK.get() {
        sink.flush(limit);
    }
}

/// Whether a person may be reading: then work that takes long says how far it is.
pub(super) fn shows_progress() -> bool {
    format() == LogFormat::Text && io::stderr().is_terminal()
}

/// Whether a person sees what goes to standard output.
pub(super) fn results_are_seen() -> bool {
    io::stdout().is_terminal()
}

/// Draws the line that says how far work is, in the place of the one before; an empty one erases it. It has no line end, so that
/// the sink knows it.
pub(super) fn draw_progress(text: &str) {
    let columns: String = text.chars().take(PROGRESS_COLUMNS).collect();
    push(format!("{ERASE_LINE}{columns}"));
}

/// Lines that standard error has not taken, since the start.
pub fn lines_lost() -> u64 {
    SINK.get().map_or(0, Sink::lines_lost)
}

/// Why the command has failed, in one line.
pub fn report_failure(text: &str) {
    push(match format() {
        LogFormat::Text => text_line(&format!("error: {}", printed(text))),
        LogFormat::Json => json_line(Level::Error, OWN_TARGET, text, &NO_KEYS),
    });
}

/// Takes a command's report: each line written to it is one line, in the format of the log.
#[derive(Default)]
pub struct Report {
    begun: Vec<u8>,
}

impl Write for Report {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            let text = String::from_utf8_lossy(&line[..end]);
            push(match format() {
                LogFormat::Text => text_line(&printed(&text)),
                LogFormat::Json => json_line(Level::Info, OWN_TARGET, &text, &NO_KEYS),
            });
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn format() -> LogFormat {
    FORMAT.get().copied().unwrap_or(LogFormat::Text)
}

fn push(line: String) {
    match SINK.get() {
        Some(sink) => sink.push(line),
        // There is no thread for it, so this is about to end.
        None => _ = io::stderr().write_all(line.as_bytes()),
    }
}

/// What the `log` crate's macros call.
struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            push(log_line(record.level(), record.target(), &record.args().to_string(), record.key_values()));
        }
    }

    fn flush(&self) {}
}

/// An internal error is logged whatever the level; what it ends is up to where it happens.
fn log_panic(bug: &std::panic::PanicHookInfo<'_>) {
    // Of one place at most once a second: a peer may be able to cause it.
    static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::start);
    static LIMITS: Mutex<Vec<(String, LogLimit)>> = Mutex::new(Vec::new());
    let place = bug.location().map_or_else(String::new, |place| format!("{}:{}", place.file(), place.line()));
    let count = {
        let mut limits = LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
        let known = limits.iter().position(|(known, _)| *known == place).unwrap_or_else(|| {
            limits.push((place.clone(), LogLimit::default()));
            limits.len() - 1
        });
        limits[known].1.count(CLOCK.elapsed_ns())
    };
    let Some(count) = count else { return };
    let message = format!("internal error ({place}): {}{count}", bug.payload_as_str().unwrap_or("no text"));
    let keys = [("place", Value::from(place.as_str())), ("count", count.to_value())];
    push(log_line(Level::Error, OWN_TARGET, &message, &keys));
    if let Some(sink) = SINK.get() {
        sink.flush(PANIC_FLUSH);
    }
}

/// The line that reports lost ones in their place.
fn gap_line(gap: &Gap) -> String {
    let Gap { lines, since, cause } = gap;
    let since = encode_time(*since);
    let since = std::str::from_utf8(&since).unwrap_or_default();
    let plural = if *lines == 1 { "line was" } else { "lines were" };
    let message = format!("{lines} log {plural} lost from {since} on: standard error did not take them ({cause})");
    let keys = [("count", Value::from(*lines)), ("since", Value::from(since)), ("cause", Value::from(cause.as_str()))];
    log_line(Level::Warn, OWN_TARGET, &message, &keys)
}

fn log_line(level: Level, target: &str, message: &str, keys: &dyn Source) -> String {
    if format() == LogFormat::Json {
        return json_line(level, target, message, keys);
    }
    let now = encode_time(system_now());
    let now = std::str::from_utf8(&now).unwrap_or_default();
    let (colour, plain) = match level {
        _ if !IS_COLOURED.load(Ordering::Relaxed) => ("", ""),
        Level::Error => ("\x1b[31m", "\x1b[0m"),
        Level::Warn => ("\x1b[33m", "\x1b[0m"),
        _ => ("\x1b[36m", "\x1b[0m"),
    };
    text_line(&format!("{now} {colour}{level:<5}{plain} [{target}] {}", printed(message)))
}

/// One line, with its end.
fn text_line(text: &str) -> String {
    let mut line = cut(text, LINE_BYTES_MAX - 1);
    line.push('\n');
    line
}

/// Line ends would forge lines, escape sequences would steer a terminal.
fn printed(text: &str) -> Cow<'_, str> {
    match text.contains(char::is_control) {
        false => text.into(),
        true => text
            .chars()
            .fold(String::with_capacity(text.len()), |mut printed, char| {
                match char.is_control() {
                    true => printed.extend(char.escape_debug()),
                    false => printed.push(char),
                }
                printed
            })
            .into(),
    }
}

/// As much of a text as `bytes_max` have room for; one that is cut ends in `…`.
fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(bytes_max.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..end])
}

/// One line, with its end. Escapes lengthen texts, so whether it is short enough shows when it is written; what makes it
/// too long is the message, or what a peer has sent.
fn json_line(level: Level, target: &str, message: &str, keys: &dyn Source) -> String {
    for message_bytes_max in [LINE_BYTES_MAX, LINE_BYTES_MAX / 2, TEXT_BYTES_MAX] {
        let line = encode_json(level, target, &cut(message, message_bytes_max), keys);
        if line.len() <= LINE_BYTES_MAX {
            return line;
        }
    }
    encode_json(level, target, &cut(message, TEXT_BYTES_MAX), &NO_KEYS)
}

fn encode_json(level: Level, target: &str, message: &str, keys: &dyn Source) -> String {
    let now = encode_time(system_now());
    let mut line = Vec::with_capacity(256);
    let written = (|| {
        let mut serializer = serde_json::Serializer::new(&mut line);
        let mut object = Serializer::serialize_map(&mut serializer, None)?;
        object.serialize_entry("ts", std::str::from_utf8(&now).unwrap_or_default())?;
        object.serialize_entry("level", &level.as_str().to_ascii_lowercase())?;
        object.serialize_entry("target", target)?;
        object.serialize_entry("message", message)?;
        let _ = keys.visit(&mut Entries(&mut object));
        SerializeMap::end(object)
    })();
    debug_assert!(written.is_ok(), "texts and numbers can be written, and memory takes them");
    line.push(b'\n');
    String::from_utf8(line).unwrap_or_default()
}

/// Writes a line's keys into its object.
struct Entries<'a, M>(&'a mut M);

impl<'kvs, M: SerializeMap> VisitSource<'kvs> for Entries<'_, M> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        value.visit(Entry { object: self.0, key: key.as_str() })
    }
}

struct Entry<'a, M> {
    object: &'a mut M,
    key: &'a str,
}

impl<M: SerializeMap> Entry<'_, M> {
    fn put(&mut self, value: &(impl serde::Serialize + ?Sized)) -> Result<(), kv::Error> {
        self.object.serialize_entry(self.key, value).map_err(|_| kv::Error::msg("not written"))
    }
}

impl<M: SerializeMap> VisitValue<'_> for Entry<'_, M> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), kv::Error> {
        self.visit_str(&value.to_string())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.put(&())
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        self.put(&cut(value, TEXT_BYTES_MAX))
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.put(&value)
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.put(&value)
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        self.put(&value)
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.put(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_on_its_line() {
        assert_eq!(printed("a\n2026 ERROR \u{1b}[2J\u{9b}b"), "a\\n2026 ERROR \\u{1b}[2J\\u{9b}b");
        assert_eq!(printed("as it \"is\", é"), "as it \"is\", é");
        let line = json_line(Level::Info, "t", "a\nb", &NO_KEYS);
        assert_eq!((line.matches('\n').count(), line.ends_with("}\n")), (1, true), "{line:?}");
    }

    #[test]
    fn long_lines_are_cut_and_stay_what_they_are() {
        for text in ["x".repeat(10_000), "é".repeat(10_000), "\u{1}".repeat(10_000), "\"".repeat(3_900)] {
            let line = text_line(&text);
            assert!(line.len() <= LINE_BYTES_MAX && line.ends_with('\n'), "{}", line.len());
            for keys in
                [vec![], vec![("subject", Value::from(text.as_str())); 3], vec![("x", Value::from(text.as_str())); 9]]
            {
                let line = json_line(Level::Info, "t", &text, &keys.as_slice());
                assert!(line.len() <= LINE_BYTES_MAX, "{}", line.len());
                let object: serde_json::Value = serde_json::from_str(&line).expect("it is JSON");
                assert!(object["message"].as_str().is_some_and(|message| message.len() >= 100), "{object}");
            }
        }
    }

    #[test]
    fn keys_keep_their_types() {
        let (core, missing) = (3u32, None::<u64>);
        let keys = [
            ("core", Value::from(core)),
            ("step_s", Value::from(-1.5)),
            ("count", missing.to_value()),
            ("subject", Value::from_display(&"a\"b")),
        ];
        let line = json_line(Level::Warn, "t", "m", &keys);
        let (_, rest) = line.split_once(',').expect("ts comes first");
        let expected =
            r#""level":"warn","target":"t","message":"m","core":3,"step_s":-1.5,"count":null,"subject":"a\"b"}"#;
        assert_eq!(rest.trim_end(), expected);
    }

    #[test]
    fn a_report_is_taken_by_lines() {
        let mut report = Report::default();
        write!(report, "half a li").expect("nothing fails");
        assert_eq!(report.begun, b"half a li");
        writeln!(report, "ne").expect("nothing fails");
        assert!(report.begun.is_empty());
    }
}
