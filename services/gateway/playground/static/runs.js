/**
 * Sends the requests of the two slots: the model, and the one to compare with.
 * @module
 */

import { isAborted } from "./api.js";
import { TASKS, askedQuery, foundIn } from "./tasks.js";

/** Controls that are dragged cause one request when they rest. */
const REST_MS = 200;

/**
 * @typedef {object} Run
 * @property {"idle" | "waiting" | "done" | "failed"} status
 * @property {import("./catalog.js").Model | null} model
 * @property {import("./tasks.js").Found[]} found All that the server answered, before filters.
 * @property {any} answer
 * @property {import("./api.js").Reply | null} reply
 * @property {unknown} error
 * @property {boolean} isCold Whether the request loads the model.
 * @property {Record<string, any>} query Of the request that was answered.
 */

/** @type {Run} */
export const IDLE = {
  status: "idle",
  model: null,
  found: [],
  answer: null,
  reply: null,
  error: null,
  isCold: false,
  query: {},
};

/**
 * Sends a request whenever the image, the model or a parameter of the request has changed.
 * @param {import("./store.js").Store<any>} store
 * @param {import("./api.js").Api} api
 * @param {() => void} onLoaded Called after a request that loaded its model.
 * @returns {{repeat: (slot: number) => void}}
 */
export function createRunner(store, api, onLoaded) {
  const slots = [0, 1].map(() => ({ key: "", abort: new AbortController(), timer: 0 }));

  /**
   * @param {number} slot
   * @param {Partial<Run>} patch
   */
  function update(slot, patch) {
    const runs = [...store.get().runs];
    runs[slot] = { ...runs[slot], ...patch };
    store.set({ runs });
  }

  /** @param {number} slot */
  async function send(slot) {
    const { photo, models, first, second, parameters } = store.get();
    const model = models.find((/** @type {any} */ one) => one.value === (slot === 0 ? first : second));
    if (!photo || !model) return;
    const abort = (slots[slot].abort = new AbortController());
    try {
      const query = askedQuery(parameters, model);
      const reply = await api.post(TASKS[model.task].path, query, photo.file, abort.signal);
      if (abort.signal.aborted) return;
      update(slot, { status: "done", answer: reply.body, found: foundIn(reply.body), reply, query, error: null });
    } catch (error) {
      if (isAborted(error) || abort.signal.aborted) return;
      update(slot, { status: "failed", error, found: [], answer: null, reply: null });
    }
    if (model.state !== "loaded") onLoaded();
  }

  /**
   * @param {number} slot
   * @param {any} now
   */
  function consider(slot, now) {
    const model = now.models.find((/** @type {any} */ one) => one.value === (slot === 0 ? now.first : now.second));
    const key = now.photo && model ? `${now.photo.number} ${JSON.stringify(askedQuery(now.parameters, model))}` : "";
    const own = slots[slot];
    if (key === own.key) return;
    const isSame =
      key && own.key.split(" ", 1)[0] === String(now.photo.number) && now.runs[slot].model?.value === model.value;
    own.key = key;
    own.abort.abort();
    window.clearTimeout(own.timer);
    if (!key) {
      update(slot, IDLE);
      return;
    }
    const isCold = model.state !== "loaded";
    update(slot, { ...(isSame ? {} : IDLE), status: "waiting", model, error: null, isCold });
    own.timer = window.setTimeout(() => void send(slot), isSame ? REST_MS : 0);
  }

  for (const slot of [0, 1]) {
    store.watch(
      (now) => [now.photo, now.models, now.first, now.second, now.parameters],
      (now) => consider(slot, now),
    );
  }
  return {
    repeat(slot) {
      slots[slot].key = "";
      consider(slot, store.get());
    },
  };
}
