// The graph: boxes in the grids that layout.py chose, sized here, because sizes depend on which modules are open.

const SIGNS = { Add: "+", ResidualAdd: "+", Sub: "−", Mul: "×", Div: "÷", Matmul: "@" };
const GAP = { row: 32, column: 14, lane: 18, title: 26, side: 16 };

class Graph {
  constructor(run, element, { chosen }) {
    this.run = run;
    this.element = element;
    this.chosen = chosen;
    this.open = new Set();
    this.parents = new Map();
    this.boxes = new Map();
    const learn = (box) => (box.children || []).forEach((child) => { this.parents.set(child.id, box); this.boxes.set(child.id, child); learn(child); });
    this.boxes.set(run.graph.id, run.graph);
    learn(run.graph);
    this.openSome();
  }

  // Open modules from the outside in, while the picture stays small.
  openSome() {
    this.open = new Set([this.run.graph.id]);
    const count = (box) => box.children.filter((b) => b.kind === "op" || b.kind === "module").length;
    let shown = count(this.run.graph);
    const queue = this.run.graph.children.filter((b) => b.kind === "module");
    while (queue.length && shown + count(queue[0]) <= 26) {
      const box = queue.shift();
      this.open.add(box.id);
      shown += count(box) - 1;
      queue.push(...box.children.filter((b) => b.kind === "module"));
    }
  }

  openAll(yes) {
    this.open = new Set([this.run.graph.id]);
    if (yes) for (const box of this.boxes.values()) if (box.children) this.open.add(box.id);
  }

  toggle(id) {
    if (!this.open.delete(id)) this.open.add(id);
  }

  // The box that stands for a forward step now: the op, or the closed module around it.
  boxOf(index) {
    let box = this.run.graph;
    while (box.children && this.open.has(box.id)) {
      const next = box.children.find((b) => b.steps && b.steps[0] <= index && index <= b.steps[1]);
      if (!next) break;
      box = next;
    }
    return box;
  }

  // ---------------------------------------------------------------------------------------------------------------
  // sizes and places

  size(box) {
    if (box.kind === "in" || box.kind === "out") return { width: 8, height: 0 };
    if (box.kind === "value") return { width: Math.max(46, box.label.length * 7.4 + 26), height: 28 };
    if (box.kind === "op" && this.sign(box)) return { width: 34, height: 34 };
    if (box.kind === "op") return { width: Math.max(80, this.words(box).join("  ").length * 7 + 24), height: 36 };
    if (!this.open.has(box.id)) return { width: Math.max(128, box.label.length * 8 + 90), height: 44 };
    const before = [], after = [], heights = [];           // of each column: how far boxes reach left and right of its spine
    const sizes = new Map(box.children.map((child) => [child.id, this.size(child)]));
    for (const child of box.children) {
      const { width, height, spine = width / 2 } = sizes.get(child.id);
      before[child.column] = Math.max(before[child.column] || 0, spine);
      after[child.column] = Math.max(after[child.column] || 0, width - spine);
      heights[child.row] = Math.max(heights[child.row] || 0, height);
    }
    const widths = Array.from(before, (b, k) => (b || 0) + (after[k] || 0));
    const title = box === this.run.graph ? 8 : GAP.title;
    const lanes = 1 + Math.max(-1, ...box.wires.map((w) => w[3] ?? -1));
    const sum = (list, gap) => { let at = 0; return Array.from(list, (n) => { const here = at; at += (n || 0) + gap; return here; }); };
    const [lefts, tops] = [sum(widths, GAP.column), sum(heights, GAP.row)];
    const inner = lefts[lefts.length - 1] + (widths[widths.length - 1] || 0);
    const needed = Math.max(inner, box === this.run.graph ? 0 : box.label.length * 8 + 40 - 2 * GAP.side);
    const extra = (needed - inner) / 2;
    const first = box.children.find((child) => child.kind === "in") || box.children[0];
    return {
      spine: GAP.side + lefts[first.column] + extra + before[first.column],
      width: needed + 2 * GAP.side + (lanes ? GAP.lane * lanes + 4 : 0),
      height: title + tops[tops.length - 1] + (heights[heights.length - 1] || 0) + (box === this.run.graph ? 8 : 2),
      sizes, title, inner: needed, lefts: lefts.map((x) => x + extra), tops, before, heights,
    };
  }

  sign(box) { return SIGNS[this.run.steps[box.steps[0]].op]; }

  words(box) {
    const op = this.run.steps[box.steps[0]].op;
    return box.label === op ? [op] : [box.label, op];
  }

  // Absolute places of everything that is visible: id → {x, y, width, height, box, frame}
  place() {
    const placed = new Map();
    const visit = (box, x, y, size) => {
      placed.set(box.id, { x, y, width: size.width, height: size.height, box, size });
      if (!size.sizes) return;
      for (const child of box.children) {
        const s = size.sizes.get(child.id);
        const left = x + GAP.side + size.lefts[child.column] + size.before[child.column] - (s.spine ?? s.width / 2);
        let top = y + size.title + size.tops[child.row] + (size.heights[child.row] - s.height) / 2;
        if (child.kind === "in") top = y;
        if (child.kind === "out") top = y + size.height;
        visit(child, left, top, s);
      }
    };
    visit(this.run.graph, 0, 0, this.size(this.run.graph));
    return placed;
  }

  // ---------------------------------------------------------------------------------------------------------------
  // drawing

  draw() {
    const placed = this.place();
    const whole = placed.get(this.run.graph.id);
    this.nodes = new Map();
    this.wires = [];
    const back = make("g"), wires = make("g"), front = make("g");
    for (const [id, place] of placed) {
      if (place.box === this.run.graph || place.box.kind === "in" || place.box.kind === "out") continue;
      const open = this.open.has(id);
      const node = this.node(place, open);
      this.nodes.set(id, node);
      (open ? back : front).append(node);
    }
    for (const place of placed.values()) if (place.size.sizes) for (const wire of place.box.wires) wires.append(...this.wire(wire, place, placed));
    this.scale = Math.max(0.68, Math.min(1, (this.element.clientWidth - 34) / (whole.width + 4)));
    const svg = make("svg", { viewBox: `-2 -2 ${whole.width + 4} ${whole.height + 4}`,
      width: (whole.width + 4) * this.scale, height: (whole.height + 4) * this.scale,
      role: "group", "aria-label": "Graph of the run" },
    make("defs", {}, make("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" },
      make("path", { d: "M0.5 0.8 L7.5 4 L0.5 7.2 Z" }))), back, wires, front);
    this.element.replaceChildren(svg);
    this.placed = placed;
  }

  node({ x, y, width, height, box }, open) {
    const title = this.describe(box);
    const act = () => this.chosen(box);
    const group = make("g", { class: `node ${box.kind}${open ? " open" : ""}`, transform: `translate(${x} ${y})`, "data-id": box.id,
      role: "button", tabindex: 0, "aria-label": title, "aria-expanded": box.kind === "module" ? String(open) : null, onclick: act,
      onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); event.stopPropagation(); act(); } } },
    make("title", {}, title));
    const words = (text, at, up, kind) => make("text", { x: at, y: up, class: kind }, text);
    if (box.kind === "value") {
      group.append(make("rect", { width, height, rx: height / 2 }), words(box.label, width / 2, height / 2 + 4.5, "middle code"));
    } else if (box.kind === "op" && this.sign(box)) {
      group.append(make("circle", { cx: width / 2, cy: height / 2, r: width / 2 }), words(this.sign(box), width / 2, height / 2 + 6.5, "middle sign"));
    } else if (box.kind === "op") {
      group.append(make("rect", { width, height, rx: 9 }));
      const [first, second] = this.words(box);
      const label = words("", width / 2, height / 2 + 4.5, "middle");
      label.append(make("tspan", {}, first), second ? make("tspan", { class: "second", dx: 7 }, second) : "");
      group.append(label, ...this.parameters(box).map((number, k, all) =>
        make("circle", { class: "parameter", "data-value": number, cx: width / 2 + (k - (all.length - 1) / 2) * 11, cy: height, r: 3.6 },
          make("title", {}, this.run.values[number].name))));
    } else {
      group.append(make("rect", { width, height, rx: 13 }), words(`${open ? "▾" : "▸"} ${box.label}`, 12, open ? 18 : height / 2 + 5, "name"));
      if (!open) group.append(words(`${box.steps[1] - box.steps[0] + 1} ops`, width - 12, height / 2 + 4.5, "end second"));
    }
    return group;
  }

  describe(box) {
    if (box.kind === "value") return `${box.label}, shape (${this.run.values[box.value].shape.join(", ")})`;
    if (box.kind === "module") return `module ${box.module}: ${this.open.has(box.id) ? "close" : "open"}`;
    const step = this.run.steps[box.steps[0]];
    return `${box.module ? box.module + ": " : ""}${step.op}, step ${box.steps[0] + 1}`;
  }

  parameters(box) {
    const inputs = this.run.steps[box.steps[0]].inputs.map((x) => x.value).filter((n) => n !== undefined);
    return inputs.filter((n) => this.run.values[n].kind === "parameter" && this.run.values[n].name.includes("."));
  }

  // The ends of a wire, spread along the edges of the boxes, and its path.
  wire([value, from, to, lane, residual], frame, placed) {
    const middle = (id, down) => {
      const place = placed.get(id);
      const port = place.size.sizes && place.box.children.find((b) => b.kind === (down ? "out" : "in") && b.value === value);
      if (port) { const p = placed.get(port.id); return { x: p.x + p.width / 2, y: p.y, fixed: true, place }; }
      return { x: place.x + (place.size.spine ?? place.width / 2), y: down && place.box.kind !== "in" ? place.y + place.height : place.y, place };
    };
    const start = middle(from, true), end = middle(to, false);
    const siblings = frame.box.wires.filter((w) => w[2] === to);
    if (!end.fixed && siblings.length > 1 && placed.get(to).box.kind !== "out") {
      const at = (w) => (w[3] !== null ? Infinity : middle(w[1], true).x);
      const straight = siblings.filter((w) => w[3] === null && Math.abs(at(w) - end.x) < 8).length;
      const side = lane !== null ? 1 : Math.abs(start.x - end.x) < 8 ? 0 : Math.sign(start.x - end.x);
      const same = siblings.filter((w) => (w[3] !== null ? 1 : Math.abs(at(w) - end.x) < 8 ? 0 : Math.sign(at(w) - end.x)) === side)
        .sort((a, b) => (a[3] ?? -1) - (b[3] ?? -1) || at(b) - at(a));
      const round = placed.get(to).width < 40;
      const room = round ? 11 : Math.min(16, (placed.get(to).width / 2 - 12) / Math.max(1, same.length));
      const k = same.findIndex((w) => w[1] === from && w[0] === value);
      end.x += side * (straight || siblings.length === same.length ? k + 1 : k + 0.6) * room;
      if (round && side) end.y += 5;
    }
    const rows = (id) => { const b = placed.get(id).box; return frame.y + frame.size.title + frame.size.tops[b.row]; };
    const bottom = placed.get(from).box.kind === "in" ? start.y : rows(from) + frame.size.heights[placed.get(from).box.row];
    const top = placed.get(to).box.kind === "out" ? end.y : rows(to);
    let d;
    if (lane === null) {
      const [from, to] = [bottom + 2, top - 9];
      const bend = (to - from) * 0.9;
      d = Math.abs(start.x - end.x) < 0.5 ? `M${start.x} ${start.y} V${end.y}` :
        `M${start.x} ${start.y} L${start.x} ${from} C${start.x} ${from + bend} ${end.x} ${to - bend} ${end.x} ${to} L${end.x} ${end.y}`;
    } else {
      const x = frame.x + GAP.side + frame.size.inner + 10 + lane * GAP.lane;
      const [high, low] = [bottom + 9 + lane * 3, top - 9 - lane * 3];
      const r = Math.min(9, Math.abs(x - start.x) / 2, Math.abs(x - end.x) / 2);
      d = `M${start.x} ${start.y} V${high - r} Q${start.x} ${high} ${start.x + r} ${high} H${x - r} Q${x} ${high} ${x} ${high + r}` +
        ` V${low - r} Q${x} ${low} ${x - r} ${low} H${end.x + r} Q${end.x} ${low} ${end.x} ${low + r} V${end.y}`;
    }
    const targetKind = placed.get(to).box.kind;
    const bare = targetKind === "out" || end.fixed;
    const path = make("path", { d, class: `wire${residual ? " bypass" : ""}`, "marker-end": bare ? null : "url(#tip)", "data-value": value },
      make("title", {}, `${this.run.values[value].name} (${this.run.values[value].shape.join(", ")})${residual ? ": the residual connection" : ""}`));
    const inner = residual ? make("path", { d, class: "wire inner" }) : null;          // where the gradient passes along it
    for (const drawn of [path, inner].filter(Boolean)) this.wires.push({ path: drawn, value, target: placed.get(to).box, source: placed.get(from).box });
    return [path, inner].filter(Boolean);
  }

  // ---------------------------------------------------------------------------------------------------------------
  // showing where the run is

  mark(state) {
    const { at, phase, current, done, graded } = state;
    const step = current === null ? null : this.boxOf(current);
    for (const [id, node] of this.nodes) {
      const box = this.boxes.get(id);
      const now = step && step.id === id;
      const inside = step && !now && this.open.has(id) && box.steps && box.steps[0] <= current && current <= box.steps[1];
      node.classList.toggle("now", Boolean(now));
      node.classList.toggle("inside", Boolean(inside));
      node.classList.toggle("done", box.steps ? box.steps[1] < done : this.run.values[box.value].maker === undefined || this.run.values[box.value].maker[0] < done);
      node.classList.toggle("graded", box.steps ? box.steps[0] >= graded.from && graded.any(box) : graded.values.has(box.value));
      for (const dot of node.querySelectorAll(".parameter")) dot.classList.toggle("graded", graded.values.has(Number(dot.dataset.value)));
    }
    for (const wire of this.wires) {
      const used = this.run.values[wire.value].maker;
      wire.path.classList.toggle("done", used === undefined ? at > 0 : used[0] < done);
      wire.path.classList.toggle("graded", graded.wires(wire));
      const touches = step && (wire.target.id === step.id || wire.source.id === step.id);
      wire.path.classList.toggle("now", Boolean(touches));
    }
    this.element.dataset.phase = phase;
    return step;
  }

  // Bring a box into view without moving the page.
  reveal(box) {
    const place = this.placed.get(box.id);
    const pane = this.element;
    if (!place || !pane.clientHeight) return;
    const [x, y] = [(place.x + place.width / 2) * this.scale, (place.y + place.height / 2) * this.scale];
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (y < pane.scrollTop + 70 || y > pane.scrollTop + pane.clientHeight - 70 || x < pane.scrollLeft || x > pane.scrollLeft + pane.clientWidth) {
      pane.scrollTo({ left: x - pane.clientWidth / 2, top: y - pane.clientHeight / 2, behavior: calm ? "auto" : "smooth" });
    }
  }
}
