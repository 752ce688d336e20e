//! Outputs that reach no subscriber though the connection works: larger than the server takes, or to subjects that it refuses.
//! What /health and the log say of them.
//!
//! A trouble lasts for a minute after the last such output, as the server says nothing when it grants a permission, or until
//! the connection ends. A line comes once a minute at most and says how many outputs it stands for, the last ones too.

use std::collections::BTreeMap;

use crate::engine::time::NANOS_PER_SECOND;
use crate::nats::error::PublishTrouble;

/// So long after the last such output all is well again.
const LASTS_NS: u64 = 60 * NANOS_PER_SECOND as u64;
/// Between two lines of one kind.
const LINE_INTERVAL_NS: u64 = 60 * NANOS_PER_SECOND as u64;
/// Refused subjects that are told apart: a server could name any.
const SUBJECTS_MAX: usize = 1024;
/// How much of such a subject is kept.
const SUBJECT_BYTES_MAX: usize = 256;

/// Of one session. Times are ns of its clock.
#[derive(Default)]
pub struct Refusals {
    /// With when each was last refused.
    subjects: BTreeMap<Box<str>, u64>,
    /// When a subject was last refused for which there was no place.
    unnamed_ns: Option<u64>,
    oversized: Option<Oversized>,
    refused_lines: Lines,
    oversized_lines: Lines,
}

struct Oversized {
    largest_bytes: u64,
    max_payload: u64,
    last_ns: u64,
}

/// A line that is due, and how many outputs it stands for.
pub struct Line {
    /// As it is when the line comes, with what was refused before it.
    pub trouble: PublishTrouble,
    /// Outputs since the last line of its kind.
    pub count: u64,
}

/// Lines of one kind.
#[derive(Default)]
struct Lines {
    unlogged: u64,
    logged_ns: Option<u64>,
}

impl Refusals {
    /// The server refuses to take what is published to `subject`.
    pub fn note_refused(&mut self, subject: &str, now_ns: u64) {
        self.refused_lines.unlogged += 1;
        let subject = &subject[..subject.floor_char_boundary(SUBJECT_BYTES_MAX)];
        if let Some(last_ns) = self.subjects.get_mut(subject) {
            *last_ns = now_ns;
            return;
        }
        if self.subjects.len() == SUBJECTS_MAX {
            self.subjects.retain(|_, last_ns| lasts(*last_ns, now_ns));
        }
        match self.subjects.len() == SUBJECTS_MAX {
            true => self.unnamed_ns = Some(now_ns),
            false => drop(self.subjects.insert(subject.into(), now_ns)),
        }
    }

    /// An output of so many bytes was not sent, as the server takes `max_payload` at most. Allocates nothing.
    #[inline]
    pub fn note_oversized(&mut self, payload_bytes: u64, max_payload: u64, now_ns: u64) {
        self.oversized_lines.unlogged += 1;
        let before = self.oversized.take().filter(|oversized| lasts(oversized.last_ns, now_ns));
        let largest_bytes = before.map_or(0, |oversized| oversized.largest_bytes).max(payload_bytes);
        self.oversized = Some(Oversized { largest_bytes, max_payload, last_ns: now_ns });
    }

    /// The connection has ended: another server may take what this one did not.
    pub fn end_connection(&mut self) {
        self.subjects.clear();
        self.unnamed_ns = None;
        self.oversized = None;
    }

    /// What is wrong.
    pub fn troubles(&self, now_ns: u64) -> impl Iterator<Item = PublishTrouble> {
        [self.oversized(now_ns), self.refused(now_ns)].into_iter().flatten()
    }

    /// A line that is due. Cheap where there is none.
    #[inline]
    pub fn poll_line(&mut self, now_ns: u64) -> Option<Line> {
        if self.oversized_lines.unlogged + self.refused_lines.unlogged == 0 {
            return None;
        }
        self.due_line(now_ns)
    }

    #[cold]
    fn due_line(&mut self, now_ns: u64) -> Option<Line> {
        if self.oversized_lines.is_due(now_ns)
            && let Some(trouble) = self.oversized(now_ns)
        {
            return Some(Line { trouble, count: self.oversized_lines.take(now_ns) });
        }
        if self.refused_lines.is_due(now_ns)
            && let Some(trouble) = self.refused(now_ns)
        {
            return Some(Line { trouble, count: self.refused_lines.take(now_ns) });
        }
        None
    }

    fn oversized(&self, now_ns: u64) -> Option<PublishTrouble> {
        let Oversized { largest_bytes, max_payload, last_ns } = *self.oversized.as_ref()?;
        lasts(last_ns, now_ns).then_some(PublishTrouble::TooLarge { largest_bytes, max_payload })
    }

    fn refused(&self, now_ns: u64) -> Option<PublishTrouble> {
        let mut subjects = self.subjects.iter().filter(|(_, last_ns)| lasts(**last_ns, now_ns));
        let (first, _) = subjects.next()?;
        Some(PublishTrouble::Refused {
            subject: first.to_string(),
            count: 1 + subjects.count(),
            are_more: self.unnamed_ns.is_some_and(|last_ns| lasts(last_ns, now_ns)),
        })
    }
}

impl Lines {
    fn is_due(&self, now_ns: u64) -> bool {
        self.unlogged > 0 && self.logged_ns.is_none_or(|logged_ns| now_ns - logged_ns >= LINE_INTERVAL_NS)
    }

    fn take(&mut self, now_ns: u64) -> u64 {
        self.logged_ns = Some(now_ns);
        std::mem::take(&mut self.unlogged)
    }
}

fn lasts(last_ns: u64, now_ns: u64) -> bool {
    now_ns.saturating_sub(last_ns) <= LASTS_NS
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = NANOS_PER_SECOND as u64;

    fn troubles(refusals: &Refusals, now_s: u64) -> Vec<String> {
        refusals.troubles(now_s * S).map(|trouble| trouble.to_string()).collect()
    }

    fn line(refusals: &mut Refusals, now_s: u64) -> Option<(String, u64)> {
        refusals.poll_line(now_s * S).map(|line| (line.trouble.to_string(), line.count))
    }

    const ONE: &str = "NATS refuses to take senpai.features.A: grant this user permission to publish to it";
    const TWO: &str = "NATS refuses to take 2 subjects, senpai.features.A among them: grant this user permission to publish to \
                       senpai.>";
    const TOO_LARGE: &str = "NATS takes 200 bytes at most (its max_payload), and the largest output that was not sent has 812: \
                             raise max_payload";

    #[test]
    fn subjects_are_counted_once_and_for_a_minute() {
        let mut refusals = Refusals::default();
        assert!(troubles(&refusals, 0).is_empty());
        refusals.note_refused("senpai.features.A", 10 * S);
        refusals.note_refused("senpai.features.A", 20 * S);
        assert_eq!(troubles(&refusals, 20), [ONE]);
        refusals.note_refused("senpai.signals.B", 50 * S);
        assert_eq!(troubles(&refusals, 80), [TWO]);
        assert_eq!(
            troubles(&refusals, 81),
            ["NATS refuses to take senpai.signals.B: grant this user permission to publish to it"]
        );
        assert!(troubles(&refusals, 111).is_empty());
        refusals.note_refused("senpai.features.A", 120 * S);
        refusals.end_connection();
        assert!(troubles(&refusals, 120).is_empty());
    }

    #[test]
    fn sizes_are_those_of_the_last_minute() {
        let mut refusals = Refusals::default();
        refusals.note_oversized(300, 200, 10 * S);
        refusals.note_oversized(812, 200, 11 * S);
        refusals.note_oversized(301, 200, 50 * S);
        assert_eq!(troubles(&refusals, 110), [TOO_LARGE]);
        assert!(troubles(&refusals, 111).is_empty());
        refusals.note_oversized(301, 200, 200 * S);
        assert!(troubles(&refusals, 200)[0].contains("has 301:"));
        refusals.note_refused("senpai.features.A", 200 * S);
        assert_eq!(troubles(&refusals, 200).len(), 2, "each has its place");
        refusals.end_connection();
        assert!(troubles(&refusals, 200).is_empty());
    }

    #[test]
    fn a_line_a_minute_stands_for_all_since_the_last() {
        let mut refusals = Refusals::default();
        assert_eq!(line(&mut refusals, 0), None);
        refusals.note_refused("senpai.features.A", 10 * S);
        refusals.note_oversized(812, 200, 10 * S);
        assert_eq!(line(&mut refusals, 10), Some((TOO_LARGE.to_owned(), 1)));
        assert_eq!(line(&mut refusals, 10), Some((ONE.to_owned(), 1)));
        assert_eq!(line(&mut refusals, 10), None);
        for number in 0..1_000 {
            refusals.note_refused(["senpai.features.A", "senpai.features.B"][number % 2], 20 * S);
        }
        // Not before, though the connection has ended meanwhile, and once there is something to be said.
        refusals.end_connection();
        refusals.note_refused("senpai.features.A", 69 * S);
        assert_eq!(line(&mut refusals, 69), None);
        assert_eq!(line(&mut refusals, 70), Some((ONE.to_owned(), 1_001)));
        assert_eq!(line(&mut refusals, 200), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut refusals = Refusals::default();
        for number in 0..3 * SUBJECTS_MAX {
            refusals.note_refused(&format!("{number:05}{}", "é".repeat(1_000)), 10 * S);
        }
        assert_eq!(refusals.subjects.len(), SUBJECTS_MAX);
        assert!(refusals.subjects.keys().all(|subject| subject.len() <= SUBJECT_BYTES_MAX));
        assert!(troubles(&refusals, 10)[0].starts_with("NATS refuses to take more than 1024 subjects, 00000é"));
        refusals.note_refused("senpai.features.A", 100 * S);
        assert_eq!(troubles(&refusals, 100), [ONE], "those before are over");
        assert_eq!(refusals.subjects.len(), 1);
    }
}
