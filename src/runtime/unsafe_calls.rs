//! The only unsafe code of this crate: calls for which there is no safe way. Each is wrapped so that no caller can use it
//! wrongly.

use std::ffi::c_int;
use std::net::TcpListener as StdListener;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};

use glommio::net::{TcpListener, TcpStream};
use rustix::io::Errno;
use rustix::io_uring::{
    IoringEnterFlags, IoringRegisterOp, io_uring_enter, io_uring_params, io_uring_register, io_uring_setup,
};

/// Puts a listening socket on this thread's reactor. Panics outside of an executor.
pub fn listener_on_reactor(listener: StdListener) -> TcpListener {
    // SAFETY: `into_raw_fd` gives the descriptor away, and it is given here once. glommio's listener has no other way in
    // (its stream has: `From<Socket>`), and its own `bind` sets SO_REUSEPORT.
    unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) }
}

/// The descriptor of a stream.
pub fn descriptor_of(stream: &TcpStream) -> BorrowedFd<'_> {
    // SAFETY: the stream is borrowed for as long as the answer lives, and keeps its descriptor open. glommio's stream is
    // `AsRawFd` only; a duplicate of its descriptor would do without this and cost each connection a second one.
    unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) }
}

/// The process ignores `signal` from now on. A handler that does nothing would not do: it interrupts system calls, and a
/// write that raises SIGTTOU would be tried again for ever.
pub fn ignore_signal(signal: c_int) {
    // SAFETY: no code runs for an ignored signal, so there is none that could be unsafe in a handler. Tried instead: nix,
    // whose call is unsafe as well and has no realtime signals; signal-hook, which has only handlers. Blocking the signals
    // would be safe, but every thread must do it and programs that are started inherit it.
    let before = unsafe { libc::signal(signal, libc::SIG_IGN) };
    debug_assert!(before != libc::SIG_ERR, "signal {signal} can be ignored");
}

/// All threads allocate from one heap from now on. To be called before any thread starts.
pub fn use_one_heap() {
    // SAFETY: mallopt changes a number that the allocator looks at when it makes a heap. Rust's library has no way to it;
    // the environment (MALLOC_ARENA_MAX) has, but is read before `main`.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Makes the smallest io_uring there is and uses each of the three calls once; says which operation is the last that the
/// kernel knows.
pub fn last_io_uring_operation() -> Result<u8, Errno> {
    const OPERATIONS_MAX: usize = 256;
    /// As `struct io_uring_probe` begins, with the last operation that the kernel knows in its first byte.
    const HEAD_BYTES: usize = 16;
    /// As `struct io_uring_probe_op`.
    const OPERATION_BYTES: usize = 8;
    let mut known = [0u8; HEAD_BYTES + OPERATIONS_MAX * OPERATION_BYTES];
    let mut params = io_uring_params::default();
    // SAFETY: rustix has no safe way to any of the three, as most of what they do lends memory to the kernel. Here the
    // ring is never mapped and nothing is submitted; the register call writes OPERATIONS_MAX entries into `known`, which
    // has room for them and outlives the call.
    unsafe {
        let ring = io_uring_setup(1, &mut params)?;
        io_uring_register(&ring, IoringRegisterOp::RegisterProbe, known.as_mut_ptr().cast(), OPERATIONS_MAX as u32)?;
        io_uring_enter(&ring, 0, 0, IoringEnterFlags::empty())?;
    }
    Ok(known[0])
}
