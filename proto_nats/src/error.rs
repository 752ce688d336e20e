//! What a peer can get wrong in the framing, and which peer it was. Every one of these ends the connection: after a
//! malformed frame it is unknown where the next one starts. (A frame that is merely too long is no error: its end is
//! known, see [`Decoded::Oversized`](crate::Decoded::Oversized).)

use std::fmt;

/// Who sent bytes that are not the NATS protocol, and what is wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    /// Found by [`decode_server_op`](crate::decode_server_op).
    Server(Malformed),
    /// Found by [`decode_client_op`](crate::decode_client_op).
    Client(Malformed),
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// The line starts with no operation that this side may send.
    UnknownOperation,
    /// No line end within the limit.
    ControlLineTooLong {
        /// The limit that was passed.
        limit_bytes: usize,
    },
    /// An operation with the wrong number of arguments.
    ArgumentCount {
        /// The operation, in capitals.
        operation: &'static str,
    },
    /// A length or sid that is not a decimal number, or not one that fits.
    Number {
        /// Which argument it is.
        argument: &'static str,
    },
    /// An HMSG or HPUB whose header is said to be longer than header and payload together.
    HeaderBeyondTotal {
        /// As the frame says.
        header_bytes: usize,
        /// As the frame says.
        total_bytes: usize,
    },
    /// The bytes right after the payload are not CR LF.
    PayloadNotTerminated,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtocolError::Server(malformed) => write!(f, "the server sent {malformed}"),
            ProtocolError::Client(malformed) => write!(f, "the client sent {malformed}"),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::UnknownOperation => f.write_str("a line that starts with no known NATS operation"),
            Malformed::ControlLineTooLong { limit_bytes } => {
                write!(f, "a control line longer than {limit_bytes} bytes")
            }
            Malformed::ArgumentCount { operation } => {
                write!(f, "{operation} with too few or too many arguments")
            }
            Malformed::Number { argument } => {
                write!(f, "a {argument} that is not a number in range")
            }
            Malformed::HeaderBeyondTotal { header_bytes, total_bytes } => {
                write!(f, "a header of {header_bytes} bytes in a message of {total_bytes}")
            }
            Malformed::PayloadNotTerminated => f.write_str("a payload that does not end where its length says"),
        }
    }
}

impl std::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_who_and_what() {
        let check = |error: ProtocolError, expected: &str| assert_eq!(error.to_string(), expected);
        let server = ProtocolError::Server;
        check(server(Malformed::UnknownOperation), "the server sent a line that starts with no known NATS operation");
        check(
            ProtocolError::Client(Malformed::ControlLineTooLong { limit_bytes: 4096 }),
            "the client sent a control line longer than 4096 bytes",
        );
        check(
            server(Malformed::ArgumentCount { operation: "MSG" }),
            "the server sent MSG with too few or too many arguments",
        );
        check(server(Malformed::Number { argument: "sid" }), "the server sent a sid that is not a number in range");
        check(
            server(Malformed::HeaderBeyondTotal { header_bytes: 3, total_bytes: 2 }),
            "the server sent a header of 3 bytes in a message of 2",
        );
        check(
            server(Malformed::PayloadNotTerminated),
            "the server sent a payload that does not end where its length says",
        );
    }
}
