/**
 * Why: where the network looked for a class or a box, and what its maps show.
 * @module
 */

import { isAborted } from "./api.js";
import { drawHeat } from "./canvas.js";
import { heatColour } from "./colours.js";
import { byId, button, element } from "./elements.js";
import { figure } from "./figure.js";
import { formatShare } from "./found_list.js";
import { sizeOf } from "./original.js";
import { problem } from "./problems.js";
import { NO_PARAMETERS, valueOf } from "./tasks.js";
import { formatMs } from "./timing.js";

/** @typedef {import("./tasks.js").Found} Found */

/** @type {Record<string, string>} */
const METHODS = {
  gradcam: "Grad-CAM",
  occlusion: "Occlusion",
  features: "Feature maps",
};

/** @type {Record<string, string>} What a method shows, in a sentence. */
const MEANINGS = {
  gradcam: "Bright: what raised the score most, by the gradients at the chosen layer.",
  occlusion: "Bright: where covering the image lowered the score most.",
  features: "The maps of the chosen layer, the strongest first.",
};

/**
 * Makes the panel.
 * @param {import("./store.js").Store<any>} store
 * @param {import("./api.js").Api} api
 * @returns {(slot: number, one: Found) => void} Opens it for an object or a class.
 */
export function createExplanation(store, api) {
  const panel = byId("why");
  /** @type {{slot: number, one: Found, photo: any, model: any, method: string, layer: string | null} | null} */
  let asked = null;
  let abort = new AbortController();

  store.watch(
    (now) => [now.photo, now.first, now.second],
    () => {
      if (!asked) return;
      const { photo, runs } = store.get();
      const isSame = photo?.number === asked.photo.number && runs[asked.slot].model?.value === asked.model.value;
      if (!isSame) close();
    },
  );

  function close() {
    const from = asked && document.getElementById(`why-${asked.slot}-${asked.one.index}`);
    const hadFocus = panel.contains(document.activeElement);
    abort.abort();
    asked = null;
    panel.hidden = true;
    panel.replaceChildren();
    if (hadFocus) from?.focus();
  }

  /**
   * @param {number} slot
   * @param {Found} one
   */
  function open(slot, one) {
    const { photo, runs } = store.get();
    asked = { slot, one, photo, model: runs[slot].model, method: asked?.method ?? "gradcam", layer: null };
    panel.hidden = false;
    void ask();
    panel.focus({ preventScroll: true });
    panel.scrollIntoView({
      block: "nearest",
      behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth",
    });
  }

  async function ask() {
    if (!asked) return;
    abort.abort();
    abort = new AbortController();
    const { signal } = abort;
    const focused = document.activeElement?.id; // of a choice that is made anew
    const place = element("div", { class: "why-body", "aria-live": "polite" });
    const wait = element(
      "p",
      { class: "wait" },
      element("span", { class: "spinner", "aria-hidden": "true" }),
      "Asking why. The first time, this loads the network once more.",
    );
    place.append(wait);
    panel.replaceChildren(...head(asked, () => void ask(), close), place);
    refocus(focused);
    const refusal = refusalOf(asked);
    if (refusal) {
      place.replaceChildren(element("p", {}, refusal));
      return;
    }
    try {
      const { body } = await api.post("v1/explain", queryOf(asked), asked.photo.file, signal);
      if (signal.aborted || !asked) return;
      place.replaceChildren(
        ...(body.heat ? heatView(store, asked, body) : featuresView(body)),
        layerChoice(body, asked, () => void ask()),
      );
      refocus(focused);
    } catch (error) {
      if (isAborted(error) || signal.aborted) return;
      place.replaceChildren(failure(error, () => void ask()));
    }
  }

  return open;
}

/**
 * Gives the focus back to a choice that was made anew.
 * @param {string | undefined} id
 */
function refocus(id) {
  if (id && document.activeElement === document.body) document.getElementById(id)?.focus();
}

/**
 * @param {any} asked
 * @param {() => void} ask
 * @param {() => void} close
 */
function head(asked, ask, close) {
  const methods = element(
    "select",
    {
      id: "why-method",
      on: {
        change: () => {
          asked.method = methods.value;
          asked.layer = null;
          ask();
        },
      },
    },
    ...Object.entries(METHODS).map(([value, label]) =>
      element("option", { value, selected: value === asked.method }, label),
    ),
  );
  const title = asked.method === "features" ? `What ${asked.model.value} sees` : `Why ${asked.one.className}?`;
  return [
    element(
      "div",
      { class: "row between" },
      element("h2", { id: "why-heading" }, title),
      button("Close", close, { class: "quiet", id: "why-close" }),
    ),
    element("div", { class: "field inline" }, element("label", { for: "why-method" }, "Method"), methods),
    element("p", { class: "hint" }, MEANINGS[asked.method]),
  ];
}

/**
 * Why the server cannot be asked, if so: a box counts in the list at the model's own threshold.
 * @param {any} asked
 */
function refusalOf({ one, model, method }) {
  const least = valueOf("scoreThreshold", NO_PARAMETERS, model);
  if (method === "features" || !one.isScored || one.share >= least) return "";
  return `Only objects above the model's own score threshold, ${least}, can be explained.`;
}

/** @param {any} asked */
function queryOf({ one, model, method, layer }) {
  const what = method === "features" ? {} : one.box ? { box: one.index } : { class: one.classId };
  return { model: model.value, method, ...what, layer };
}

/**
 * @param {unknown} error
 * @param {() => void} retry
 */
function failure(error, retry) {
  const isMissing = /** @type {any} */ (error).code === "not_found";
  return isMissing
    ? element("p", { role: "alert" }, "This server explains nothing: it has no /v1/explain.")
    : problem(error, retry);
}

/**
 * @param {import("./store.js").Store<any>} store
 * @param {any} asked
 * @param {any} body
 */
function heatView(store, asked, body) {
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

/** @param {any} body */
function featuresView(body) {
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
 * @param {any} body
 * @param {any} asked
 * @param {() => void} ask
 */
function layerChoice(body, asked, ask) {
  const layers = body.layers ?? [];
  if (!layers.length) return "";
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
