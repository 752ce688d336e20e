//! What the kernel must grant before anything starts: open files, locked memory, io_uring.
//!
//! glommio answers a missing io_uring with a joke, and a panic or an exit; so it is asked for here first, and glommio is
//! not touched where it is not to be had.

use rustix::io::Errno;
use rustix::io_uring::IoringOp;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::system::uname;
use rustix::thread::{CapabilitySet, capabilities};

use crate::runtime::log_text::plain;
use crate::runtime::unsafe_calls;

/// Rings and event of an executor; a shard's connection, which the reactor knows as well; the one that will replace it.
const FILES_PER_EXECUTOR: u64 = 12;
/// Standard input and output, listeners, signals, and what is open for a moment: resolvers, certificates, /proc.
const FILES_BESIDE: u64 = 64;
/// What glommio insists on, whoever asks,
const LOCKED_BYTES_MIN: u64 = 512 << 10;
/// and what the rings of an executor take, of a user who may not lock as much as he likes.
const LOCKED_BYTES_PER_EXECUTOR: u64 = 256 << 10;

/// Raises the limits as far as they may be raised, and looks whether everything is there that `executors` executors and
/// `connections` accepted connections need. The error is one line that says what to do.
pub fn grant(executors: usize, connections: usize) -> Result<(), String> {
    let needed = FILES_BESIDE + FILES_PER_EXECUTOR * executors as u64 + connections as u64;
    let files = raised(Resource::Nofile);
    if files < needed {
        return Err(format!(
            "{files} files may be open at once, {needed} are needed (CORES, and {connections} connections): \
             raise the limit (ulimit -n, LimitNOFILE)"
        ));
    }
    let locked_bytes = raised(Resource::Memlock);
    let is_counted = !capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    let needed_bytes = if is_counted { locked_bytes_needed(executors) } else { LOCKED_BYTES_MIN };
    if locked_bytes < needed_bytes {
        return Err(too_little_locked_memory(executors));
    }
    probe().map_err(|errno| why_no_uring(errno, &Kernel::of_this_machine(), executors))
}

/// All threads allocate from one heap. glibc would else give each thread its own and 64 MiB of addresses with it, so that a
/// process under a limit (`ulimit -v`) would run out of these by chance, at any later moment. There is nothing to fight
/// over: what handles events allocates nothing. To be called before any thread starts.
pub fn keep_one_heap() {
    unsafe_calls::use_one_heap();
}

/// Why an executor could not be made though there was an io_uring.
pub fn why_no_executor(error: &std::io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::NOMEM) => "an executor cannot be made: raise the limit of locked memory (ulimit -l, LimitMEMLOCK: \
                               256 KiB a core, for all processes of the user), or of memory (ulimit -v)"
            .to_owned(),
        Some(errno @ (Errno::PERM | Errno::ACCESS | Errno::NOSYS)) => {
            why_no_uring(errno, &Kernel::of_this_machine(), 1)
        }
        Some(Errno::MFILE | Errno::NFILE) => {
            format!("an executor cannot be made ({}): raise the limit of open files (ulimit -n)", plain(error))
        }
        _ => format!("an executor cannot be made: {}", plain(error)),
    }
}

/// Why a thread could not be started.
pub fn why_no_thread(error: &std::io::Error) -> String {
    format!(
        "a thread cannot be started ({}): raise the limit of threads (ulimit -u, TasksMax, a container's pids limit), or \
         of memory (ulimit -v)",
        plain(error)
    )
}

/// A limit, after it was raised to what may be had; the largest number where there is none.
fn raised(resource: Resource) -> u64 {
    let Rlimit { current, maximum } = getrlimit(resource);
    let raised = Rlimit { current: maximum, maximum };
    let granted = if setrlimit(resource, raised).is_ok() { maximum } else { current };
    granted.unwrap_or(u64::MAX)
}

fn locked_bytes_needed(executors: usize) -> u64 {
    LOCKED_BYTES_MIN.max(LOCKED_BYTES_PER_EXECUTOR * executors as u64)
}

fn too_little_locked_memory(executors: usize) -> String {
    let needed = locked_bytes_needed(executors) / 1024;
    format!("io_uring needs {needed} KiB of locked memory (CORES): raise its limit (ulimit -l, LimitMEMLOCK)")
}

/// What it says of itself.
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

/// What to do about it.
fn why_no_uring(errno: Errno, kernel: &Kernel, executors: usize) -> String {
    const PROFILE: &str =
        "ops/docker-seccomp.sh > seccomp.json, then docker run --security-opt seccomp=seccomp.json, allows it";
    match (errno, kernel.io_uring_disabled.as_deref()) {
        (Errno::PERM | Errno::ACCESS, Some(value @ ("1" | "2"))) => {
            format!("io_uring is turned off on this machine: sysctl kernel.io_uring_disabled=0 (it is {value})")
        }
        (Errno::PERM | Errno::ACCESS, _) => {
            format!("io_uring is blocked, by a container's seccomp profile most likely: {PROFILE}")
        }
        (Errno::NOSYS | Errno::INVAL, _) if kernel.is_new_enough() => {
            format!("io_uring is hidden, by a sandbox (gVisor has none) or a container's seccomp profile: {PROFILE}")
        }
        (Errno::NOSYS | Errno::INVAL, _) => {
            format!("io_uring is too old or missing: Linux 5.8 or later is needed, this is {}", kernel.release)
        }
        (Errno::NOMEM, _) => too_little_locked_memory(executors),
        _ => format!("io_uring cannot be used: {}", plain(&errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_grants_it() {
        assert_eq!(grant(1, 1), Ok(()));
    }

    #[test]
    fn each_cause_has_its_remedy() {
        let check = |errno, disabled: Option<&str>, release: &str, expected: &str| {
            let kernel = Kernel { release: release.to_owned(), io_uring_disabled: disabled.map(str::to_owned) };
            let text = why_no_uring(errno, &kernel, 4);
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
        let text = why_no_executor(&Errno::MFILE.into());
        assert!(text.contains("ulimit -n") && !text.contains("os error"), "{text}");
    }
}
