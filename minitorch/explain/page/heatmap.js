// A heat map of an array: blue below zero, orange above, each array on its own scale. Small arrays print their numbers.

const PRINTED = 48;                            // arrays up to this size are printed, if they are narrow

// From −1 … 1 to a colour; away from zero quickly, so that small numbers are still seen.
function shade(t, palette) {
  if (!Number.isFinite(t)) return palette.bad;
  const end = t < 0 ? palette.low : palette.high;
  const amount = Math.min(1, Math.abs(t)) ** 0.75;
  return `rgb(${palette.zero.map((c, k) => Math.round(c + (end[k] - c) * amount)).join(",")})`;
}

function palette() {
  const parts = (name) => {
    const hex = colour(name).slice(1);
    return [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16));
  };
  return { low: parts("low"), zero: parts("zero"), high: parts("high"), bad: colour("bad") };
}

class HeatMap {
  // hovered(flat | null) and chosen(flat) are told of the element under the pointer, or under the arrow keys
  constructor(array, { id, name, slices, hovered, chosen }) {
    Object.assign(this, { array, id, name, slices, hovered, chosen });
    this.shown = array.summary ? array.corner : array;
    this.focus = 0;
    this.element = make("div", { class: "heat" });
    this.draw();
  }

  // Rows and columns of the slice that is looked at, and the number of its first element.
  get frame() {
    const shape = this.shown.shape;
    const [rows, columns] = shape.length === 0 ? [1, 1] : shape.length === 1 ? [1, shape[0]] : shape.slice(-2);
    const lead = shape.slice(0, -2);
    const start = lead.reduce((sum, n, k) => sum + Math.min(n - 1, this.slices[k] || 0) * this.shown.steps[k], 0);
    return { rows, columns, start };
  }

  get printed() {
    const { rows, columns } = this.frame;
    return rows * columns <= PRINTED && columns <= (this.whole ? 20 : 6) && rows <= 12;
  }

  get whole() { return !this.array.type.startsWith("float"); }

  // Bring an element into view, if it is in another slice.
  reveal(flat) {
    this.shown.index(flat).slice(0, -2).forEach((i, k) => { this.slices[k] = i; });
  }

  draw() {
    const { rows, columns, start } = this.frame;
    const colours = palette();
    const reach = this.array.summary ? Math.max(Math.abs(this.array.summary.low), Math.abs(this.array.summary.high)) : this.array.reach;
    const tint = (x) => shade(Number.isFinite(x) ? x / (reach || 1) : NaN, colours);
    this.marks = make("div", { class: "marks" });
    const grid = { class: "cells", tabindex: 0, role: "img", "aria-roledescription": "heat map",
      "aria-label": `${this.name}, ${rows} rows, ${columns} columns. Arrow keys move from element to element.` };
    if (this.printed) {
      this.cell = null;
      const cells = [];
      for (let i = 0; i < rows * columns; i++) {
        const x = this.shown.get(start + i);
        const strong = Math.abs(x / (reach || 1)) > 0.62;
        cells.push(make("span", { class: strong ? "strong" : null, style: `background:${tint(x)}`, "data-flat": start + i, "data-number": x },
          show(x, columns > 4 ? 2 : 3)));
      }
      this.cells = make("div", { ...grid, class: `cells printed${this.whole ? " whole" : ""}`, style: `grid-template-columns:repeat(${columns},minmax(44px,1fr))` }, cells);
    } else {
      this.cell = Math.max(2, Math.min(20, Math.floor(198 / columns), Math.max(3, Math.floor(198 / rows))));
      const scale = Math.ceil(devicePixelRatio || 1);
      const [wide, high] = [columns * this.cell, rows * this.cell];
      const canvas = make("canvas", { width: wide * scale, height: high * scale, style: `width:${wide}px;height:${high}px` });
      const context = canvas.getContext("2d");
      context.scale(scale, scale);
      const gap = this.cell > 7 ? 1 : 0;
      for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
        context.fillStyle = tint(this.shown.get(start + r * columns + c));
        context.fillRect(c * this.cell, r * this.cell, this.cell - gap, this.cell - gap);
      }
      this.cells = make("div", { ...grid, style: `width:${wide}px;height:${high}px` }, canvas);
    }
    this.cells.append(this.marks);
    this.cells.addEventListener("pointermove", (event) => this.point(event, false));
    this.cells.addEventListener("pointerdown", (event) => { event.preventDefault(); this.point(event, true); });
    this.cells.addEventListener("pointerleave", () => this.hovered(null));
    this.cells.addEventListener("focus", () => this.move(0, 0));
    this.cells.addEventListener("blur", () => this.hovered(null));
    this.cells.addEventListener("keydown", (event) => this.key(event));
    this.element.replaceChildren(this.cells);
  }

  point(event, click) {
    const { rows, columns, start } = this.frame;
    const box = this.cells.getBoundingClientRect();
    const c = Math.floor(((event.clientX - box.left) / box.width) * columns);
    const r = Math.floor(((event.clientY - box.top) / box.height) * rows);
    if (c < 0 || r < 0 || c >= columns || r >= rows) return;
    this.focus = r * columns + c;
    (click ? this.chosen : this.hovered)(start + this.focus);
  }

  key(event) {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (event.key === "Escape") this.cells.blur();
    else if (event.key === "Enter") this.chosen(this.frame.start + this.focus);
    else if (moves[event.key]) this.move(...moves[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  move(down, right) {
    const { rows, columns, start } = this.frame;
    const r = Math.min(rows - 1, Math.max(0, Math.floor(this.focus / columns) + down));
    const c = Math.min(columns - 1, Math.max(0, (this.focus % columns) + right));
    this.focus = r * columns + c;
    this.hovered(start + this.focus);
  }

  // Outline elements: lights is [[flat, strength 0 … 1, kind]].
  light(lights) {
    const { rows, columns, start } = this.frame;
    const marks = [];
    for (const [flat, strength, kind] of lights) {
      const i = flat - start;
      if (i < 0 || i >= rows * columns) continue;
      const [r, c] = [Math.floor(i / columns), i % columns];
      const style = `left:${(100 * c) / columns}%;top:${(100 * r) / rows}%;width:${100 / columns}%;height:${100 / rows}%;opacity:${strength}`;
      marks.push(make("i", { class: kind, style }));
    }
    this.marks.replaceChildren(...marks);
    this.cells.classList.toggle("lit", marks.length > 0);
  }
}

// The bar that says which colour is which number.
function legend(array) {
  if (array.size === 1) return "";
  const reach = array.summary ? Math.max(Math.abs(array.summary.low), Math.abs(array.summary.high)) : array.reach;
  return make("div", { class: "legend", "aria-label": `colours from ${show(-reach, 3)} to ${show(reach, 3)}` },
    make("span", { class: "number" }, show(-reach, 3)), make("span", { class: "ramp" }), make("span", { class: "number" }, show(reach, 3)));
}
