/**
 * The parameters as controls. Those that only filter redraw at once; the others cause a new request.
 * @module
 */

import { byId, button, element } from "./elements.js";
import { MOST_CLASSES, leastScore, valueOf } from "./tasks.js";

/** @typedef {import("./catalog.js").Model} Model */
/** @typedef {import("./tasks.js").Parameters} Parameters */

/** Up to so many classes are all shown; of more, one is searched for. */
const MOST_CHIPS = 12;

/**
 * @typedef {object} Range
 * @property {import("./tasks.js").Range} name
 * @property {string} label
 * @property {(model: Model) => [number, number, number]} limits Least, most, step.
 * @property {string} hint
 */

/** @type {Record<string, Range>} */
const RANGES = {
  topK: { name: "topK", label: "Classes shown", limits: () => [1, MOST_CLASSES, 1], hint: "" },
  scoreThreshold: {
    name: "scoreThreshold",
    label: "Score threshold",
    limits: (model) => [leastScore(model), 1, 0.01],
    hint: "",
  },
  keypointThreshold: {
    name: "keypointThreshold",
    label: "Key point threshold",
    limits: () => [0, 1, 0.01],
    hint: "",
  },
  iouThreshold: {
    name: "iouThreshold",
    label: "IoU threshold of NMS",
    limits: () => [0, 1, 0.05],
    hint: "asks the server again",
  },
  maxDetections: { name: "maxDetections", label: "Most objects", limits: mostObjects, hint: "" },
};

/**
 * @param {Model} model
 * @returns {[number, number, number]} A pose takes longer than a box.
 */
function mostObjects({ task }) {
  return [1, task === "keypoints" ? 100 : 300, 1];
}

/**
 * Makes the controls of the chosen model.
 * @param {import("./store.js").Store<any>} store
 * @param {(model: Model) => string[]} controlsOf
 * @param {(model: Model) => Promise<string[]>} classNamesOf
 */
export function createControls(store, controlsOf, classNamesOf) {
  const place = byId("parameters");
  const chosen = (/** @type {any} */ now) => now.models.find((/** @type {Model} */ one) => one.value === now.first);
  let shown = "";
  store.watch(
    (now) => [chosen(now)?.value, now.photo],
    (now) => {
      const model = chosen(now);
      const key = `${model?.value} ${Boolean(now.photo)}`;
      if (key === shown) return;
      shown = key;
      place.replaceChildren(...(model ? controlsOf(model).map((name) => control(name, model)) : []));
    },
  );
  const change = (/** @type {Partial<Parameters>} */ patch) =>
    store.set({ parameters: { ...store.get().parameters, ...patch } });

  /**
   * @param {string} name
   * @param {Model} model
   */
  function control(name, model) {
    if (name in RANGES) return range(RANGES[name], model, store.get().parameters, change);
    if (name === "classes") {
      if (model.classCount - Number(model.segmentation === "semantic") < 2) return ""; // there is nothing to choose
      const wanted = Boolean(store.get().photo); // class names are asked for when there is something to filter
      return classFilter(model, wanted ? classNamesOf(model) : null, change);
    }
    if (name === "maskFormat") return maskFormat(store.get().parameters, change);
    return augment(store.get().parameters, change);
  }
}

/**
 * @param {Range} kind
 * @param {Model} model
 * @param {Parameters} parameters
 * @param {(patch: Partial<Parameters>) => void} change
 */
function range({ name, label, limits, hint }, model, parameters, change) {
  const [min, most, step] = limits(model);
  const value = valueOf(name, parameters, model);
  const show = (/** @type {number} */ number) => (step < 1 ? number.toFixed(2) : String(number));
  const output = element("output", { for: `parameter-${name}` }, show(value));
  const input = element("input", {
    type: "range",
    id: `parameter-${name}`,
    min,
    max: Math.max(most, value),
    step,
    value,
    on: {
      input() {
        output.textContent = show(Number(input.value));
        change({ [name]: Number(input.value) });
      },
    },
  });
  const title = element("label", { for: input.id }, label, hint && element("span", { class: "hint" }, ` ${hint}`));
  return element("div", { class: "field range" }, title, output, input);
}

/**
 * @param {Model} model
 * @param {Promise<string[]> | null} names
 * @param {(patch: Partial<Parameters>) => void} change
 */
function classFilter(model, names, change) {
  const first = model.segmentation === "semantic" ? 1 : 0; // the background is no class to choose
  const place = element("div", { class: "chips" });
  const group = element(
    "fieldset",
    { class: "field", id: "parameter-classes" },
    element("legend", {}, "Classes"),
    place,
  );
  if (!names) {
    place.append(element("span", { class: "hint" }, `all ${model.classCount - first}, until there is an image`));
    return group;
  }
  place.append(element("span", { class: "hint" }, "…"));
  names.then(
    (all) => {
      const classes = all.map((className, classId) => ({ className, classId })).slice(first);
      place.replaceChildren(...(classes.length <= MOST_CHIPS ? chips(classes, change) : search(classes, change)));
    },
    () => place.replaceChildren(element("span", { class: "hint" }, "the server did not tell them")),
  );
  return group;
}

/**
 * @param {{className: string, classId: number}[]} classes
 * @param {(patch: Partial<Parameters>) => void} change
 */
function chips(classes, change) {
  const inputs = classes.map(({ classId }) =>
    element("input", { type: "checkbox", checked: true, value: classId, on: { change: tell } }),
  );
  const note = element("span", { class: "hint", role: "status" });
  /** @param {Event} event */
  function tell({ target }) {
    const chosen = classes.filter((_, at) => inputs[at].checked);
    note.textContent = chosen.length ? "" : "at least one";
    if (!chosen.length) {
      /** @type {HTMLInputElement} */ (target).checked = true; // no classes would mean all of them
      return;
    }
    change({ classes: chosen.length === classes.length ? null : chosen });
  }
  const labels = classes.map(({ className }, at) =>
    element("label", { class: "chip" }, inputs[at], element("span", {}, className)),
  );
  return [...labels, note];
}

/**
 * @param {{className: string, classId: number}[]} classes
 * @param {(patch: Partial<Parameters>) => void} change
 */
function search(classes, change) {
  /** @type {Map<number, string>} */
  const chosen = new Map();
  const listed = element("span", { class: "chips" });
  const options = element(
    "datalist",
    { id: "class-names" },
    ...classes.map(({ className }) => element("option", { value: className })),
  );
  const input = element("input", {
    type: "text",
    list: "class-names",
    placeholder: `all ${classes.length}; add one`,
    "aria-label": "Add a class",
    on: { change: add },
  });
  function add() {
    const found = classes.find(({ className }) => className.toLowerCase() === input.value.trim().toLowerCase());
    if (!found) return;
    chosen.set(found.classId, found.className);
    input.value = "";
    tell();
  }
  function tell() {
    listed.replaceChildren(
      ...[...chosen].map(([classId, className]) =>
        button(
          `${className} ×`,
          () => {
            chosen.delete(classId);
            tell();
          },
          { class: "chip-button", "aria-label": `Remove ${className}` },
        ),
      ),
    );
    change({ classes: chosen.size ? [...chosen].map(([classId, className]) => ({ classId, className })) : null });
  }
  return [listed, input, options];
}

/**
 * @param {Parameters} parameters
 * @param {(patch: Partial<Parameters>) => void} change
 */
function maskFormat(parameters, change) {
  const formats = { rle: "run lengths", polygon: "polygons" };
  const select = element(
    "select",
    { id: "parameter-maskFormat", on: { change: () => change({ maskFormat: select.value }) } },
    ...Object.entries(formats).map(([value, label]) =>
      element("option", { value, selected: value === parameters.maskFormat }, label),
    ),
  );
  return element("div", { class: "field inline" }, element("label", { for: select.id }, "Masks as"), select);
}

/**
 * @param {Parameters} parameters
 * @param {(patch: Partial<Parameters>) => void} change
 */
function augment(parameters, change) {
  const input = element("input", {
    type: "checkbox",
    role: "switch",
    id: "parameter-augment",
    checked: parameters.augment,
    on: { change: () => change({ augment: input.checked }) },
  });
  const hint = element("span", { class: "hint" }, "several views of the image, averaged: slower");
  return element(
    "div",
    { class: "field" },
    element("label", { class: "switch" }, input, element("span", {}, "Augment")),
    hint,
  );
}
