/**
 * The models that the server has, and what state they are in.
 * @module
 */

import { TASKS } from "./tasks.js";

/**
 * @typedef {object} Model
 * @property {string} value For the parameter `model`: a name, or `NAME@VERSION`.
 * @property {string} name
 * @property {string} version
 * @property {string} task
 * @property {string | null} segmentation `semantic`, `instance`, or null.
 * @property {Record<string, any>} defaults Parameters of the model's own.
 * @property {string} state `loaded`, `cold`, `loading`, `failed`, `unloading` or `unloaded`.
 * @property {string} description
 * @property {number} classCount
 * @property {boolean} takesSignals Whether it takes signals, and no images.
 */

/** @type {Record<string, string>} What a state means to somebody who is about to send a request. */
const STATES = {
  loaded: "Loaded.",
  cold: "Not loaded yet: the first request loads it, and takes some seconds more.",
  loading: "Being loaded now.",
  failed: "Could not be loaded.",
  unloading: "Being unloaded.",
  unloaded: "Not loaded.",
};

/**
 * Asks the server for its models.
 * @param {import("./api.js").Api} api
 * @returns {Promise<Model[]>} Those of the tasks that this page knows, in the server's order.
 */
export async function loadCatalog(api) {
  const { body } = await api.get("v1/models");
  const defaults = body.versions.filter((/** @type {any} */ one) => one.is_default);
  const answered = new Set(defaults.map((/** @type {any} */ one) => one.name));
  const statuses = new Map(body.versions.map((/** @type {any} */ one) => [`${one.name}@${one.version}`, one]));
  return body.models
    .filter((/** @type {any} */ entry) => entry.task in TASKS)
    .map((/** @type {any} */ entry) => {
      const status = statuses.get(`${entry.name}@${entry.version}`);
      const isDefault = !status || status.is_default || !answered.has(entry.name);
      return {
        value: isDefault ? entry.name : `${entry.name}@${entry.version}`,
        name: entry.name,
        version: entry.version,
        task: entry.task,
        segmentation: entry.segmentation ?? null,
        defaults: entry.defaults ?? {},
        state: status?.state ?? "loaded",
        description: entry.description ?? "",
        classCount: entry.class_count ?? 0,
        takesSignals: Boolean(entry.preprocessing?.length),
      };
    });
}

/**
 * What stands below the choice of a model.
 * @param {Model} model
 */
export function describeState(model) {
  return STATES[model.state] ?? `${model.state}.`;
}

/**
 * The class names of models, asked for once for each version.
 * @param {import("./api.js").Api} api
 * @returns {(model: Model) => Promise<string[]>} Names by class id.
 */
export function createClassNames(api) {
  /** @type {Map<string, Promise<string[]>>} */
  const known = new Map();
  return (model) => {
    const key = `${model.name}@${model.version}`;
    let names = known.get(key);
    if (!names) {
      const path = model.value.split("/").map(encodeURIComponent).join("/");
      names = api.get(`v1/models/${path}`).then(({ body }) => body.class_names ?? []);
      names.catch(() => known.delete(key));
      known.set(key, names);
    }
    return names;
  };
}
