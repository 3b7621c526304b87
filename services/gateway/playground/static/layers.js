/**
 * The view "Layers": the network of a served model from input to output, and what each layer makes of the photo.
 * @module
 */

import { ApiError, isAborted } from "./api.js";
import { byId, element } from "./elements.js";
import { layerView, mapsWait } from "./layer_view.js";
import { createLayerList, isQuiet } from "./layer_list.js";
import { mapsView } from "./layer_maps.js";
import { problem } from "./problems.js";

/**
 * Makes the view.
 * @param {import("./store.js").Store<any>} store
 * @param {import("./api.js").Api} api
 * @returns {{open: () => void, close: () => void}} For when its tab is chosen, and another one.
 */
export function createLayers(store, api) {
  const select = element("select", { id: "layers-model", on: { change: () => void choose(select.value) } });
  const facts = element("p", { class: "hint", id: "layers-facts" });
  const all = element("input", { type: "checkbox", id: "layers-all", on: { change: showList } });
  const status = element("div", { id: "layers-status", "aria-live": "polite" });
  const list = createLayerList(chooseLayer);
  const detail = element("section", { class: "card layer", id: "layer", "aria-labelledby": "layer-heading" });
  detail.tabIndex = -1;
  const card = element(
    "section",
    { class: "card layers-list", "aria-labelledby": "layers-heading" },
    element(
      "div",
      { class: "row between" },
      element("h2", { id: "layers-heading" }, "Input to output"),
      element("label", { class: "switch hint" }, all, "Norms and activations, too"),
    ),
    list.element,
  );
  const side = element(
    "div",
    { class: "request", id: "layers-side" },
    element(
      "section",
      { class: "card", "aria-labelledby": "network-heading" },
      element("h2", { id: "network-heading" }, "Network"),
      element("div", { class: "field" }, element("label", { for: "layers-model" }, "Model"), select),
      facts,
    ),
  );
  byId("view-layers").append(side, element("div", { class: "layers-result" }, status, card, detail));
  card.hidden = detail.hidden = true;

  /** @type {any} */
  let network = null; // the server's answer
  /** @type {any} */
  let layer = null;
  let model = "";
  let shownPhoto = -1; // number of the photo that the maps are of
  let isOpen = false;
  let listing = new AbortController();
  let mapping = new AbortController();

  store.watch(
    (now) => [now.models, now.signals],
    ({ models, signals }) => {
      const options = [...models, ...signals].map((/** @type {any} */ one) => one.value);
      select.replaceChildren(...options.map((value) => element("option", { value }, value)));
      if (options.includes(model)) select.value = model;
      else if (isOpen) void choose(select.value);
    },
  );
  store.watch(
    (now) => [now.photo],
    () => {
      if (isOpen) void showMaps();
    },
  );

  /** @param {string} value */
  async function choose(value) {
    if (!value) return;
    select.value = model = value;
    network = layer = null;
    card.hidden = detail.hidden = true;
    facts.textContent = "";
    listing.abort();
    mapping.abort();
    const { signal } = (listing = new AbortController());
    status.replaceChildren(waiting("Asking for the layers. The first time, this starts the explainer."));
    try {
      const path = value.split("/").map(encodeURIComponent).join("/");
      const { body } = await api.get(`v1/models/${path}/layers`, signal);
      if (signal.aborted) return;
      network = body;
      status.replaceChildren();
      facts.textContent = describe(body);
      card.hidden = false;
      chooseLayer(body.layers.find((/** @type {any} */ one) => !isQuiet(one)) ?? body.layers[0], false);
    } catch (error) {
      if (isAborted(error) || signal.aborted) return;
      status.replaceChildren(failure(error, () => void choose(value)));
    }
  }

  function showList() {
    const hadFocus = card.contains(document.activeElement) && document.activeElement !== all;
    const shown = network.layers.filter((/** @type {any} */ one) => all.checked || one === layer || !isQuiet(one));
    list.show(shown, layer);
    if (hadFocus) /** @type {HTMLElement | null} */ (card.querySelector('[aria-current="true"]'))?.focus();
  }

  /**
   * @param {any} chosen
   * @param {boolean} [isByHand]
   */
  function chooseLayer(chosen, isByHand = true) {
    layer = chosen;
    shownPhoto = -1;
    showList();
    detail.hidden = false;
    detail.replaceChildren(...layerView(layer, network));
    if (isByHand && matchMedia("(max-width: 1180px)").matches) detail.scrollIntoView({ block: "start" }); // it is below
    void showMaps();
  }

  async function showMaps() {
    const place = detail.querySelector(".layer-maps");
    const { photo } = store.get();
    if (!layer || !place || (photo && photo.number === shownPhoto)) return;
    mapping.abort();
    const refusal = mapsWait(layer, photo);
    if (refusal) {
      place.replaceChildren(element("p", { class: "hint" }, refusal));
      return;
    }
    const { signal } = (mapping = new AbortController());
    shownPhoto = photo.number;
    place.replaceChildren(waiting("Asking for the maps."));
    const call = layer.call > 1 ? layer.call : null;
    try {
      const query = { model, method: "features", layer: layer.name, call };
      const { body } = await api.post("v1/explain", query, photo.file, signal);
      if (!signal.aborted) place.replaceChildren(...mapsView(body, store.get().photo));
    } catch (error) {
      if (isAborted(error) || signal.aborted) return;
      place.replaceChildren(failure(error, retry));
    }
  }

  function retry() {
    shownPhoto = -1;
    void showMaps();
  }

  return {
    open() {
      isOpen = true;
      const { first, models, signals } = store.get();
      if (!network && listing.signal.aborted === false) void choose(model || first || (models[0] ?? signals[0])?.value);
      else void showMaps();
    },
    close() {
      isOpen = false;
    },
  };
}

/** @param {string} text */
function waiting(text) {
  return element("p", { class: "wait" }, element("span", { class: "spinner", "aria-hidden": "true" }), text);
}

/**
 * @param {unknown} error
 * @param {() => void} retry
 */
function failure(error, retry) {
  const isOff = error instanceof ApiError && ["not_found", "explanations_off"].includes(error.code);
  return isOff ? element("p", { role: "alert" }, "This server has no explanations, and so no layers.") : problem(error, retry);
}

/** @param {any} body */
function describe({ layers, parameters, input_shape: shape }) {
  const count = new Set(layers.map((/** @type {any} */ one) => one.name)).size;
  const total = parameters.toLocaleString("en");
  return `${count} layers, ${total} parameters. Shapes are for an input of ${shape.join(" × ")}, the largest one.`;
}
