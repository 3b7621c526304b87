/**
 * One layer in words and drawings: its numbers, how its window moves, its filters, and a place for its maps.
 * @module
 */

import { element } from "./elements.js";
import { kernelFigure } from "./kernel.js";
import { fieldOf, sidesOf, titleOf } from "./layer_list.js";

/**
 * @param {any} layer
 * @param {any} network The answer that it is of.
 * @returns {Node[]}
 */
export function layerView(layer, network) {
  const kernel = kernelFigure(layer);
  const { filters } = network;
  const hasFilters = filters?.layer === layer.name && layer.call === 1;
  return [
    element("h2", { id: "layer-heading" }, titleOf(layer), element("span", { class: "hint" }, ` ${layer.type}`)),
    element("dl", { class: "layer-facts" }, ...factsOf(layer).map(([name, value]) => fact(name, value))),
    element(
      "div",
      { class: "layer-drawings" },
      kernel && element("div", {}, element("h3", {}, "How its window moves"), kernel),
      hasFilters && filterFigure(filters, network),
    ),
    element("h3", {}, "Feature maps of the photo"),
    element("div", { class: "layer-maps", "aria-live": "polite" }),
  ];
}

/**
 * Why there are no maps to ask for; empty where there are.
 * @param {any} layer
 * @param {any} photo
 */
export function mapsWait(layer, photo) {
  if (layer.per_region) return "It runs on each region that the model found, not on the whole photo.";
  if (!layer.has_maps) return `Its output, ${layer.output_shape.join(" × ")}, is no map over the photo.`;
  return photo ? "" : "Choose an image to see them.";
}

/**
 * @param {any} layer
 * @returns {[string, string][]} Those that it has.
 */
function factsOf(layer) {
  const { receptive_field: field } = layer;
  const sees = fieldOf(layer);
  const isSized = field && !field.whole_image;
  /** @type {[string, string][]} */
  const facts = [
    ["Output", layer.output_shape.join(" × ")],
    ["Kernel", sidesOf(layer.kernel)],
    ["Stride", sidesOf(layer.stride)],
    ["Dilation", sidesOf(layer.dilation)],
    ["Padding", typeof layer.padding === "string" ? layer.padding : sidesOf(layer.padding)],
    ["Groups", layer.groups ? String(layer.groups) : ""],
    ["Parameters", layer.parameters ? layer.parameters.toLocaleString("en") : "none"],
    ["A unit sees", isSized ? `${sees} pixels` : sees === "all" ? "the whole input" : sees],
    ["Units apart", isSized ? `${sidesOf(field.stride)} pixels` : ""],
  ];
  return facts.filter(([, value]) => value !== "");
}

/**
 * @param {string} name
 * @param {string} value
 */
function fact(name, value) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, value));
}

/**
 * @param {any} filters
 * @param {any} network
 */
function filterFigure({ sheet, count, layer }, { input_shape: [channels] }) {
  const colours = channels === 3 ? "Red, green and blue are its weights of the three channels" : "Bright and dark are its weights";
  return element(
    "div",
    {},
    element("h3", {}, "Its filters"),
    element("img", { class: "sheet", src: `data:image/png;base64,${sheet}`, alt: `The ${count} filters of the layer ${layer}` }),
    element("p", { class: "hint" }, `${colours}; grey is zero.`),
  );
}
