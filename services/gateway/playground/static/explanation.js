/**
 * Why: where the network looked for a class or a box, and what its maps show.
 * @module
 */

import { ApiError, isAborted } from "./api.js";
import { byId, button, element } from "./elements.js";
import { featuresView, heatView, layerChoice } from "./explained.js";
import { overlap } from "./overlap.js";
import { problem } from "./problems.js";
import { NO_PARAMETERS, TASKS, foundIn, valueOf } from "./tasks.js";

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
  features: "The maps of the chosen layer: those that vary most.",
};

/** The least intersection over union of two boxes of one object. */
const SAME_OBJECT = 0.5;

/**
 * Makes the panel.
 * @param {import("./store.js").Store<any>} store
 * @param {import("./api.js").Api} api
 * @returns {(slot: number, one: Found) => void} Opens it for an object or a class.
 */
export function createExplanation(store, api) {
  const panel = byId("why");
  /** @typedef {{slot: number, one: Found, photo: any, model: any, query: any}} Subject With the query of its answer. */
  /** @type {(Subject & {method: string, layer: string | null}) | null} */
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
    const { model, query } = runs[slot];
    asked = { slot, one, photo, model, query, method: asked?.method ?? "gradcam", layer: null };
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
      const box = asked.one.box && asked.method !== "features" ? await boxIndex(api, asked, signal) : null;
      const { body } = await api.post("v1/explain", { ...queryOf(asked), box }, asked.photo.file, signal);
      if (signal.aborted || !asked) return;
      place.replaceChildren(
        ...(body.heat ? heatView(asked, body) : featuresView(body)),
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
  return { model: model.value, method, class: method === "features" || one.box ? null : one.classId, layer };
}

/**
 * The index of a box in the answer with the model's own parameters, which is how the server counts.
 * @param {import("./api.js").Api} api
 * @param {any} asked
 * @param {AbortSignal} signal
 */
async function boxIndex(api, { one, model, photo, query }, signal) {
  const isPlain = query.iou_threshold === undefined && !query.augment;
  if (isPlain) return one.index; // lower thresholds only add objects at the end
  const { body } = await api.post(TASKS[model.task].path, { model: model.value }, photo.file, signal);
  const overlaps = foundIn(body).map((other) => (other.classId === one.classId ? overlap(one.box, other.box) : 0));
  const index = overlaps.indexOf(Math.max(0, ...overlaps));
  if (index < 0 || overlaps[index] < SAME_OBJECT) {
    throw new ApiError(0, "not_found_by_default", "the model does not find this object with its own parameters");
  }
  return index;
}

/**
 * @param {unknown} error
 * @param {() => void} retry
 */
function failure(error, retry) {
  const isMissing = /** @type {any} */ (error).code === "not_found";
  const told = "This server has no explanations (POST /v1/explain).";
  return isMissing ? element("p", { role: "alert" }, told) : problem(error, retry);
}
