/**
 * The state of the view "Try", and what is derived of it.
 * @module
 */

import { IDLE } from "./runs.js";
import { NO_PARAMETERS, filter } from "./tasks.js";

/** @typedef {import("./tasks.js").Found} Found */

/**
 * @typedef {object} State
 * @property {import("./catalog.js").Model[]} models
 * @property {import("./catalog.js").Model[]} signals Models that take signals: they have no place but in the catalog.
 * @property {boolean} isCatalogLoaded
 * @property {unknown} catalogProblem
 * @property {any} photo A `Photo`, with `number`, its place in the order of images, and `isRead`.
 * @property {string} task
 * @property {string} first Value of the model.
 * @property {string} second Value of the model to compare with; empty: none.
 * @property {import("./tasks.js").Parameters} parameters
 * @property {import("./runs.js").Run[]} runs By slot.
 * @property {{slot: number, index: number} | null} highlighted
 * @property {Set<number>[]} hidden Indices of unticked objects, by slot.
 * @property {boolean} needsKey
 */

/** @type {State} */
export const INITIAL = {
  models: [],
  signals: [],
  isCatalogLoaded: false,
  catalogProblem: null,
  photo: null,
  task: "classification",
  first: "",
  second: "",
  parameters: NO_PARAMETERS,
  runs: [IDLE, IDLE],
  highlighted: null,
  hidden: [new Set(), new Set()],
  needsKey: false,
};

/**
 * What the parameters leave of a slot's answer.
 * @param {State} now
 * @param {number} slot
 * @returns {Found[]}
 */
export function shownBy(now, slot) {
  const run = now.runs[slot];
  return run.model ? filter(run.found, now.parameters, run.model) : [];
}

/**
 * Highlights an object, on the canvas and in the list.
 * @param {import("./store.js").Store<State>} store
 * @param {number} slot
 * @param {Found | null} one
 */
export function highlight(store, slot, one) {
  const before = store.get().highlighted;
  const isSame = one ? before?.slot === slot && before.index === one.index : before === null;
  if (!isSame) store.set({ highlighted: one ? { slot, index: one.index } : null });
}
