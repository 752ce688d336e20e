// The page: takes what /events brings, keeps it in rooms of fixed size, and writes it four times a second at most.

import { draw as drawChart } from "./chart.js";
import { follow } from "./events.js";
import { History } from "./history.js";
import { Row, nameIn } from "./row.js";
import { SymbolView } from "./symbol.js";
import { SymbolTable } from "./table.js";
import { NONE, age, bytes, clock, count, element, fixed, latency, price, put, streamPosition } from "./text.js";

/** The service sends each symbol once a minute at least: one that it does not send for longer is gone. */
const GONE_MS = 150000;
/** Signals and alerts that are listed. */
const LISTED = 100;
/** Symbols with a history (6 KB each); beyond them only the one that is shown has one, from then on. */
const HISTORIES = 4000;
const REDRAW_MS = 250;
/** Of a screen's frames, about: as long as one is waited for. */
const FRAME_MS = 16;
const LOST_SAID_MS = 60000;
const ARRANGE_MS = 1000;

const byId = (id) => document.getElementById(id);
const rows = new Map();
let historyCount = 0;
const signals = [];
const alerts = [];
const service = new History(5);
const [RATE, FILL, DROPS, P50, P99] = [0, 1, 2, 3, 4];
let status = null;
/** When the service said that something was not sent to this page, and how much; forgotten after a minute. */
let lost = [];
let isGone = false;
let isLatestWanted = true;

const view = new SymbolView();
const table = new SymbolTable(rows, { scroll: byId("scroll"), held: byId("held"), filter: byId("filter"), empty: byId("empty"), count: byId("symbol-count") });

const takers = {
  features(text) {
    const name = nameIn(text);
    const row = rows.get(name) ?? new Row(name);
    if (!row.history && (historyCount < HISTORIES || name === view.name)) {
      row.startHistory();
      historyCount += 1;
    }
    row.take(text);
    rows.set(name, row);
  },
  status(text) {
    const next = JSON.parse(text);
    // This page is that of the version before.
    if (status && status.version !== next.version) return location.reload();
    if (status && status.instance !== next.instance) forgetSymbols();
    const dropped = total(next.dropped);
    const isSame = status && status.instance === next.instance;
    const seconds = isSame ? Math.max(next.uptime_seconds - status.uptime_seconds, 1) : 1;
    next.drops = isSame ? Math.max(dropped - total(status.dropped), 0) / seconds : 0;
    status = next;
    const { p50, p99 } = next.processing_latency_ms;
    service.add(Math.floor(Date.parse(next.ts) / 1000), [next.events_per_second["1s"], next.queue.fill_ratio * 100, next.drops, p50, p99]);
    drawStatus();
    if (isLatestWanted) fetchLatest();
  },
  signal: (text) => listSignal(JSON.parse(text)),
  alert: (text) => listAlert(JSON.parse(text)),
  lost(text) {
    const { features, signals_and_alerts } = JSON.parse(text);
    lost.push({ at: performance.now(), updates: features, outputs: signals_and_alerts });
  },
};

follow("/events", {
  open() {
    isGone = false;
    isLatestWanted = true;
    document.body.dataset.link = "open";
    lamp("lamp-link", "good", "Service up");
    put(byId("gone"), "");
  },
  event: (name, text) => takers[name]?.(text),
  closed(reason) {
    isGone = true;
    document.body.dataset.link = "gone";
    lamp("lamp-link", "bad", "Service gone");
    lamp("lamp-nats", "unknown", `NATS ${NONE}`);
    lamp("lamp-ready", "unknown", `Ready ${NONE}`);
    lamp("lamp-stream", "unknown", `Stream ${NONE}`);
    // By the service's clock: it may have been silent for a while before that was noticed.
    const from = status === null ? "" : ` The numbers below are from ${clock(status.ts)} UTC.`;
    put(byId("gone"), `${reason}${from} Trying again each second.`);
    if (status !== null) put(byId("about"), `version ${status.version}, last heard of at ${clock(status.ts)} UTC`);
    document.title = "⚠ gone · senpai-md-consumer";
  },
});

/** What was given before this page came: the events bring only what is new. */
async function fetchLatest() {
  isLatestWanted = false;
  try {
    const latest = async (path) => (await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(5000) })).json();
    const [before, alertsBefore] = await Promise.all([latest("/signals/latest"), latest("/alerts/latest")]);
    before.signals.reverse().forEach(listSignal);
    alertsBefore.alerts.reverse().forEach(listAlert);
  } catch {
    isLatestWanted = true;
  }
}

const listSignal = (signal) => list(signals, signal, signal.id);
const listAlert = (alert) => list(alerts, alert, JSON.stringify(alert));

/** Adds what is not there yet, in the order of its time. */
function list(entries, entry, key) {
  if (entries.some((other) => other.key === key)) return;
  entry.key = key;
  if (entry.id) entry.state = entry.id.split(":").slice(0, -3).join(":");
  let at = entries.findIndex((other) => other.ts <= entry.ts);
  if (at < 0) at = entries.length;
  entries.splice(at, 0, entry);
  entries.length = Math.min(entries.length, LISTED);
  entries.isNew = true;
}

function forgetSymbols() {
  rows.clear();
  historyCount = 0;
  table.arrange(true);
}

/** All counts of `{reason: {type: count}}`. */
const total = (dropped) => Object.values(dropped).reduce((sum, types) => sum + sumOf(types), 0);
const sumOf = (counts) => Object.values(counts).reduce((sum, of) => sum + of, 0);

function lamp(id, is, text) {
  byId(id).dataset.is = is;
  put(byId(id), text);
}

function drawStatus() {
  lamp("lamp-nats", status.nats_connected ? "good" : "bad", status.nats_connected ? "NATS connected" : "NATS not connected");
  lamp("lamp-ready", status.ready ? "good" : "bad", status.ready ? "Ready" : "Not ready");
  byId("lamp-stream").hidden = status.jetstream === null;
  if (status.jetstream !== null) lamp("lamp-stream", ...streamPosition(status.jetstream));
  put(byId("about"), `version ${status.version}, up ${age(status.uptime_seconds * 1000)}, ${clock(status.ts)} UTC`);
  drawTroubles();
  const { queue, processing_latency_ms: ms, events_per_second: rate } = status;
  put(byId("rate"), count(rate["1s"]));
  put(byId("rate-more"), `${count(rate["60s"])} over a minute`);
  put(byId("rate-all"), `${count(status.events_in)} in all`);
  put(byId("queue"), `${fixed(queue.fill_ratio * 100, 1)} %`);
  put(byId("queue-more"), `${bytes(queue.len_bytes)} of ${bytes(queue.capacity_bytes)}`);
  put(byId("drops"), count(total(status.dropped)));
  const reasons = Object.entries(status.dropped).map(([reason, types]) => [reason.replaceAll("_", " "), sumOf(types)]);
  const dropped = reasons.filter(([, of]) => of > 0).map(([reason, of]) => `${reason} ${count(of)}`);
  put(byId("drops-more"), dropped.join(", ") || "none");
  put(byId("latency"), latency(ms.p50));
  put(byId("latency-more"), `median; p99 ${latency(ms.p99)}`);
}

/** What is wrong, in words; what is not about the service itself after what is. */
function drawTroubles() {
  const lines = status.troubles.map((text) => ({ text, is: "critical" }));
  // One line for a kind: the newest.
  const kinds = new Map();
  for (const alert of status.alerts) {
    if (status.troubles.includes(alert.message)) continue;
    kinds.set(alert.kind, [...(kinds.get(alert.kind) ?? []), alert]);
  }
  for (const [kind, [newest, ...others]] of kinds) {
    const more = others.length > 0 ? ` (and ${others.length} more of the kind ${kind})` : "";
    lines.push({ text: `${newest.message}${more}`, is: newest.severity });
  }
  const more = status.alerts_firing - status.alerts.length;
  if (more > 0) lines.push({ text: more === 1 ? "1 more alert fires." : `${count(more)} more alerts fire.`, is: "warning" });
  lost = lost.filter(({ at }) => performance.now() - at < LOST_SAID_MS);
  const [updates, outputs] = [sumOf(lost.map((entry) => entry.updates)), sumOf(lost.map((entry) => entry.outputs))];
  if (updates > 0) {
    lines.push({ text: `This page does not keep up: of the last minute's updates it was not sent ${count(updates)}. Its numbers are late, the service's are not.`, is: "warning" });
  }
  if (outputs > 0) {
    lines.push({ text: `While this page was away or late, ${count(outputs)} signals and alerts passed that it does not list. They were published all the same.`, is: "warning" });
  }
  const list = byId("troubles").firstElementChild;
  while (list.children.length > lines.length) list.lastChild.remove();
  while (list.children.length < lines.length) list.append(element("li"));
  lines.forEach(({ text, is }, index) => {
    put(list.children[index], text);
    list.children[index].dataset.is = is;
  });
  document.title = `${lines.length > 0 ? `⚠ ${lines.length} · ` : ""}senpai-md-consumer`;
}

function drawLists() {
  const time = (ts) => Object.assign(element("time", clock(ts)), { dateTime: ts, title: ts });
  if (signals.isNew) {
    byId("signals").replaceChildren(...signals.map((signal) => {
      const item = element("li");
      const link = element("a", signal.state);
      link.href = `#${encodeURIComponent(signal.state)}`;
      const isLong = signal.direction === "long";
      item.append(time(signal.ts), element("b", isLong ? "▲ long" : "▼ short", isLong ? "up" : "down"), link, element("span", price(signal.price), "price"), Object.assign(element("span", signal.rule, "muted"), { title: signal.rule }));
      return item;
    }));
  }
  if (alerts.isNew) {
    byId("alerts").replaceChildren(...alerts.map((alert) => {
      const item = element("li");
      item.dataset.is = alert.state === "firing" ? alert.severity : "resolved";
      item.append(time(alert.ts), element("b", alert.state), element("span", alert.message));
      return item;
    }));
  }
  signals.isNew = alerts.isNew = false;
}

function drawService() {
  const line = (field, color) => ({ values: service.series(field), color });
  drawChart(byId("chart-rate"), [line(RATE, "a")], { text: count, zero: true });
  drawChart(byId("chart-queue"), [line(FILL, "a")], { text: (value) => `${fixed(value, 1)} %`, zero: true });
  drawChart(byId("chart-drops"), [{ ...line(DROPS, "a"), isBars: true }], { text: (value) => `${count(value)}/s`, zero: true });
  drawChart(byId("chart-latency"), [line(P99, "b"), line(P50, "a")], { text: latency, zero: true });
}

/**
 * In time with the screen, and not at all where the page is hidden. Between two times no frame is asked for: a browser that is
 * asked for each of the screen's frames works for all sixty of a second, though nothing has changed in them.
 */
let arrangedAt = 0;
function frame(now) {
  setTimeout(requestAnimationFrame, REDRAW_MS - FRAME_MS, frame);
  if (now - arrangedAt >= ARRANGE_MS - FRAME_MS) {
    arrangedAt = now;
    if (!isGone) forgetGone();
    table.arrange();
    drawService();
    drawLists();
  } else {
    table.draw();
  }
  view.draw(rows.get(view.name), signals, performance.now());
}
requestAnimationFrame(frame);

function forgetGone() {
  const limit = performance.now() - GONE_MS;
  for (const [name, row] of rows) {
    if (row.receivedAt < limit) {
      rows.delete(name);
      if (row.history) historyCount -= 1;
    }
  }
}

function showAddressed() {
  let name = null;
  try {
    name = decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    // An address that was typed wrong shows no symbol.
  }
  view.show(name);
  table.selected = name;
  table.draw(true);
  if (name !== null) byId("symbol-title").focus({ preventScroll: window.innerWidth >= 1200 });
}
window.addEventListener("hashchange", showAddressed);
showAddressed();

function close() {
  if (view.name === null) return;
  history.pushState(null, "", location.pathname);
  showAddressed();
  byId("scroll").focus({ preventScroll: true });
}
byId("close").addEventListener("click", close);
window.addEventListener("popstate", showAddressed);
window.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") close();
  if (event.key === "/" && document.activeElement !== byId("filter")) {
    event.preventDefault();
    byId("filter").focus();
  }
});
