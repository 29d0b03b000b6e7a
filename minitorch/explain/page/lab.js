// The residual lab: one stack of blocks in nine wirings. Every number here was computed by the engine; this file only shows it.

const CONNECTION = {
  residual: { name: "x + f(x)", long: "with the residual connection", join: (f) => `x + ${f}` },
  none: { name: "f(x) alone", long: "without a connection", join: (f) => f },
  doubled: { name: "the x + x mistake", long: "with the x = x + x mistake", join: (f) => f },
};
const NORM = {
  none: { name: "none", long: "no LayerNorm" },
  post: { name: "post-norm", long: "post-norm" },
  pre: { name: "pre-norm", long: "pre-norm" },
};
const MEASURE = {
  gradient: { name: "gradient of x", title: "Norm of the gradient in front of each block", first: "the first block", unit: "∂loss/∂x" },
  weights: { name: "gradient of the weights", title: "Norm of the gradient of each block's weights", first: "the first block", unit: "∂loss/∂W" },
  activation: { name: "x itself", title: "Norm of x in front of each block", first: "the last block", unit: "x" },
};

class Lab {
  constructor(data) {
    this.data = data;
    this.choice = { connection: "residual", norm: "pre", depth: String(data.depths[data.depths.length - 1]), measure: "gradient" };
    byId("setting").textContent = `A stack of Transformer blocks, attention and then a feed-forward network, on ${data.length} positions of ${data.width} features. ` +
      "The weights, the input and the gradient that comes in at the end, of norm 1, are the same for all variants: only the wiring differs. Computed in float64, at initialisation.";
    this.options("connection", Object.entries(CONNECTION).map(([k, v]) => [k, v.name]));
    this.options("norm", Object.entries(NORM).map(([k, v]) => [k, v.name]));
    this.options("depth", data.depths.map((d) => [String(d), String(d)]));
    this.options("measure", Object.entries(MEASURE).map(([k, v]) => [k, v.name]));
    theme.start(byId("theme"));
    this.show();
  }

  options(group, entries) {
    byId(group).append(make("div", { class: "options" }, entries.map(([value, name]) => make("label", {},
      make("input", { type: "radio", name: group, value, checked: this.choice[group] === value, onchange: () => this.choose({ [group]: value }) }), name))));
  }

  choose(change) {
    Object.assign(this.choice, change);
    for (const [group, value] of Object.entries(this.choice)) document.querySelector(`input[name="${group}"][value="${value}"]`).checked = true;
    this.show();
  }

  run(connection = this.choice.connection, norm = this.choice.norm) { return this.data.runs[connection][norm][this.choice.depth]; }
  series(connection, norm) { return this.run(connection, norm)[this.choice.measure]; }

  get everything() {
    return Object.keys(CONNECTION).flatMap((c) => Object.keys(NORM).map((n) => ({ connection: c, norm: n, values: this.series(c, n) })));
  }

  // The powers of ten that all nine curves lie between.
  get range() {
    const sizes = this.everything.flatMap(({ values }) => values).filter((v) => v > 0).map(Math.log10);
    return [Math.floor(Math.min(...sizes)), Math.max(Math.ceil(Math.max(...sizes)), Math.floor(Math.min(...sizes)) + 1)];
  }

  show() {
    byId("heading").textContent = MEASURE[this.choice.measure].title;
    this.chart();
    this.diagram();
    this.reading();
    this.grid();
  }

  // ---------------------------------------------------------------------------------------------------------------
  // curves

  path(values, range, [left, top, width, height]) {
    const [low, high] = range;
    return values.map((v, i) => [left + (values.length > 1 ? i / (values.length - 1) : 0) * width,
      top + height * (1 - ((v > 0 ? Math.log10(v) : low) - low) / (high - low))]);
  }

  chart() {
    const narrow = byId("chart").clientWidth < 520;
    const [width, height] = narrow ? [420, 360] : [820, 460];
    const frame = [54, 16, width - 130, height - 62];
    const range = this.range;
    const values = this.series(this.choice.connection, this.choice.norm);
    const every = Math.max(1, Math.ceil((range[1] - range[0]) / 7));
    const ticks = [];
    for (let e = Math.ceil(range[0] / every) * every; e <= range[1]; e += every) ticks.push(e);
    const up = (e) => frame[1] + frame[3] * (1 - (e - range[0]) / (range[1] - range[0]));
    const line = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
    const points = this.path(values, range, frame);
    const blocks = values.length - 1;
    const steps = [...new Set([0, 0.25, 0.5, 0.75, 1].map((t) => Math.round(t * blocks)))];
    const readout = make("text", { class: "value", x: frame[0] + frame[2], y: frame[1] - 3, "text-anchor": "end", id: "readout" });
    const spot = make("g", { visibility: "hidden" }, make("line", { class: "guide", y1: frame[1], y2: frame[1] + frame[3] }), make("circle", { class: "dot", r: 5 }));
    const tell = (i) => {
      spot.setAttribute("visibility", i === null ? "hidden" : "visible");
      readout.textContent = i === null ? "" : `${this.place(i)}: ${show(values[i], 5)}`;
      if (i === null) return;
      const [x, y] = points[i];
      spot.firstChild.setAttribute("x1", x);
      spot.firstChild.setAttribute("x2", x);
      spot.lastChild.setAttribute("cx", x);
      spot.lastChild.setAttribute("cy", y);
    };
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0, "aria-label": `${MEASURE[this.choice.measure].title}: ${show(values[0], 3)} at the first block, ${show(values[blocks], 3)} at the end. Arrow keys read the curve.` },
      ticks.map((e) => [make("line", { class: "axis", x1: frame[0], x2: frame[0] + frame[2], y1: up(e), y2: up(e) }), make("text", { x: frame[0] - 8, y: up(e) + 4, "text-anchor": "end" }, "10", make("tspan", { dy: -5, "font-size": 9 }, String(e).replace("-", "−")))]),
      steps.map((i) => make("text", { x: points[i][0], y: height - 28, "text-anchor": "middle" }, String(this.choice.measure === "weights" ? i + 1 : i))),
      make("text", { x: frame[0] + frame[2] / 2, y: height - 8, "text-anchor": "middle" }, this.choice.measure === "weights" ? "block" : "blocks passed, from the input"),
      this.everything.filter((v) => v.values !== values).map((v) => make("path", { class: "other", d: line(this.path(v.values, range, frame)) })),
      make("path", { class: "chosen", d: line(points) }), make("circle", { class: "dot", r: 4, cx: points[0][0], cy: points[0][1] }), make("circle", { class: "dot", r: 4, cx: points[blocks][0], cy: points[blocks][1] }),
      make("text", { class: "value", x: points[0][0] + 10, y: points[0][1] + (points[0][1] < frame[1] + 30 ? 20 : -10), id: "first-value", "data-value": values[0] }, show(values[0], 3)),
      make("text", { class: "value", x: points[blocks][0] + 9, y: points[blocks][1] + 4, "data-value": values[blocks] }, show(values[blocks], 3)), spot, readout,
      make("rect", { class: "hit", x: frame[0], y: frame[1], width: frame[2], height: frame[3] }));
    let at = 0;
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * width;
      at = Math.round(Math.min(1, Math.max(0, (x - frame[0]) / frame[2])) * blocks);
      tell(at);
    });
    svg.addEventListener("pointerleave", () => tell(null));
    svg.addEventListener("blur", () => tell(null));
    svg.addEventListener("keydown", (event) => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      at = Math.min(blocks, Math.max(0, at + (event.key === "ArrowRight" ? 1 : -1)));
      tell(at);
      event.preventDefault();
    });
    byId("chart").replaceChildren(svg);
  }

  place(i) {
    if (this.choice.measure === "weights") return `block ${i + 1}`;
    return i === 0 ? "at the input" : i === Number(this.choice.depth) ? "at the end" : `after block ${i}`;
  }

  grid() {
    const range = this.range;
    byId("caption").textContent = `${MEASURE[this.choice.measure].title}, ${this.choice.depth} blocks; the same scale everywhere, 10${raised(range[0])} to 10${raised(range[1])}` + ". Under each curve, its two ends. Choose one.";
    const cells = [make("span", { class: "head corner" }), Object.values(NORM).map((n) => make("span", { class: "head" }, n.name === "none" ? "no norm" : n.name))];
    for (const [c, { name }] of Object.entries(CONNECTION)) {
      cells.push(make("span", { class: "head side" }, name));
      for (const n of Object.keys(NORM)) {
        const values = this.series(c, n);
        const chosen = c === this.choice.connection && n === this.choice.norm;
        const points = this.path(values, range, [2, 4, 196, 54]).map((p) => p.map((x) => x.toFixed(1)).join()).join(" ");
        cells.push(make("button", { type: "button", "aria-pressed": String(chosen), "data-variant": `${c} ${n}`, "aria-label": `${CONNECTION[c].long}, ${NORM[n].long}: ${show(values[0], 2)} to ${show(values[values.length - 1], 2)}`,
          onclick: () => { this.choose({ connection: c, norm: n }); document.querySelector(`[data-variant="${c} ${n}"]`).focus({ preventScroll: true }); } },
        make("svg", { viewBox: "0 0 200 62", preserveAspectRatio: "none", "aria-hidden": "true" }, make("polyline", { class: chosen ? "chosen" : "other", style: chosen ? "" : "opacity:0.9;stroke-width:2", points, "vector-effect": "non-scaling-stroke" })),
        make("span", { class: "small" }, `${show(values[0], 2)} … ${show(values[values.length - 1], 2)}`)));
      }
    }
    byId("grid").replaceChildren(...cells.flat());
  }

  // ---------------------------------------------------------------------------------------------------------------
  // the block

  diagram() {
    const { connection, norm } = this.choice;
    const middle = 96, parts = [];
    let y = 26;
    const arrow = (to) => { parts.push(make("path", { class: "line", d: `M${middle} ${y} V${to - 5}` }), make("path", { class: "tip", d: `M${middle - 5} ${to - 8} L${middle} ${to} L${middle + 5} ${to - 8} Z` })); y = to; };
    const box = (text, kind = "box") => { arrow(y + 22); parts.push(make("rect", { class: `box ${kind}`, x: middle - 54, y, width: 108, height: 32, rx: 9 }), make("text", { x: middle, y: y + 21 }, text)); y += 32; };
    parts.push(make("text", { x: middle, y: 18 }, "x"));
    for (const sublayer of ["attention", "feed-forward"]) {
      const start = y + 9;
      if (norm === "pre") box("LayerNorm", "norm");
      box(sublayer);
      if (connection !== "none") {
        const end = y + 40;
        const from = connection === "residual" ? start : y + 8;
        parts.push(make("path", { class: connection === "residual" ? "bypass" : "wrong", d: `M${middle} ${from} H176 Q186 ${from} 186 ${from + 10} V${end - 10} Q186 ${end} 176 ${end} H${middle + 14}` }));
        arrow(y + 27);
        parts.push(make("circle", { class: "sum", cx: middle, cy: end, r: 13 }), make("text", { x: middle, y: end + 6, style: "font-size:18px" }, "+"));
        y = end + 13;
      }
      if (norm === "post") box("LayerNorm", "norm");
    }
    arrow(y + 26);
    parts.push(make("text", { x: middle, y: y + 17 }, "on to the next block"));
    const note = { residual: "past f: the identity path", none: "no way round f", doubled: "x was overwritten: f(x) twice" }[connection];
    parts.push(make("text", { x: 105, y: y + 42, class: "note" }, note));
    byId("diagram").replaceChildren(make("svg", { viewBox: `0 0 210 ${y + 50}`, role: "img", "aria-label": `${CONNECTION[connection].long}, ${NORM[norm].long}` }, parts));
    const f = norm === "pre" ? "f(norm(x))" : "f(x)";
    const code = { residual: `x = x + ${f}`, none: `x = ${f}`, doubled: `x = ${f}\nx = x + x` }[connection];
    byId("code").textContent = norm === "post" ? (connection === "doubled" ? `${code}\nx = norm(x)` : code.replace(/= (.*)/, "= norm($1)")) : code;
  }

  // ---------------------------------------------------------------------------------------------------------------
  // in words

  reading() {
    const { connection, norm, depth, measure } = this.choice;
    const values = this.series(connection, norm);
    const who = `${CONNECTION[connection].long}, ${NORM[norm].long}`;
    const [from, to] = measure === "activation" ? [values[0], values[values.length - 1]] : [values[values.length - 1], values[0]];
    const orders = Math.log10(from / to);
    const size = Math.abs(orders);
    const times = (x) => (x >= 1e4 || x < 1e-3 ? `10${raised(Math.log10(x).toFixed(1))}` : show(x, 3));
    const moved = size < 0.05 ? "just as large as it came in" : size < 0.7 ? `${show(10 ** size, 2)} times ${orders > 0 ? "smaller" : "larger"}` :
      `${show(size, size < 10 ? 2 : 3)} orders of magnitude ${orders > 0 ? "smaller" : "larger"}`;
    const perBlock = (to / from) ** (1 / (values.length - 1));
    const what = { gradient: "the gradient comes in at the end with norm", weights: "the weights of the last block get a gradient of norm", activation: "x goes in with norm" }[measure];
    const then = { gradient: "and reaches the input with", weights: "those of the first", activation: "and comes out with" }[measure];
    const float32 = measure !== "activation" && to < 1.4e-45 ? " In float32 it would be exactly 0." : measure !== "activation" && to < 1.2e-38 ? " That is below float32's normal numbers." : "";
    const sentence = byId("sentence");
    sentence.textContent = `${who[0].toUpperCase()}${who.slice(1)}, ${depth} blocks: ${what} ${show(from, 3)} ${then} ${show(to, 3)}: ${moved}` +
      (values.length > 2 ? `, a factor of ${show(perBlock, 3)} per block on average.` : ".") + float32;
    Object.assign(sentence.dataset, { from, to, orders });
    const first = (c) => this.series(c, norm)[measure === "activation" ? values.length - 1 : 0];
    const comparison = byId("comparison");
    const same = norm === "none" ? "without LayerNorm" : `with ${NORM[norm].name}`;
    if (connection === "doubled") {
      const ratio = first("doubled") / first("none");
      comparison.textContent = `Written as x = f(x); x = x + x, the input is gone: there is no path past f. The number is ${Math.abs(ratio - 1) < 0.02 ? `that of no connection at all, ${show(first("none"), 3)}` : `${times(ratio)} times that of no connection at all`}; a true residual, ${same}, gives ${show(first("residual"), 3)}.`;
      comparison.dataset.ratio = ratio;
    } else {
      const other = connection === "residual" ? "none" : "residual";
      const ratio = first(connection) / first(other);
      comparison.textContent = `The same blocks ${CONNECTION[other].long}, ${same}, end at ${show(first(other), 3)}: the connection alone makes a factor of ${times(connection === "residual" ? ratio : 1 / ratio)}.`;
      comparison.dataset.ratio = ratio;
    }
  }
}

// 10⁻⁴, as text
function raised(power) { return String(power).replace(/./g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] || { "-": "⁻", ".": "·" }[c]); }

const lab = new Lab(JSON.parse(byId("lab").textContent));
