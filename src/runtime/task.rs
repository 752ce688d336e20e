//! Tasks beside the one that runs, on the same executor. None is ever cancelled: a glommio task that is cancelled leaks.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use glommio::task::JoinHandle;

/// Starts a task. It runs to its end whether or not that is waited for; a panic in it ends the executor.
pub fn spawn<T: 'static>(work: impl Future<Output = T> + 'static) -> Task<T> {
    Task(glommio::spawn_local(work).detach())
}

/// Resolves to what the task returned.
pub struct Task<T>(JoinHandle<T>);

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let ended = Pin::new(&mut self.0).poll(cx);
        ended.map(|returned| returned.expect("no task is cancelled, and a panic ends the executor"))
    }
}

/// Tasks whose end is waited for together. For the connections of a server.
#[derive(Default)]
pub struct TaskGroup {
    running_count: Cell<usize>,
    on_empty: Cell<Option<Waker>>,
}

impl TaskGroup {
    /// Starts a task whose end is waited for.
    pub fn spawn(self: &Rc<Self>, work: impl Future<Output = ()> + 'static) {
        self.running_count.set(self.running_count.get() + 1);
        let running = Running(self.clone());
        drop(spawn(async move {
            work.await;
            drop(running);
        }));
    }

    /// Resolves once no task of the group runs. One waits for it at a time.
    pub async fn wait_until_empty(&self) {
        poll_fn(|cx| match self.running_count.get() {
            0 => Poll::Ready(()),
            _ => {
                self.on_empty.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

/// One task of the group.
struct Running(Rc<TaskGroup>);

impl Drop for Running {
    fn drop(&mut self) {
        let left = self.0.running_count.get() - 1;
        self.0.running_count.set(left);
        if left == 0
            && let Some(waker) = self.0.on_empty.take()
        {
            waker.wake();
        }
    }
}
