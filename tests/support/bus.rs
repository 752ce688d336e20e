//! The async-nats crate as the ordinary client on the other side: publishes, and collects what it subscribed to.

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use async_nats::{Client, ConnectOptions};
use futures_lite::StreamExt;
use serde_json::Value;
use tokio::runtime::{Builder, Handle};

use super::PATIENCE;
use super::events::Event;

/// A connection, its tasks on a thread of their own.
pub struct Bus {
    client: Client,
    runtime: Handle,
    echo: RefCell<Inbox>,
    echo_subject: String,
    /// Its drop ends the thread.
    _life: async_channel::Sender<()>,
}

impl Bus {
    pub fn connect(url: &str) -> Bus {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let handle = runtime.handle().clone();
        let (life, end) = async_channel::bounded::<()>(1);
        std::thread::spawn(move || runtime.block_on(async { end.recv().await.unwrap_or_default() }));
        // A collector must not be the one that loses messages: the default is 65,536 waiting ones.
        let options = ConnectOptions::new().subscription_capacity(1 << 20);
        let client = handle.block_on(options.connect(url)).expect("a nats-server");
        let echo_subject = client.new_inbox();
        let echo = RefCell::new(Inbox::subscribe(&client, &handle, &echo_subject));
        Bus { client, runtime: handle, echo, echo_subject, _life: life }
    }

    /// Takes effect before anything that this connection publishes later.
    pub fn subscribe(&self, subject: &str) -> Inbox {
        Inbox::subscribe(&self.client, &self.runtime, subject)
    }

    /// In order, and handed to the server; it may not have passed them on yet.
    pub fn publish(&self, events: &[Event]) {
        let publishing = async {
            for (subject, payload) in events {
                self.client.publish(subject.clone(), payload.clone().into()).await.expect("the connection takes it");
            }
            self.client.flush().await.expect("the connection takes it");
        };
        // Without a server it would wait for one for ever.
        self.runtime
            .block_on(async { tokio::time::timeout(4 * PATIENCE, publishing).await.expect("there is a server") });
    }

    /// Returns when the server has dealt with all that was published before: a message that came around proves it.
    pub fn round_trip(&self) {
        self.publish(&[(self.echo_subject.clone(), b"{}".to_vec())]);
        let mut echo = self.echo.borrow_mut();
        let count = echo.len();
        echo.wait_for(count + 1);
    }
}

#[derive(Clone, Debug)]
pub struct Message {
    pub subject: String,
    pub payload: Value,
}

/// What has arrived on a subscription, in order.
pub struct Inbox {
    receiver: Receiver<Message>,
    messages: Vec<Message>,
}

impl Inbox {
    fn subscribe(client: &Client, runtime: &Handle, subject: &str) -> Inbox {
        let subscribed = runtime.block_on(client.subscribe(subject.to_owned()));
        let mut subscription = subscribed.expect("the connection takes it");
        let (sender, receiver) = channel();
        runtime.spawn(async move {
            while let Some(message) = subscription.next().await {
                let payload = serde_json::from_slice(&message.payload).unwrap_or(Value::Null);
                if sender.send(Message { subject: message.subject.to_string(), payload }).is_err() {
                    break;
                }
            }
        });
        Inbox { receiver, messages: Vec::new() }
    }

    /// Takes what has arrived by now.
    pub fn take_arrived(&mut self) -> &[Message] {
        self.messages.extend(self.receiver.try_iter());
        &self.messages
    }

    #[track_caller]
    pub fn wait_for(&mut self, count: usize) -> &[Message] {
        self.wait_until(&format!("{count} messages"), |messages| messages.len() >= count)
    }

    #[track_caller]
    pub fn wait_until(&mut self, what: &str, mut is_enough: impl FnMut(&[Message]) -> bool) -> &[Message] {
        let deadline = Instant::now() + PATIENCE;
        while !is_enough(&self.messages) {
            match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(message) => self.messages.push(message),
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{what}: not within {PATIENCE:?}; there are {} messages", self.messages.len())
                }
                Err(RecvTimeoutError::Disconnected) => panic!("{what}: the connection is gone"),
            }
        }
        &self.messages
    }
}

/// What was already taken from the subscription.
impl Deref for Inbox {
    type Target = [Message];

    fn deref(&self) -> &[Message] {
        &self.messages
    }
}
