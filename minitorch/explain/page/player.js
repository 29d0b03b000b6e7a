// The player: a run, step by step, forward and then backward.

class Run {
  constructor(data) {
    Object.assign(this, data);
    const buffers = data.buffers.map(decode);
    this.arrays = data.arrays.map((entry) => new Numbers(entry, buffers));
    this.arrays.forEach((array, i) => { array.id = i; });
    for (const array of this.arrays) if (array.summary) array.corner = this.arrays[array.summary.corner];
    this.forward = this.steps.filter((s) => s.phase === "forward").length;
    const counted = { forward: 0, backward: 0 };
    this.steps.forEach((step, i) => { step.index = i; step.nth = counted[step.phase] += 1; });
    this.backward = counted.backward;
    const within = (box) => (box.wires || []).some((wire) => wire[4]) || (box.children || []).some(within);
    this.bypasses = within(this.graph);
    this.leaves = this.values.map((v, i) => i).filter((i) => !this.values[i].maker && this.values[i].arrivals.length);
  }

  array(id) { return this.arrays[id]; }

  // A value's gradient after a step: everything that arrived until then, in the order and precision of the engine.
  gradient(number, index = Infinity) {
    const value = this.values[number];
    const rows = value.arrivals.filter(([step]) => step <= index), arrived = rows.map(([, , id]) => this.array(id));
    if (!arrived.length) return null;
    if (arrived[0].summary) return this.array(rows.at(-1)[3]);
    const round = value.type === "float32" ? Math.fround : (x) => x;
    const first = arrived[0];
    const sums = Float64Array.from({ length: first.size }, (_, i) => arrived.slice(1).reduce((sum, a) => round(sum + a.get(i)), first.get(i)));
    return Numbers.of(sums, first.shape, value.type);
  }

  // Which values and wires a gradient has reached after a step.
  graded(index) {
    const values = new Set();
    this.values.forEach((value, i) => { if (value.arrivals.some(([step]) => step <= index)) values.add(i); });
    const seen = new Set(this.steps.filter((s) => s.phase === "backward" && s.index <= index).map((s) => s.twin));
    const any = (box) => { for (let i = box.steps[0]; i <= box.steps[1]; i++) if (seen.has(i)) return true; return false; };
    const wires = ({ value, target }) => this.values[value].arrivals.some(([step, input]) => step <= index && (!target.steps || input < 0 ||
      (target.steps[0] <= this.steps[step].twin && this.steps[step].twin <= target.steps[1])));
    return { values, wires, any, from: 0 };
  }
}

class Player {
  constructor(run) {
    this.run = run;
    this.at = 0;                               // how many steps have been taken
    this.playing = null;
    this.slices = new Map();                   // which slice of 3- and 4-axis arrays is looked at, by their leading axes
    this.graph = new Graph(run, byId("graph"), { chosen: (box) => this.chooseBox(box) });
    this.controls();
    this.graph.draw();
    this.show();
  }

  get step() { return this.at ? this.run.steps[this.at - 1] : null; }

  go(at) {
    const to = Math.max(0, Math.min(this.run.steps.length, at));
    if (to === this.at) return;
    this.at = to;
    this.show();
  }

  play(yes = !this.playing) {
    clearInterval(this.playing);
    this.playing = null;
    if (yes) {
      if (this.at === this.run.steps.length) this.go(0);
      this.playing = setInterval(() => { this.go(this.at + 1); if (this.at === this.run.steps.length) this.play(false); }, Number(byId("speed").value));
    }
    byId("play").querySelector("path").setAttribute("d", this.playing ? "M6 4v12M14 4v12" : "M6 4l8 6-8 6z");
    byId("play").querySelector("span").textContent = this.playing ? "pause" : "play";
    byId("play").setAttribute("aria-label", this.playing ? "Pause" : "Play");
  }

  chooseBox(box) {
    if (box.kind === "module") {
      this.graph.toggle(box.id);
      this.redraw(box.id);
    } else if (box.steps) {
      const forward = box.steps[0];
      const backward = this.run.steps.findIndex((s) => s.phase === "backward" && s.twin === forward);
      this.go((this.step && this.step.phase === "backward" && backward >= 0 ? backward : forward) + 1);
    } else {
      const maker = this.run.values[box.value].maker;
      if (maker) this.go(maker[0] + 1);
    }
  }

  redraw(focus = null) {
    this.graph.draw();
    this.mark();
    const node = focus && this.graph.nodes.get(focus);
    if (node) node.focus({ preventScroll: true });
  }

  mark() {
    const step = this.step;
    const current = step ? (step.phase === "forward" ? step.index : step.twin) : null;
    return this.graph.mark({ at: this.at, phase: step ? step.phase : "forward", current, done: this.at, graded: this.run.graded(this.at - 1) });
  }

  // ---------------------------------------------------------------------------------------------------------------
  // controls

  controls() {
    const total = this.run.steps.length;
    const on = (id, act) => byId(id).addEventListener("click", act);
    on("first", () => this.go(0));
    on("previous", () => this.go(this.at - 1));
    on("next", () => this.go(this.at + 1));
    on("last", () => this.go(total));
    on("play", () => this.play());
    on("open-all", () => { this.graph.openAll(true); this.redraw(); });
    on("close-all", () => { this.graph.openAll(false); this.redraw(); });
    on("ask", () => this.help());
    byId("speed").addEventListener("change", () => { if (this.playing) this.play(true); });
    theme.start(byId("theme"));
    document.addEventListener("themechange", () => this.show());
    const scrub = byId("scrub");
    scrub.max = total;
    scrub.addEventListener("input", () => { this.play(false); this.go(Number(scrub.value)); });
    byId("picture").classList.toggle("flat", ![...this.graph.boxes.values()].some((box) => box.kind === "module" && box !== this.run.graph));
    byId("picture").classList.toggle("straight", !this.run.bypasses);
    byId("ticks").classList.toggle("many", total > 160);
    byId("ticks").append(...this.run.steps.map((step) => make("i", { class: step.phase })));
    document.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open || event.target.tagName === "SELECT") return;
    const button = ["BUTTON", "SUMMARY"].includes(event.target.tagName);
    const keys = {
      ArrowRight: () => this.go(this.at + 1), ArrowLeft: () => this.go(this.at - 1),
      Home: () => this.go(0), End: () => this.go(this.run.steps.length),
      " ": button ? null : () => this.play(), "?": () => this.help(), t: () => byId("theme").click(),
      o: () => this.openCurrent(), Escape: () => { this.play(false); this.unpin(); },
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    if (event.key.startsWith("Arrow")) this.play(false);
    act();
  }

  // Open the closed module that the run is in; or close the innermost open one.
  openCurrent() {
    const step = this.step;
    if (!step) return;
    const box = this.graph.boxOf(step.phase === "forward" ? step.index : step.twin);
    const target = box.children ? box : this.graph.parents.get(box.id);
    if (target && target !== this.run.graph) this.graph.toggle(target.id);
    this.redraw();
    this.graph.reveal(this.mark() || this.run.graph);
  }

  help() {
    const key = (k, text) => [make("dt", {}, k.split(" ").map((x) => make("kbd", {}, x))), make("dd", {}, text)];
    byId("help").replaceChildren(
      make("h2", {}, "How to read this"),
      make("p", { class: "soft" }, "The program ran once, and every operation was recorded: first forward, from the input to the loss, then backward, from the loss to every gradient. Walk through it in either direction."),
      make("dl", {}, key("→ ←", "one step on, one step back"), key("space", "play or pause"), key("Home End", "to the start, to the end"),
        key("o", "open or close the module that the run is in"), key("Tab", "to the next array or box; in an array the arrow keys move from element to element"),
        key("Esc", "leave an array"), key("t", "light or dark")),
      make("p", { class: "soft" }, "In the heat maps blue is negative, orange positive, and each array has its own scale, printed below it. Point at an element of a result or a gradient: the elements it came from are outlined, and their contributions listed, largest first."),
      make("p", { style: "margin-top:16px" }, make("button", { type: "button", onclick: () => byId("help").close() }, "Close")));
    byId("help").showModal();
  }

  // ---------------------------------------------------------------------------------------------------------------
  // one step

  show() {
    const { run, step } = this;
    const box = this.mark();
    if (box) this.graph.reveal(box);
    const scrub = byId("scrub");
    scrub.value = this.at;
    const where = step ? `${step.phase} ${step.nth} of ${run[step.phase]}` : "start";
    scrub.setAttribute("aria-valuetext", step ? `${where}, ${this.opOf(step)}` : where);
    byId("where").replaceChildren(make("span", {}, where), step ? make("b", {}, this.opOf(step)) : "");
    [...byId("ticks").children].forEach((tick, i) => tick.classList.toggle("seen", i < this.at));
    byId("first").disabled = byId("previous").disabled = this.at === 0;
    byId("next").disabled = byId("last").disabled = this.at === run.steps.length;
    this.cards = [];
    const pane = byId("step");
    pane.className = step ? step.phase : "";
    pane.replaceChildren(...(step ? this.stepView(step) : this.overview()));
    for (const mark of pane.querySelectorAll("mark")) {        // a long line: show the expression
      const lines = mark.closest("pre");
      const [inner, outer] = [mark.getBoundingClientRect(), lines.getBoundingClientRect()];
      if (inner.right > outer.right) lines.scrollLeft = Math.max(0, inner.left - outer.left - 0.4 * outer.width);
    }
    this.pin = null;
    if (step) this.unpin();
  }

  opOf(step) { return step.phase === "forward" ? step.op : run_twin(this.run, step).op; }

  overview() {
    const { run } = this;
    const leaves = run.leaves.length;
    const unused = run.values.map((v, i) => i).filter((i) => run.values[i].maker && !run.values[i].users.length);
    const ended = unused.filter((i) => run.values[i].arrivals.length).concat(unused.slice(-1)).filter((x, k, all) => all.indexOf(x) === k);
    const started = run.values.map((v, i) => i).filter((i) => !run.values[i].maker && run.values[i].kind === "input");
    return [
      make("div", { class: "head" }, make("h2", {}, run.title || "A recorded run"),
        make("p", { class: "soft" }, `${run.forward} operations forward` + (run.backward ? `, ${run.backward} backward; ${leaves} ${leaves === 1 ? "tensor gets its" : "tensors get their"} gradient.` : "; backward() was not called."))),
      make("p", { class: "hint", id: "hint" }, "Press ", make("kbd", {}, "→"), " to take one step, or ", make("kbd", {}, "space"), " to play. Press ", make("kbd", {}, "?"), " for everything else."),
      make("div", { class: "pair" },
        make("div", { class: "card" }, make("h3", {}, "What goes in"),
          make("div", { class: "arrays", style: "margin-top:12px" }, started.slice(0, 6).map((i) => this.card(run.array(run.values[i].array), { name: run.values[i].name }).element)),
          started.length ? "" : make("p", { class: "soft" }, "Only parameters: see them at the steps that use them.")),
        make("div", { class: "card" }, make("h3", {}, "What comes out"),
          make("div", { class: "arrays", style: "margin-top:12px" }, ended.slice(-3).map((i) => this.card(run.array(run.values[i].array), { name: run.values[i].name, value: i }).element)))),
      make("div", { class: "card" }, make("h3", {}, "What you will see"), make("ul", { class: "guide-list" }, [
        ["The line", "of the program that runs, and the rule of its operation, as a formula."],
        ["The numbers", "that go in and come out. Blue is negative, orange positive; each array has its own scale."],
        ["Where each number comes from", "point at an element: the products that add up to it are listed, largest first, and what they were made of is outlined."],
        ["The way back", "after the last operation the gradients start: what comes in, times the local derivative, goes out, and is added up."],
      ].map(([title, text]) => make("li", {}, make("b", {}, title), text)))),
    ];
  }

  stepView(step) {
    const forward = step.phase === "forward" ? step : this.run.steps[step.twin];
    const text = this.run.ops[forward.op];
    const twin = step.phase === "forward" ? this.run.steps.findIndex((s) => s.twin === step.index) : step.twin;
    const title = (text.Title || "").split("\n")[0];
    return [
      make("div", { class: "head" },
        make("div", { class: "crumbs" }, make("span", { class: `chip ${step.phase}` }, step.phase),
          make("code", { class: "soft", id: "module" }, forward.module || "your program"),
          twin >= 0 ? make("button", { type: "button", class: "link", onclick: () => this.go(twin + 1) }, `see its ${step.phase === "forward" ? "backward" : "forward"}, step ${twin + 1}`) : ""),
        make("p", { class: "what" }, make("span", { id: "op", role: "heading", "aria-level": 2 }, forward.op), title ? make("span", { class: "soft" }, title) : "")),
      make("div", { class: "pair" }, this.source(forward), this.formula(forward, step.phase, text)),
      make("div", { class: "numbers" },
        make("div", { class: "card flow" }, step.phase === "forward" ? this.forwardArrays(step) : this.backwardArrays(step, forward)),
        make("div", { class: "beside" }, make("div", { class: "card", id: "origin", "aria-live": "polite" }), step.phase === "backward" ? this.norms(step) : "")),
      step.phase === "backward" ? this.probes(step) : null,
    ].filter(Boolean);
  }

  source(step) {
    const own = step.places.find((p) => !p[4]) || step.places[0];
    const library = step.places.find((p) => p[4]);
    const lines = (place) => {
      const [number, line, , columns] = place;
      const known = Object.entries(this.run.files[number].lines).map(([n, text]) => [Number(n), text]).filter(([n]) => Math.abs(n - line) <= 2);
      const indent = Math.min(...known.filter(([, text]) => text.trim()).map(([, text]) => text.length - text.trimStart().length));
      return make("pre", { class: "source", tabindex: 0 }, known.map(([n, text]) => {
        const parts = n === line && columns.length ? [text.slice(indent, columns[0]), make("mark", {}, text.slice(...columns)), text.slice(columns[1])] : [text.slice(indent)];
        return make("span", { class: `line${n === line ? " now" : ""}` }, make("b", {}, String(n)), ...parts);
      }));
    };
    const name = (place) => `${this.run.files[place[0]].name}:${place[1]}${place[2] === "<module>" ? "" : `, in ${place[2]}`}`;
    return make("div", { class: "card" }, make("h3", {}, "The line that ran"),
      own ? [make("p", { class: "small soft", id: "place" }, name(own)), own ? lines(own) : ""] : make("p", { class: "soft" }, "Its source is not at hand."),
      own && library && library !== own ? make("details", {}, make("summary", {}, `inside the layer: ${name(library)}`), lines(library)) : "");
  }

  formula(step, phase, text) {
    const first = phase === "forward" ? "Forward" : "Backward", second = phase === "forward" ? "Backward" : "Forward";
    const settings = Object.entries(step.settings).filter(([, value]) => value !== "None");
    return make("div", { class: "card" }, make("h3", {}, first === "Forward" ? "The rule, forward" : "The rule, backward"),
      text[first] ? make("div", { class: "formula", id: "formula" }, formulaLines(text[first])) : make("p", { class: "soft", id: "formula", style: "margin-top:10px" }, "An op of your own: its docstring has no formula. Write one under the headings Forward and Backward, and it is shown here."),
      settings.length ? make("p", { class: "small soft" }, "with ", make("code", {}, settings.map(([k, v]) => `${k} = ${v}`).join(", "))) : "",
      text[second] || text.Shapes ? make("details", {}, make("summary", {}, `${second.toLowerCase()}, what is saved, shapes`),
        [second, "Saved", "Shapes", "Derived"].filter((part) => text[part]).map((part) => make("div", { class: "formula" }, make("span", { class: "soft" }, part), formulaLines(text[part])))) : "");
  }

  group(title, note, cards) {
    return cards.length ? make("div", { class: "group" }, make("h3", {}, title, note ? make("span", { class: "soft small" }, note) : ""), make("div", { class: "arrays" }, cards.map((c) => c.element))) : "";
  }

  inputCards(step) {
    const shown = new Set();
    return step.inputs.map((input, i) => {
      const id = input.value === undefined ? input.array : this.run.values[input.value].array;
      if (id === undefined || shown.has(id)) return null;
      shown.add(id);
      const name = input.value === undefined ? step.names[i] : this.run.values[input.value].name;
      return this.card(this.run.array(id), { name, role: name === step.names[i] ? "" : step.names[i], value: input.value });
    }).filter(Boolean);
  }

  forwardArrays(step) {
    const texts = step.inputs.map((x, i) => (x.text !== undefined && x.text !== "None" ? `${step.names[i]} = ${x.text}` : "")).filter(Boolean);
    const outputs = step.outputs.map((number, slot) => this.card(this.run.array(this.run.values[number].array), {
      name: this.run.values[number].name, explain: (flat) => explainForward(this.run, step, slot, flat) }));
    const used = new Set(step.inputs.map((x) => (x.value === undefined ? x.array : this.run.values[x.value].array)));
    const made = new Set(step.outputs.map((n) => this.run.values[n].array));
    const saved = Object.entries(step.saved).filter(([, thing]) => thing.array !== undefined && !used.has(thing.array) && !made.has(thing.array));
    const extra = Object.entries(step.extra).filter(([name, id]) => ["p", "h"].includes(name) && !used.has(id));
    return [
      this.group("Takes in", texts.join(", "), this.inputCards(step)),
      this.group("Computes on the way", "not kept: backward makes it again", extra.map(([name, id]) => this.card(this.run.array(id), { name }))),
      this.group("Makes", "", outputs),
      this.group("Keeps for backward", "besides what it took in or made", saved.map(([name, thing]) => this.card(this.run.array(thing.array), { name }))),
    ];
  }

  backwardArrays(step, forward) {
    const { run } = this;
    const dys = step.dys.map((id, slot) => (id === null ? null : this.card(run.array(id), {
      name: `d${forward.results[slot]}`, role: `gradient of ${run.values[forward.outputs[slot]].name}` }))).filter(Boolean);
    const extra = Object.entries({ ...forward.extra, ...step.extra }).filter(([name]) => name !== "labels" && name !== "logits");
    const going = [];
    step.gradients.forEach((id, input) => {
      if (id === null) return;
      const number = forward.inputs[input].value, value = run.values[number];
      const mine = value.arrivals.findIndex(([index, i]) => index === step.index && i === input);
      const [leaf, several] = [!value.maker, value.arrivals.length > 1];
      const target = leaf && step.stores ? `${value.name}.grad` : `the gradient of ${value.name}`;
      const note = mine < 0 ? `for ${target}, in an earlier run of backward` : several ? `arrival ${mine + 1} of ${value.arrivals.length} at ${target}` : leaf && !step.stores ? `is ${target}; autograd.grad stores nothing` : leaf && value.held === undefined ? `becomes ${target}` : leaf ? `is added to ${target}` : `is ${target}`;
      const made = this.card(run.array(id), { name: `d${forward.names[input]}`, role: `for ${value.name}`, note, explain: (flat) => explainBackward(run, step, input, flat) });
      made.input = input;
      going.push(made);
      if (mine > 0 || (leaf && value.held !== undefined && mine === 0)) going.push(this.sumCard(number, step, mine, leaf && step.stores));
    });
    return [
      this.group("Comes in", step.root ? "backward() was called here: it starts from 1" : "", dys),
      this.group("Goes out", `d${forward.results[0]} × the local derivative, summed over every way there`, going),
      this.group("Computes on the way", "", extra.map(([name, id]) => this.card(run.array(id), { name }))),
      this.group("Uses, from forward", "", this.inputCards(forward)),
    ];
  }

  // What a value's gradient is after this step.
  sumCard(number, step, mine, leaf) {
    const { run } = this, value = run.values[number];
    const total = run.gradient(number, step.index);
    const held = leaf && value.held !== undefined ? run.array(value.held) : null;
    const sum = held && total.summary ? run.array(value.arrivals[mine][4]) : held ? Numbers.of(Float64Array.from({ length: total.size }, (_, i) => held.get(i) + total.get(i)), total.shape, total.type) : total;
    const arrived = value.arrivals.slice(0, mine + 1);
    return this.card(sum, { name: leaf ? `${value.name}.grad` : `gradient of ${value.name}`, role: "so far",
      explain: (flat) => finish({ parts: [...(held ? [[{ label: "held before", number: held.get(flat) }]] : []), ...arrived.map(([index, , id]) =>
        [{ label: `step ${index + 1}, ${run.steps[run.steps[index].twin].op}`, number: run.array(id).get(flat), array: id, flat }])] }, sum.get(flat)) });
  }

  // ---------------------------------------------------------------------------------------------------------------
  // an array on the page

  card(array, { name, role = "", note = "", value, explain = null }) {
    const lead = array.summary ? [] : array.shape.slice(0, -2);
    const signature = lead.join();
    if (!this.slices.has(signature)) this.slices.set(signature, lead.map(() => 0));
    const slices = this.slices.get(signature);
    const card = { array, name, explain };
    card.heat = new HeatMap(array, { id: array.id, name, slices, hovered: (flat) => this.hover(card, flat), chosen: (flat) => this.choose(card, flat) });
    const maker = value !== undefined && this.run.values[value].maker;
    const { mean, norm, bad } = array.statistics;
    card.readout = make("p", { class: "number stat" });
    card.plain = array.summary ? "" : array.size > 1 && array.type.startsWith("float") ? `norm ${show(norm, 3)}` : "";
    card.readout.textContent = card.plain;
    const pickers = lead.map((n, axis) => (n < 2 ? null : make("label", { class: "small soft" }, `axis ${axis} `, make("select", { "aria-label": `${name}, axis ${axis}`,
      onchange: (event) => { slices[axis] = Number(event.target.value); this.redrawArrays(); } }, Array.from({ length: n }, (_, i) => make("option", { value: i, selected: i === slices[axis] }, `${i} of ${n}`))))));
    card.pickers = pickers;
    card.element = make("div", { class: "array", "data-array": name },
      make("div", { class: "name" }, make("code", {}, name), role ? make("span", { class: "small soft" }, role) : "", make("span", { class: "shape" }, array.shape.length ? `(${array.shape.join(", ")})` : "a number"),
        maker ? make("button", { type: "button", class: "chip", onclick: () => this.go(maker[0] + 1), title: "go to the step that made it" }, `step ${maker[0] + 1}`) : "", ...pickers),
      card.heat.element,
      legend(array), card.readout,
      note ? make("p", { class: "sum" }, note) : "",
      array.summary ? make("p", { class: "sum" }, `Large: its corner, of ${array.size.toLocaleString("en")} elements. Mean ${show(mean)}, std ${show(array.summary.std)}, norm ${show(norm)}.`) : "",
      bad ? make("p", { class: "sum bad" }, `${bad} values are NaN or infinite.`) : "");
    this.cards.push(card);
    return card;
  }

  redrawArrays() {
    for (const card of this.cards) {
      card.heat.draw();
      (card.pickers || []).forEach((label, axis) => { if (label) label.querySelector("select").value = card.heat.slices[axis]; });
    }
    if (this.pin) this.origin(this.pin.card, this.pin.flat);
  }

  hover(card, flat) {
    for (const other of this.cards) other.readout.textContent = other.plain;
    if (flat === null) { if (this.pin) this.origin(this.pin.card, this.pin.flat); return; }
    const shown = card.heat.shown;
    card.readout.textContent = `${card.name}${shown.label(flat)} = ${show(shown.get(flat), 6)}`;
    if (card.explain && !card.array.summary) this.origin(card, flat);
    else if (!card.explain) card.heat.light([[flat, 1, "chosen"]]);
  }

  choose(card, flat) {
    if (card.explain && !card.array.summary) { this.pin = { card, flat }; this.origin(card, flat); }
  }

  // Without a choice of the reader's, the largest element of what the step makes is explained.
  unpin() {
    const card = this.cards.find((c) => c.explain && !c.array.summary && c.array.size);
    this.pin = card ? { card, flat: card.array.largest } : null;
    if (!this.pin) { byId("origin").replaceChildren(make("h3", {}, "Where a number comes from"), make("p", { class: "soft" }, "These arrays were too large to keep in full. Record with a larger keep= to see where each number comes from.")); return; }
    card.heat.reveal(this.pin.flat);
    this.redrawArrays();
  }

  // The panel that breaks one number down, and the lights on the elements it came from.
  origin(card, flat) {
    const found = card.explain(flat);
    const label = card.name + card.array.label(flat);
    const strongest = Math.max(...found.parts.map((p) => Math.abs(p.number)), 0);
    const lights = new Map();
    const light = (array, at, strength, kind) => {
      if (!lights.has(array)) lights.set(array, new Map());
      const old = lights.get(array).get(at);
      if (!old || old[1] < strength) lights.get(array).set(at, [at, strength, kind]);
    };
    for (const [array, elements] of found.also) for (const at of elements) light(array, at, 0.35, "also");
    for (const part of found.parts) for (const f of part.factors) if (f.array !== undefined) light(f.array, f.flat, 0.3 + 0.7 * Math.min(1, Math.abs(part.number) / (strongest || 1)), "from");
    for (const other of this.cards) other.heat.light(other === card ? [[flat, 1, "chosen"]] : [...(lights.get(other.array.id)?.values() || [])]);

    const SHOWN = 8;
    const counted = found.parts.filter((p, i) => i === 0 || p.number !== 0);
    const rows = counted.slice(0, SHOWN).map((part) => {
      const width = strongest ? (100 * Math.abs(part.number)) / strongest : 0;
      return [make("span", { class: "amount", "data-part": part.number }, (part.number < 0 ? "" : "+") + show(part.number)),
        make("span", { class: "product" }, part.factors.map((f, i) => [i ? " × " : "", make("span", { class: "factor" }, f.label, " ", /^(−?[\d.]+|1\/\d+)$/.test(f.label) ? "" : make("em", {}, show(f.number)))]),
          make("i", { class: part.number < 0 ? "low" : "high", style: `width:${width}%` }))];
    });
    const rest = found.parts.slice(Math.min(SHOWN, counted.length));
    const restIsZero = rest.every((p) => p.number === 0);
    const restSum = rest.reduce((sum, p) => sum + p.number, 0);
    byId("origin").replaceChildren(
      make("h3", {}, "Where this number comes from"),
      make("p", { class: "equation" }, make("code", { id: "origin-label" }, label), "=", make("strong", { id: "origin-value", "data-value": found.value }, show(found.value, 6))),
      ...(rows.length ? [make("div", { class: "parts" }, rows,
        rest.length ? [make("span", { class: "amount rest", "data-part": restSum }, restIsZero ? "" : (restSum < 0 ? "" : "+") + show(restSum)), make("span", { class: "product rest" }, restIsZero ? `${rest.length} more ${rest.length === 1 ? "is" : "are"} 0` : `${rest.length} more, each smaller than these`)] : ""),
      found.parts.length > 1 ? make("p", { class: "total", id: "origin-total", "data-total": found.total }, `${show(found.total, 6)}   the sum of ${found.parts.length} contributions`) : make("p", { class: "hidden", id: "origin-total", "data-total": found.total })] : []),
      found.note ? make("p", { class: "small soft", style: "margin-top:10px" }, found.note) : "",
      make("p", { class: "small soft", style: "margin-top:6px" }, "Point at an element of a coloured array above to ask about that one; click to keep it."));
  }

  // ---------------------------------------------------------------------------------------------------------------
  // checks and norms

  probes(step) {
    const { run } = this;
    const final = this.at === run.steps.length;
    const reached = new Set(run.leaves.filter((i) => { const a = run.values[i].arrivals; return final || a[a.length - 1][0] === step.index; }));
    const found = run.probes.filter(([value]) => reached.has(value));
    if (!found.length) return null;
    return make("div", { class: "card", id: "probes" }, make("h3", {}, "Checked by nudging"),
      make("p", { class: "small soft" }, "Each of these elements was moved a little up and down, and the whole run computed again in float64: how far the result moves, divided by how far the element moved, must be the gradient."),
      make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ["element", "gradient", "finite difference", "relative difference"].map((t) => make("th", {}, t)))),
        make("tbody", {}, found.map(([value, flat, numeric, analytic, error]) => {
          const array = run.array(run.values[value].array);
          return make("tr", { "data-element": run.values[value].name + array.label(flat) }, make("td", {}, run.values[value].name + array.label(flat)), make("td", { "data-number": analytic }, show(analytic, 6)),
            make("td", { "data-number": numeric }, show(numeric, 6)), make("td", { "data-number": error }, error || numeric === analytic ? show(error, 2) : "0, but for rounding"));
        })))));
  }

  // How large each leaf's gradient is after this step; many leaves are shown by their layer.
  norms(step) {
    const { run } = this;
    if (this.byLayer === undefined) this.byLayer = run.leaves.length > 12;
    const groups = new Map();
    for (const i of run.leaves) {
      const name = run.values[i].name;
      const key = this.byLayer && name.includes(".") ? name.slice(0, name.lastIndexOf(".")) : name;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(i);
    }
    const size = (leaves, index) => {
      const norms = leaves.map((i) => run.gradient(i, index)).filter(Boolean).map((g) => g.statistics.norm);
      return norms.length ? Math.hypot(...norms) : null;
    };
    const rows = [...groups].map(([name, leaves]) => ({ name, norm: size(leaves, step.index), final: size(leaves),
      fresh: leaves.some((i) => run.values[i].arrivals.some(([index]) => index === step.index)) }));
    const most = Math.max(...rows.map((r) => Math.max(r.final, r.norm || 0)));
    const done = run.leaves.filter((i) => run.values[i].arrivals.some(([index]) => index <= step.index)).length;
    const toggle = run.leaves.some((i) => run.values[i].name.includes(".")) && make("button", { type: "button", class: "link",
      onclick: () => { this.byLayer = !this.byLayer; byId("norms").replaceWith(this.norms(step)); } }, this.byLayer ? "by parameter" : "by layer");
    return make("div", { class: "card", id: "norms" }, make("h3", {}, "Gradient norms so far"),
      make("p", { class: "small soft" }, `${done} of ${run.leaves.length} leaves reached so far. `, toggle),
      make("div", { class: "norms" }, rows.map(({ name, norm, fresh }) => [
        make("span", { class: `who${fresh ? " fresh" : ""}${norm === null ? " none" : ""}`, title: name }, name),
        make("span", { class: "bar-track" }, make("i", { style: `width:${norm ? (100 * norm) / most : 0}%` })),
        make("span", { class: norm === null ? "none" : "", "data-norm": norm, "data-leaf": name }, norm === null ? "not yet" : show(norm))])));
  }
}

// A formula's lines; what stands apart on a line, an explanation, may go below it where there is no room.
const formulaLines = (text) => text.split("\n").map((line) => {
  const [start] = line.match(/^ */);
  const pieces = line.trim().split(/ {3,}/);
  return make("div", { class: "formula-line", style: `padding-left:${start.length}ch` }, pieces.map((piece, i) => make("span", { class: i ? "aside" : "" }, piece)));
});

const run_twin = (run, step) => run.steps[step.twin];

const player = new Player(new Run(JSON.parse(byId("trace").textContent)));
