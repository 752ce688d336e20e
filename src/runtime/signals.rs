//! What signals do: of those that a machine or a mistake may send, none ends the service but SIGTERM and SIGINT.
//!
//! | signal | what it does | why |
//! |---|---|---|
//! | SIGTERM, SIGINT | the service drains and ends | they ask for it |
//! | SIGHUP | a log line | reserved for reading RULES_FILE again; a terminal that closes sends it as well |
//! | SIGXCPU | a log line | the time of `ulimit -t` is over; the kernel kills at the hard limit, which is soon enough |
//! | SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT, SIGRTMIN to SIGRTMAX | nothing | nothing here asks for them: they are meant for another process, or for other software |
//! | SIGXFSZ | nothing | a log or an output at `ulimit -f` is an error of that write; so with every command |
//! | SIGTTOU | nothing | it would stop a service in the background that logs to its terminal (`stty tostop`) |
//! | SIGPIPE | nothing | Rust's runtime ignores it: a reader that has gone is an error of that write |
//! | SIGQUIT, SIGABRT, SIGTRAP, SIGSYS, faults | end it with a core dump | the only way to get one of a process that hangs |
//! | SIGSTOP, SIGTSTP, SIGTTIN, SIGCONT | stop it, and let it go on | on purpose; nothing is read from a terminal |
//! | SIGCHLD, SIGWINCH, SIGURG | nothing | as the kernel has it; SIGURG wakes executors |

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXCPU};
use signal_hook::flag;
use signal_hook::iterator::{Handle, Signals};

use crate::runtime::MachineError;
use crate::runtime::unsafe_calls::ignore_signal;

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// To drain and end.
    Stop,
    /// To read the rules again.
    ReadRules,
    /// The limit of processor time is reached.
    CpuTimeOver,
}

/// With every command: a file that may not grow is an error of its writer.
pub fn ignore_file_size_limit() {
    ignore_signal(libc::SIGXFSZ);
}

/// For the service: signals that no part of it asks for do nothing.
fn ignore_unused_signals() {
    let named = [
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGALRM,
        libc::SIGVTALRM,
        libc::SIGPROF,
        libc::SIGIO,
        libc::SIGPWR,
        libc::SIGSTKFLT,
        libc::SIGTTOU,
    ];
    named.into_iter().chain(libc::SIGRTMIN()..=libc::SIGRTMAX()).for_each(ignore_signal);
}

/// For commands that end well when they are asked to: set by the first SIGTERM or SIGINT; a second one ends the process at once,
/// with 1.
pub fn stop_flag() -> Result<Arc<AtomicBool>, MachineError> {
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        flag::register_conditional_shutdown(signal, 1, stopped.clone())
            .and_then(|_| flag::register(signal, stopped.clone()))
            .map_err(MachineError::Signals)?;
    }
    Ok(stopped)
}

/// Listens until it is dropped.
pub struct Listening {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    /// From here on signals are what the table above says; `handle_request` is called on a thread of its own.
    pub fn start(handle_request: impl Fn(Request) + Send + 'static) -> Result<Listening, MachineError> {
        ignore_unused_signals();
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGXCPU]).map_err(MachineError::Signals)?;
        let handle = signals.handle();
        let listen = move || {
            for signal in signals.forever() {
                handle_request(match signal {
                    SIGHUP => Request::ReadRules,
                    SIGXCPU => Request::CpuTimeOver,
                    _ => Request::Stop,
                });
            }
        };
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(listen);
        let thread = thread.map_err(MachineError::NoThread)?;
        Ok(Listening { handle, thread: Some(thread) })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
