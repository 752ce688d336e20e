// The table of symbols. Only the rows that can be seen are elements, so that thousands of symbols cost as much as thirty.

import { NONE, age, count, difference, element, fixed, percent, price, put, significant } from "./text.js";

const ROW_PX = 26;
/** Rows beyond those that can be seen, above and below. */
const SPARE = 6;
/** What has come from a trade, or from the top of market, looks old when that is so old; a name when both are. */
const OLD_MS = 10000;

const feature = (name) => (row) => row.doc.features[name];
/** Ages go on between two updates. */
const agedBy = (row, now) => now - row.receivedAt;
const aged = (field) => (row, now) => (row.doc[field] === null ? null : row.doc[field] + agedBy(row, now));
/** Of what is written: what is rounded to nothing has no direction. */
const directionOf = (value) => ({ "+": "up", "−": "down" })[percent(value)[0]] ?? "";

/** Each with its least width (style.css has their sum), its value (to sort by), its text and, where it has one, its class and the age it goes by. */
const COLUMNS = [
  { label: "Symbol", px: 118, title: "Symbol, or symbol@provider", value: (row) => row.name, text: (value) => value },
  { label: "Price", px: 90, title: "Price of the latest trade", value: (row) => row.doc.price, text: price, of: "trade_age_ms" },
  { label: "Mid", px: 90, title: "Middle of bid and ask", value: feature("mid"), text: price, of: "quote_age_ms" },
  { label: "Spread", px: 66, title: "Ask minus bid", value: feature("spread_abs"), text: difference, of: "quote_age_ms" },
  { label: "bps", px: 50, title: "Spread in basis points of the mid", value: feature("spread_bps"), text: (value) => fixed(value, 2), of: "quote_age_ms" },
  { label: "VWAP 10 s", px: 90, title: "Volume-weighted price of the last 10 s", value: feature("trade_vwap_10s"), text: price },
  { label: "VWAP 60 s", px: 90, title: "Volume-weighted price of the last 60 s", value: feature("trade_vwap_60s"), text: price },
  { label: "Return %", px: 68, title: "Return over 10 s, in percent", value: feature("return_10s"), text: (value) => percent(value), className: directionOf },
  { label: "Vol. %", px: 60, title: "Realised volatility over 60 s, in percent, not annualised", value: feature("realized_vol_60s"), text: (value) => (value === null ? NONE : fixed(value * 100, 4)) },
  { label: "Volume", px: 62, title: "Volume traded in the last 10 s", value: feature("trade_volume_10s"), text: (value) => significant(value, 4) },
  { label: "Trades", px: 56, title: "Trades in the last 10 s", value: feature("trade_count_10s"), text: count },
  { label: "Trade age", px: 76, title: "Age of the latest trade", value: aged("trade_age_ms"), text: age, of: "trade_age_ms" },
  { label: "Quote age", px: 80, title: "Age of the top of market", value: aged("quote_age_ms"), text: age, of: "quote_age_ms" },
  { label: "p95 ms", px: 56, title: "95th percentile of the latency from the exchange to receipt, in ms", value: feature("latency_ms_p95"), text: (value) => fixed(value, 1) },
  { label: "Signals", px: 62, title: "Signals since the start: long / short", value: (row) => row.doc.signals.long + row.doc.signals.short, text: (value, row) => (value ? `${row.doc.signals.long} / ${row.doc.signals.short}` : NONE) },
];

export class SymbolTable {
  /** `rows`: each a `Row`, by its name; `parts`: the elements `scroll`, `held`, `filter`, `empty`, `count`. */
  constructor(rows, parts) {
    this.rows = rows;
    this.parts = parts;
    this.order = [];
    this.sorted = { column: 0, isDescending: false };
    this.table = parts.scroll.querySelector("table");
    this.body = this.table.tBodies[0];
    this.slots = [];
    this.spaces = [this.space(), this.space()];
    this.body.append(...this.spaces);
    this.headers = COLUMNS.map((column, index) => this.header(column, index));
    this.table.tHead.rows[0].append(...this.headers);
    this.table.style.minWidth = `${COLUMNS.reduce((sum, { px }) => sum + px, 0)}px`;
    this.table.setAttribute("aria-colcount", COLUMNS.length);
    this.isPointedAt = false;
    this.body.addEventListener("pointerenter", () => { this.isPointedAt = true; });
    this.body.addEventListener("pointerleave", () => { this.isPointedAt = false; });
    parts.scroll.addEventListener("scroll", () => this.draw(true), { passive: true });
    new ResizeObserver(() => this.draw(true)).observe(parts.scroll);
    parts.filter.addEventListener("input", () => this.arrange(true));
    this.showOrder();
  }

  space() {
    const row = element("tr", "", "space");
    row.setAttribute("aria-hidden", "true");
    const cell = element("td");
    cell.colSpan = COLUMNS.length;
    row.append(cell);
    return row;
  }

  header({ label, px, title }, index) {
    const header = element("th");
    header.scope = "col";
    header.style.width = `${px}px`;
    const button = element("button", label);
    button.type = "button";
    button.title = title;
    button.addEventListener("click", () => {
      const { column, isDescending } = this.sorted;
      // Of numbers the largest are looked for first, of names the first.
      this.sorted = { column: index, isDescending: column === index ? !isDescending : index > 0 };
      this.showOrder();
      this.arrange(true);
    });
    header.append(button);
    return header;
  }

  showOrder() {
    const { column, isDescending } = this.sorted;
    this.headers.forEach((header, index) => {
      header.setAttribute("aria-sort", index !== column ? "none" : isDescending ? "descending" : "ascending");
    });
  }

  /** Filters and sorts. Where it is not asked for, the order waits while the pointer or the keyboard is among the rows. */
  arrange(isAskedFor = false) {
    const isHeld = !isAskedFor && (this.isPointedAt || this.body.contains(document.activeElement));
    this.parts.held.hidden = !(isHeld && this.sorted.column > 0);
    const wanted = this.parts.filter.value.trim().toUpperCase();
    const isWanted = (row) => row.name.toUpperCase().includes(wanted);
    if (isHeld) {
      const shown = new Set(this.order.filter((row) => this.rows.get(row.name) === row));
      for (const row of this.rows.values()) if (isWanted(row)) shown.add(row);
      this.order = [...shown];
    } else {
      const now = performance.now();
      const { value } = COLUMNS[this.sorted.column];
      const by = this.sorted.isDescending ? -1 : 1;
      const keyed = [...this.rows.values()].filter(isWanted).map((row) => ({ row, key: value(row, now) }));
      keyed.sort((a, b) => compare(a.key, b.key, by) || (a.row.name < b.row.name ? -1 : 1));
      this.order = keyed.map(({ row }) => row);
    }
    const all = this.rows.size;
    put(this.parts.count, this.order.length === all ? count(all) : `${count(this.order.length)} of ${count(all)}`);
    this.table.setAttribute("aria-rowcount", this.order.length + 1);
    this.parts.empty.hidden = this.order.length > 0;
    put(this.parts.empty, all === 0 ? "No symbol yet." : "No symbol has that in its name.");
    this.draw(true);
  }

  /** Writes what is new into the rows that can be seen; into all that there are where rows may have moved. */
  draw(isAll = false) {
    const { scroll } = this.parts;
    const [top, height] = [scroll.scrollTop, scroll.clientHeight];
    const shown = Math.ceil(height / ROW_PX) + 2 * SPARE;
    const last = Math.max(this.order.length - shown, 0);
    const first = Math.min(Math.max(Math.floor(top / ROW_PX) - SPARE, 0), last);
    const length = Math.min(shown, this.order.length);
    while (this.slots.length < length) this.slots.push(this.slot());
    while (this.slots.length > length) this.slots.pop().row.remove();
    this.spaces[0].firstChild.style.height = `${first * ROW_PX}px`;
    this.spaces[1].firstChild.style.height = `${(this.order.length - first - length) * ROW_PX}px`;
    const now = performance.now();
    const [seenFrom, seenTo] = [Math.floor(top / ROW_PX), Math.ceil((top + height) / ROW_PX)];
    this.slots.forEach((slot, at) => {
      const index = first + at;
      const isSeen = index >= seenFrom && index < seenTo;
      if (isAll || isSeen) this.fill(slot, this.order[index], index, now);
    });
  }

  /** An empty row. */
  slot() {
    const row = element("tr");
    const link = element("a");
    const name = element("th");
    name.scope = "row";
    name.append(link);
    const cells = COLUMNS.slice(1).map(() => element("td"));
    row.append(name, ...cells);
    this.spaces[1].before(row);
    return { row, link, cells: [link, ...cells], texts: [], classes: [], index: -1, isOld: false, isSelected: false };
  }

  fill(slot, row, index, now) {
    const agedMs = agedBy(row, now);
    const isAged = (field) => row.doc[field] === null || row.doc[field] + agedMs > OLD_MS;
    const isOld = isAged("trade_age_ms") && isAged("quote_age_ms");
    COLUMNS.forEach(({ value, text, className, of }, column) => {
      const number = value(row, now);
      const written = text(number, row);
      const cell = slot.cells[column];
      if (slot.texts[column] !== written) {
        slot.texts[column] = written;
        put(cell, written);
        if (column === 0) {
          cell.href = `#${encodeURIComponent(written)}`;
          cell.title = written;
        }
      }
      if (className || of) {
        const name = of ? (isAged(of) ? "old" : "") : className(number);
        if (slot.classes[column] !== name) cell.className = slot.classes[column] = name;
      }
    });
    if (slot.index !== index) {
      slot.index = index;
      slot.row.setAttribute("aria-rowindex", index + 2);
    }
    if (slot.isOld !== isOld) slot.row.classList.toggle("old", (slot.isOld = isOld));
    const isSelected = row.name === this.selected;
    if (slot.isSelected !== isSelected) slot.row.classList.toggle("selected", (slot.isSelected = isSelected));
  }
}

/** What cannot be computed comes last, whichever way. */
function compare(a, b, by) {
  if (a === null || b === null) return (a === null) - (b === null);
  return a < b ? -by : a > b ? by : 0;
}
