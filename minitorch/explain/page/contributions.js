// Where a number comes from: the products that add up to it, for every op that has such a sum.
//
// A part is a list of factors; a factor has a label, a number and, if it is an element of a recorded array, that array's
// number and the element's. Forward breaks an output down; backward breaks a gradient down into dy × local derivative.

function explainForward(run, step, slot, flat) {
  const known = forwardRules[step.rule];
  const y = run.array(run.values[step.outputs[slot]].array);
  const found = known ? known(new Scene(run, step), flat, slot) : null;
  return finish(found, y.get(flat), step.rule);
}

function explainBackward(run, back, input, flat) {
  const step = run.steps[back.twin];
  const known = backwardRules[step.rule];
  const found = known ? known(new Scene(run, step, back), input, flat) : null;
  return finish(found, run.array(back.gradients[input]).get(flat), step.rule);
}

function finish(found, value, rule) {
  const notes = { large: "Too large to keep in full, so it cannot be broken down. Record with a larger keep=.",
    unknown: "This op is not broken down here; its formula says how it is computed." };
  if (!found) return { value, parts: [], also: [], note: notes[rule] || notes.unknown };
  const parts = found.parts.map((factors) => ({ factors, number: factors.reduce((product, f) => product * f.number, 1) }));
  const order = parts.map((p, i) => [Math.abs(p.number), i]).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  return { value, parts: order.map(([, i]) => parts[i]), also: found.also || [], note: found.note || "",
    total: parts.reduce((sum, p) => sum + p.number, 0) };
}

// One op's arrays under the names that the rules use.
class Scene {
  constructor(run, step, back = null) {
    this.run = run;
    this.step = step;
    this.back = back;
    this.settings = step.numbers;
  }

  has(i) {
    const input = this.step.inputs[i];
    return Boolean(input) && (input.value !== undefined || input.array !== undefined);
  }

  // the array behind an input, output, incoming gradient, extra array or saved array: {array, id, name}
  input(i) {
    const input = this.step.inputs[i];
    const id = input.value === undefined ? input.array : this.run.values[input.value].array;
    return this._held(id, input.value === undefined ? this.step.names[i] : shortName(this.run.values[input.value]));
  }
  output(slot = 0) { const v = this.run.values[this.step.outputs[slot]]; return this._held(v.array, v.name); }
  dy(slot = 0) {
    const id = this.back.dys[slot];
    return id === null ? null : this._held(id, `d${this.step.results[slot]}`);
  }
  extra(name) { return this._held(((this.back && this.back.extra) || {})[name] ?? this.step.extra[name], name); }
  saved(name) { return this._held(this.step.saved[name].array, name); }
  slope(i) { const id = this.step.slopes[i]; return id === null || id === undefined ? null : this._held(id, `∂${this.step.results[0]}/∂${this.step.names[i]}`); }
  _held(id, name) { return { array: this.run.array(id), id, name }; }

  scalar(i) { return Number(this.step.inputs[i].text); }
}

// A parameter without the path of its module.
const shortName = (value) => (value.kind === "parameter" || value.kind === "buffer" ? value.name.split(".").pop() : value.name);

// factors
const element = (held, flat) => ({ label: held.name + held.array.label(flat), number: held.array.get(flat), array: held.id, flat });
const constant = (label, number) => ({ label, number });
const count = (n) => Array.from({ length: n }, (_, i) => i);
const last = (array) => array.shape[array.shape.length - 1] || 1;

// The elements of `large` that an element of `small` was broadcast to.
function spread(small, flat, large) {
  const found = [];
  for (let j = 0; j < large.size; j++) if (broadcast(large, j, small) === flat) found.push(j);
  return found;
}

// For a sum over axes: which elements of x go into an element of y.
function summed(x, dims, flat) {
  const kept = x.shape.map((n, k) => (dims.includes(k) ? 1 : n));
  const steps = rowMajor(kept);
  const found = [];
  for (let i = 0; i < x.size; i++) {
    let place = 0;
    for (let k = 0; k < kept.length; k++) if (kept[k] > 1) place += (Math.floor(i / x.steps[k]) % x.shape[k]) * steps[k];
    if (flat === null) found.push(place);
    else if (place === flat) found.push(i);
  }
  return found;
}

// The matrices of a product, with batches broadcast: element numbers of x[…, i, k], y[…, k, j] and z[…, i, j].
function product(x, y, z) {
  const xs = x.shape.length > 1 ? x.shape : [1, ...x.shape];
  const ys = y.shape.length > 1 ? y.shape : [...y.shape, 1];
  const [n, inner, m] = [xs[xs.length - 2], xs[xs.length - 1], ys[ys.length - 1]];
  const matrices = (shape, batch, flat) => {
    const mine = { shape: shape.slice(0, -2), steps: rowMajor(shape.slice(0, -2)) };
    return broadcast({ shape: batch, steps: rowMajor(batch) }, flat, mine);
  };
  const batch = z.shape.slice(0, z.shape.length - (x.shape.length > 1) - (y.shape.length > 1));
  const batches = batch.reduce((a, b) => a * b, 1);
  return { n, inner, m, batches,
    x: (b, i, k) => (matrices(xs, batch, b) * n + i) * inner + k,
    y: (b, k, j) => (matrices(ys, batch, b) * inner + k) * m + j,
    z: (b, i, j) => (b * n + i) * m + j };
}

// ---------------------------------------------------------------------------------------------------------------------
// forward

const forwardRules = {
  linear(s, flat) {
    const [x, w] = [s.input(0), s.input(1)];
    const [outs, ins] = w.array.shape;
    const [row, o] = [Math.floor(flat / outs), flat % outs];
    const parts = count(ins).map((k) => [element(x, row * ins + k), element(w, o * ins + k)]);
    if (s.has(2)) parts.push([element(s.input(2), o)]);
    return { parts };
  },

  matmul(s, flat) {
    const [x, y, z] = [s.input(0), s.input(1), s.output()];
    const p = product(x.array, y.array, z.array);
    const [b, i, j] = [Math.floor(flat / (p.n * p.m)), Math.floor(flat / p.m) % p.n, flat % p.m];
    return { parts: count(p.inner).map((k) => [element(x, p.x(b, i, k)), element(y, p.y(b, k, j))]) };
  },

  sum(s, flat) {
    const x = s.input(0);
    const from = summed(x.array, s.settings.dim, flat);
    const share = s.step.op === "Mean" ? [constant(`1/${from.length}`, 1 / from.length)] : [];
    return { parts: from.map((i) => [element(x, i), ...share]) };
  },

  softmax(s, flat) {
    const { x, row, top, total } = alongAxis(s, flat);
    return { parts: [[constant(`e^(${element(x, flat).label} − max)`, Math.exp(x.array.get(flat) - top)), constant("1/Σ", 1 / total)]],
      also: [[x.id, row]], note: `Its row adds up to Σ e^(x − max) = ${show(total)}, with max = ${show(top)}.` };
  },

  logsoftmax(s, flat) {
    const { x, row, top, total } = alongAxis(s, flat);
    return { parts: [[element(x, flat)], [constant("− max x", -top)], [constant("− ln Σ", -Math.log(total))]], also: [[x.id, row]] };
  },

  layernorm(s, flat) {
    const x = s.input(0);
    const n = last(x.array);
    const [row, i] = [Math.floor(flat / n), flat % n];
    const centred = s.step.op === "LayerNorm";
    const scale = s.saved(centred ? "rstd" : "rrms");
    const gain = s.has(1) ? [element(s.input(1), i)] : [];
    const parts = [[element(x, flat), element(scale, row), ...gain]];
    if (centred) parts.push([constant("−1", -1), element(s.saved("mean"), row), element(scale, row), ...gain]);
    if (centred && s.has(2)) parts.push([element(s.input(2), i)]);
    return { parts, also: [[x.id, count(n).map((j) => row * n + j)]], note: centred ?
      "mean and rstd are those of the whole row of x." : "The root mean square is that of the whole row of x." };
  },

  attention(s, flat) {
    const [q, k, v, p] = [s.input(0), s.input(1), s.input(2), s.extra("p")];
    const [, heads, T, D] = q.array.shape;
    const [, groups, S, E] = v.array.shape;
    const [b, h, t, e] = s.output().array.index(flat);
    const g = Math.floor((h * groups) / heads);
    const parts = count(S).map((i) => [element(p, ((b * heads + h) * T + t) * S + i), element(v, ((b * groups + g) * S + i) * E + e)]);
    return { parts, also: [[q.id, count(D).map((d) => ((b * heads + h) * T + t) * D + d)],
      [k.id, count(S * D).map((j) => (b * groups + g) * S * D + j)]], note: "The weights p of a row come from its query q and every key k." };
  },

  ffn(s, flat) {
    const [h, w] = [s.extra("h"), s.input(3)];
    const [outs, hidden] = w.array.shape;
    const [row, o] = [Math.floor(flat / outs), flat % outs];
    const parts = count(hidden).map((j) => [element(h, row * hidden + j), element(w, o * hidden + j)]);
    if (s.has(4)) parts.push([element(s.input(4), o)]);
    const [x, ins] = [s.input(0), last(s.input(0).array)];
    return { parts, also: [[x.id, count(ins).map((k) => row * ins + k)]], note: "h is the hidden layer after its activation." };
  },

  crossentropy(s, flat) { return surprise(s, flat); },
  projection(s, flat) { return surprise(s, flat); },

  squarederror(s) {
    const d = s.saved("d");
    return { parts: count(d.array.size).map((i) => [element(d, i), element(d, i), constant("share", s.settings.share)]), note: "d is what is missing: x − target." };
  },

  moves(s, flat, slot) {
    const from = s.run.array(s.step.moves[slot]).get(flat) - 1;
    if (from < 0) return { parts: [[constant("filled in with 0", 0)]] };
    return { parts: [[element(...whichInput(s, from))]] };
  },

  elementwise(s, flat) {
    const y = s.output();
    const inputs = s.step.inputs.map((given, i) => (s.has(i) ? element(s.input(i), broadcast(y.array, flat, s.input(i).array)) :
      Number.isFinite(Number(given.text)) ? constant(given.text, Number(given.text)) : null)).filter(Boolean);
    const factor = (i) => element(s.slope(i), flat);
    switch (s.step.op) {
      case "Add": return { parts: inputs.map((f) => [f]) };
      case "Sub": return { parts: [[inputs[0]], [constant("−1", -1), inputs[1]]] };
      case "Mul": return { parts: [inputs] };
      case "Div": return { parts: [[inputs[0], constant(`1/${inputs[1].label}`, 1 / inputs[1].number)]] };
      case "Neg": return { parts: [[constant("−1", -1), inputs[0]]] };
      case "Square": return { parts: [[inputs[0], inputs[0]]] };
      case "Dropout": return s.slope(0) && { parts: [[inputs[0], { ...factor(0), label: "keep/(1 − p)" }]] };
      case "ResidualAdd": return s.slope(1) && { parts: inputs.map((f, i) => (i ? [f, { ...factor(1), label: "keep" }] : [f])) };
      default: return { parts: [[constant(`${s.step.op}(${inputs.map((f) => f.label).join(", ")})`, y.array.get(flat))]],
        also: inputs.filter((f) => f.array !== undefined).map((f) => [f.array, [f.flat]]) };
    }
  },

  // y = Σ ∂y/∂x · x holds for a linear op, and for one that is linear in one of its inputs: where it does, it is shown.
  matrix(s, flat) {
    const y = s.output().array.get(flat);
    for (let i = 0; i < s.step.inputs.length; i++) {
      if (!s.has(i) || !s.slope(i)) continue;
      const [x, slope] = [s.input(i), s.slope(i)];
      const parts = count(x.array.size).map((j) => [element(slope, flat * x.array.size + j), element(x, j)]);
      const sizes = parts.map(([a, b]) => a.number * b.number);
      const total = sizes.reduce((a, b) => a + b, 0), scale = sizes.reduce((a, b) => a + Math.abs(b), 0);
      if (parts.every(([slope]) => slope.number === 0)) return { parts: [[constant("does not depend on the input", y)]] };
      if (Math.abs(total - y) <= 1e-6 * scale) return { parts: parts.filter(([a]) => a.number !== 0), note: "Slope × input, summed: this op is linear in its input." };
    }
    return { parts: [], also: s.step.inputs.map((_, i) => i).filter((i) => s.has(i)).map((i) => [s.input(i).id, count(s.input(i).array.size)]),
      note: "An op of its own kind: forward is not broken down. Its gradient is, on the way back." };
  },
};
forwardRules.unknown = forwardRules.large = null;

function alongAxis(s, flat) {
  const x = s.input(0);
  const axis = (s.settings.axis + x.array.shape.length) % x.array.shape.length;
  const [n, step] = [x.array.shape[axis], x.array.steps[axis]];
  const start = flat - (Math.floor(flat / step) % n) * step;
  const row = count(n).map((i) => start + i * step);
  const top = Math.max(...row.map((i) => x.array.get(i)));
  return { x, row, top, total: row.reduce((sum, i) => sum + Math.exp(x.array.get(i) - top), 0) };
}

function surprise(s, flat) {
  const [p, labels] = [s.extra("p"), s.extra("labels")];
  if (!s.settings.plain) return null;
  const [n, classes] = p.array.shape;
  const rows = s.output().array.size === 1 && s.output().array.shape.length === 0 ? count(n) : [flat];
  const counted = rows.filter((i) => labels.array.get(i) >= 0 && labels.array.get(i) < classes);
  const share = s.settings.share;
  return { parts: counted.map((i) => {
    const at = i * classes + labels.array.get(i);
    return [{ ...element(p, at), label: `−ln ${element(p, at).label}`, number: -Math.log(p.array.get(at)) }, constant("share", share)];
  }), note: "p is the softmax of the logits; each row counts the probability that it gave to its label." };
}

function whichInput(s, from) {
  for (let i = 0; i < s.step.inputs.length; i++) {
    if (!s.has(i) || !s.input(i).array.type.startsWith("float")) continue;
    if (from < s.input(i).array.size) return [s.input(i), from];
    from -= s.input(i).array.size;
  }
  return null;
}

// ---------------------------------------------------------------------------------------------------------------------
// backward

const backwardRules = {
  linear(s, input, flat) {
    const [x, w, dy] = [s.input(0), s.input(1), s.dy()];
    const [outs, ins] = w.array.shape;
    const rows = dy.array.size / outs;
    if (input === 0) {
      const [row, k] = [Math.floor(flat / ins), flat % ins];
      return { parts: count(outs).map((o) => [element(dy, row * outs + o), element(w, o * ins + k)]) };
    }
    const [o, k] = input === 1 ? [Math.floor(flat / ins), flat % ins] : [flat, 0];
    return { parts: count(rows).map((r) => (input === 1 ? [element(dy, r * outs + o), element(x, r * ins + k)] : [element(dy, r * outs + o)])) };
  },

  matmul(s, input, flat) {
    const [x, y, z, dz] = [s.input(0), s.input(1), s.output(), s.dy()];
    const p = product(x.array, y.array, z.array);
    const parts = [];
    const [rows, columns] = input === 0 ? [p.n, p.inner] : [p.inner, p.m];
    const [row, column] = [Math.floor(flat / columns) % rows, flat % columns];
    for (let b = 0; b < p.batches; b++) {                  // every batch that this matrix was broadcast to
      if (input === 0 && p.x(b, row, column) === flat) for (let j = 0; j < p.m; j++) parts.push([element(dz, p.z(b, row, j)), element(y, p.y(b, column, j))]);
      if (input === 1 && p.y(b, row, column) === flat) for (let i = 0; i < p.n; i++) parts.push([element(dz, p.z(b, i, column)), element(x, p.x(b, i, row))]);
    }
    return { parts };
  },

  sum(s, input, flat) {
    const x = s.input(0);
    const dims = s.settings.dim;
    const to = summed(x.array, dims, null)[flat];
    const n = dims.reduce((product, k) => product * x.array.shape[k], 1);
    return { parts: [[element(s.dy(), to), ...(s.step.op === "Mean" ? [constant(`1/${n}`, 1 / n)] : [])]] };
  },

  squarederror(s, input, flat) {
    const slope = constant(input ? "−2 · share" : "2 · share", (input ? -2 : 2) * s.settings.share);
    return { parts: [[element(s.dy(), 0), slope, element(s.saved("d"), flat)]] };
  },

  softmax(s, input, flat) {
    const { row } = alongAxis(s, flat);
    const [y, dy] = [s.output(), s.dy()];
    return { parts: row.map((j) => [element(dy, j), constant("∂y/∂x", y.array.get(j) * ((j === flat) - y.array.get(flat)))]) };
  },

  logsoftmax(s, input, flat) {
    const { row } = alongAxis(s, flat);
    const [y, dy] = [s.output(), s.dy()];
    return { parts: row.map((j) => [element(dy, j), constant("∂y/∂x", (j === flat) - Math.exp(y.array.get(flat)))]) };
  },

  layernorm(s, input, flat) {
    const [x, dy] = [s.input(0), s.dy()];
    const n = last(x.array);
    const centred = s.step.op === "LayerNorm";
    const scale = s.saved(centred ? "rstd" : "rrms").array;
    const mean = (row) => (centred ? s.saved("mean").array.get(row) : 0);
    const hat = (place) => (x.array.get(place) - mean(Math.floor(place / n))) * scale.get(Math.floor(place / n));
    if (input === 0) {
      const [row, i] = [Math.floor(flat / n), flat % n];
      return { parts: count(n).map((j) => {
        const gain = s.has(1) ? s.input(1).array.get(j) : 1;
        const slope = gain * scale.get(row) * ((i === j) - (centred ? 1 / n : 0) - (hat(flat) * hat(row * n + j)) / n);
        return [element(dy, row * n + j), constant(`∂y[${j}]/∂x[${i}]`, slope)];
      }), also: [[x.id, count(n).map((j) => row * n + j)]] };
    }
    return { parts: count(x.array.size / n).map((row) => [element(dy, row * n + flat),
      ...(input === 1 ? [{ label: `x̂[${row},${flat}]`, number: hat(row * n + flat), array: x.id, flat: row * n + flat }] : [])]) };
  },

  attention(s, input, flat) {
    const [q, k, v] = [s.input(0), s.input(1), s.input(2)];
    const [B, heads, T, D] = q.array.shape;
    const [, groups, S, E] = v.array.shape;
    const [p, ds, dy] = [s.extra("p"), s.extra("ds"), s.dy()];
    const scale = constant("scale", s.settings.scale);
    const weight = (b, h, t, i) => ((b * heads + h) * T + t) * S + i;
    const each = heads / groups;
    if (input === 0) {
      const [b, h, t, d] = q.array.index(flat);
      const g = Math.floor(h / each);
      return { parts: count(S).map((i) => [element(ds, weight(b, h, t, i)), scale, element(k, ((b * groups + g) * S + i) * D + d)]) };
    }
    if (input === 3) {
      const scores = { shape: [B, heads, T, S], steps: rowMajor([B, heads, T, S]), size: B * heads * T * S };
      return { parts: spread(s.input(3).array, flat, scores).map((j) => [element(ds, j)]) };
    }
    const [b, g, i, d] = (input === 1 ? k : v).array.index(flat);
    const parts = [];
    for (let h = g * each; h < (g + 1) * each; h++) for (let t = 0; t < T; t++) {
      parts.push(input === 1 ? [element(ds, weight(b, h, t, i)), scale, element(q, ((b * heads + h) * T + t) * D + d)] :
        [element(p, weight(b, h, t, i)), element(dy, ((b * heads + h) * T + t) * E + d)]);
    }
    return { parts };
  },

  ffn(s, input, flat) {
    const [x, w1, w2, h, da, dy] = [s.input(0), s.input(1), s.input(3), s.extra("h"), s.extra("da"), s.dy()];
    const [[hidden, ins], outs] = [w1.array.shape, w2.array.shape[0]];
    const rows = count(dy.array.size / outs);
    const [i, j] = [Math.floor(flat / (input === 3 ? hidden : ins)), flat % (input === 3 ? hidden : ins)];
    switch (input) {
      case 0: return { parts: count(hidden).map((u) => [element(da, i * hidden + u), element(w1, u * ins + j)]) };
      case 1: return { parts: rows.map((r) => [element(da, r * hidden + i), element(x, r * ins + j)]) };
      case 2: return { parts: rows.map((r) => [element(da, r * hidden + flat)]) };
      case 3: return { parts: rows.map((r) => [element(dy, r * outs + i), element(h, r * hidden + j)]) };
      default: return { parts: rows.map((r) => [element(dy, r * outs + flat)]) };
    }
  },

  crossentropy(s, input, flat) {
    const [dy, slope] = [s.dy(), s.extra("(p − target)")];
    const scalar = dy.array.shape.length === 0;
    return { parts: [[element(dy, scalar ? 0 : Math.floor(flat / last(slope.array))), constant("share", s.settings.share), element(slope, flat)]] };
  },

  projection(s, input, flat) {
    const [x, w, dz] = [s.input(0), s.input(1), s.extra("dz")];
    const [classes, ins] = w.array.shape;
    const rows = count(x.array.shape[0]);
    const [i, j] = [Math.floor(flat / ins), flat % ins];
    if (input === 0) return { parts: count(classes).map((c) => [element(dz, i * classes + c), element(w, c * ins + j)]) };
    return { parts: rows.map((r) => (input === 1 ? [element(dz, r * classes + i), element(x, r * ins + j)] : [element(dz, r * classes + flat)])) };
  },

  moves(s, input, flat) {
    let start = 1;
    for (let i = 0; i < input; i++) if (s.has(i) && s.input(i).array.type.startsWith("float")) start += s.input(i).array.size;
    const parts = [];
    s.step.moves.forEach((id, slot) => {
      const [move, dy] = [s.run.array(id), s.dy(slot)];
      for (let j = 0; dy && j < move.size; j++) if (move.get(j) === start + flat) parts.push([element(dy, j)]);
    });
    if (s.step.op === "Embedding" && s.settings.padding_idx === Math.floor(flat / last(s.input(input).array))) return { parts: [[constant("the padding row gets none", 0)]] };
    return { parts: parts.length ? parts : [[constant("it was not used", 0)]] };
  },

  elementwise(s, input, flat) {
    const [y, dy, slope] = [s.output(), s.dy(), s.slope(input)];
    if (!slope) return null;
    return { parts: spread(s.input(input).array, flat, y.array).map((j) => [element(dy, j), element(slope, j)]) };
  },

  matrix(s, input, flat) {
    const [dy, slope] = [s.dy(), s.slope(input)];
    if (!slope) return null;
    return { parts: count(dy.array.size).map((j) => [element(dy, j), element(slope, j * s.input(input).array.size + flat)]) };
  },
};
backwardRules.unknown = backwardRules.large = null;
