// How values are written. What cannot be computed is a dash; what comes from outside only ever becomes text.

export const NONE = "–";
const groups = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const isNumber = (value) => typeof value === "number";

/** A count, in groups of three digits. */
export const count = (value) => (isNumber(value) ? groups.format(value) : NONE);

/** As the service gives it. */
export const exact = (value) => (value === null || value === undefined ? NONE : String(value));

/** With so many significant digits. */
export function significant(value, digits = 7) {
  if (!isNumber(value)) return NONE;
  if (value === 0) return "0";
  return Math.abs(value) >= 10 ** digits ? value.toFixed(0) : value.toPrecision(digits);
}

/** A price, in ten characters at most. */
export function price(value) {
  if (!isNumber(value) || Math.abs(value) >= 1) return significant(value);
  return Math.abs(value) >= 1e-6 ? value.toFixed(8) : value.toExponential(4);
}

/** A difference of prices, in eight characters at most. */
export function difference(value) {
  if (!isNumber(value) || value === 0 || Math.abs(value) >= 0.01) return significant(value, 3);
  return Math.abs(value) >= 1e-4 ? value.toFixed(5) : value.toExponential(1);
}

export const fixed = (value, digits) => (isNumber(value) ? value.toFixed(digits) : NONE);

/** A share of one in percent, with its sign. */
export function percent(value, digits = 3) {
  if (!isNumber(value)) return NONE;
  const text = (value * 100).toFixed(digits);
  // What is rounded to nothing has no sign.
  return Number(text) > 0 ? `+${text}` : text.replace("-", Number(text) < 0 ? "−" : "");
}

/** A length of time in ms. */
export function age(ms) {
  if (!isNumber(ms)) return NONE;
  const seconds = Math.max(ms, 0) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.floor(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** A latency in ms. */
export function latency(ms) {
  if (!isNumber(ms)) return NONE;
  return ms < 1 ? `${(ms * 1000).toFixed(0)} µs` : `${ms.toFixed(ms < 10 ? 2 : 0)} ms`;
}

/** How far a stream of JetStream is read, of /stats: the look of its lamp, and words. Behind by less than a second is live. */
export function streamPosition({ phase, messages, pending, missed, lag_seconds: lag }) {
  const gap = missed > 0 ? `, ${count(missed)} missed` : "";
  if (phase === "offline" || phase === "preparing") return ["bad", `Stream not read${gap}`];
  if (phase !== "live") {
    const percent = Math.floor((100 * messages) / Math.max(messages + pending, 1));
    return ["waiting", `Stream catching up, ${percent} %${gap}`];
  }
  if (lag === null) return pending > 0 ? ["bad", `Stream: ${count(pending)} wait${gap}`] : ["good", `Stream live${gap}`];
  return lag < 1 ? [missed > 0 ? "warning" : "good", `Stream live${gap}`] : ["bad", `Stream ${age(lag * 1000)} behind${gap}`];
}

/** Hours, minutes and seconds of an RFC 3339 time of the service, which is UTC. */
export const clock = (ts) => (typeof ts === "string" ? ts.slice(11, 19) : NONE);

export function bytes(value) {
  if (!isNumber(value)) return NONE;
  if (value < 1024) return `${value} B`;
  return value < 1 << 20 ? `${(value / 1024).toFixed(0)} KiB` : `${(value / (1 << 20)).toFixed(0)} MiB`;
}

/** Sets an element's text where it is another, in the text that is there: a new one costs the browser twice. */
export function put(element, text) {
  const written = element.firstChild;
  if (written === null) element.textContent = text;
  else if (written.data !== text) written.data = text;
}

/** A new element with a text. */
export function element(name, text = "", className = "") {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}
