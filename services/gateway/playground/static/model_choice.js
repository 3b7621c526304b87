/**
 * The choice of a task, a model, and a second one to compare with.
 * @module
 */

import { describeState } from "./catalog.js";
import { byId, button, element } from "./elements.js";
import { problem } from "./problems.js";
import { NO_PARAMETERS, TASKS } from "./tasks.js";

/** @typedef {import("./catalog.js").Model} Model */

/**
 * Makes the choice work.
 * @param {import("./store.js").Store<any>} store
 * @param {() => void} reload Asks the server for its models again.
 */
export function createModelChoice(store, reload) {
  const [tasks, model, second, state] = [byId("tasks"), byId("model"), byId("second"), byId("model-state")];
  model.addEventListener("change", () => chooseModel(store, model.value));
  second.addEventListener("change", () => store.set({ second: second.value }));

  store.watch(
    (now) => [now.models, now.task],
    ({ models, task }) => {
      const served = Object.keys(TASKS).filter((name) => models.some((/** @type {Model} */ one) => one.task === name));
      const radios = (served.length ? served : Object.keys(TASKS)).map((name) => taskRadio(name, name === task));
      if (tasks.dataset.shown !== served.join()) {
        tasks.replaceChildren(tasks.querySelector("legend"), ...radios);
        tasks.dataset.shown = served.join();
      }
      for (const radio of tasks.querySelectorAll("input")) radio.checked = radio.value === task;
    },
  );
  store.watch(
    (now) => [now.models, now.task, now.first, now.second, now.catalogProblem],
    (now) => {
      const fitting = now.models.filter((/** @type {Model} */ one) => one.task === now.task);
      model.replaceChildren(...fitting.map((/** @type {Model} */ one) => option(one, now.first)));
      const others = fitting.filter((/** @type {Model} */ one) => one.value !== now.first);
      const none = element("option", { value: "" }, "Nothing");
      second.replaceChildren(none, ...others.map((/** @type {Model} */ one) => option(one, now.second)));
      second.disabled = others.length === 0;
      const chosen = fitting.find((/** @type {Model} */ one) => one.value === now.first);
      if (now.catalogProblem?.isAboutKey) {
        state.replaceChildren("Enter an API key above.");
      } else if (now.catalogProblem) {
        state.replaceChildren(problem(now.catalogProblem), button("Ask again", reload));
      } else if (chosen) {
        state.replaceChildren(chosen.description, " ", element("span", { class: chosen.state }, describeState(chosen)));
      } else {
        state.replaceChildren(
          now.isCatalogLoaded ? "This server serves no model of this task." : "Asking the server …",
        );
      }
    },
  );

  /**
   * @param {string} name
   * @param {boolean} isChosen
   */
  function taskRadio(name, isChosen) {
    const on = { change: () => chooseTask(store, name) };
    const input = element("input", { type: "radio", name: "task", value: name, checked: isChosen, on });
    return element("label", {}, input, element("span", {}, TASKS[name].label));
  }
}

/**
 * Chooses a model; its own parameters become the defaults again.
 * @param {import("./store.js").Store<any>} store
 * @param {string} value
 */
export function chooseModel(store, value) {
  const { models, second, parameters } = store.get();
  const chosen = models.find((/** @type {Model} */ one) => one.value === value);
  if (!chosen) return;
  const other = models.find((/** @type {Model} */ one) => one.value === second);
  const isFitting = other && other.task === chosen.task && other.value !== value;
  store.set({
    task: chosen.task,
    first: value,
    second: isFitting ? second : "",
    parameters: { ...NO_PARAMETERS, augment: parameters.augment },
  });
}

/**
 * Chooses a task, and the first model of it.
 * @param {import("./store.js").Store<any>} store
 * @param {string} task
 */
export function chooseTask(store, task) {
  const first = store.get().models.find((/** @type {Model} */ one) => one.task === task);
  if (first) chooseModel(store, first.value);
  else store.set({ task, first: "", second: "" });
}

/**
 * @param {Model} model
 * @param {string} chosen
 */
function option(model, chosen) {
  const state = model.state === "loaded" ? "" : ` (${model.state})`;
  return element("option", { value: model.value, selected: model.value === chosen }, model.value + state);
}
