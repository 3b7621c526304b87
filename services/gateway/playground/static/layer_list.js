/**
 * The layers of a network: a picture from input to output, and a table of which one row is chosen.
 * @module
 */

import { element, svg } from "./elements.js";

/** Types that change no shape and see no more than the layer before. */
const QUIET = /Norm|ReLU|SiLU|GELU|Sigmoid|Swish|Tanh|Softmax|Dropout|Hardswish|Mish/;
const STRIP_HEIGHT = 64;
/** Parts of a name, between its dots, that the table has room for. */
const MOST_PARTS = 4;

/**
 * @param {number[] | null} sides
 * @returns {string} One number where both sides are alike.
 */
export function sidesOf(sides) {
  if (!sides) return "";
  const texts = sides.map((side) => (side === null ? "all" : String(Math.round(side * 100) / 100)));
  return new Set(texts).size === 1 ? texts[0] : texts.join(" × ");
}

/**
 * What one unit sees, in words.
 * @param {any} layer
 */
export function fieldOf({ receptive_field: field, per_region: isOfRegion }) {
  if (isOfRegion) return "its region";
  if (!field) return "not known";
  return field.whole_image ? "all" : sidesOf(field.size);
}

/** @param {any} layer */
export function titleOf({ name, call }) {
  return call > 1 ? `${name} (${call})` : name;
}

/**
 * The end of a long name, which is where layers differ.
 * @param {any} layer
 */
function shortTitle(layer) {
  const parts = titleOf(layer).split(".");
  return parts.length > MOST_PARTS ? `…${parts.slice(-MOST_PARTS).join(".")}` : parts.join(".");
}

/** @param {any} layer */
export function isQuiet({ type }) {
  return QUIET.test(type);
}

/**
 * Makes the table.
 * @param {(layer: any) => void} onChoose
 * @returns {{element: HTMLElement, show: (layers: any[], chosen: any) => void}}
 */
export function createLayerList(onChoose) {
  const strip = svg("svg", { class: "strip", "aria-hidden": "true", preserveAspectRatio: "none" });
  const body = element("tbody");
  const scroll = element("div", { class: "layers-scroll" });
  const head = ["Layer", "Output", "Kernel", "Weights", "Sees"].map((text, at) =>
    element("th", { scope: "col", class: COLUMNS[at] }, text),
  );
  const table = element(
    "table",
    { id: "layers-table", "aria-label": "Layers, from input to output" },
    element("thead", {}, element("tr", {}, ...head)),
    body,
  );
  scroll.append(table);
  body.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const buttons = /** @type {HTMLElement[]} */ ([...body.querySelectorAll("button")]);
    const at = buttons.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const next = moved(event.key, at, buttons.length);
    if (at < 0 || next === null) return;
    event.preventDefault();
    for (const one of buttons) one.tabIndex = one === buttons[next] ? 0 : -1;
    buttons[next].focus();
  });
  return {
    element: element("div", {}, strip, scroll),
    show(layers, chosen) {
      drawStrip(strip, layers, chosen, onChoose);
      body.replaceChildren(...layers.map((layer) => row(layer, layer === chosen, onChoose)));
      const first = body.querySelector('[aria-current="true"]') ?? body.querySelector("button");
      if (!first) return;
      first.tabIndex = 0;
      reveal(scroll, first.closest("tr"));
    },
  };
}

/**
 * Scrolls a list, and nothing around it, until a row is seen.
 * @param {HTMLElement} scroll
 * @param {HTMLElement} row
 */
function reveal(scroll, row) {
  const [list, own] = [scroll.getBoundingClientRect(), row.getBoundingClientRect()];
  if (own.top >= list.top + own.height && own.bottom <= list.bottom) return;
  scroll.scrollTop += own.top - list.top - (list.height - own.height) / 2;
}

/** Classes of the columns, of which a phone hides some. */
const COLUMNS = ["", "", "", "spare", ""];

/**
 * @param {string} key
 * @param {number} at
 * @param {number} count
 * @returns {number | null}
 */
function moved(key, at, count) {
  if (key === "ArrowDown") return Math.min(count - 1, at + 1);
  if (key === "ArrowUp") return Math.max(0, at - 1);
  if (key === "Home") return 0;
  return key === "End" ? count - 1 : null;
}

/**
 * @param {any} layer
 * @param {boolean} isChosen
 * @param {(layer: any) => void} onChoose
 */
function row(layer, isChosen, onChoose) {
  const choose = element(
    "button",
    {
      type: "button",
      class: "layer-button",
      title: titleOf(layer),
      tabindex: -1,
      "aria-current": isChosen && "true",
      on: { click: () => onChoose(layer) },
    },
    ...shortTitle(layer)
      .split(/(?<=\.)/)
      .flatMap((part) => [part, element("wbr")]), // long names break behind a dot
  );
  const kind = layer.groups > 1 ? `${layer.type}, ${layer.groups} groups` : layer.type;
  const cells = [
    layer.output_shape.join(" × "),
    windowOf(layer),
    layer.parameters ? layer.parameters.toLocaleString("en") : "",
    fieldOf(layer),
  ];
  return element(
    "tr",
    { class: isChosen ? "chosen" : "", on: { click: () => onChoose(layer) } },
    element("th", { scope: "row" }, choose, element("span", { class: "hint" }, kind)),
    ...cells.map((text, at) => element("td", { class: COLUMNS[at + 1] }, text)),
  );
}

/** @param {any} layer */
function windowOf({ kernel, stride }) {
  const isMoved = stride?.some((/** @type {number} */ side) => side > 1);
  return isMoved ? `${sidesOf(kernel)}, stride\u00a0${sidesOf(stride)}` : sidesOf(kernel);
}

/**
 * Draws each layer as a block, as high as its maps and as wide as it has channels, in steps of two.
 * @param {SVGElement} strip
 * @param {any[]} layers
 * @param {any} chosen
 * @param {(layer: any) => void} onChoose
 */
function drawStrip(strip, layers, chosen, onChoose) {
  const sizes = layers.map(({ output_shape: shape }) => ({
    width: 1 + Math.log2(1 + shape[0]) / 2,
    height: 3 + 7 * Math.log2(shape.length === 3 ? Math.max(shape[1], shape[2]) : 1),
  }));
  const highest = Math.max(1, ...sizes.map(({ height }) => height));
  let x = 0;
  const blocks = layers.map((layer, at) => {
    const [width, height] = [sizes[at].width, (sizes[at].height / highest) * STRIP_HEIGHT];
    const block = svg("rect", {
      x,
      y: (STRIP_HEIGHT - height) / 2,
      width: width * 0.86,
      height,
      class: `block ${kindOf(layer)}${layer === chosen ? " chosen" : ""}`,
      on: { click: () => onChoose(layer) },
    });
    x += width;
    block.append(svg("title", {}, `${titleOf(layer)}: ${layer.output_shape.join(" × ")}`));
    return block;
  });
  strip.setAttribute("viewBox", `0 0 ${Math.max(1, x)} ${STRIP_HEIGHT}`);
  strip.replaceChildren(...blocks);
}

/** @param {any} layer */
function kindOf(layer) {
  if (layer.type.includes("Conv")) return layer.groups > 1 ? "grouped" : "convolution";
  if (layer.type.includes("Pool")) return "pooling";
  return layer.type === "Linear" ? "linear" : "plain";
}
