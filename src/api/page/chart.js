// A chart of the last minutes on a canvas: lines or bars over the seconds of a history, its highest and lowest value written at
// the right, and marks at moments.

import { SECONDS } from "./history.js";

/** Room for the values at the right, where they need no more. */
const RIGHT = 58;
/** Seconds without a value over which a line goes on: they do not come exactly once a second. */
const GAP = 3;
const FONT = "11px system-ui, sans-serif";

/**
 * `series`: `{values, color, isBars}` each, colours as names of the style sheet's variables.
 * `options.text(value)` writes a value; `options.zero` has 0 in the range; `options.marks`: `{at, isUp}`, `at` in seconds before the
 * newest value.
 */
export function draw(canvas, series, { text, zero = false, marks = [] }) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (width === 0) return;
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  const style = getComputedStyle(canvas);
  const color = (name) => style.getPropertyValue(`--${name}`);

  let [low, high] = zero ? [0, 0] : [Infinity, -Infinity];
  for (const { values } of series) {
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (!(low <= high) || (zero && low === 0 && high === 0 && series.every(({ values }) => values.every(Number.isNaN)))) return;
  const [top, bottom] = [8, height - 8];
  context.font = FONT;
  const right = Math.max(RIGHT, ...[low, high].map((value) => Math.ceil(context.measureText(text(value)).width) + 6));
  const x = (index) => 1 + (index / (SECONDS - 1)) * (width - right - 2);
  const y = (value) => (high === low ? (zero ? bottom : (top + bottom) / 2) : bottom - ((value - low) / (high - low)) * (bottom - top));

  context.strokeStyle = color("line");
  context.lineWidth = 1;
  context.beginPath();
  for (const value of zero && low < 0 ? [low, 0, high] : [low, high]) {
    context.moveTo(0, Math.round(y(value)) + 0.5);
    context.lineTo(width - right, Math.round(y(value)) + 0.5);
  }
  context.stroke();

  for (const { values, color: name, isBars } of series) {
    context.strokeStyle = context.fillStyle = color(name);
    context.lineWidth = 1.5;
    context.beginPath();
    let drawn = -SECONDS;
    values.forEach((value, index) => {
      if (Number.isNaN(value)) return;
      if (isBars) {
        // Whole pixels of the screen, so that bars side by side leave no gap and do not overlap.
        const [start, end] = [index - 0.5, index + 0.5].map((edge) => Math.round(x(edge) * scale) / scale);
        context.fillRect(start, y(value), Math.max(end - start, 1 / scale), Math.max(y(0) - y(value), 0));
      } else {
        if (index - drawn > GAP) context.moveTo(x(index) - 0.75, y(value));
        context.lineTo(x(index), y(value));
        context.lineTo(x(index) + 0.75, y(value));
        drawn = index;
      }
    });
    context.stroke();
  }

  for (const { at, isUp } of marks) {
    const index = SECONDS - 1 - at;
    if (index < 0 || index > SECONDS - 1) continue;
    const [tip, base] = isUp ? [bottom + 1, bottom + 8] : [top - 1, top - 8];
    context.fillStyle = color(isUp ? "up" : "down");
    context.beginPath();
    context.moveTo(x(index), tip);
    context.lineTo(x(index) - 4, base);
    context.lineTo(x(index) + 4, base);
    context.fill();
  }

  context.fillStyle = color("muted");
  context.textBaseline = "middle";
  context.fillText(text(high), width - right + 4, y(high));
  if (high !== low) context.fillText(text(low), width - right + 4, bottom);
}
