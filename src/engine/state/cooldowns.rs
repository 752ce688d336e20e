//! When a symbol last gave a signal in each direction.

use crate::engine::time::UnixNanos;

/// The direction of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Direction {
    Long,
    Short,
}

impl Direction {
    pub const ALL: [Direction; 2] = [Self::Long, Self::Short];

    pub fn name(self) -> &'static str {
        match self {
            Self::Long => "long",
            Self::Short => "short",
        }
    }
}

/// When each direction was last signalled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cooldowns {
    last: [Option<Signalled>; 2],
}

#[derive(Clone, Copy, Debug)]
struct Signalled {
    now: UnixNanos,
    watermark: UnixNanos,
    /// The largest watermark of all.
    watermark_max: UnixNanos,
}

impl Cooldowns {
    /// Whether the last signal in this direction is less than `cooldown` ns away from `now`, or it or the latest one was given at the
    /// same watermark: another one would have its id. (With another provider event time may have gone back.)
    #[inline]
    pub fn is_cooling(&self, direction: Direction, now: UnixNanos, watermark: UnixNanos, cooldown: i64) -> bool {
        self.last[direction as usize].is_some_and(|last| {
            now.since(last.now).abs() < cooldown || [last.watermark, last.watermark_max].contains(&watermark)
        })
    }

    pub fn start(&mut self, direction: Direction, now: UnixNanos, watermark: UnixNanos) {
        let last = &mut self.last[direction as usize];
        let watermark_max = last.map_or(watermark, |last| last.watermark_max.max(watermark));
        *last = Some(Signalled { now, watermark, watermark_max });
    }
}
