// The last minutes of some figures, a value a second, in a room of fixed size.

export const SECONDS = 300;

export class History {
  /** The second of the newest values; none yet. */
  last = null;

  constructor(fieldCount) {
    this.values = Array.from({ length: fieldCount }, () => new Float32Array(SECONDS).fill(NaN));
  }

  /** The values of a second, each a number or null. Those of the same second take their place. */
  add(second, values) {
    if (!Number.isFinite(second)) return;
    if (this.last === null || second - this.last >= SECONDS || second < this.last - SECONDS) {
      this.values.forEach((ring) => ring.fill(NaN));
    } else {
      for (let between = this.last + 1; between < second; between += 1) {
        this.values.forEach((ring) => { ring[between % SECONDS] = NaN; });
      }
      // Times that step back a little change nothing that is there.
      if (second < this.last) return;
    }
    this.last = second;
    values.forEach((value, field) => { this.values[field][second % SECONDS] = value ?? NaN; });
  }

  /** Oldest first, the newest last; NaN where there was none. */
  series(field) {
    const ring = this.values[field];
    if (this.last === null) return Float32Array.from(ring);
    const start = (this.last + 1) % SECONDS;
    const series = new Float32Array(SECONDS);
    series.set(ring.subarray(start));
    series.set(ring.subarray(0, start), SECONDS - start);
    return series;
  }
}
