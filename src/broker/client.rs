//! What the broker keeps for one client: the beginning of a frame that it has sent, and the output that waits for it.

use proto_nats::ConnectOptions;

/// A client; never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId(pub(super) u64);

pub struct Client {
    pub state: State,
    pub options: ClientOptions,
    /// The beginning of a frame.
    pub unread: Vec<u8>,
    /// Before `unread` is this long there is no use in looking at it.
    pub unread_len_wanted: usize,
    pub output: Vec<u8>,
    /// Is among those that [`Broker::poll_wakeup`](crate::broker::router::Broker::poll_wakeup) names.
    pub is_woken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Open,
    /// Its output is the last that it gets, and says why.
    Closing,
    /// It gets nothing more.
    Cut,
}

/// What CONNECT says, as far as it matters here.
pub struct ClientOptions {
    pub verbose: bool,
    pub echo: bool,
    pub headers: bool,
    pub no_responders: bool,
}

impl From<ConnectOptions> for ClientOptions {
    fn from(options: ConnectOptions) -> ClientOptions {
        let ConnectOptions { verbose, echo, headers, no_responders, .. } = options;
        ClientOptions { verbose, echo, headers, no_responders }
    }
}

impl Client {
    /// `output`: what it gets first.
    pub fn new(output: Vec<u8>) -> Client {
        Client {
            state: State::Open,
            // nats-server's defaults for one that does not say CONNECT, a person with telnet for instance.
            options: ClientOptions { verbose: true, echo: true, headers: false, no_responders: false },
            unread: Vec::new(),
            unread_len_wanted: 0,
            output,
            is_woken: false,
        }
    }
}
