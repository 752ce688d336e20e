//! Gzip files of several members, as `record` and concatenation make them. Their cases are among those of `reader`.

use std::io::{self, BufRead, ErrorKind, Read};

use flate2::bufread::GzDecoder;

/// What each member begins with.
pub const GZIP_MAGIC: &[u8] = &[0x1f, 0x8b];

/// All members of a gzip file as one text. Zeros may follow them, which tapes and block devices pad with; as with gzip
/// itself they mean nothing.
pub struct GzipMembers<R> {
    /// `None` once the last one has ended.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> GzipMembers<R> {
    /// Of a file that begins with [`GZIP_MAGIC`].
    pub fn of(file: R) -> GzipMembers<R> {
        GzipMembers { member: Some(GzDecoder::new(file)) }
    }
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let len = member.read(buffer)?;
            if len > 0 || buffer.is_empty() {
                return Ok(len);
            }
            let mut rest = self.member.take().expect("it has just ended").into_inner();
            match first_behind_zeros(&mut rest)? {
                None => {}
                Some(first) if first == GZIP_MAGIC[0] => self.member = Some(GzDecoder::new(rest)),
                Some(_) => return Err(io::Error::new(ErrorKind::InvalidData, "other bytes follow its gzip data")),
            }
        }
        Ok(0)
    }
}

fn first_behind_zeros(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let bytes = input.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let first = bytes.get(zeros).copied();
        if first.is_some() || bytes.is_empty() {
            input.consume(zeros);
            return Ok(first);
        }
        input.consume(zeros);
    }
}
