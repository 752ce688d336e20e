// A symbol: what the service has last sent of it. That is read when it is looked at, and not each time it comes: of a thousand
// symbols thirty are seen.

import { History } from "./history.js";

/** It is read so often though nobody looks at it, so that its history has a value for each second. */
const READ_MS = 500;
/** Fields of its history. */
export const [PRICE, MID, SPREAD, RETURN, VOLUME] = [0, 1, 2, 3, 4];
const fieldsOf = ({ price, features }) => [price, features.mid, features.spread_bps, features.return_10s, features.trade_volume_10s];
/** Of a document's text: the name by which the service finds the symbol. In a text in JSON a quote has a backslash before it. */
const STATE = /"state":("(?:[^"\\]|\\.)*")/;

export const nameIn = (text) => JSON.parse(STATE.exec(text)[1]);

export class Row {
  /** The last minutes; null where there is no room for them. */
  history = null;
  receivedAt = -Infinity;
  #readAt = -Infinity;
  #text = null;
  #doc = null;

  constructor(name) {
    this.name = name;
  }

  /** A new document, as JSON. */
  take(text) {
    this.#text = text;
    this.receivedAt = performance.now();
    if (this.receivedAt - this.#readAt >= READ_MS) this.#read();
  }

  /** The newest document. */
  get doc() {
    if (this.#text !== null) this.#read();
    return this.#doc;
  }

  startHistory() {
    this.history = new History(5);
  }

  #read() {
    const text = this.#text;
    // One that cannot be read is told once, where it is taken, and holds up no other.
    this.#text = null;
    this.#doc = JSON.parse(text);
    this.#readAt = this.receivedAt;
    this.history?.add(Math.floor(Date.parse(this.#doc.ts) / 1000), fieldsOf(this.#doc));
  }
}
