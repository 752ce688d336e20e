//! A flag that is set once and wakes all that wait for it; on one executor, without a channel or a cancelled task.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Clones are the same flag.
#[derive(Clone, Debug, Default)]
pub struct Stop(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_set: Cell<bool>,
    /// One slot per living [`Stopped`] that has been polled; free slots are used again, so this is as long as the
    /// most waiters there ever were at once.
    waiting: RefCell<Vec<Option<Waker>>>,
}

impl Stop {
    /// A flag that is not set.
    pub fn new() -> Stop {
        Stop::default()
    }

    /// Setting it again does nothing.
    pub fn set(&self) {
        self.0.is_set.set(true);
        // Taken out first: a waker may run code that waits or stops waiting.
        let waiting = std::mem::take(&mut *self.0.waiting.borrow_mut());
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    /// It has been set.
    pub fn is_set(&self) -> bool {
        self.0.is_set.get()
    }

    /// Resolves once the flag is set. May be dropped at any time.
    pub fn wait(&self) -> Stopped {
        Stopped { stop: self.clone(), slot: None }
    }
}

/// See [`Stop::wait`].
#[derive(Debug)]
pub struct Stopped {
    stop: Stop,
    slot: Option<usize>,
}

impl Future for Stopped {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.stop.is_set() {
            return Poll::Ready(());
        }
        let inner = self.stop.0.clone();
        let mut waiting = inner.waiting.borrow_mut();
        let slot = match self.slot {
            Some(slot) => slot,
            None => match waiting.iter().position(Option::is_none) {
                Some(free) => free,
                None => {
                    waiting.push(None);
                    waiting.len() - 1
                }
            },
        };
        match &mut waiting[slot] {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        self.slot = Some(slot);
        Poll::Pending
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // Once the flag is set the slots are gone.
        if let Some(slot) = self.slot
            && let Some(waker) = self.stop.0.waiting.borrow_mut().get_mut(slot)
        {
            *waker = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn every_waiter_is_woken_once_and_slots_are_used_again() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let stop = Stop::new();
        let mut first = pin!(stop.wait());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        for _ in 0..100 {
            let mut dropped = pin!(stop.wait());
            assert!(dropped.as_mut().poll(&mut cx).is_pending());
            assert!(dropped.as_mut().poll(&mut cx).is_pending());
        }
        assert!(stop.0.waiting.borrow().len() <= 101);
        for _ in 0..100 {
            assert!(std::pin::pin!(stop.wait()).poll(&mut cx).is_pending());
        }
        assert!(stop.0.waiting.borrow().len() <= 101);

        stop.set();
        stop.set();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(first.as_mut().poll(&mut cx).is_ready());
        assert!(pin!(stop.wait()).poll(&mut cx).is_ready());
    }
}
