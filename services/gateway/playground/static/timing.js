/**
 * Where the time of a request went: the header `Server-Timing`, as a bar.
 * @module
 */

import { element } from "./elements.js";

/** @typedef {{name: string, ms: number}} Stage */

/** What the network and the browser took, beside the server's stages. */
const NETWORK = "network";
/** What the server took beside its stages. */
const OTHER = "other";
/** The same where the request loaded its model. */
const LOADING = "loading";
/** No model is loaded in less: another request has loaded it meanwhile. */
const LEAST_LOADING_MS = 100;

/**
 * Parses the header. Source: W3C Server Timing, https://www.w3.org/TR/server-timing/
 * @param {string} header
 * @returns {Stage[]}
 */
export function parseTiming(header) {
  return header.split(",").flatMap((part) => {
    const found = /^\s*([\w-]+)\s*;\s*dur=([\d.]+)/.exec(part);
    return found ? [{ name: found[1], ms: Number(found[2]) }] : [];
  });
}

/**
 * The stages that add up to the time of a reply.
 * @param {import("./api.js").Reply} reply
 * @param {boolean} isCold Whether the request loaded its model.
 * @returns {Stage[]} Without those that took nothing.
 */
export function stagesOf(reply, isCold) {
  const told = parseTiming(reply.timing);
  const totalMs = told.find((stage) => stage.name === "total")?.ms ?? 0;
  const stages = told.filter((stage) => stage.name !== "total");
  const knownMs = stages.reduce((sum, stage) => sum + stage.ms, 0);
  stages.push(
    { name: isCold && totalMs - knownMs >= LEAST_LOADING_MS ? LOADING : OTHER, ms: totalMs - knownMs },
    { name: NETWORK, ms: reply.tookMs - Math.max(totalMs, knownMs) },
  );
  return stages.filter((stage) => stage.ms >= 0.05);
}

/**
 * A time that people read.
 * @param {number} ms
 */
export function formatMs(ms) {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms >= 10 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}

/**
 * The bar, and its legend.
 * @param {import("./api.js").Reply} reply
 * @param {boolean} isCold Whether the request loaded its model.
 * @returns {HTMLElement}
 */
export function timingBar(reply, isCold) {
  const stages = stagesOf(reply, isCold);
  const bar = element("div", { class: "timing-bar", "aria-hidden": "true" });
  const legend = element("ul", { class: "timing-legend", "aria-label": "Time of each stage" });
  for (const { name, ms } of stages) {
    const piece = element("span", { class: `stage stage-${name}` });
    piece.style.flexGrow = String(ms);
    bar.append(piece);
    const dot = element("span", { class: `dot stage-${name}`, "aria-hidden": "true" });
    legend.append(element("li", {}, dot, `${name} `, element("b", {}, formatMs(ms))));
  }
  return element("div", { class: "timing" }, bar, legend);
}
