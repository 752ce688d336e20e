//! What is wrong with lines of a recording. The first few lines of each kind are reported, the others counted, as a file may
//! be wrong in all of its lines.

use std::io::Write;
use std::path::Path;

use crate::engine::input::malformed::Malformed;
use crate::runtime::log_text::printable;

/// Lines that are reported of each kind of fault.
const REPORTED_MAX: u64 = 10;

/// What can be wrong with a line. The fields are those of the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    TooLong,
    NotAnObject,
    Syntax,
    TrailingBytes,
    Missing(&'static str),
    UnreadableTs,
    UnreadableSubject,
    /// It is a record, and its event cannot be read.
    Malformed(Malformed),
    /// It is a record that cannot be sent: why.
    Unpublishable(&'static str),
}

impl Fault {
    pub const NOT_A_SUBJECT: Fault = Fault::Unpublishable("that is no subject to publish to");
    pub const PAYLOAD_TOO_LARGE: Fault = Fault::Unpublishable("its payload is more than the server takes");
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong => f.write_str("no record: it is too long"),
            Self::NotAnObject => f.write_str("no record: it is no JSON object"),
            Self::Syntax => f.write_str("no record: it is not well-formed JSON"),
            Self::TrailingBytes => f.write_str("no record: something follows its JSON object"),
            Self::Missing(field) => write!(f, "no record: the field \"{field}\" is missing"),
            Self::UnreadableTs => {
                f.write_str("no record: the field \"ts\" is neither an RFC 3339 string nor a number since 1970")
            }
            Self::UnreadableSubject => f.write_str("no record: the field \"subject\" is no JSON string"),
            Self::Malformed(malformed) => write!(f, "malformed event: {malformed}"),
            Self::Unpublishable(why) => write!(f, "cannot be sent: {why}"),
        }
    }
}

/// A line, counted from 1, what is wrong with it, and the text that shows it, where there is one.
#[derive(Debug, PartialEq, Eq)]
pub struct FaultyLine {
    pub line: u64,
    pub fault: Fault,
    pub shown: String,
}

impl std::fmt::Display for FaultyLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)?;
        if self.shown.is_empty() { Ok(()) } else { write!(f, " ({})", printable(&self.shown)) }
    }
}

/// The faulty lines of one file.
pub struct LineFaults {
    file: String,
    /// The lines with each of them. There are few kinds: fields and causes have fixed names.
    counts: Vec<(Fault, u64)>,
}

impl LineFaults {
    pub fn new(file: &Path) -> Self {
        LineFaults { file: file.display().to_string(), counts: Vec::new() }
    }

    pub fn note(&mut self, faulty: &FaultyLine, log: &mut impl Write) {
        let index = self.counts.iter().position(|(fault, _)| *fault == faulty.fault).unwrap_or_else(|| {
            self.counts.push((faulty.fault, 0));
            self.counts.len() - 1
        });
        let count = &mut self.counts[index].1;
        *count += 1;
        if *count <= REPORTED_MAX {
            // A report that cannot be written does not end the work.
            let _ = writeln!(log, "{}: {faulty}", self.file);
        }
    }

    /// Reports the number of the lines that were only counted.
    pub fn finish(self, log: &mut impl Write) {
        let counted = self.counts.iter().filter(|(_, count)| *count > REPORTED_MAX);
        let counted: Vec<(Fault, u64)> = counted.map(|(fault, count)| (*fault, count - REPORTED_MAX)).collect();
        if !counted.is_empty() {
            let total: u64 = counted.iter().map(|(_, count)| count).sum();
            let kinds: Vec<String> = counted.iter().map(|(fault, count)| format!("{count} {fault}")).collect();
            let _ = writeln!(log, "{}: {total} more lines: {}", self.file, kinds.join("; "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_of_each_kind_and_one_line_for_the_others() {
        let (mut faults, mut log) = (LineFaults::new("a/file".as_ref()), Vec::new());
        for line in 1..=1_000 {
            let fault = match line % 100 {
                0 => Fault::Missing("subject"),
                1 => Fault::Malformed(Malformed::Missing("price")),
                50 if line < 400 => Fault::Malformed(Malformed::Missing("size")),
                _ => Fault::NotAnObject,
            };
            faults.note(
                &FaultyLine { line, fault, shown: if line == 1 { "x\ny".into() } else { String::new() } },
                &mut log,
            );
        }
        faults.finish(&mut log);
        let log = String::from_utf8(log).unwrap();
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 10 + 10 + 10 + 4 + 1, "{log}");
        assert_eq!(lines[0], "a/file: line 1: malformed event: the required field \"price\" is missing (x\\ny)");
        assert_eq!(lines[1], "a/file: line 2: no record: it is no JSON object");
        assert_eq!(*lines.last().unwrap(), "a/file: 966 more lines: 966 no record: it is no JSON object");
    }
}
