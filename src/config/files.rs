//! Files that settings name: read without waiting for anything, and named without giving a secret away.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::config::shown::shown_path;

/// Far more than a `.env`, a key or a bundle of all authorities has.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a regular file. A FIFO or a device could make its reader wait, or never end.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened: to open a FIFO waits for its writer.
    let file = fs::metadata(path)?;
    if file.is_dir() {
        return Err(io::Error::new(ErrorKind::IsADirectory, "it is a folder"));
    }
    if !file.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is longer than {FILE_BYTES_MAX} bytes"))),
        false => Ok(bytes),
    }
}

/// A file that a setting names. What belongs into the file may stand in its name's place, so the name is shown only
/// where there is such a file.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedFile(pub PathBuf);

impl NamedFile {
    /// Says that it is of no use: `setting is "path": problem`, or how much of its path is right where it is not there.
    pub fn refused(&self, setting: &str, problem: &str) -> String {
        let path = &self.0;
        if path.symlink_metadata().is_ok() {
            return format!("{setting} is {path:?}: {problem}");
        }
        if self.is_content() {
            return format!("{setting} is not a file's name but what belongs into one");
        }
        let exists = |folder: &&Path| folder.symlink_metadata().is_ok();
        let right_part = match path.ancestors().skip(1).find(exists) {
            Some(folder) => format!("its path is right up to {folder:?}"),
            None => {
                let here = std::env::current_dir().unwrap_or_default();
                format!("it was looked for in {here:?}")
            }
        };
        format!("{setting} names a file that is of no use: {problem}; {right_part}")
    }

    fn is_content(&self) -> bool {
        let text = self.0.to_string_lossy();
        let is_long = |word: &str| word.len() >= 40 && word.bytes().all(|byte| byte.is_ascii_graphic());
        text.contains(['\n', '\r']) || text.contains("-----") || text.split('/').any(is_long)
    }
}

impl fmt::Debug for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_path(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_bounded_size_are_read() {
        let check =
            |path: &str, expected: ErrorKind| assert_eq!(read_regular(path.as_ref()).unwrap_err().kind(), expected);
        check("/dev/none", ErrorKind::NotFound);
        check("/dev", ErrorKind::IsADirectory);
        check("/dev/zero", ErrorKind::InvalidInput);
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(FILE_BYTES_MAX).unwrap();
        assert_eq!(read_regular(file.path()).unwrap().len() as u64, FILE_BYTES_MAX);
        file.as_file().set_len(FILE_BYTES_MAX + 1).unwrap();
        assert_eq!(read_regular(file.path()).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }

    #[test]
    fn of_a_file_that_is_not_there_only_what_is_there_is_said() {
        let check = |path: &str, expected: &str| {
            let said = NamedFile(path.into()).refused("NATS_CREDS", "none");
            assert!(said.starts_with(expected), "{said}");
        };
        check("/dev/null", r#"NATS_CREDS is "/dev/null": none"#);
        check("/dev/none/x", r#"NATS_CREDS names a file that is of no use: none; its path is right up to "/dev""#);
        check("x/y", "NATS_CREDS names a file that is of no use: none; it was looked for in \"/");
        let content = "NATS_CREDS is not a file's name but what belongs into one";
        check("a\nb", content);
        check("/dev/SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY/", content);
        assert_eq!(format!("{:?}", NamedFile("/dev/hunter2".into())), "***");
    }
}
