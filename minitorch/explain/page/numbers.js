// The recorded arrays: base64 to typed arrays, once, and strided views of them.

class Numbers {
  constructor(entry, buffers) {
    this.shape = entry.shape;
    this.type = entry.type;
    this.size = entry.shape.reduce((a, b) => a * b, 1);
    this.steps = rowMajor(this.shape);                     // how far apart neighbours along each axis are, counted in elements
    this.strides = entry.strides || this.steps;
    this.offset = entry.offset || 0;
    this.counting = Boolean(entry.counting);
    this.summary = entry.corner === undefined ? null : entry;
    this.data = entry.buffer === undefined ? null : buffers[entry.buffer];
    this.plain = !entry.strides && !this.offset;
  }

  // The element with this number, counted row by row.
  get(flat) {
    if (this.plain) return Number(this.data[flat]);
    let place = this.offset;
    for (let k = 0; k < this.shape.length; k++) place += (Math.floor(flat / this.steps[k]) % this.shape[k]) * this.strides[k];
    return this.counting ? place : Number(this.data[place]);
  }

  at(...index) { return this.get(this.flat(index)); }

  flat(index) { return index.reduce((sum, i, k) => sum + i * this.steps[k], 0); }

  index(flat) { return this.shape.map((n, k) => Math.floor(flat / this.steps[k]) % n); }

  // [0,3], as it is written behind a name
  label(flat) { return this.shape.length ? `[${this.index(flat).join(",")}]` : ""; }

  get statistics() {
    if (this.summary) return this.summary;
    if (!this._statistics) {
      let low = Infinity, high = -Infinity, squares = 0, sum = 0, bad = 0;
      for (let i = 0; i < this.size; i++) {
        const x = this.get(i);
        if (!Number.isFinite(x)) { bad += 1; continue; }
        if (x < low) low = x;
        if (x > high) high = x;
        squares += x * x;
        sum += x;
      }
      this._statistics = { low, high, norm: Math.sqrt(squares), mean: sum / Math.max(1, this.size - bad), bad };
    }
    return this._statistics;
  }

  // The largest magnitude: the ends of the colour scale.
  get reach() {
    const { low, high } = this.statistics;
    return Math.max(Math.abs(low), Math.abs(high)) || 0;
  }

  get largest() {
    let best = 0;
    for (let i = 1; i < this.size; i++) if (Math.abs(this.get(i)) > Math.abs(this.get(best))) best = i;
    return best;
  }

  // Numbers in an array of their own: sums of arrivals.
  static of(values, shape, type) {
    const made = new Numbers({ shape, type }, []);
    made.data = values;
    return made;
  }
}

function rowMajor(shape) {
  const steps = new Array(shape.length);
  for (let k = shape.length - 1, n = 1; k >= 0; n *= shape[k--]) steps[k] = n;
  return steps;
}

function decode([type, text]) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  return new { f4: Float32Array, f8: Float64Array, i4: Int32Array, u1: Uint8Array }[type](bytes);
}

// The element of an array of shape `small` that was broadcast to this element of `large`.
function broadcast(large, flat, small) {
  let place = 0;
  for (let k = 0; k < small.shape.length; k++) {
    const axis = large.shape.length - small.shape.length + k;
    if (small.shape[k] !== 1) place += (Math.floor(flat / large.steps[axis]) % large.shape[axis]) * small.steps[k];
  }
  return place;
}
