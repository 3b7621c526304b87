/**
 * Right or wrong: ground truth for an answer, which counts towards the model's live accuracy.
 * @module
 */

import { ApiError } from "./api.js";
import { button, element } from "./elements.js";
import { problem } from "./problems.js";
import { shownBy } from "./state.js";
import { TASKS, foundIn, shownQuery } from "./tasks.js";

/** @typedef {import("./tasks.js").Found} Found */

/** Boxes of one object in two answers differ by less, in pixels. */
const SAME_PLACE = 1;

/**
 * Makes the buttons of a slot; they follow the state.
 * @param {import("./store.js").Store<any>} store
 * @param {number} slot
 * @param {{api: import("./api.js").Api, classNamesOf: (model: any) => Promise<string[]>}} actions
 * @returns {{element: HTMLElement}}
 */
export function createFeedback(store, slot, { api, classNamesOf }) {
  const place = element("fieldset", { class: "feedback", "aria-label": "Feedback", tabindex: -1 });

  store.watch(
    (now) => [now.runs[slot].answer],
    () => ask(),
  );
  store.watch(
    (now) => [now.runs[slot].status],
    ({ runs }) => (place.disabled = runs[slot].status === "waiting"), // the answer is being replaced
  );

  /** @param {...(Node | string)} children */
  function show(...children) {
    const hadFocus = place.contains(document.activeElement);
    place.replaceChildren(...children);
    if (hadFocus) place.focus();
  }

  /** @param {any} answer */
  function isShown(answer) {
    return store.get().runs[slot].answer === answer;
  }

  function ask() {
    const { answer, model } = store.get().runs[slot];
    place.hidden = !answer;
    if (!answer) return;
    show(
      element("span", { class: "question" }, "Is this right?"),
      button("Right", () => void send(() => truth(() => true)), { id: `right-${slot}` }),
      button("Wrong", () => void correct(model), { id: `wrong-${slot}`, class: "quiet" }),
    );
  }

  /** @param {import("./catalog.js").Model} model */
  async function correct(model) {
    if (model.task === "classification") {
      const { answer } = store.get().runs[slot];
      show(element("span", {}, "…"));
      try {
        const names = await classNamesOf(model);
        if (isShown(answer)) askForClass(names);
      } catch (error) {
        if (isShown(answer)) show(problem(error), again());
      }
      return;
    }
    const kept = () => keptIndices();
    show(
      element("p", {}, "Untick what is wrong in the list, then send the rest as ground truth."),
      button("Send what is ticked", () => void send(() => truth((one) => kept().has(one.index))), {
        id: `send-${slot}`,
      }),
      button("Cancel", ask, { class: "quiet" }),
    );
    focusFirst();
  }

  /** @param {string[]} names */
  function askForClass(names) {
    const listId = `truth-classes-${slot}`;
    const input = element("input", { type: "text", id: `truth-${slot}`, list: listId, autocomplete: "off" });
    const note = element("p", { class: "problem-line", role: "alert" });
    const form = element(
      "form",
      { class: "row", on: { submit } },
      element("label", { for: input.id }, "It is"),
      input,
      element("datalist", { id: listId }, ...names.map((value) => element("option", { value }))),
      element("button", { type: "submit" }, "Send"),
      button("Cancel", ask, { class: "quiet" }),
    );
    /** @param {Event} event */
    function submit(event) {
      event.preventDefault();
      const wanted = input.value.trim().toLowerCase();
      const classId = names.findIndex((name) => name.toLowerCase() === wanted);
      note.textContent = classId < 0 ? "The model has no such class; choose one of the list." : "";
      if (classId >= 0) void send(async () => [store.get().runs[slot].answer.request_id, { class: classId }]);
    }
    show(form, note);
    input.focus();
  }

  function focusFirst() {
    place.querySelector("button")?.focus();
  }

  function keptIndices() {
    const { hidden } = store.get();
    return new Set(
      shownBy(store.get(), slot)
        .filter((one) => !hidden[slot].has(one.index))
        .map((one) => one.index),
    );
  }

  /**
   * The request that the feedback is on, and its ground truth.
   *
   * Live accuracy takes an answer as it was returned. The page's own request asks for more than it shows, so the
   * feedback is on a request for exactly what is shown, which is sent first.
   * @param {(one: Found) => boolean} isRight
   * @returns {Promise<[string, object]>}
   */
  async function truth(isRight) {
    const { runs, parameters, photo } = store.get();
    const { model, answer } = runs[slot];
    const shown = shownBy(store.get(), slot);
    if (model.task === "classification") return [answer.request_id, { class: shown[0].classId }];
    const query = { ...shownQuery(parameters, model), mask_format: model.task === "segmentation" ? "rle" : null };
    const { body } = await api.post(TASKS[model.task].path, query, photo.file);
    if (!isSame(foundIn(body), shown)) {
      throw new ApiError(0, "another_answer", "the server answers this request with other objects than are shown");
    }
    const right = body.predictions.filter((/** @type {any} */ _, /** @type {number} */ at) => isRight(shown[at]));
    const objects = right.map(targetOf);
    return [body.request_id, model.segmentation === "semantic" ? { masks: objects } : { objects }];
  }

  /** @param {() => Promise<[string, object]>} prepare */
  async function send(prepare) {
    const { answer } = store.get().runs[slot];
    show(element("span", { class: "wait" }, "Sending …"));
    try {
      const [requestId, target] = await prepare();
      const { body } = await api.post("v1/feedback", {}, { request_id: requestId, target });
      if (isShown(answer)) show(thanks(body));
    } catch (error) {
      if (isShown(answer)) show(problem(error), again());
    }
  }

  function again() {
    return button("Back", ask, { class: "quiet" });
  }

  return { element: place };
}

/**
 * Whether two lists are of the same objects.
 * @param {Found[]} list
 * @param {Found[]} other
 */
function isSame(list, other) {
  return list.length === other.length && list.every((one, at) => isSameObject(one, other[at]));
}

/**
 * @param {Found} one
 * @param {Found} other
 */
function isSameObject(one, other) {
  const edges = one.box ?? [];
  return (
    one.classId === other.classId && edges.every((edge, at) => Math.abs(edge - (other.box?.[at] ?? NaN)) < SAME_PLACE)
  );
}

/**
 * An object of an answer as ground truth: its mask, or its box, with the key points that are visible.
 * @param {any} one
 */
function targetOf({ class_id: id, box, mask, keypoints }) {
  const points = keypoints?.flatMap((/** @type {any} */ { x, y, visible }) => (visible ? [x, y, 2] : [0, 0, 0]));
  return { class: id, ...(mask ? { mask } : { box }), ...(points ? { keypoints: points } : {}) };
}

/** @param {any} told The answer of `/v1/feedback`. */
function thanks(told) {
  const figures = Object.entries(told.live.figures)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name} ${Number(value).toFixed(3)}`);
  const count = told.live.samples === 1 ? "1 feedback" : `${told.live.samples} feedbacks`;
  return element(
    "p",
    { role: "status" },
    `Recorded. Live accuracy over ${count}: ${figures.join(", ") || "nothing to measure"}.`,
  );
}
