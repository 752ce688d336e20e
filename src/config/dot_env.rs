//! The `.env` file of the working directory: what it sets, and what in it is no setting.
//!
//! An error names the line, and the setting where it is one: everything else in the file may be a part of a secret that
//! was broken over two lines.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::config::files::read_regular;
use crate::config::names::meant_by;
use crate::config::shown::{is_about_nats, may_be_secret};

const STRANGERS_SAID_MAX: usize = 10;

/// The settings of a `.env` file; the last of several lines wins, and an empty value is none.
#[derive(Default)]
pub(super) struct DotEnv {
    /// With the numbers of their lines.
    values: HashMap<String, (String, usize)>,
    /// One for each name that is no setting, or that stands there twice.
    pub warnings: Vec<String>,
}

impl DotEnv {
    /// A file that is not there is an empty one. The error is one line for the user.
    pub fn read(path: &Path, settings: &[&str]) -> Result<DotEnv, String> {
        let name = path.display();
        let bytes = match read_regular(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(DotEnv::default()),
            Err(error) => return Err(format!("{name} cannot be read: {error}")),
        };
        match std::str::from_utf8(&bytes) {
            Ok(text) => DotEnv::parse(text, settings),
            Err(error) => {
                let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
                Err(format!("{name} line {line} is not UTF-8 text"))
            }
        }
    }

    fn parse(text: &str, settings: &[&str]) -> Result<DotEnv, String> {
        let text = text.trim_start_matches('\u{feff}');
        let taken = Cell::new(0);
        let items = dotenvy::Iter::new(Lines { text, taken: &taken });
        let mut read = DotEnv::default();
        let mut strangers = Strangers::default();
        let mut twice = Vec::new();
        let (mut start, mut lines_before) = (0, 0);
        for item in items {
            let taken_by_item = &text[start..taken.get()];
            let line = Assignment::first_in(taken_by_item, lines_before + 1);
            start += taken_by_item.len();
            lines_before += taken_by_item.matches('\n').count();
            match item {
                Err(_) => {
                    let name = settings
                        .iter()
                        .find(|name| **name == line.name)
                        .map_or(String::new(), |name| format!(" ({name}=…)"));
                    return Err(format!(
                        ".env line {}{name} is malformed, accepted is NAME=value, in single quotes where the value has \
                         spaces or several lines",
                        line.number
                    ));
                }
                Ok((name, _)) if !settings.contains(&&*name) => strangers.add(&line, settings),
                Ok((name, value)) => {
                    strangers.note_setting(&line);
                    if let Some(problem) = line.changed_by_reading() {
                        return Err(format!(
                            ".env line {} ({name}=…): {problem}; put the value into single quotes",
                            line.number
                        ));
                    }
                    if let Some((_, before)) = read.values.get(&name).filter(|_| twice.len() < STRANGERS_SAID_MAX) {
                        twice.push(format!(
                            ".env line {}: {name} is in line {before} as well; this line, the last one, counts",
                            line.number
                        ));
                    }
                    match value.is_empty() {
                        true => read.values.remove(&name),
                        false => read.values.insert(name, (value, line.number)),
                    };
                }
            }
        }
        read.warnings = strangers.into_warnings();
        read.warnings.extend(twice);
        Ok(read)
    }

    /// The file's value; `None` where the file does not have the setting.
    pub fn value(&self, setting: &str) -> Option<&str> {
        self.values.get(setting).map(|(value, _)| value.as_str())
    }

    /// The line that it stands in, counted from 1.
    pub fn line(&self, setting: &str) -> Option<usize> {
        self.values.get(setting).map(|(_, line)| *line)
    }
}

/// Gives a line at a time, so that the place of each item is known: dotenvy does not say it.
struct Lines<'a> {
    text: &'a str,
    /// Bytes that were given.
    taken: &'a Cell<usize>,
}

impl Read for Lines<'_> {
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        let rest = &self.text.as_bytes()[self.taken.get()..];
        let line = rest.iter().position(|byte| *byte == b'\n').map_or(rest, |end| &rest[..=end]);
        let len = line.len().min(place.len());
        place[..len].copy_from_slice(&line[..len]);
        self.taken.set(self.taken.get() + len);
        Ok(len)
    }
}

/// A line of the file, or several where quotes go over them.
struct Assignment<'a> {
    number: usize,
    line_count: usize,
    /// As far as it can be told: what stands before the `=`.
    name: &'a str,
    value: &'a str,
}

impl<'a> Assignment<'a> {
    /// Behind the empty lines and comments that an item of dotenvy begins with.
    fn first_in(mut text: &'a str, mut number: usize) -> Assignment<'a> {
        while let Some((line, rest)) = text.split_once('\n')
            && (line.trim().is_empty() || line.trim_start().starts_with('#'))
        {
            text = rest;
            number += 1;
        }
        let (name, value) = text.split_once('=').unwrap_or(("", text));
        let name = name.trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim_start);
        Assignment { number, line_count: text.trim_end().lines().count(), name, value: value.trim() }
    }

    /// Why the value in force is another one than the text; only single quotes keep it as it stands.
    fn changed_by_reading(&self) -> Option<&'static str> {
        let mut quote = None;
        let mut chars = self.value.chars();
        while let Some(c) = chars.next() {
            match (quote, c) {
                (Some('\''), '\'') | (Some('"'), '"') => quote = None,
                (Some('\''), _) => {}
                (_, '$') => return Some("a $ stands for a variable there"),
                (Some(_), '\\') => drop(chars.next()),
                (Some(_), _) => {}
                (None, '\\') => return Some("a \\ changes the character behind it there"),
                (None, '\'' | '"') => quote = Some(c),
                // What follows is a comment.
                (None, ' ' | '\t') => break,
                (None, _) => {}
            }
        }
        None
    }
}

/// Names that are no settings.
#[derive(Default)]
struct Strangers {
    warnings: Vec<String>,
    count: usize,
    /// The line behind a value that may be secret: a part of the value that was broken off looks like a name here.
    suspect_line: Option<usize>,
}

impl Strangers {
    fn note_setting(&mut self, line: &Assignment<'_>) {
        self.suspect_line = is_about_nats(line.name).then_some(line.number + line.line_count);
    }

    fn add(&mut self, line: &Assignment<'_>, settings: &[&str]) {
        let Assignment { number, line_count, name, .. } = *line;
        let is_suspect = self.suspect_line == Some(number);
        self.suspect_line = is_suspect.then_some(number + line_count);
        self.count += 1;
        if self.count > STRANGERS_SAID_MAX {
            return;
        }
        self.warnings.push(match meant_by(name, settings) {
            Some(meant) => format!(".env line {number}: {name} is no setting; did you mean {meant}?"),
            None if is_suspect => format!(
                ".env line {number} sets nothing: its name is no setting's; if it belongs to the value before it, \
                 put that into single quotes"
            ),
            None if may_be_secret(name) => format!(".env line {number} sets nothing: its name is no setting's"),
            None => format!(".env line {number}: {name} is no setting"),
        });
    }

    fn into_warnings(mut self) -> Vec<String> {
        if self.count > STRANGERS_SAID_MAX {
            self.warnings.push(format!(".env has {} more names that are no settings", self.count - STRANGERS_SAID_MAX));
        }
        self.warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: [&str; 3] = ["CORES", "NATS_PASSWORD", "NATS_URL"];

    fn read(text: &str) -> Result<DotEnv, String> {
        DotEnv::parse(text, &SETTINGS)
    }

    #[test]
    fn values() {
        let check = |text: &str, expected: Option<&str>| match read(text) {
            Ok(read) => assert_eq!(read.value("CORES"), expected, "{text}"),
            Err(error) => panic!("{text}: {error}"),
        };
        check("", None);
        check("CORES=1", Some("1"));
        check("\u{feff}# note\n\n export CORES = '$ \\ #' # $\r\n", Some("$ \\ #"));
        check("CORES=\"a\\$b\nc\"\n", Some("a$b\nc"));
        check("CORES=1\nCORES=2\n", Some("2"));
        check("CORES=1\nCORES=\n", None);
        check("OTHER=$HOME\\x\\n\nCORES=a#b", Some("a#b"));
    }

    #[test]
    fn errors_name_the_line_and_settings_alone() {
        let check = |text: &str, expected: &str| match read(text) {
            Ok(_) => panic!("{text}"),
            Err(error) => assert!(error.starts_with(expected), "{text}: {error}"),
        };
        check("CORES=1\nsecret\n", ".env line 2 is malformed");
        check("# a\n\n# b\nsecret=a b\n", ".env line 4 is malformed");
        check("A='\n'\nB=1\n# =\nCORES='secret\nA=1\n", ".env line 5 (CORES=…) is malformed");
        check("CORES=a b", ".env line 1 (CORES=…) is malformed");
        let dollar = "a $ stands for a variable there; put the value into single quotes";
        check("\nCORES=a$b", &format!(".env line 2 (CORES=…): {dollar}"));
        check("CORES=\"a${b}\"", &format!(".env line 1 (CORES=…): {dollar}"));
        check("CORES='a'$b", &format!(".env line 1 (CORES=…): {dollar}"));
        check("CORES=a\\nb", ".env line 1 (CORES=…): a \\ changes the character behind it there; put");
        check("CORES=a\\$b", ".env line 1 (CORES=…): a \\ changes the character behind it there; put");
    }

    #[test]
    fn names_that_are_no_settings() {
        let check = |text: &str, expected: &[&str]| match read(text) {
            Ok(read) => assert_eq!(read.warnings, expected, "{text}"),
            Err(error) => panic!("{text}: {error}"),
        };
        check("CORES=1\nNATS_PASSWORD=x\nNATS_URL=a\n", &[]);
        check(
            "# note\nOTHER=1\n\nNATS_ULR=a\ncores=2\n",
            &[
                ".env line 2: OTHER is no setting",
                ".env line 4: NATS_ULR is no setting; did you mean NATS_URL?",
                ".env line 5: cores is no setting; did you mean CORES?",
            ],
        );
        let suspect =
            "sets nothing: its name is no setting's; if it belongs to the value before it, put that into single quotes";
        check(
            "NATS_PASSWORD=hun\nter2==\nmore=\nCORES=1\nA=1\n",
            &[&format!(".env line 2 {suspect}"), &format!(".env line 3 {suspect}"), ".env line 5: A is no setting"],
        );
        check(
            "CORES=1\nNATS_URL=a\nCORES=2\nNATS_URL=a\n",
            &[
                ".env line 3: CORES is in line 1 as well; this line, the last one, counts",
                ".env line 4: NATS_URL is in line 2 as well; this line, the last one, counts",
            ],
        );
        check("NATS_PASSWORD='a\nb'\nA=1\n", &[&format!(".env line 3 {suspect}")]);
        check("NATS_PASSWORD=a\n\nA=1\n", &[".env line 3: A is no setting"]);
        check(
            "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY=1",
            &[".env line 1 sets nothing: its name is no setting's"],
        );
        assert!(read(&"A=\n".repeat(300_000)).is_ok(), "and soon");
        let many = read(&"A=1\n".repeat(100)).unwrap_or_default().warnings;
        assert_eq!(many.len(), STRANGERS_SAID_MAX + 1);
        assert_eq!(many[STRANGERS_SAID_MAX], ".env has 90 more names that are no settings");
    }
}
