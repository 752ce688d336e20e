//! The stages that are a part of an event's path.

use std::hint::black_box;
use std::ops::Range;

use proto_nats::{DecodeLimits, Decoded, ServerOp, decode_server_op};
use senpai_md_consumer::engine::engine::Engine;
use senpai_md_consumer::engine::input::decode::Decoder;
use senpai_md_consumer::engine::input::subject::{EventKind, split_subject};
use senpai_md_consumer::engine::receipt::Receipt;
use senpai_md_consumer::engine::settings::EngineSettings;
use senpai_md_consumer::recording::looped_frames::Stream;

use crate::PREFIX;
use crate::measure::Work;

/// Subjects and payloads of MSG frames.
pub struct Frames<'a>(pub &'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match decode_server_op(self.0, &DecodeLimits::default()) {
            Ok(Decoded::Op { op: ServerOp::Msg(message), len }) => {
                self.0 = &self.0[len..];
                Some((message.subject, message.payload))
            }
            _ => None,
        }
    }
}

/// Splits frames.
pub struct Framing {
    pub stream: Stream,
}

impl Work for Framing {
    fn events(&self) -> u64 {
        self.stream.event_count
    }

    fn prepare(&mut self, _: i64) {}

    fn run(&mut self) -> u64 {
        let split = Frames(&self.stream.bytes).map(|(subject, payload)| (subject.len(), payload.len()));
        split.map(black_box).count() as u64
    }
}

/// A stream with its frames already split.
pub struct Input {
    stream: Stream,
    events: Vec<(EventKind, Range<usize>, Range<usize>)>,
    /// Events of this type are what a pass takes through.
    kind: Option<EventKind>,
}

impl Input {
    pub fn new(stream: Stream, kind: Option<EventKind>) -> Input {
        let start = stream.bytes.as_ptr() as usize;
        let range = |bytes: &[u8]| {
            let from = bytes.as_ptr() as usize - start;
            from..from + bytes.len()
        };
        let events = Frames(&stream.bytes).map(|(subject, payload)| {
            let (kind, symbol) = split_subject(subject, PREFIX.as_bytes());
            (kind, range(symbol), range(payload))
        });
        let events = events.collect();
        Input { stream, events, kind }
    }

    fn count(&self) -> u64 {
        self.measured().count() as u64
    }

    fn all(&self) -> impl Iterator<Item = (EventKind, &[u8], &[u8])> {
        let bytes = &self.stream.bytes;
        self.events.iter().map(|(kind, symbol, payload)| (*kind, &bytes[symbol.clone()], &bytes[payload.clone()]))
    }

    fn measured(&self) -> impl Iterator<Item = (EventKind, &[u8], &[u8])> {
        self.all().filter(|(kind, ..)| self.kind.is_none_or(|wanted| wanted == *kind))
    }
}

/// Decodes payloads of one type.
pub struct Decoding {
    pub input: Input,
    pub decoder: Decoder,
}

impl Work for Decoding {
    fn events(&self) -> u64 {
        self.input.count()
    }

    fn prepare(&mut self, pass: i64) {
        self.input.stream.rebase(pass);
    }

    fn run(&mut self) -> u64 {
        let Decoding { input, decoder } = self;
        input.measured().filter(|(kind, _, payload)| black_box(decoder.decode(*kind, payload)).is_ok()).count() as u64
    }
}

/// The engine from split subject to outbox, or to the encoded output; with the windows that all the events before give.
pub struct Handling {
    input: Input,
    engine: Engine,
    takes_outputs: bool,
}

impl Handling {
    pub fn new(input: Input, settings: EngineSettings, takes_outputs: bool) -> Handling {
        Handling { input, engine: Engine::new(settings).expect("there is memory"), takes_outputs }
    }
}

impl Work for Handling {
    fn events(&self) -> u64 {
        self.input.count()
    }

    fn prepare(&mut self, pass: i64) {
        let Handling { input, engine, .. } = self;
        input.stream.rebase(2 * pass);
        for (kind, symbol, payload) in input.all() {
            engine.handle_split(kind, symbol, payload, Receipt::Unrecorded).expect("well-formed events");
        }
        input.stream.rebase(2 * pass + 1);
        while engine.poll_output().is_some() {}
        engine.stall_output();
    }

    fn run(&mut self) -> u64 {
        let Handling { input, engine, takes_outputs } = self;
        let mut handled = 0;
        for (kind, symbol, payload) in input.measured() {
            handled += u64::from(engine.handle_split(kind, symbol, payload, Receipt::Unrecorded).is_ok());
            while *takes_outputs && let Some(message) = engine.poll_output() {
                black_box(message.payload);
            }
        }
        handled
    }
}
