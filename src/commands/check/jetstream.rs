//! What `check` finds out of the stream, where one is to be read: JetStream, the stream, its retention and subjects, permissions, the
//! age of its newest message. It asks as the service does, and makes nothing but a consumer that the server forgets.

use std::io::{self, Write};

use proto_nats::jetstream::{Phase, Trouble};

use crate::commands::check::nats::Visit;
use crate::commands::check::{Level, Lines};
use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::stream_words;
use crate::service::worker::WorkerSettings;

/// For the server's answers, and the first messages.
const LIMIT_NS: u64 = 5 * NANOS_PER_SECOND as u64;

/// Reads the stream of the first core until it is known whether that can be done.
pub fn look<W: Write>(lines: &mut Lines<W>, shards: &[WorkerSettings]) -> io::Result<()> {
    let Some(mut stream) = shards[0].stream.clone() else { return Ok(()) };
    let (name, is_made) = (stream.reader.stream.clone(), stream.reader.creates_stream);
    stream.reader.creates_stream = false;
    let mut visit = match Visit::connect(shards, Vec::new(), Some(stream)) {
        Ok(visit) => visit,
        // That there is no connection was said before.
        Err(failure) => return lines.say(Level::Fail, "JetStream", &failure.to_string()),
    };
    visit.wait(LIMIT_NS, |visit| {
        let reader = visit.sockets.session.stream().expect("it reads one");
        reader.trouble().is_some() || reader.has_caught_up() || visit.first_event.is_some()
    });
    let now_ns = visit.sockets.clock.elapsed_ns();
    let reader = visit.sockets.session.stream().expect("it reads one");
    let report = reader.report(now_ns);
    match (reader.trouble(), report.phase) {
        (Some(Trouble::NoStream), _) if is_made => {
            let found = format!("there is no stream {name} yet: the service makes it (JETSTREAM_CREATE_STREAM)");
            lines.say(Level::Ok, "JetStream", &found)
        }
        (Some(_), _) | (None, Phase::Offline | Phase::Preparing) => {
            let trouble = stream_words::trouble(reader, now_ns);
            lines.say(Level::Fail, "JetStream", &trouble)
        }
        (None, Phase::Newest | Phase::CatchingUp | Phase::Live) => {
            lines.say(Level::Ok, "JetStream", &format!("stream {name} can be read"))?;
            match report.applied_count {
                0 => {
                    let found = format!(
                        "the stream {name} holds none of what is to be read: does the producer run, and publish to this \
                         server? Is SUBJECT_PREFIX what its subjects begin with?"
                    );
                    lines.say(Level::Warn, "events", &found)
                }
                _ => lines.say(Level::Ok, "events", "the stream holds some"),
            }
        }
    }
}
