//! What axe-core finds that would keep people out: contrast, names, order, the keyboard. `outages` asks for a look in the states that
//! it makes.

use std::fs;

use serde_json::Value;

use crate::chromium::{Chromium, Page, tool};
use crate::support::bus::Bus;
use crate::support::events::{RISE_FLAGS, RISE_WARM_UP, book, now_ns, quote, rising_market};
use crate::support::is_skipped;
use crate::support::nats_server::NatsServer;
use crate::support::service::Service;
use crate::{check_clean, open};

/// As wide and in the theme that it is in.
#[track_caller]
fn check(page: &Page<'_>, case: &str) {
    if page.js("typeof axe") == "undefined" {
        page.js(&fs::read_to_string(tool("axe")).expect("it is there"));
    }
    let found = page.js(
        "axe.run().then(({ violations }) => violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.map(({ target, failureSummary }) => `${target}: ${failureSummary}`) })))",
    );
    assert_eq!(found, Value::Array(Vec::new()), "{case}");
}

/// As it is now, in both themes.
#[track_caller]
pub fn check_themes(page: &Page<'_>, case: &str) {
    if is_skipped(&format!("barriers, {case}"), "axe") {
        return;
    }
    for theme in ["light", "dark"] {
        page.theme(theme);
        check(page, &format!("{theme}, {case}"));
    }
}

/// One of each look, as no state of a service shows them all.
const LAMPS: &str = "for (const is of ['good', 'warning', 'bad', 'waiting', 'unknown']) {
    const lamp = document.createElement('li');
    [lamp.dataset.is, lamp.textContent] = [is, `Stream ${is}`];
    document.querySelector('.lamps').append(lamp);
}";

pub fn no_barriers(chromium: &Chromium) {
    if is_skipped("no_barriers", "axe") {
        return;
    }
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
    page.js(LAMPS);
    check_themes(&page, "lamps of each look");
    check_clean(&page, &service);
    drop(service);
    page.until("document.body.dataset.link === 'gone'");
    check_themes(&page, "gone");
}
