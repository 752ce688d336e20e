//! glommio's executors, set up as this service needs them and kept from sleeping for ever.
//!
//! glommio 0.9 goes to sleep with runnable tasks when its preemption timer has run out before it looks at them (the thread
//! was not scheduled in between): `run_task_queues` then says that nothing ran, which is taken for "nothing to run". So
//! that timer is long, and each task yields by itself. A thread that was kept off its core for longer still may have lost
//! its turn, and a timer of the work's own with it. So a thread beside each executor ends its sleep four times a second: by
//! the work's waker, or, as long as its very first turn may have been lost and there is no waker yet, by a signal that
//! interrupts the sleep.

use std::any::Any;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement};
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use rustix::io::Errno;

use crate::runtime::MachineError;
use crate::runtime::kernel::why_no_executor;
use crate::runtime::timeout::Timer;

/// A thread that does not get a core for so long loses a turn, so it is long. Nothing here relies on being interrupted:
/// each task yields by itself.
const PREEMPT_TIMER: Duration = Duration::from_millis(100);
/// Over by the time that the executor looks at its timers, so that it does not go to sleep for it (40 us of work, where
/// it takes 9 without).
const WAY: Duration = Duration::from_nanos(200);
/// For buffers registered with io_uring, of which this service uses none; glommio's default is 10 MiB.
const IO_MEMORY_BYTES: usize = 64 << 10;
const RING_DEPTH: usize = 128;
/// The longest sleep of an executor, whatever is waited for.
const SLEEP_MAX: Duration = Duration::from_millis(250);

/// An executor of this thread, with its rings and its threads, that runs nothing yet.
struct Executor {
    executor: LocalExecutor,
    sleeper: Arc<Mutex<Sleeper>>,
}

impl Executor {
    fn make(name: &str) -> Result<Executor, MachineError> {
        // First, as the error of a thread of ours names its cause; glommio panics when its own thread cannot be started.
        let sleeper = watched().map_err(MachineError::NoThread)?;
        let builder = LocalExecutorBuilder::new(Placement::Unbound)
            .name(name)
            .preempt_timer(PREEMPT_TIMER)
            .io_memory(IO_MEMORY_BYTES)
            .ring_depth(RING_DEPTH);
        match caught(|| builder.make()) {
            Ok(Ok(executor)) => Ok(Executor { executor, sleeper }),
            Ok(Err(GlommioError::IoError(error))) => Err(why_no_executor(error)),
            Ok(Err(error)) => Err(MachineError::Executor(error.to_string())),
            Err(panic) => Err(why_it_panicked(&*panic)),
        }
    }

    fn run<T>(self, work: impl Future<Output = T>) -> T {
        let sleeper = self.sleeper;
        // glommio moves what it runs on the stack, and a service's work is large.
        let mut work = Box::pin(work);
        self.executor.run(async move {
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
        })
    }
}

/// Runs `work` on an executor of this thread.
pub fn run<T>(name: &str, work: impl Future<Output = T>) -> Result<T, MachineError> {
    Ok(Executor::make(name)?.run(work))
}

/// An executor on a thread of its own that is made and waits to begin its work. Dropped instead, it ends before the drop
/// returns.
pub struct Waiting<T> {
    begin: Option<Sender<()>>,
    /// `None`: it was dropped before it began.
    thread: Option<JoinHandle<Option<T>>>,
}

/// Makes an executor on a thread of its own. When that thread ends `on_end` is called with whether by a panic. After an error
/// nothing is left of the thread.
pub fn start<F: Future + 'static>(
    name: &str,
    on_end: impl FnOnce(bool) + Send + 'static,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<Waiting<F::Output>, MachineError>
where
    F::Output: Send,
{
    let (begin, begun) = mpsc::channel();
    let (report, reported) = mpsc::channel();
    let executor_name = name.to_owned();
    let live = move || {
        let _end = OnEnd(Some(on_end));
        let executor = match Executor::make(&executor_name) {
            Ok(executor) => executor,
            Err(cause) => {
                let _ = report.send(Err(cause));
                return None;
            }
        };
        let _ = report.send(Ok(()));
        begun.recv().ok()?;
        Some(executor.run(work()))
    };
    let thread = thread::Builder::new().name(name.to_owned()).spawn(live).map_err(MachineError::NoThread)?;
    // From here on the thread is joined, whatever comes.
    let waiting = Waiting { begin: Some(begin), thread: Some(thread) };
    let is_made = reported.recv().unwrap_or(Err(MachineError::ExecutorVanished));
    is_made.map(|()| waiting)
}

impl<T> Waiting<T> {
    /// Lets the executor run its work; the handle gives what came of it.
    pub fn begin(mut self) -> JoinHandle<Option<T>> {
        if let Some(begin) = self.begin.take() {
            // It waits for this.
            let _ = begin.send(());
        }
        self.thread.take().expect("it is taken here alone")
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        self.begin = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// On the thread's own stack: what glommio holds when it panics may never be dropped.
struct OnEnd<E: FnOnce(bool)>(Option<E>);

impl<E: FnOnce(bool)> Drop for OnEnd<E> {
    fn drop(&mut self) {
        if let Some(on_end) = self.0.take() {
            on_end(thread::panicking());
        }
    }
}

/// Yields to the sockets, the timers and the other tasks. glommio's own yield lets only those tasks run that can: it looks
/// at sockets and timers when no task can run, or its preemption timer has run out.
pub async fn give_way() {
    let mut way = WAY;
    let mut timer = Timer::new(way);
    let mut is_asked_for = false;
    poll_fn(|cx| {
        while Pin::new(&mut timer).poll(cx).is_ready() {
            if is_asked_for {
                return Poll::Ready(());
            }
            // It was over before it was asked for, so no other task has had a turn.
            way *= 2;
            timer = Timer::new(way);
        }
        is_asked_for = true;
        Poll::Pending
    })
    .await
}

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// The result of `work`, or what it panicked with, which is not logged.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let log_panic = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |bug| {
            if !IS_CAUGHT.get() {
                log_panic(bug);
            }
        }));
    });
    IS_CAUGHT.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(false);
    outcome
}

/// glommio panics where it cannot start a thread, or has no memory for what it shares with the kernel. Its own text does
/// not say so.
fn why_it_panicked(panic: &(dyn Any + Send)) -> MachineError {
    let text = panic.downcast_ref::<String>().map_or("", String::as_str);
    match text.contains("failed to spawn thread") {
        true => MachineError::NoThread(Errno::AGAIN.into()),
        false => MachineError::ExecutorPanicked,
    }
}

/// How an executor's sleep is ended.
enum Sleeper {
    Unpolled(Pthread),
    Polled(Waker),
}

/// This thread, whose sleeps are ended from now on until the answer is dropped.
fn watched() -> io::Result<Arc<Mutex<Sleeper>>> {
    // A signal without a handler interrupts nothing. This one is ignored unless it is handled.
    static HANDLED: Once = Once::new();
    HANDLED.call_once(|| {
        let flag = Arc::default();
        if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGURG, flag) {
            log::warn!(cause:% = error; "SIGURG cannot be handled, so an executor that misses its first turn is not woken; restart the service if it hangs: {error}");
        }
    });
    let sleeper = Arc::new(Mutex::new(Sleeper::Unpolled(pthread_self())));
    let watched = sleeper.clone();
    thread::Builder::new().name("keep-awake".to_owned()).spawn(move || {
        loop {
            thread::sleep(SLEEP_MAX);
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
    use crate::runtime::task;
    use rustix::event::poll;

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

    /// Starts an executor; the receiver gets how its thread has ended.
    fn start_watched<F: Future<Output = ()> + 'static>(
        work: impl FnOnce() -> F + Send + 'static,
    ) -> (Waiting<()>, mpsc::Receiver<bool>) {
        let (tell, ended) = mpsc::channel();
        let on_end = move |is_panic| {
            let _ = tell.send(is_panic);
        };
        let waiting = start("test", on_end, work);
        (waiting.expect("an executor can be made"), ended)
    }

    #[test]
    fn an_executor_begins_when_it_is_told_to_and_one_that_never_is_ends() {
        let (begun, beginning) = mpsc::channel();
        let (waiting, ended) = start_watched({
            let begun = begun.clone();
            move || async move { begun.send("first").expect("it is heard") }
        });
        let (dropped, ended_unbegun) = start_watched(move || async move { begun.send("second").expect("it is heard") });
        assert!(beginning.try_recv().is_err());
        drop(dropped);
        assert_eq!(ended_unbegun.try_recv(), Ok(false), "a drop returns after the thread's end");
        assert_eq!(waiting.begin().join().expect("no panic"), Some(()));
        assert_eq!((beginning.recv(), ended.recv()), (Ok("first"), Ok(false)));
        assert!(beginning.recv().is_err(), "and nothing else has begun");
    }

    #[test]
    fn a_panic_in_any_task_is_reported() {
        let (waiting, ended) = start_watched(|| async {
            drop(task::spawn(async { panic!("as the test wants it") }));
            std::future::pending().await
        });
        assert!(waiting.begin().join().is_err());
        assert_eq!(ended.recv(), Ok(true));
    }

    #[test]
    fn what_glommio_panics_with_becomes_a_plain_error() {
        let check = |work: fn(), expected: &str| {
            let panic = caught(work).expect_err("it panics");
            let text = why_it_panicked(&*panic).to_string();
            assert!(text.contains(expected) && text.lines().count() == 1, "{text}");
        };
        check(|| panic!("failed to spawn thread: {:?}", io::ErrorKind::WouldBlock), "ulimit -u");
        check(|| panic!("kernel witnessed Romulus killing Remus"), "ulimit -v");
        assert_eq!(caught(|| 7).ok(), Some(7));
    }
}
