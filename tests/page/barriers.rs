//! What axe-core finds that would keep people out: contrast, names, order, the keyboard.

use std::fs;

use serde_json::Value;

use crate::chromium::{Chromium, Page, tool};
use crate::support::bus::Bus;
use crate::support::events::{RISE_FLAGS, RISE_WARM_UP, book, now_ns, quote, rising_market};
use crate::support::is_skipped;
use crate::support::nats_server::NatsServer;
use crate::support::service::Service;
use crate::{check_clean, open};

#[track_caller]
fn check(page: &Page<'_>, case: &str) {
    let found = page.js(
        "axe.run().then(({ violations }) => violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.map(({ target, failureSummary }) => `${target}: ${failureSummary}`) })))",
    );
    assert_eq!(found, Value::Array(Vec::new()), "{case}");
}

pub fn no_barriers(chromium: &Chromium) {
    if is_skipped("no_barriers", "axe") {
        return;
    }
    let axe = fs::read_to_string(tool("axe")).expect("it is there");
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &RISE_FLAGS);
    let bus = Bus::connect(&server.url());
    bus.publish(&rising_market("A", RISE_WARM_UP + 3));
    bus.publish(&[quote("B", now_ns(), 1.0, 2.0), book("A", now_ns(), 12)]);
    service.wait_events_in(RISE_WARM_UP + 6);
    let page = open(chromium, &service);
    page.until("document.querySelectorAll('#scroll tbody a').length === 2");
    page.until(
        "document.querySelectorAll('#signals li').length === 3 && document.querySelectorAll('#alerts li').length > 0",
    );
    page.js(&axe);
    for theme in ["light", "dark"] {
        page.theme(theme);
        for (width, height) in [(1600, 1000), (900, 1200), (390, 844)] {
            page.size(width, height);
            page.js("location.hash = ''");
            page.until("document.getElementById('symbol').hidden");
            check(&page, &format!("{theme}, {width}"));
            page.js("location.hash = '#A'");
            page.until("document.querySelectorAll('#book tbody tr').length === 10");
            check(&page, &format!("{theme}, {width}, a symbol"));
        }
    }
    check_clean(&page, &service);
    drop(service);
    page.until("document.body.dataset.link === 'gone'");
    for theme in ["light", "dark"] {
        page.theme(theme);
        check(&page, &format!("{theme}, gone"));
    }
}
