//! What the page says when something is wrong.

use serde_json::{Value, json};

use crate::barriers::check_themes;
use crate::chromium::{Chromium, Page};
use crate::support::bus::Bus;
use crate::support::events::{now_ns, quote};
use crate::support::nats_server::{NatsServer, Release, unused_port};
use crate::support::service::Service;
use crate::{check_clean, open};

pub fn service_killed_and_back(chromium: &Chromium) {
    let server = NatsServer::start();
    let port = unused_port();
    let service = Service::start_on(port, &server.url(), &["--max-symbols", "1"]);
    service.wait_ready();
    let bus = Bus::connect(&server.url());
    let now = now_ns();
    bus.publish(&[quote("OLD", now, 1.0, 2.0), quote("NO.PLACE", now, 1.0, 2.0)]);
    service.wait_events_in(2);
    let page = open(chromium, &service);
    page.until("document.querySelectorAll('#troubles li').length === 1");
    page.until("document.querySelector('#scroll tbody a')?.textContent === 'OLD'");
    check_clean(&page, &service);
    page.js("location.hash = '#OLD'");
    page.until("document.getElementById('quote').textContent.includes('bid')");

    drop(service);
    page.until("document.body.dataset.link === 'gone' && document.getElementById('gone').textContent.includes('UTC')");
    assert_eq!(page.js("document.getElementById('lamp-link').textContent"), "Service gone");
    assert_eq!(
        page.js("document.querySelector('#scroll tbody a').textContent"),
        "OLD",
        "the last numbers are still there"
    );
    assert!(page.js("document.title").as_str().is_some_and(|title| title.contains("gone")));
    // They look it: of one colour with what is said beside, as is the trouble of then.
    let color = |selector: &str| page.js(&format!("getComputedStyle(document.querySelector('{selector}')).color"));
    let muted = color("#about");
    for selector in ["#scroll tbody a", "#scroll tbody td", "#rate", "#troubles li"] {
        assert_eq!(color(selector), muted, "{selector}");
    }
    let about = page.js("document.getElementById('about').textContent");
    assert!(about.as_str().is_some_and(|about| about.contains("last heard of at")), "{about}");
    // What is not answered any more is told to be old.
    page.until("/quote and book are of .* ago/.test(document.getElementById('symbol-note').textContent)");
    assert_eq!(page.js("getComputedStyle(document.getElementById('quote')).fontStyle"), "italic");
    page.js("location.hash = ''");

    let service = Service::start_on(port, &server.url(), &[]);
    service.wait_ready();
    page.until("document.body.dataset.link === 'open' && document.getElementById('gone').textContent === ''");
    bus.publish(&[quote("NEW", now_ns(), 1.0, 2.0)]);
    // What the process before knew is not shown as if this one knew it.
    page.until("[...document.querySelectorAll('#scroll tbody a')].map((a) => a.textContent).join() === 'NEW'");
    // That the service did not answer, and nothing else.
    let own = format!("http://127.0.0.1:{port}/");
    let is_own = |problem: &String| problem.contains("net::ERR_") && problem.contains(&own);
    let foreign: Vec<String> = page.problems().into_iter().filter(|problem| !is_own(problem)).collect();
    assert_eq!(foreign, Vec::<String>::new());
}

/// Of the lamps: connection, NATS, readiness, stream.
fn looks(page: &Page<'_>) -> Value {
    page.js("[...document.querySelectorAll('.lamps li')].map((lamp) => lamp.dataset.is)")
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
    assert_eq!(looks(&page), json!(["good", "bad", "bad", "unknown"]));
    check_themes(&page, "NATS not connected");
    check_clean(&page, &service);
}

/// With JetStream the page says how far the stream is read, and why it is not.
pub fn how_far_a_stream_is_read(chromium: &Chromium) {
    let store = tempfile::tempdir().expect("a directory for temporary files");
    let server = NatsServer::start_with(Release::Current, &format!("jetstream {{ store_dir: {:?} }}", store.path()));
    let service = Service::start(&server.url(), &["--use-jetstream"]);
    let page = open(chromium, &service);
    let lamp = |text: &str| format!("document.getElementById('lamp-stream').textContent === '{text}'");
    page.until(&lamp("Stream not read"));
    page.until("document.querySelectorAll('#troubles li').length > 0");
    let said = page.js("document.querySelector('#troubles li').textContent");
    assert!(said.as_str().is_some_and(|said| said.contains("JetStream stream MD_EVENTS")), "{said}");
    assert_eq!(looks(&page), json!(["good", "good", "bad", "bad"]));
    check_themes(&page, "stream not read");
    // Another service makes it.
    let maker = Service::start_ready(&server.url(), &["--use-jetstream", "--jetstream-create-stream"]);
    page.until(&lamp("Stream live"));
    page.until("document.getElementById('lamp-ready').textContent === 'Ready'");
    drop(maker);

    let words = |phase: &str, messages: u64, pending: u64, missed: u64, lag: Option<f64>| {
        let position =
            json!({ "phase": phase, "messages": messages, "pending": pending, "missed": missed, "lag_seconds": lag });
        page.js(&format!(
            "import('/page/text.js').then(({{ streamPosition }}) => streamPosition({position}).join(': '))"
        ))
    };
    assert_eq!(words("offline", 10, 0, 0, None), "bad: Stream not read");
    assert_eq!(words("newest", 0, 0, 0, None), "waiting: Stream catching up, 0 %");
    assert_eq!(words("catching_up", 1999, 1, 0, Some(30.0)), "waiting: Stream catching up, 99 %");
    assert_eq!(words("live", 10, 5, 0, Some(0.9)), "good: Stream live");
    assert_eq!(words("live", 10, 5, 0, Some(75.0)), "bad: Stream 75 s behind");
    assert_eq!(words("live", 0, 5000, 0, None), "bad: Stream: 5,000 wait");
    // What was lost stays said.
    assert_eq!(words("live", 10, 0, 1234, Some(0.0)), "warning: Stream live, 1,234 missed");
    check_clean(&page, &service);
}
