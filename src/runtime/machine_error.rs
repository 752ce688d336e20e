//! What the machine refuses, as one line that says what to do. The operator's limits and settings are at fault, never a
//! peer; a command that gets one of these ends.

use std::fmt;
use std::io;

use crate::runtime::log_text::plain;

/// What the machine refuses. Its `Display` is for the operator.
#[derive(Debug)]
pub enum MachineError {
    /// The limit of open files is too low.
    FewFiles {
        /// The limit as it is.
        granted: u64,
        /// What is needed, with those of the connections.
        needed: u64,
        /// Connections of HTTP.
        connections: usize,
    },
    /// The limit of locked memory is too low for io_uring.
    LittleLockedMemory {
        /// For the rings of all cores.
        needed_bytes: u64,
    },
    /// By kernel.io_uring_disabled, which has this value.
    IoUringTurnedOff {
        /// As the kernel shows it.
        value: String,
    },
    /// io_uring is refused though the machine allows it.
    IoUringBlocked,
    /// io_uring is not there though the kernel is new enough.
    IoUringHidden,
    /// io_uring lacks what is used of it; the kernel's release as in `6.1.0-18-amd64`.
    IoUringTooOld {
        /// Of the kernel.
        release: String,
    },
    /// io_uring is refused for another reason.
    IoUring(io::Error),
    /// No thread can be started.
    NoThread(io::Error),
    /// No memory for an executor's rings.
    ExecutorMemory,
    /// No files for an executor.
    ExecutorFiles(io::Error),
    /// By glommio's own text.
    Executor(String),
    /// glommio panicked over it.
    ExecutorPanicked,
    /// The executor's thread ended before it said whether it was made.
    ExecutorVanished,
    /// Signals cannot be listened for.
    Signals(io::Error),
    /// So many pieces of blocking work are underway that no other may begin.
    BlockingWorkHangs {
        /// Those that have not ended.
        threads: usize,
    },
    /// A piece of blocking work panicked.
    BlockingWorkPanicked,
}

const SECCOMP_PROFILE: &str =
    "docker run --security-opt seccomp=ops/seccomp.json allows it, and so do the compose files in ops/";

impl fmt::Display for MachineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FewFiles { granted, needed, connections } => write!(
                f,
                "{granted} files may be open at once, {needed} are needed (CORES, and {connections} connections): raise \
                 the limit (ulimit -n, LimitNOFILE)"
            ),
            Self::LittleLockedMemory { needed_bytes } => write!(
                f,
                "io_uring needs {} KiB of locked memory (CORES): raise its limit (ulimit -l, LimitMEMLOCK)",
                needed_bytes / 1024
            ),
            Self::IoUringTurnedOff { value } => write!(
                f,
                "io_uring is turned off on this machine: sysctl kernel.io_uring_disabled=0 (it is {value})"
            ),
            Self::IoUringBlocked => {
                write!(f, "io_uring is blocked, by a container's seccomp profile most likely: {SECCOMP_PROFILE}")
            }
            Self::IoUringHidden => write!(
                f,
                "io_uring is hidden, by a sandbox (gVisor has none) or a container's seccomp profile: {SECCOMP_PROFILE}"
            ),
            Self::IoUringTooOld { release } => {
                write!(f, "io_uring is too old or missing: Linux 5.8 or later is needed, this is {release}")
            }
            Self::IoUring(cause) => write!(f, "io_uring cannot be used: {}", plain(cause)),
            Self::NoThread(cause) => write!(
                f,
                "a thread cannot be started ({}): raise the limit of threads (ulimit -u, TasksMax, a container's pids \
                 limit), or of memory (ulimit -v)",
                plain(cause)
            ),
            Self::ExecutorMemory => f.write_str(
                "an executor cannot be made: raise the limit of locked memory (ulimit -l, LimitMEMLOCK: 256 KiB a core, for \
                 all processes of the user), or of memory (ulimit -v)",
            ),
            Self::ExecutorFiles(cause) => write!(
                f,
                "an executor cannot be made ({}): raise the limit of open files (ulimit -n)",
                plain(cause)
            ),
            Self::Executor(cause) => write!(f, "an executor cannot be made: {cause}"),
            Self::ExecutorPanicked => f.write_str(
                "an executor cannot be made: is there memory for it (ulimit -v, ulimit -l), and may io_uring be used?",
            ),
            Self::ExecutorVanished => {
                f.write_str("an executor's thread ended before its work began: please report the lines above as a bug")
            }
            Self::Signals(cause) => write!(f, "signals cannot be listened for: {}", plain(cause)),
            Self::BlockingWorkHangs { threads } => {
                write!(f, "{threads} attempts hang already: does the resolver answer, and the disk?")
            }
            Self::BlockingWorkPanicked => {
                f.write_str("the attempt ended in an internal error: please report the lines above as a bug")
            }
        }
    }
}

/// For the commands, whose errors are lines.
impl From<MachineError> for String {
    fn from(error: MachineError) -> String {
        error.to_string()
    }
}
