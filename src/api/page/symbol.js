// The view of one symbol: its last minutes, each of its numbers as the service gives it, its latest trade, quote and book.

import { draw } from "./chart.js";
import { MID, PRICE, RETURN, SPREAD, VOLUME } from "./row.js";
import { NONE, age, clock, element, exact, fixed, percent, price, put, significant } from "./text.js";

/** Between two looks at /state/latest. */
const LOOK_MS = 500;
/** What it said is told to be old after so long without an answer. */
const OLD_MS = 3000;
const LEVELS = 10;

const byId = (id) => document.getElementById(id);

export class SymbolView {
  /** The name of the state that is shown. */
  name = null;
  state = null;
  /** When it was looked at last, with an answer. */
  lookedAt = 0;
  trouble = "";
  /** Counts the symbols that were shown: what was begun for one ends with it. */
  shown = 0;

  show(name) {
    if (this.name === name) return;
    [this.name, this.state, this.trouble, this.lookedAt] = [name, null, "", performance.now()];
    byId("symbol").hidden = name === null;
    if (name === null) return;
    put(byId("symbol-title"), name);
    ["trade", "quote"].forEach((id) => byId(id).replaceChildren());
    byId("book").tBodies[0].replaceChildren();
    this.clear();
    this.look(name, (this.shown += 1));
  }

  /** As long as this symbol is shown. */
  async look(name, shown) {
    const isShown = () => this.shown === shown && this.name === name;
    while (isShown()) {
      try {
        const response = await fetch(`/state/latest?symbol=${encodeURIComponent(name)}`, { cache: "no-store", signal: AbortSignal.timeout(5000) });
        const answer = await response.json();
        if (!isShown()) return;
        [this.state, this.trouble] = response.ok ? [answer, ""] : [null, answer.error ?? `${response.status}`];
        this.lookedAt = performance.now();
      } catch {
        // That the service does not answer stands at the top of the page.
      }
      if (isShown()) this.drawState();
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }

  drawState() {
    if (this.state === null && !this.trouble) return;
    const { trade, quote, book } = this.state ?? {};
    pairs(byId("trade"), trade && { price: exact(trade.price), size: exact(trade.size), side: trade.side, id: exact(trade.trade_id), provider: trade.provider, time: clock(trade.ts) });
    pairs(byId("quote"), quote && { bid: exact(quote.bid), "bid size": exact(quote.bid_size), ask: exact(quote.ask), "ask size": exact(quote.ask_size), provider: quote.provider, time: clock(quote.ts) });
    this.drawBook(book);
  }

  drawBook(book) {
    const body = byId("book").tBodies[0];
    const [bids, asks] = [book?.bids ?? [], book?.asks ?? []];
    const shown = Math.min(Math.max(bids.length, asks.length), LEVELS);
    const largest = Math.max(...[...bids.slice(0, LEVELS), ...asks.slice(0, LEVELS)].map(([, size]) => size), Number.MIN_VALUE);
    while (body.rows.length < shown) body.append(level());
    while (body.rows.length > shown) body.lastChild.remove();
    for (let index = 0; index < shown; index += 1) {
      const [bidSize, bid, ask, askSize] = body.rows[index].cells;
      fillLevel(bids[index], bid, bidSize, largest);
      fillLevel(asks[index], ask, askSize, largest);
    }
  }

  /** Nothing is shown of a symbol that is not there, nor anything of the one before. */
  clear() {
    byId("features").replaceChildren();
    clearCharts();
  }

  /** What comes with the events: `row` of the table, if there is one. */
  draw(row, signals, now) {
    if (this.name === null) return;
    const silence = now - this.lookedAt;
    const isOld = this.state !== null && silence > OLD_MS;
    const old = isOld ? `trade, quote and book are of ${age(silence)} ago` : "";
    put(byId("symbol-note"), this.trouble || old || (row ? "" : "no event of this symbol has come"));
    byId("symbol").classList.toggle("empty", !row && !this.state);
    byId("symbol").classList.toggle("unanswered", isOld);
    if (!row) return this.clear();
    const { doc, history } = row;
    const features = { price: exact(doc.price) };
    for (const [name, value] of Object.entries(doc.features)) features[name] = exact(value);
    const aged = (ms) => (ms === null ? NONE : age(ms + now - row.receivedAt));
    Object.assign(features, { "trade age": aged(doc.trade_age_ms), "quote age": aged(doc.quote_age_ms) });
    if (doc.provider !== undefined) features.provider = doc.provider;
    features["window complete"] = doc.window_truncated ? "no: trades left it early for want of room" : "yes";
    pairs(byId("features"), features);
    if (!history) return clearCharts();
    const [last, mid, spread, change, volume] = [PRICE, MID, SPREAD, RETURN, VOLUME].map((field) => history.series(field));
    const marks = signals
      .filter((signal) => signal.state === row.name)
      .map((signal) => ({ at: history.last - Date.parse(signal.ts) / 1000, isUp: signal.direction === "long" }));
    const minutes = "over the last five minutes";
    chart("symbol-price", [{ values: mid, color: "b" }, { values: last, color: "a" }], { text: price, marks }, `Price and mid of ${row.name} ${minutes}, ${marks.length} signals among them`);
    chart("symbol-spread", [{ values: spread, color: "a" }], { text: (value) => fixed(value, 2), zero: true }, `Spread in basis points ${minutes}`);
    chart("symbol-return", [{ values: change, color: "a" }], { text: (value) => percent(value), zero: true, marks }, `Return over 10 s ${minutes}`);
    chart("symbol-volume", [{ values: volume, color: "a", isBars: true }], { text: (value) => significant(value, 4), zero: true }, `Volume over 10 s ${minutes}`);
  }
}

function clearCharts() {
  for (const id of ["symbol-price", "symbol-spread", "symbol-return", "symbol-volume"]) {
    const canvas = byId(id);
    // That empties it.
    canvas.width = canvas.width;
    canvas.setAttribute("aria-label", "No values");
  }
}

function chart(id, series, options, label) {
  const canvas = byId(id);
  if (canvas.getAttribute("aria-label") !== label) canvas.setAttribute("aria-label", label);
  draw(canvas, series, options);
}

/** Names and values; a dash for nothing. */
function pairs(list, values) {
  const entries = Object.entries(values || { none: NONE });
  while (list.children.length > 2 * entries.length) list.lastChild.remove();
  while (list.children.length < 2 * entries.length) list.append(element(list.children.length % 2 ? "dd" : "dt"));
  entries.forEach(([name, value], index) => {
    put(list.children[2 * index], name);
    put(list.children[2 * index + 1], value);
  });
}

function level() {
  const row = element("tr");
  for (const name of ["size bid", "bid", "ask", "size ask"]) row.append(element("td", "", name));
  for (const cell of [row.cells[0], row.cells[3]]) cell.append(element("span", "", "depth"), element("span"));
  return row;
}

function fillLevel(entry, priceCell, sizeCell, largest) {
  const [at, size] = entry ?? [null, null];
  put(priceCell, exact(at));
  const [bar, text] = sizeCell.children;
  put(text, exact(size));
  bar.style.width = size === null ? "0" : `${(100 * size) / largest}%`;
}
