// Small helpers that the player and the residual lab share.
"use strict";

// An element: make("p", {class: "soft", onclick: f}, "text", child, …)
function make(tag, attributes = {}, ...children) {
  const svg = "http://www.w3.org/2000/svg";
  const drawn = ["svg", "g", "path", "rect", "circle", "text", "line", "title", "marker", "defs", "polyline", "tspan"].includes(tag);
  const element = drawn ? document.createElementNS(svg, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

const byId = (id) => document.getElementById(id);

// A number as a reader wants it: four digits, a true minus sign, powers of ten only where they help.
function show(x, digits = 4) {
  if (x === null || x === undefined) return "–";
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  let text;
  if (size >= 1e5 || size < 1e-3) text = x.toExponential(digits - 2).replace(/\.?0+e/, "e").replace("e+", "e");
  else if (Number.isInteger(x)) text = String(x);
  else text = x.toFixed(Math.max(0, Math.min(digits + 2, digits - 1 - Math.floor(Math.log10(size)))));
  return text.replace(/-/g, "−");
}

// ---------------------------------------------------------------------------------------------------------------------
// light and dark

const theme = {
  stored() {
    try { return localStorage.getItem("minitorch-theme"); } catch { return null; }        // none in a sandboxed frame
  },
  set(name) {
    document.documentElement.dataset.theme = name;
    try { localStorage.setItem("minitorch-theme", name); } catch { /* then it is not remembered */ }
    document.dispatchEvent(new Event("themechange"));
  },
  start(button) {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    document.documentElement.dataset.theme = theme.stored() || (dark.matches ? "dark" : "light");
    dark.addEventListener("change", () => { if (!theme.stored()) theme.set(dark.matches ? "dark" : "light"); });
    button.addEventListener("click", () => theme.set(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  },
};

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
