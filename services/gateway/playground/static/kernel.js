/**
 * How the window of a layer slides over its input: a drawing that moves, with the layer's own kernel, stride, dilation
 * and padding.
 * @module
 */

import { button, element, svg } from "./elements.js";

/** The most outputs a side that are drawn: enough to see the stride. */
const MOST_OUTPUTS = 4;
/** With more cells a side, fewer outputs are drawn. */
const MOST_CELLS = 20;
/** A larger window is drawn as one block. */
const MOST_TAPS = 256;
/** Cells between input and output. */
const GAP = 2;
const STEP_MS = 700;

/**
 * @typedef {object} Window Of a layer, along rows and columns.
 * @property {number[]} kernel
 * @property {number[]} stride
 * @property {number[]} dilation
 * @property {number[]} padding
 * @property {number[]} outputs Drawn.
 * @property {number[]} cells Drawn of the side that has more: the input, or the output of a transposed convolution.
 * @property {number[]} size Cells of that side without padding.
 * @property {boolean} isTransposed
 */

/**
 * The figure of a layer with a window over rows and columns.
 * @param {any} layer
 * @returns {HTMLElement | null} Null where it has no such window.
 */
export function kernelFigure(layer) {
  const shown = windowOf(layer);
  if (!shown) return null;
  const count = shown.outputs[0] * shown.outputs[1];
  const { drawing, place } = draw(shown);
  const slider = element("input", {
    type: "range",
    id: "kernel-step",
    min: 1,
    max: count,
    step: 1,
    value: 1,
    on: { input: () => (pause(), show()) },
  });
  const play = button("Play", () => (timer ? pause() : start()), { id: "kernel-play", class: "quiet" });
  let timer = 0;

  function show() {
    place(Number(slider.value) - 1);
  }
  function pause() {
    window.clearInterval(timer);
    timer = 0;
    play.textContent = "Play";
  }
  function start() {
    play.textContent = "Pause";
    timer = window.setInterval(() => {
      if (!drawing.isConnected) return pause(); // another layer was chosen
      if (!drawing.getClientRects().length) return; // another view is shown
      slider.value = String((Number(slider.value) % count) + 1);
      show();
    }, STEP_MS);
  }

  show();
  if (count > 1 && !matchMedia("(prefers-reduced-motion: reduce)").matches) start();
  const steps = element(
    "div",
    { class: "row kernel-steps" },
    play,
    element("label", { for: "kernel-step", class: "hidden" }, "Position of the window"),
    slider,
  );
  return element("div", { class: "kernel" }, drawing, count > 1 && steps, element("p", { class: "hint" }, tell(layer)));
}

/**
 * @param {any} layer
 * @returns {Window | null}
 */
function windowOf(layer) {
  const { kernel, output_shape: shape } = layer;
  if (!kernel || kernel.length !== 2 || shape.length !== 3) return null;
  const isTransposed = layer.type.includes("Transpose");
  const [stride, dilation] = [layer.stride ?? kernel, layer.dilation ?? [1, 1]];
  const reach = kernel.map((/** @type {number} */ side, /** @type {number} */ axis) => dilation[axis] * (side - 1) + 1);
  const padding = Array.isArray(layer.padding) ? layer.padding : reach.map(halfOf(layer.padding));
  const whole = [0, 1].map((axis) => {
    const [out, pad] = [shape[1 + axis], 2 * padding[axis]];
    return isTransposed
      ? { units: Math.max(1, Math.round((out + pad - reach[axis]) / stride[axis]) + 1), size: out }
      : { units: out, size: Math.max(1, (out - 1) * stride[axis] + reach[axis] - pad) };
  });
  const outputs = whole.map(({ units }, axis) => fitting(units, stride[axis], reach[axis]));
  const cells = outputs.map((count, axis) => (count - 1) * stride[axis] + reach[axis]);
  return { kernel, stride, dilation, padding, outputs, cells, size: whole.map(({ size }) => size), isTransposed };
}

/** @param {string | null} padding The word `same`, or `valid`. */
function halfOf(padding) {
  return (/** @type {number} */ reach) => (padding === "same" ? Math.floor((reach - 1) / 2) : 0);
}

/**
 * As many outputs as can be told apart.
 * @param {number} units
 * @param {number} stride
 * @param {number} reach
 */
function fitting(units, stride, reach) {
  let count = Math.min(units, MOST_OUTPUTS);
  while (count > 2 && (count - 1) * stride + reach > MOST_CELLS) count--;
  return count;
}

/**
 * @param {Window} shown
 * @returns {{drawing: SVGElement, place: (step: number) => void}} `place` moves the window.
 */
function draw(shown) {
  const { cells, outputs, isTransposed } = shown;
  const [rows, columns] = cells;
  const height = Math.max(rows, outputs[0]);
  const across = columns + GAP + outputs[1];
  const many = { x: isTransposed ? outputs[1] + GAP : 0, y: (height - rows) / 2 };
  const few = { x: isTransposed ? 0 : columns + GAP, y: (height - outputs[0]) / 2 };
  const taps = svg("g", { class: "taps" });
  const unit = svg("rect", { class: "unit", width: 1, height: 1 });
  const rays = svg("path", { class: "rays" });
  const drawing = svg(
    "svg",
    { viewBox: `-0.1 -0.1 ${across + 0.2} ${height + 0.2}`, class: "kernel-drawing", role: "img" },
    grid(many, cells, inner(shown)),
    grid(few, outputs, null),
    rays,
    taps,
    unit,
  );
  drawing.setAttribute("aria-label", isTransposed ? "Input on the left, output on the right" : label(shown));
  drawing.style.maxWidth = `${Math.min(480, 26 * across)}px`;

  /** @param {number} step */
  function place(step) {
    const at = [Math.floor(step / outputs[1]), step % outputs[1]];
    const start = at.map((index, axis) => index * shown.stride[axis]);
    taps.replaceChildren(...tapsOf(shown).map(([down, right, side]) => tap(many, start, down, right, side)));
    const [x, y] = [few.x + at[1], few.y + at[0]];
    unit.setAttribute("x", String(x));
    unit.setAttribute("y", String(y));
    const reach = [0, 1].map((axis) => shown.dilation[axis] * (shown.kernel[axis] - 1) + 1);
    const [left, top] = [many.x + start[1], many.y + start[0]];
    const [edge, near] = isTransposed ? [left, x + 1] : [left + reach[1], x];
    rays.setAttribute("d", `M${edge} ${top}L${near} ${y}M${edge} ${top + reach[0]}L${near} ${y + 1}`);
  }
  return { drawing, place };
}

/**
 * Where the window reads: rows, columns and sides of its cells from its corner.
 * @param {Window} shown
 * @returns {[number, number, number[]][]}
 */
function tapsOf({ kernel, dilation }) {
  const [rows, columns] = kernel;
  if (rows * columns > MOST_TAPS) return [[0, 0, kernel]];
  return Array.from({ length: rows * columns }, (_, index) => [
    Math.floor(index / columns) * dilation[0],
    (index % columns) * dilation[1],
    [1, 1],
  ]);
}

/**
 * @param {{x: number, y: number}} origin
 * @param {number[]} start
 * @param {number} down
 * @param {number} right
 * @param {number[]} side
 */
function tap(origin, start, down, right, side) {
  const [x, y] = [origin.x + start[1] + right, origin.y + start[0] + down];
  return svg("rect", { x, y, width: side[1], height: side[0] });
}

/**
 * The part of the drawn cells that is no padding: left, top, width and height.
 * @param {Window} shown
 */
function inner({ padding, cells, size }) {
  const [height, width] = [0, 1].map((axis) => Math.min(cells[axis] - padding[axis], size[axis]));
  return [padding[1], padding[0], Math.max(0, width), Math.max(0, height)];
}

/**
 * Cells with lines between them; those of the padding are dashed.
 * @param {{x: number, y: number}} origin
 * @param {number[]} cells
 * @param {number[] | null} filled Left, top, width and height of what is no padding; null: all.
 */
function grid({ x, y }, [rows, columns], filled) {
  const [left, top, width, height] = filled ?? [0, 0, columns, rows];
  return svg(
    "g",
    { transform: `translate(${x} ${y})` },
    svg("rect", { class: "cells", x: left, y: top, width, height }),
    svg("path", { class: "pad-lines", d: lines(0, 0, columns, rows) }),
    svg("path", { class: "lines", d: lines(left, top, width, height) }),
  );
}

/**
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {number} height
 */
function lines(left, top, width, height) {
  const down = Array.from({ length: width + 1 }, (_, at) => `M${left + at} ${top}v${height}`);
  const across = Array.from({ length: height + 1 }, (_, at) => `M${left} ${top + at}h${width}`);
  return [...down, ...across].join("");
}

/** @param {Window} shown */
function label({ kernel, stride }) {
  return `A window of ${kernel.join(" × ")} moves over the input by ${stride[0]}; the output is on the right`;
}

/** @param {any} layer */
function tell(layer) {
  const window = layer.kernel.join(" × ");
  const isPadded =
    layer.padding === "same" ||
    (Array.isArray(layer.padding) && layer.padding.some((/** @type {number} */ one) => one > 0));
  if (layer.type.includes("Transpose")) {
    const cut = isPadded ? " Dashed: cut off." : "";
    return `Each input value adds to ${window} output values; the windows of neighbours are ${across(layer.stride)} apart.${cut}`;
  }
  const step = `The window moves by ${across(layer.stride)}.`;
  const isWide = layer.dilation?.some((/** @type {number} */ one) => one > 1);
  const holes = isWide ? ` Dilation ${across(layer.dilation)}: it skips cells in between.` : "";
  const padding = isPadded ? " Dashed: padding around the input." : "";
  return `${readsOf(layer, window)} ${step}${holes}${padding} Drawn: the upper left corner.`;
}

/**
 * @param {any} layer
 * @param {string} window
 */
function readsOf(layer, window) {
  if (layer.type.includes("MaxPool")) return `Each output value is the largest of ${window} values of its channel.`;
  if (layer.type.includes("AvgPool")) return `Each output value is the mean of ${window} values of its channel.`;
  if (layer.groups > 1) {
    const isDepthwise = layer.groups === layer.output_shape[0];
    return `Each output value reads ${window} values of ${isDepthwise ? "one channel" : `one of ${layer.groups} groups of channels`}.`;
  }
  return `Each output value reads ${window} values of every channel.`;
}

/** @param {number[]} sides */
function across(sides) {
  return new Set(sides).size === 1 ? sides[0] : sides.join(" × ");
}
