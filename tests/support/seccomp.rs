//! A process to which the kernel refuses chosen system calls, as a container's seccomp profile does: without a container.
// A filter of system calls is installed between fork and exec.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use libc::{c_int, c_long, sock_filter};

/// A system call that is refused.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    pub call: c_long,
    pub errno: c_int,
    /// Only where the argument of this index is not 0.
    pub unless_zero: Option<usize>,
}

pub fn refused(call: c_long, errno: c_int) -> Refused {
    Refused { call, errno, unless_zero: None }
}

/// The command's process, and what it starts, will be refused these calls.
pub fn refuse(command: &mut Command, calls: &[Refused]) {
    let filter = filter(calls);
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; prctl is a bare system call, and the filter
    // was made before.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
            // An unprivileged process may filter itself only if it gives up gaining privileges.
            let has_given_up = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            let is_filtered = libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program);
            if has_given_up == 0 && is_filtered == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        });
    }
}

/// Classic BPF over `struct seccomp_data`: the call's number at 0, its arguments from 16 on, the lower half of each first.
fn filter(calls: &[Refused]) -> Vec<sock_filter> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let step = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    let answer = |k| step(libc::BPF_RET | libc::BPF_K, 0, 0, k);
    let mut steps = Vec::new();
    for Refused { call, errno, unless_zero } in calls {
        let refusal = answer(libc::SECCOMP_RET_ERRNO | *errno as u32);
        steps.push(step(LOAD, 0, 0, 0));
        match unless_zero {
            None => steps.extend([step(JUMP_IF_EQUAL, 0, 1, *call as u32), refusal]),
            Some(argument) => steps.extend([
                step(JUMP_IF_EQUAL, 0, 3, *call as u32),
                step(LOAD, 0, 0, 16 + 8 * *argument as u32),
                step(JUMP_IF_EQUAL, 1, 0, 0),
                refusal,
            ]),
        }
    }
    steps.push(answer(libc::SECCOMP_RET_ALLOW));
    steps
}
