//! glommio's executors, set up as this service needs them and kept from sleeping for ever.
//!
//! glommio 0.9 goes to sleep with runnable tasks when its preemption timer has run out before it looks at them (the thread
//! was not scheduled in between): `run_task_queues` then says that nothing ran, which is taken for "nothing to run". So
//! that timer is long, and whoever has worked gives way by himself. A thread that was kept off its core for longer still
//! may have lost its turn, and a timer of the work's own with it: so a thread beside each executor ends its sleep four
//! times a second: by the work's waker, or, as long as its very first turn may have been lost and there is no waker yet,
//! by a signal that interrupts the sleep.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

use glommio::timer::Timer;
use glommio::{LocalExecutorBuilder, Placement};
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;

/// A thread that does not get a core for so long loses a turn, so it is long. Nothing here relies on being interrupted:
/// whoever has worked gives way.
const PREEMPT_TIMER: Duration = Duration::from_millis(100);
/// Longer than it takes to ask for it, so that it is not over at once.
const WAY: Duration = Duration::from_micros(2);
/// For buffers registered with io_uring, of which this service uses none; glommio's default is 10 MiB.
const IO_MEMORY_BYTES: usize = 64 << 10;
const RING_DEPTH: usize = 128;
/// The longest sleep of an executor, whatever is waited for.
const SLEEP_MAX: Duration = Duration::from_millis(250);

/// Runs `work` on an executor of this thread. The error is one line that says what to do.
pub fn run<T>(name: &str, work: impl Future<Output = T>) -> Result<T, String> {
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .name(name)
        .preempt_timer(PREEMPT_TIMER)
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .make()
        .map_err(cannot_start)?;
    let sleeper = watched().map_err(cannot_start)?;
    Ok(executor.run(async move {
        let mut work = pin!(work);
        poll_fn(|cx| {
            {
                let mut sleeper = sleeper.lock().unwrap_or_else(PoisonError::into_inner);
                if !matches!(&*sleeper, Sleeper::Polled(known) if known.will_wake(cx.waker())) {
                    *sleeper = Sleeper::Polled(cx.waker().clone());
                }
            }
            work.as_mut().poll(cx)
        })
        .await
    }))
}

/// As [`run`], on a thread of its own.
pub fn spawn<F: Future + 'static>(
    name: &str,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<JoinHandle<Result<F::Output, String>>, String>
where
    F::Output: Send,
{
    let thread = std::thread::Builder::new().name(name.to_owned());
    let name = name.to_owned();
    thread.spawn(move || run(&name, work())).map_err(cannot_start)
}

/// Lets the sockets, the timers and the other tasks have their turn. To yield would let only those tasks run that can:
/// glommio looks at sockets and timers when no task can run, or its preemption timer has run out.
pub async fn give_way() {
    Timer::new(WAY).await;
}

pub fn cannot_start(error: impl ToString) -> String {
    let error = error.to_string();
    format!("cannot start an executor: {error}; io_uring needs Linux 5.8 or later and 512 KiB of locked memory a core")
}

/// How an executor's sleep is ended.
enum Sleeper {
    Unpolled(Pthread),
    Polled(Waker),
}

/// This thread, whose sleeps are ended from now on until the answer is dropped.
fn watched() -> io::Result<Arc<Mutex<Sleeper>>> {
    // A signal that nobody handles interrupts nothing. This one is ignored unless it is handled.
    static HANDLED: Once = Once::new();
    HANDLED.call_once(|| {
        let flag = Arc::default();
        if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGURG, flag) {
            log::warn!(cause:% = error; "SIGURG cannot be handled, so an executor that oversleeps its start is not woken: {error}");
        }
    });
    let sleeper = Arc::new(Mutex::new(Sleeper::Unpolled(pthread_self())));
    let watched = sleeper.clone();
    std::thread::Builder::new().name("keep-awake".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(SLEEP_MAX);
            // The work is done and its half dropped.
            if Arc::strong_count(&watched) == 1 {
                return;
            }
            match &*watched.lock().unwrap_or_else(PoisonError::into_inner) {
                // While it waits for its first turn, the thread lives.
                Sleeper::Unpolled(thread) => {
                    let _ = pthread_kill(*thread, Signal::SIGURG);
                }
                Sleeper::Polled(waker) => waker.wake_by_ref(),
            }
        }
    })?;
    Ok(sleeper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::poll;
    use rustix::io::Errno;
    use std::task::Poll;

    #[test]
    fn a_sleep_before_the_first_turn_is_ended() {
        let _sleeper = watched().expect("a thread can be started");
        assert_eq!(poll(&mut [], None), Err(Errno::INTR));
    }

    #[test]
    fn a_sleep_of_work_without_a_timer_is_ended() {
        let mut polls = 0;
        let work = poll_fn(|_| {
            polls += 1;
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        });
        run("test", work).expect("an executor can be started");
    }
}
