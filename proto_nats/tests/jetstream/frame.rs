//! What goes over the wire, either way.

#[derive(Debug, Clone, Default)]
pub struct Frame {
    pub subject: String,
    pub reply_to: Option<String>,
    pub headers: Option<Vec<u8>>,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn counted_bytes(&self) -> usize {
        let lengths = [self.subject.len(), self.reply_to.as_ref().map_or(0, String::len), self.payload.len()];
        lengths.iter().sum::<usize>() + self.headers.as_ref().map_or(0, Vec::len)
    }

    /// As MSG or HMSG, with a sid of two digits.
    pub fn wire_bytes(&self) -> usize {
        self.counted_bytes() + "HMSG  12   123 123456\r\n\r\n".len()
    }

    pub fn is_message(&self) -> bool {
        !self.subject.starts_with("_INBOX.")
    }

    pub fn status(subject: &str, line: &str, fields: &[(&str, u64)]) -> Frame {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let headers = Some(format!("NATS/1.0 {line}\r\n{fields}\r\n").into_bytes());
        Frame { subject: subject.to_owned(), headers, ..Frame::default() }
    }
}
