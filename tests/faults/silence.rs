//! The server is there and says nothing.

use std::time::{Duration, Instant};

use crate::stage::{Loss, RECOVERY_LIMIT, Report, Stage};
use crate::support::nats_server::{NatsServer, Release};

const STANDSTILL: Duration = Duration::from_secs(15);
const NOTICED_LIMIT: Duration = Duration::from_secs(10);

/// SIGSTOP: the sockets stay open, the kernel even takes new connections.
pub fn a_server_that_stands_still(release: Release) -> Result<Report, &'static str> {
    let server = NatsServer::start_with(release, "");
    let mut stage = Stage::on(&server, &[]);
    stage.note_break();
    let since = Instant::now();
    server.signal("STOP");
    stage.wait_told(NOTICED_LIMIT);
    let noticed = since.elapsed();
    while since.elapsed() < STANDSTILL {
        assert_eq!(stage.service.get("/ready").0, 503, "nobody answers it");
        std::thread::sleep(Duration::from_millis(100));
    }
    let back = Instant::now();
    server.signal("CONT");
    let recovery = stage.wait_recovered(back, 1, RECOVERY_LIMIT);
    let mut report = stage.settle(vec![recovery], Loss::InHand, Some(&server));
    report.note = format!("noticed within {:.1} s", noticed.as_secs_f64());
    Ok(report)
}
