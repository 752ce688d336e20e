//! The table, and the view of a symbol.

use serde_json::{Value, json};

use crate::chromium::{Chromium, Page};
use crate::support::bus::Bus;
use crate::support::events::{RISE_FLAGS, RISE_WARM_UP, book, event, now_ns, quote, rising_market, trade};
use crate::support::nats_server::NatsServer;
use crate::support::service::Service;
use crate::support::{eventually, holds};
use crate::{check_clean, open};

/// Texts of the rows that can be seen.
const ROWS: &str = "[...document.querySelectorAll('#scroll tbody tr:not(.space)')].map((row) => [...row.cells].map((cell) => cell.textContent))";
/// Names and values of a list.
const PAIRS: &str = "(id) => Object.fromEntries([...document.querySelectorAll(`#${id} dt`)].map((name) => [name.textContent, name.nextSibling.textContent]))";

fn column(page: &Page<'_>, index: usize) -> Vec<String> {
    let rows = page.js(ROWS);
    let rows = rows.as_array().expect("a list").iter();
    rows.map(|row| row[index].as_str().expect("a text").to_owned()).collect()
}

/// A dash is null.
fn is_value(text: &Value, value: &Value) -> bool {
    match (text.as_str(), value) {
        (Some("–"), Value::Null) => true,
        // serde_json reads a number to its last digit but one.
        (Some(text), Value::Number(number)) => {
            let (shown, meant) = (text.parse().unwrap_or(f64::NAN), number.as_f64().expect("a number"));
            (shown - meant).abs() <= meant.abs() * 1e-15
        }
        (Some(text), Value::String(value)) => text == value,
        _ => false,
    }
}

fn check_pairs(page: &Page<'_>, list: &str, names: &[(&str, &Value)]) -> Result<(), String> {
    let shown = page.js(&format!("({PAIRS})('{list}')"));
    let wrong = names.iter().find(|(name, value)| !is_value(&shown[name], value));
    holds(wrong.is_none(), format!("{list}: {wrong:?} is {shown}"))
}

pub fn values_are_those_of_the_service(chromium: &Chromium) {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &[]);
    let bus = Bus::connect(&server.url());
    let now = now_ns();
    let with_sizes = json!({"provider": "test", "ts_recv": now, "bid": 64000.1, "bid_size": 2, "ask": 64000.3});
    let events = [
        trade("BTC/USD", now - 2_000_000_000, 63999.7),
        trade("BTC/USD", now - 1_000_000_000, 64000.2),
        book("BTC/USD", now - 1_000_000, 15),
        event("quote", "BTC/USD", with_sizes),
        quote("SHIB", now, 0.00001234, 0.00001238),
        book("ONLY.A.BOOK", now, 3),
    ];
    bus.publish(&events);
    service.wait_events_in(events.len());
    let page = open(chromium, &service);
    page.until(&format!("{ROWS}.length === 3"));
    assert_eq!(column(&page, 0), ["BTC/USD", "ONLY.A.BOOK", "SHIB"]);
    assert_eq!(column(&page, 1), ["64000.20", "–", "–"], "prices");
    assert_eq!(column(&page, 2), ["64000.20", "100.0000", "0.00001236"], "mids");
    // What comes from a trade that is not there looks old, beside what a fresh quote says; soon trades are old, and quotes go on.
    let old = "[...document.querySelectorAll('#scroll tbody tr:not(.space)')].map((row) => [1, 2, 11, 12].map((at) => row.cells[at].className === 'old'))";
    let (traded, quoted) = (json!([false, false, false, false]), json!([true, false, true, false]));
    assert_eq!(page.js(old), json!([traded, quoted, quoted]));
    let goes_on = std::thread::spawn({
        let bus = Bus::connect(&server.url());
        move || {
            for _ in 0..48 {
                bus.publish(&[quote("BTC/USD", now_ns(), 64000.1, 64000.3)]);
                std::thread::sleep(std::time::Duration::from_millis(250));
            }
        }
    });
    page.until(&format!("JSON.stringify({old}[0]) === '[true,false,true,false]'"));
    goes_on.join().expect("quotes go on to the end");
    // On a phone, where columns are as narrow as they get, none is cut, nor is the label of one that is sorted by.
    page.size(390, 844);
    for index in (1..15).chain([0]) {
        let cut = page.js(&format!("(() => {{ const label = document.querySelectorAll('thead button')[{index}]; label.click(); return label.scrollWidth > label.clientWidth; }})()"));
        assert_eq!(cut, false, "column {index}");
    }
    assert_eq!(column(&page, 0), ["BTC/USD", "ONLY.A.BOOK", "SHIB"]);
    let cut = "[...document.querySelectorAll('#scroll :is(td, tbody th)')].filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.textContent)";
    assert_eq!(page.js(cut), json!([]));
    page.size(1600, 1000);

    for symbol in ["BTC/USD", "ONLY.A.BOOK", "SHIB"] {
        page.js(&format!(
            "[...document.querySelectorAll('#scroll tbody a')].find((a) => a.textContent === '{symbol}').click()"
        ));
        page.until(&format!("document.getElementById('symbol-title').textContent === '{symbol}'"));
        eventually("the same features", || {
            let latest = service.document(&format!("/features/latest?symbol={symbol}"));
            let features = latest["features"].as_object().expect("an object").iter();
            check_pairs(&page, "features", &features.map(|(name, value)| (&**name, value)).collect::<Vec<_>>())
        });
        let state = service.document(&format!("/state/latest?symbol={symbol}"));
        let [trade, quote, book] = ["trade", "quote", "book"].map(|name| &state[name]);
        eventually("the same state", || {
            if !trade.is_null() {
                let fields = [("price", "price"), ("size", "size"), ("side", "side"), ("provider", "provider")];
                check_pairs(&page, "trade", &fields.map(|(shown, name)| (shown, &trade[name])))?;
            }
            if !quote.is_null() {
                let fields = [("bid", "bid"), ("bid size", "bid_size"), ("ask", "ask"), ("ask size", "ask_size")];
                check_pairs(&page, "quote", &fields.map(|(shown, name)| (shown, &quote[name])))?;
            }
            let levels = page.js("[...document.querySelectorAll('#book tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))");
            let levels = levels.as_array().expect("a list").clone();
            let expected = book["bids"].as_array().map_or(0, |bids| bids.len().min(10));
            holds(levels.len() == expected, format!("{levels:?}"))?;
            let is_same = levels.iter().enumerate().all(|(index, level)| {
                let (bid, ask) = (&book["bids"][index], &book["asks"][index]);
                [&bid[1], &bid[0], &ask[0], &ask[1]]
                    .iter()
                    .enumerate()
                    .all(|(cell, value)| is_value(&level[cell], value))
            });
            holds(is_same, format!("{levels:?} is not {book}"))
        });
    }
    page.press("Escape");
    page.until("document.getElementById('symbol').hidden && location.hash === ''");
    let returns = page.js("import('/page/text.js').then(({ percent }) => [0.01, 0.000004, 0, -0.000004, -0.01, null].map((value) => percent(value)))");
    assert_eq!(returns, json!(["+1.000", "0.000", "0.000", "0.000", "−1.000", "–"]));
    check_clean(&page, &service);
}

pub fn sorting_and_filtering(chromium: &Chromium) {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &[]);
    let bus = Bus::connect(&server.url());
    let now = now_ns();
    let trades: Vec<_> =
        (0..20).map(|index| trade(&format!("S{index:02}"), now, f64::from((index * 7) % 20 + 1))).collect();
    bus.publish(&trades);
    bus.publish(&[quote("T", now, 1.0, 2.0)]);
    service.wait_events_in(trades.len() + 1);
    let page = open(chromium, &service);
    page.until(&format!("{ROWS}.length === 21"));
    let by = |label: &str| {
        page.js(&format!(
            "[...document.querySelectorAll('thead button')].find((button) => button.textContent === '{label}').click()"
        ));
        page.js("document.querySelector('th[aria-sort]:not([aria-sort=none])').textContent + ' ' + document.querySelector('th[aria-sort]:not([aria-sort=none])').ariaSort")
    };
    let prices = || -> Vec<Option<f64>> { column(&page, 1).iter().map(|text| text.parse().ok()).collect() };
    let rising: Vec<Option<f64>> = (1..=20).map(|price| Some(f64::from(price))).collect();
    let falling: Vec<Option<f64>> = rising.iter().rev().copied().collect();
    // What has no price is last, whichever way.
    assert_eq!((by("Price"), prices()), (json!("Price descending"), [&falling[..], &[None]].concat()));
    assert_eq!((by("Price"), prices()), (json!("Price ascending"), [&rising[..], &[None]].concat()));
    assert_eq!(by("Symbol"), json!("Symbol ascending"));
    assert!(column(&page, 0).is_sorted());
    assert_eq!(by("Symbol"), json!("Symbol descending"));
    assert!(column(&page, 0).is_sorted_by(|a, b| a > b));

    page.press("/");
    assert_eq!(page.js("document.activeElement.id"), "filter");
    page.write("s1");
    assert_eq!(column(&page, 0).len(), 10);
    assert_eq!(page.js("document.getElementById('symbol-count').textContent"), "10 of 21");
    page.write("x");
    assert_eq!(column(&page, 0).len(), 0);
    assert_eq!(page.js("document.getElementById('empty').textContent"), "No symbol has that in its name.");
    check_clean(&page, &service);
}

pub fn signals_and_a_symbols_address(chromium: &Chromium) {
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &[&RISE_FLAGS[..], &["--alert-lag-seconds", "0"]].concat());
    let bus = Bus::connect(&server.url());
    let count = RISE_WARM_UP + 5;
    let market = rising_market("A/B", count);
    let (before, after) = market.split_at(market.len() - 2);
    bus.publish(before);
    service.wait_events_in(before.len());
    // One that was there before is found by its address.
    let page = chromium.open(&format!("http://{}/#A%2FB", service.address()));
    let signals = |count: usize| format!("document.querySelectorAll('#signals li').length === {count}");
    page.until(&signals(3));
    page.until("document.getElementById('symbol-price').ariaLabel === 'Price and mid of A/B over the last five minutes, 3 signals among them'");
    bus.publish(after);
    page.until(&signals(5));
    let newest = service.document("/signals/latest")["signals"][0].clone();
    let shown = page.js("[...document.querySelector('#signals li').children].map((part) => part.textContent)");
    assert_eq!((&shown[1], &shown[2], &shown[4]), (&json!("▲ long"), &newest["symbol"], &newest["rule"]), "{shown}");
    page.until("document.querySelector('#scroll tbody tr.selected td:last-child').textContent === '5 / 0'");
    check_clean(&page, &service);
}

/// Names and texts come from outside.
pub fn names_are_text(chromium: &Chromium) {
    // What a subject cannot hold (`>`) a parser of HTML would do without.
    const NAME: &str = "<img/src=x/onerror=alert(1)//";
    let server = NatsServer::start();
    let service = Service::start_ready(&server.url(), &[]);
    let bus = Bus::connect(&server.url());
    let now = now_ns();
    bus.publish(&[
        event("trade", NAME, json!({"provider": NAME, "ts_recv": now, "price": 1, "size": 1, "trade_id": "<b>x</b>"})),
        event("trade", "__proto__", json!({"provider": NAME, "ts_recv": now, "price": 1, "size": 1})),
    ]);
    service.wait_events_in(2);
    let page = open(chromium, &service);
    page.until(&format!("{ROWS}.length === 2"));
    assert_eq!(column(&page, 0), [NAME, "__proto__"]);
    page.js("document.querySelector('#scroll tbody a').click()");
    page.until("document.querySelector('#trade dd:nth-of-type(4)')?.textContent === '<b>x</b>'");
    assert_eq!(page.js("document.querySelectorAll('main img, main b b').length"), 0);
    check_clean(&page, &service);
}
