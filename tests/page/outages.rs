//! What the page says when something is wrong.

use crate::chromium::Chromium;
use crate::support::bus::Bus;
use crate::support::events::{now_ns, quote};
use crate::support::nats_server::{NatsServer, unused_port};
use crate::support::service::Service;
use crate::{check_clean, open};

pub fn service_killed_and_back(chromium: &Chromium) {
    let server = NatsServer::start();
    let port = unused_port();
    let service = Service::start_on(port, &server.url(), &[]);
    service.wait_ready();
    let bus = Bus::connect(&server.url());
    bus.publish(&[quote("OLD", now_ns(), 1.0, 2.0)]);
    service.wait_events_in(1);
    let page = open(chromium, &service);
    page.until("document.querySelector('#scroll tbody a')?.textContent === 'OLD'");
    check_clean(&page, &service);

    drop(service);
    page.until("document.body.dataset.link === 'gone' && document.getElementById('gone').textContent.includes('UTC')");
    assert_eq!(page.js("document.getElementById('lamp-link').textContent"), "Service gone");
    assert_eq!(
        page.js("document.querySelector('#scroll tbody a').textContent"),
        "OLD",
        "the last numbers are still there"
    );
    assert!(page.js("document.title").as_str().is_some_and(|title| title.contains("gone")));

    let service = Service::start_on(port, &server.url(), &[]);
    service.wait_ready();
    page.until("document.body.dataset.link === 'open' && document.getElementById('gone').textContent === ''");
    bus.publish(&[quote("NEW", now_ns(), 1.0, 2.0)]);
    // What the process before knew is not shown as if this one knew it.
    page.until("[...document.querySelectorAll('#scroll tbody a')].map((a) => a.textContent).join() === 'NEW'");
    let foreign: Vec<String> = page
        .problems()
        .into_iter()
        .filter(|problem| !problem.contains("net::ERR_") || !problem.contains("/events"))
        .collect();
    assert_eq!(foreign, Vec::<String>::new());
}

pub fn troubles_come_first(chromium: &Chromium) {
    let server = NatsServer::start();
    let url = server.url();
    drop(server);
    let service = Service::start(&url, &["--max-symbols", "1"]);
    let page = open(chromium, &service);
    page.until("document.getElementById('lamp-nats').textContent === 'NATS not connected'");
    page.until("document.querySelectorAll('#troubles li').length > 0");
    let trouble = service.document("/stats");
    assert_eq!(trouble["nats_connected"], false);
    let said = page.js("document.querySelector('#troubles li').textContent");
    let health = service.document("/health");
    assert_eq!(said, health["troubles"][0]);
    let lines = "document.querySelectorAll('#troubles li').length";
    assert_eq!(page.js(&format!("document.title === `⚠ ${{{lines}}} · senpai-md-consumer`")), true);
    check_clean(&page, &service);
}
