//! HTTP's peers at their worst: many that are silent, or nearly, and many that do not read what they have asked for; and
//! how soon a document is there with one core and with two.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proto_nats::encode;

use super::client::Client;
use super::processes::{Consumer, NatsServer, Service, eventually, get};
use super::scrapes::make_known;

const SILENT: usize = 1_000;
const UNREAD: usize = 250;
const SYMBOLS: usize = 50_000;
const REQUESTS: usize = 200;
/// Between two of them.
const GAP: Duration = Duration::from_millis(23);

/// Of the service and, where it is given, of another binary of it.
pub fn peers(server: &NatsServer, base: Option<&Path>) {
    let service = Path::new(env!("CARGO_BIN_EXE_senpai-md-consumer"));
    for (name, binary) in [("service", Some(service)), ("base", base)] {
        if let Some(binary) = binary {
            println!("\nHTTP's peers, {name}: a request each {} ms, on a connection of its own", GAP.as_millis());
            println!("{:<58}{:>10}{:>10}{:>10}{:>14}", "/health", "p50 ms", "p99 ms", "max ms", "% of a core");
            cores(binary, server);
            silent(binary, server);
            unread(binary, server);
        }
    }
}

fn cores(binary: &Path, server: &NatsServer) {
    for cores in ["1", "2"] {
        let service = Service::start_binary(binary, server, &["--cores", cores]);
        // Something comes now and then, so that no core is idle.
        let (mut publisher, mut frame) = (Client::connect(server.port).expect("the server takes clients"), Vec::new());
        for symbol in ["A", "B", "C", "D"] {
            encode::publish(&mut frame, format!("md.events.quote.{symbol}").as_bytes(), None, br#"{"bid":1,"ask":2}"#);
        }
        ask(&format!("--cores {cores}, a few events now and then"), &service, || {
            publisher.write(&frame).expect("the server takes them");
        });
    }
}

fn silent(binary: &Path, server: &NatsServer) {
    let service = Service::start_binary(binary, server, &[]);
    ask("no other peer", &service, || {});
    let connect = || TcpStream::connect(service.address()).expect("it listens");
    let peers: Vec<TcpStream> = (0..SILENT).map(|_| connect()).collect();
    ask(&format!("{SILENT} silent peers"), &service, || {});
    drop(peers);
    for is_back in [false, true] {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut peers: Vec<TcpStream> = (0..SILENT).map(|_| connect()).collect();
                while !is_over.load(Ordering::Relaxed) {
                    for peer in &mut peers {
                        std::thread::sleep(Duration::from_secs(1) / SILENT as u32);
                        if peer.write_all(b"G").is_err() && is_back {
                            *peer = connect();
                        }
                    }
                }
            });
            let name = if is_back { ", and are back when they are closed" } else { "" };
            ask(&format!("{SILENT} that send a byte a second{name}"), &service, || {});
            is_over.store(true, Ordering::Relaxed);
        });
    }
}

fn unread(binary: &Path, server: &NatsServer) {
    let service = Service::start_binary(binary, server, &["--max-symbols", &SYMBOLS.to_string()]);
    let events = make_known(server, SYMBOLS);
    eventually("every symbol", || (service.events() == events).then_some(()));
    let _ = get(service.address(), "/metrics");
    let before = service.process().resident_mb();
    let mut peers: Vec<TcpStream> = (0..UNREAD)
        .map(|_| {
            let mut peer = TcpStream::connect(service.address()).expect("it listens");
            peer.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").expect("it listens");
            peer
        })
        .collect();
    let (mut most, mut slowest, start) = (before, Duration::ZERO, Instant::now());
    while start.elapsed() < Duration::from_secs(4) {
        let asked = Instant::now();
        let _ = get(service.address(), "/ready");
        slowest = slowest.max(asked.elapsed());
        most = most.max(service.process().resident_mb());
        std::thread::sleep(GAP);
    }
    let is_cut = |peer: &mut TcpStream| {
        let _ = peer.set_read_timeout(Some(Duration::from_secs(1)));
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).is_err() || !rest.ends_with(b"0\r\n\r\n")
    };
    let cut = peers.iter_mut().filter_map(|peer| is_cut(peer).then_some(())).count();
    println!(
        "{UNREAD} that ask for /metrics of {SYMBOLS} symbols and do not read: {before:.1} MB before, {most:.1} at most, \
         {cut} cut off, /ready within {:.1} ms",
        slowest.as_secs_f64() * 1e3
    );
}

fn ask(name: &str, service: &Service, mut before_each: impl FnMut()) {
    let (start, cpu_before) = (Instant::now(), service.process().cpu_ns());
    let mut times = Vec::new();
    for _ in 0..REQUESTS {
        before_each();
        std::thread::sleep(GAP);
        let start = Instant::now();
        // One that is turned away has waited as well.
        let _ = get(service.address(), "/health");
        times.push(start.elapsed());
    }
    let cpu = (service.process().cpu_ns() - cpu_before) as f64 / start.elapsed().as_nanos() as f64;
    times.sort_unstable();
    let ms = |q: f64| times[((times.len() as f64 * q).ceil() as usize).saturating_sub(1)].as_secs_f64() * 1e3;
    println!("{name:<58}{:>10.2}{:>10.2}{:>10.2}{:>14.1}", ms(0.5), ms(0.99), ms(1.0), cpu * 100.0);
}
