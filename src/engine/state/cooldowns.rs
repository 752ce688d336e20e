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

/// When each direction was last signalled, in the symbol's time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cooldowns {
    last: [Option<UnixNanos>; 2],
}

impl Cooldowns {
    /// Whether the last signal in this direction is less than `cooldown` ns away from `now`. (With another provider event time may
    /// have gone back.)
    #[inline]
    pub fn is_cooling(&self, direction: Direction, now: UnixNanos, cooldown: i64) -> bool {
        self.last[direction as usize].is_some_and(|last| now.since(last).abs() < cooldown)
    }

    pub fn start(&mut self, direction: Direction, now: UnixNanos) {
        self.last[direction as usize] = Some(now);
    }
}
