/**
 * Small charts of the view "Accuracy", as SVG.
 * @module
 */

import { element, svg } from "./elements.js";

const WIDTH = 360;
const HEIGHT = 22;
const EDGE = 6;

/** Usual limits of the population stability index; docs/accuracy.md has their source. */
const DRIFT_LIMITS = { some: 0.1, large: 0.25 };

/**
 * @typedef {object} Interval A figure with its 95 % confidence interval; parts that are unknown are null.
 * @property {number | null} value
 * @property {number | null} [low]
 * @property {number | null} [high]
 */

/**
 * A figure between 0 and 1: a point, with its interval.
 * @param {Interval} figure
 * @param {number | null} [live] The same figure by feedback, as a second point.
 */
export function figureChart({ value, low, high }, live = null) {
  const middle = HEIGHT / 2;
  const at = (/** @type {number} */ share) => EDGE + Math.max(0, Math.min(1, share)) * (WIDTH - 2 * EDGE);
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "xMinYMid meet", class: "chart", "aria-hidden": "true" },
    svg("line", { x1: at(0), x2: at(1), y1: middle, y2: middle, class: "axis" }),
    isNumber(low) &&
      isNumber(high) &&
      svg("line", { x1: at(low), x2: at(high), y1: middle, y2: middle, class: "interval" }),
    isNumber(value) && svg("circle", { cx: at(value), cy: middle, r: 5, class: "point" }),
    isNumber(live) && svg("path", { d: diamond(at(live), middle), class: "live-point" }),
  );
}

/**
 * A drift index: a bar against the usual limits, with what chance alone gives.
 * @param {number} index
 * @param {number} byChance
 */
export function driftChart(index, byChance) {
  const most = Math.max(0.4, index * 1.1, byChance * 1.1);
  const at = (/** @type {number} */ value) => (value / most) * WIDTH;
  const zone = (/** @type {string} */ name, /** @type {number} */ from, /** @type {number} */ to) =>
    svg("rect", {
      x: at(from),
      width: Math.max(0, at(to) - at(from)),
      y: 3,
      height: HEIGHT - 6,
      class: `zone ${name}`,
    });
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "xMinYMid meet", class: "chart", "aria-hidden": "true" },
    zone("calm", 0, DRIFT_LIMITS.some),
    zone("some", DRIFT_LIMITS.some, DRIFT_LIMITS.large),
    zone("large", DRIFT_LIMITS.large, most),
    svg("rect", { x: 0, width: at(index), y: 8, height: HEIGHT - 16, class: "drift-bar" }),
    svg("line", { x1: at(byChance), x2: at(byChance), y1: 2, y2: HEIGHT - 2, class: "chance" }),
  );
}

/**
 * A drift index in words.
 * @param {number} index
 */
export function describeDrift(index) {
  if (index < DRIFT_LIMITS.some) return "no change";
  return index <= DRIFT_LIMITS.large ? "some change" : "a large change";
}

/** A legend of the marks above. */
export function legend() {
  const mark = (/** @type {string} */ name, /** @type {string} */ text) =>
    element("li", {}, element("span", { class: `mark ${name}`, "aria-hidden": "true" }), text);
  return element(
    "ul",
    { class: "legend", "aria-label": "Legend" },
    mark("offline", "evaluation, with its 95 % interval"),
    mark("live", "live, by feedback"),
    mark("drift", "drift index"),
    mark("chance-mark", "by chance alone"),
  );
}

/**
 * @param {unknown} value
 * @returns {value is number}
 */
function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/**
 * @param {number} x
 * @param {number} y
 */
function diamond(x, y) {
  return `M${x} ${y - 6}L${x + 6} ${y}L${x} ${y + 6}L${x - 6} ${y}Z`;
}
