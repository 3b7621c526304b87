/**
 * What an explanation looks like: heat over the photo, or the maps of a layer.
 * @module
 */

import { drawHeat } from "./canvas.js";
import { heatColour } from "./colours.js";
import { element } from "./elements.js";
import { figure } from "./figure.js";
import { formatShare } from "./found_list.js";
import { sizeOf } from "./original.js";
import { formatMs } from "./timing.js";

/**
 * The heat of an explanation over the photo.
 * @param {any} asked What was asked: the photo, and the object.
 * @param {any} body The answer.
 */
export function heatView(asked, body) {
  const { frame, canvas } = figure("why");
  const size = sizeOf(asked.photo, [{ .../** @type {any} */ ({}), answer: body }]);
  const heat = heatPicture(body.heat);
  const alpha = element("input", {
    type: "range",
    id: "why-alpha",
    min: 0,
    max: 1,
    step: 0.05,
    value: 0.7,
    on: { input: redraw },
  });
  function redraw() {
    const found = asked.one.box ? [asked.one] : [];
    const scene = {
      photo: asked.photo,
      size,
      found,
      colourOf: () => /** @type {[number, number, number]} */ ([255, 255, 255]),
      highlighted: null,
    };
    drawHeat(canvas, scene, heat, body.heat.area, Number(alpha.value));
  }
  frame.setSize(size);
  frame.onResize(redraw);
  canvas.setAttribute("aria-label", `Heat map for ${body.class_name}`);
  const score = typeof body.score === "number" ? ` ${formatShare(body.score)} ·` : "";
  return [
    frame,
    element("div", { class: "field range" }, element("label", { for: "why-alpha" }, "Heat over the photo"), alpha),
    element(
      "p",
      { class: "hint facts" },
      `${body.class_name}:${score} ${body.heat.height} × ${body.heat.width} values · ${formatMs(body.took_ms)}`,
    ),
  ];
}

/**
 * The maps of a layer, as a picture of the server.
 * @param {any} body
 */
export function featuresView(body) {
  const { size, stride } = body.receptive_field ?? {};
  const field = size ? ` Each value sees ${size} × ${size} pixels of the network's input, ${stride} apart.` : "";
  return [
    element("img", {
      class: "sheet",
      src: `data:image/png;base64,${body.sheet}`,
      alt: `Maps of the layer ${body.layer}`,
    }),
    element("p", { class: "hint facts" }, `${body.shown} of ${body.channels} maps.${field} ${formatMs(body.took_ms)}`),
  ];
}

/**
 * The choice of another layer.
 * @param {any} body The answer.
 * @param {any} asked Gets the layer.
 * @param {() => void} ask Asks again.
 */
export function layerChoice(body, asked, ask) {
  const layers = body.layers ?? [];
  if (!layers.length || !body.layer) return ""; // occlusion has none
  const select = element(
    "select",
    {
      id: "why-layer",
      on: {
        change: () => {
          asked.layer = select.value;
          ask();
        },
      },
    },
    ...layers.map((/** @type {string} */ name) =>
      element("option", { value: name, selected: name === body.layer }, name),
    ),
  );
  return element("div", { class: "field inline" }, element("label", { for: "why-layer" }, "Layer"), select);
}

/**
 * One pixel per value, opaque where there is much heat; the canvas that it is drawn on blends between them.
 * @param {{height: number, width: number, values: number[][]}} heat
 */
function heatPicture({ height, width, values }) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context?.createImageData(width, height);
  if (!context || !image) return canvas;
  values.flat().forEach((value, at) => image.data.set([...heatColour(value), Math.round(70 + 185 * value)], at * 4));
  context.putImageData(image, 0, 0);
  return canvas;
}
