//! Work that may block for long, off the reactor: resolving names, reading files.
//!
//! Each piece of work has a thread of its own, so that one that hangs (a resolver, a mount) delays no other. Turned down:
//! glommio's pool for blocking work, whose threads could all hang.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use async_channel::{Receiver, bounded};

use crate::runtime::MachineError;

/// Threads at work or hanging. A resolver gives up after some minutes.
const THREADS_MAX: usize = 64;

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Begins `work`; its result comes through the channel, which is closed without one if `work` panics.
pub fn begin<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<Receiver<T>, MachineError> {
    let slot = Slot::take()?;
    let (sender, receiver) = bounded(1);
    let run = move || {
        let _slot = slot;
        // The receiver may be dropped.
        let _ = sender.try_send(work());
    };
    thread::Builder::new().name("blocking".to_owned()).spawn(run).map_err(MachineError::NoThread)?;
    Ok(receiver)
}

/// One of the threads.
struct Slot;

impl Slot {
    fn take() -> Result<Slot, MachineError> {
        let add = |count| (count < THREADS_MAX).then_some(count + 1);
        match THREADS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(Slot),
            Err(_) => Err(MachineError::BlockingWorkHangs { threads: THREADS_MAX }),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// One test, as the threads are counted for the whole process.
    #[test]
    fn what_hangs_delays_no_other_and_does_not_pile_up() {
        let hang = || {
            let (release, released) = mpsc::channel::<()>();
            begin(move || released.recv().is_err()).map(|result| (release, result))
        };
        let mut hanging: Vec<_> = (1..THREADS_MAX).map(|_| hang().expect("there is room")).collect();
        assert_eq!(begin(|| 7).expect("there is room for one more").recv_blocking(), Ok(7));
        // A thread's slot is free a little after its result is there.
        let again = || loop {
            match hang() {
                Ok(one) => break one,
                Err(_) => thread::yield_now(),
            }
        };
        hanging.push(again());
        let error = begin(|| 7).expect_err("there is no room").to_string();
        assert!(error.starts_with("64 attempts hang already"), "{error}");
        for (release, result) in hanging {
            drop(release);
            assert_eq!(result.recv_blocking(), Ok(true));
        }
        let (release, result) = again();
        drop((release, result));
    }
}
