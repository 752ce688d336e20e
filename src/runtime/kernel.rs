//! What the kernel must grant before anything starts: open files, locked memory, io_uring.
//!
//! glommio answers a missing io_uring with a panic or an exit, whose text says nothing useful. So io_uring is tried here
//! first, and no executor is made where it is missing.

use std::io;

use rustix::io::Errno;
use rustix::io_uring::IoringOp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::system::uname;
use rustix::thread::{CapabilitySet, capabilities};

use crate::runtime::MachineError;
use crate::runtime::log_text::plain;
use crate::runtime::unsafe_calls;

/// Rings and event of an executor; a shard's connection, which the reactor knows as well; the one that will replace it.
const FILES_PER_EXECUTOR: u64 = 12;
/// Standard input and output, listeners, signals, and what is open for a moment: resolvers, certificates, /proc.
const FILES_BESIDE: u64 = 64;
/// glommio insists on this limit of locked memory, for every user,
const LOCKED_BYTES_MIN: u64 = 512 << 10;
/// and the rings of an executor take this, where the limit holds (it does not for CAP_IPC_LOCK).
const LOCKED_BYTES_PER_EXECUTOR: u64 = 256 << 10;

/// Raises the limits as far as they may be raised, and checks that everything is there that `executors` executors and
/// `connections` accepted connections need.
pub fn grant(executors: usize, connections: usize) -> Result<(), MachineError> {
    grant_files(executors, connections)?;
    grant_locked_memory(executors)?;
    probe_io_uring(executors)
}

/// Of [`grant`] the open files.
pub fn grant_files(executors: usize, connections: usize) -> Result<(), MachineError> {
    let needed = FILES_BESIDE + FILES_PER_EXECUTOR * executors as u64 + connections as u64;
    let granted = raised(Resource::Nofile);
    if granted < needed { Err(MachineError::FewFiles { granted, needed, connections }) } else { Ok(()) }
}

/// Of [`grant`] the memory that may be locked.
pub fn grant_locked_memory(executors: usize) -> Result<(), MachineError> {
    let locked_bytes = raised(Resource::Memlock);
    let is_counted = !capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    let needed_bytes = if is_counted { locked_bytes_needed(executors) } else { LOCKED_BYTES_MIN };
    if locked_bytes < needed_bytes { Err(too_little_locked_memory(executors)) } else { Ok(()) }
}

/// Of [`grant`] io_uring.
pub fn probe_io_uring(executors: usize) -> Result<(), MachineError> {
    probe().map_err(|errno| why_no_uring(errno, &Kernel::of_this_machine(), executors))
}

/// All threads allocate from one heap. glibc would else give each thread its own and 64 MiB of addresses with it, so that a
/// process under a limit (`ulimit -v`) would run out of these at any later moment. One heap is no bottleneck: what handles
/// events allocates nothing. To be called before any thread starts.
pub fn keep_one_heap() {
    unsafe_calls::use_one_heap();
}

/// Why an executor could not be made though there was an io_uring.
pub(super) fn why_no_executor(error: io::Error) -> MachineError {
    match Errno::from_io_error(&error) {
        Some(Errno::NOMEM) => MachineError::ExecutorMemory,
        Some(errno @ (Errno::PERM | Errno::ACCESS | Errno::NOSYS)) => {
            why_no_uring(errno, &Kernel::of_this_machine(), 1)
        }
        Some(Errno::MFILE | Errno::NFILE) => MachineError::ExecutorFiles(error),
        _ => MachineError::Executor(plain(&error)),
    }
}

/// A limit, after it was raised to its maximum; the largest number where there is none.
fn raised(resource: Resource) -> u64 {
    let Rlimit { current, maximum } = getrlimit(resource);
    let raised = Rlimit { current: maximum, maximum };
    let granted = if setrlimit(resource, raised).is_ok() { maximum } else { current };
    granted.unwrap_or(u64::MAX)
}

fn locked_bytes_needed(executors: usize) -> u64 {
    LOCKED_BYTES_MIN.max(LOCKED_BYTES_PER_EXECUTOR * executors as u64)
}

fn too_little_locked_memory(executors: usize) -> MachineError {
    MachineError::LittleLockedMemory { needed_bytes: locked_bytes_needed(executors) }
}

/// The kernel, as far as io_uring depends on it.
struct Kernel {
    /// As in `6.1.0-18-amd64`.
    release: String,
    /// kernel.io_uring_disabled: 1 is for all but privileged users, 2 for everyone; `None` where there is no such.
    io_uring_disabled: Option<String>,
}

impl Kernel {
    fn of_this_machine() -> Kernel {
        let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
        Kernel {
            release: uname().release().to_string_lossy().into_owned(),
            io_uring_disabled: disabled.map(|text| text.trim().to_owned()),
        }
    }

    /// Whether it is one that has all of io_uring that is used here.
    fn is_new_enough(&self) -> bool {
        let mut numbers = self.release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
        (numbers.next(), numbers.next()) >= (Some(5), Some(8))
    }
}

/// Whether io_uring can be used, and has the newest operation that glommio wants.
fn probe() -> Result<(), Errno> {
    if unsafe_calls::last_io_uring_operation()? < IoringOp::Recv as u8 { Err(Errno::INVAL) } else { Ok(()) }
}

/// What stands against io_uring where the kernel answers `errno`.
fn why_no_uring(errno: Errno, kernel: &Kernel, executors: usize) -> MachineError {
    match (errno, kernel.io_uring_disabled.as_deref()) {
        (Errno::PERM | Errno::ACCESS, Some(value @ ("1" | "2"))) => {
            MachineError::IoUringTurnedOff { value: value.to_owned() }
        }
        (Errno::PERM | Errno::ACCESS, _) => MachineError::IoUringBlocked,
        (Errno::NOSYS | Errno::INVAL, _) if kernel.is_new_enough() => MachineError::IoUringHidden,
        (Errno::NOSYS | Errno::INVAL, _) => MachineError::IoUringTooOld { release: kernel.release.clone() },
        (Errno::NOMEM, _) => too_little_locked_memory(executors),
        _ => MachineError::IoUring(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_grants_it() {
        grant(1, 1).unwrap_or_else(|error| panic!("{error}"));
    }

    #[test]
    fn each_cause_has_its_remedy() {
        let check = |errno, disabled: Option<&str>, release: &str, expected: &str| {
            let kernel = Kernel { release: release.to_owned(), io_uring_disabled: disabled.map(str::to_owned) };
            let text = why_no_uring(errno, &kernel, 4).to_string();
            assert!(text.contains(expected) && text.lines().count() == 1, "{errno:?} {disabled:?} {release}: {text}");
        };
        check(Errno::PERM, Some("0"), "6.6.1", "--security-opt seccomp=");
        check(Errno::PERM, None, "5.15.0", "--security-opt seccomp=");
        check(Errno::ACCESS, None, "5.15.0", "--security-opt seccomp=");
        check(Errno::PERM, Some("1"), "6.6.1", "kernel.io_uring_disabled=0");
        check(Errno::PERM, Some("2"), "6.6.1", "kernel.io_uring_disabled=0");
        check(Errno::NOSYS, None, "4.4.0", "Linux 5.8 or later is needed, this is 4.4.0");
        check(Errno::INVAL, None, "5.7-rc1", "Linux 5.8");
        check(Errno::NOSYS, None, "unheard of", "Linux 5.8");
        check(Errno::NOSYS, None, "5.8-rc1", "a sandbox");
        check(Errno::NOSYS, None, "6.1.0-18-amd64", "a sandbox");
        check(Errno::NOSYS, None, "10.0", "a sandbox");
        check(Errno::NOMEM, None, "5.10.0", "1024 KiB");
        check(Errno::MFILE, None, "6.1.0", "Too many open files");
        let text = why_no_executor(Errno::MFILE.into()).to_string();
        assert!(text.contains("ulimit -n") && !text.contains("os error"), "{text}");
    }
}
