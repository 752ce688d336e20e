//! A TCP proxy on loopback that does to one connection what networks do, and records what passes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, Default)]
pub enum Plan {
    #[default]
    Pass,
    /// Each byte is a segment of its own.
    Bytewise,
    /// Each piece waits.
    Delay(Duration),
    /// After so many bytes the connection is closed.
    Close(Direction, usize),
    /// After so many bytes nothing comes any more.
    Swallow(Direction, usize),
}

pub struct Proxy {
    ports: Vec<u16>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    server: u16,
    /// Of the next connection.
    plan: Mutex<Plan>,
    accepted: AtomicUsize,
    /// Plans that have come to their point.
    tripped: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    /// By direction: of the connections before this one nothing passes any more.
    muted_before: [AtomicUsize; 2],
    /// Of each connection, by direction.
    passed: Mutex<Vec<[Vec<u8>; 2]>>,
    is_over: AtomicBool,
}

impl Proxy {
    /// Before the server at that port, with as many addresses as asked for.
    pub fn start(server: u16, addresses: usize) -> Proxy {
        let shared = Arc::new(Shared {
            server,
            plan: Mutex::default(),
            accepted: AtomicUsize::new(0),
            tripped: AtomicUsize::new(0),
            open: Mutex::default(),
            muted_before: Default::default(),
            passed: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let mut proxy = Proxy { ports: Vec::new(), shared, threads: Vec::new() };
        for _ in 0..addresses {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            proxy.ports.push(listener.local_addr().expect("an address").port());
            let shared = proxy.shared.clone();
            proxy.threads.push(std::thread::spawn(move || accept(&listener, &shared)));
        }
        proxy
    }

    /// As NATS_URL has it.
    pub fn url(&self) -> String {
        let urls: Vec<String> = self.ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
        urls.join(",")
    }

    /// For the next connection; those after it pass.
    pub fn plan(&self, plan: Plan) {
        *self.shared.plan.lock().unwrap() = plan;
    }

    /// Closes what is open.
    pub fn cut(&self) {
        for stream in self.shared.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Nothing passes any more on what is open, in that direction; neither end is told.
    pub fn mute(&self, direction: Direction) {
        self.shared.muted_before[direction as usize].store(self.accepted(), Ordering::SeqCst);
    }

    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    pub fn tripped(&self) -> usize {
        self.shared.tripped.load(Ordering::SeqCst)
    }

    /// What the newest connection has let through.
    pub fn passed(&self, direction: Direction) -> Vec<u8> {
        let passed = self.shared.passed.lock().unwrap();
        passed.last().map(|ways| ways[direction as usize].clone()).unwrap_or_default()
    }

    /// What all connections have let through.
    pub fn ever_passed(&self, direction: Direction) -> Vec<u8> {
        self.shared.passed.lock().unwrap().iter().flat_map(|ways| &ways[direction as usize]).copied().collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.cut();
        for port in &self.ports {
            // Wakes the thread that accepts.
            let _ = TcpStream::connect(("127.0.0.1", *port));
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept() else { continue };
        if shared.is_over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", shared.server)) else { continue };
        let plan = std::mem::take(&mut *shared.plan.lock().unwrap());
        let connection = {
            let mut passed = shared.passed.lock().unwrap();
            passed.push(Default::default());
            passed.len() - 1
        };
        shared.accepted.fetch_add(1, Ordering::SeqCst);
        {
            let mut open = shared.open.lock().unwrap();
            for stream in [&client, &server] {
                let _ = stream.set_nodelay(true);
                open.extend(stream.try_clone());
            }
        }
        let ways = [(Direction::ToServer, &client, &server), (Direction::ToClient, &server, &client)];
        for (direction, from, to) in ways {
            let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
            let shared = shared.clone();
            std::thread::spawn(move || pump(&shared, connection, plan, direction, from, to));
        }
    }
}

fn pump(shared: &Shared, connection: usize, plan: Plan, direction: Direction, mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = vec![0; 64 << 10];
    let mut total = 0;
    let mut is_swallowing = false;
    loop {
        let len = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if connection < shared.muted_before[direction as usize].load(Ordering::SeqCst) {
            continue;
        }
        let (allowed, trips) = match plan {
            Plan::Close(way, limit) | Plan::Swallow(way, limit) if way == direction => {
                (len.min(limit.saturating_sub(total)), total + len > limit)
            }
            _ => (len, false),
        };
        if let Plan::Delay(pause) = plan {
            std::thread::sleep(pause);
        }
        let passing = &bytes[..allowed];
        shared.passed.lock().unwrap()[connection][direction as usize].extend_from_slice(passing);
        let piece_len = if let Plan::Bytewise = plan { 1 } else { passing.len().max(1) };
        if passing.chunks(piece_len).any(|piece| to.write_all(piece).is_err()) {
            break;
        }
        total += allowed;
        if trips && !is_swallowing {
            shared.tripped.fetch_add(1, Ordering::SeqCst);
            match plan {
                Plan::Swallow(..) => is_swallowing = true,
                _ => break,
            }
        }
    }
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
