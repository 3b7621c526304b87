/**
 * The list of what was found: bars, a switch for each object, and the question why.
 * @module
 */

import { coloursOf, css } from "./colours.js";
import { button, element } from "./elements.js";
import { highlight, shownBy } from "./state.js";
import { TASKS } from "./tasks.js";

/** @typedef {import("./tasks.js").Found} Found */

/** So many rows are made; a long list says how many there are beyond. */
const MOST_ROWS = 100;

/**
 * Makes the list of a slot; it follows the state.
 * @param {import("./store.js").Store<any>} store
 * @param {number} slot
 * @param {(slot: number, one: Found) => void} explain
 * @returns {{element: HTMLElement}}
 */
export function createList(store, slot, explain) {
  const summary = element("p", { class: "summary", id: `summary-${slot}` });
  const all = element("label", { class: "all" });
  const list = element("ul", { class: "found", id: `found-${slot}`, "aria-labelledby": summary.id });
  const whole = element("div", { class: "found-list" }, element("div", { class: "row between" }, summary, all), list);
  /** @type {Map<number, HTMLElement>} */
  let rows = new Map();

  store.watch(
    (now) => [now.runs[slot], now.parameters, now.hidden[slot]],
    (now) => {
      const run = now.runs[slot];
      const found = shownBy(now, slot);
      whole.hidden = !run.answer;
      if (!run.answer) return;
      summary.textContent = summarise(run, found);
      const isToggled = run.model.task !== "classification";
      const colourOf = coloursOf(found);
      const focused = document.activeElement?.id;
      const made = found
        .slice(0, MOST_ROWS)
        .map((one) => /** @type {const} */ ([one.index, row(one, colourOf(one), isToggled)]));
      rows = new Map(made);
      list.replaceChildren(...rows.values());
      if (found.length > MOST_ROWS)
        list.append(element("li", { class: "hint" }, `and ${found.length - MOST_ROWS} more`));
      all.replaceChildren(...(isToggled && found.length > 1 ? [allSwitch(found), " all"] : []));
      if (focused && !document.activeElement?.id) document.getElementById(focused)?.focus();
    },
  );
  store.watch(
    (now) => [now.highlighted, now.runs[slot]],
    ({ highlighted }) => {
      const index = highlighted?.slot === slot ? highlighted.index : null;
      for (const [at, made] of rows) made.classList.toggle("highlighted", at === index);
    },
  );

  /**
   * @param {Found} one
   * @param {[number, number, number]} colour
   * @param {boolean} isToggled
   */
  function row(one, colour, isToggled) {
    const isHidden = store.get().hidden[slot].has(one.index);
    const bar = element("span", { class: "bar" }, element("span", { class: "bar-fill" }));
    bar.firstElementChild.style.width = `${Math.max(0.5, one.share * 100)}%`;
    if (isToggled) bar.firstElementChild.style.background = css(colour);
    const input = element("input", {
      type: "checkbox",
      checked: !isHidden,
      id: `show-${slot}-${one.index}`,
      on: { change: () => toggle(one, input.checked) },
    });
    input.style.accentColor = css(colour);
    const name = element("span", { class: "name" }, one.className);
    const isRegion = isToggled && !one.isScored;
    const value = element("span", { class: "value" }, formatShare(one.share));
    const isExplained = !TASKS[store.get().runs[slot].model.task].isUnexplained;
    const why = button("Why?", () => explain(slot, one), {
      class: "quiet why-button",
      id: `why-${slot}-${one.index}`,
      "aria-label": `Why ${one.className} ${formatShare(one.share)}?`,
    });
    const on = {
      pointerenter: () => highlight(store, slot, isToggled ? one : null),
      pointerleave: () => highlight(store, slot, null),
      focusin: () => highlight(store, slot, isToggled ? one : null),
      focusout: () => highlight(store, slot, null),
    };
    const label = element(
      "label",
      { class: "what" },
      isToggled && input,
      name,
      value,
      isRegion && element("span", { class: "hint" }, "of the image"),
    );
    return element("li", { class: isHidden ? "row-hidden" : "", on }, label, bar, isExplained && why);
  }

  /** @param {Found[]} found */
  function allSwitch(found) {
    const hidden = store.get().hidden[slot];
    const isAll = found.every((one) => !hidden.has(one.index));
    const input = element("input", {
      type: "checkbox",
      id: `show-all-${slot}`,
      checked: isAll,
      on: { change: () => setHidden(input.checked ? new Set() : new Set(found.map((one) => one.index))) },
    });
    input.indeterminate = !isAll && found.some((one) => !hidden.has(one.index));
    return input;
  }

  /**
   * @param {Found} one
   * @param {boolean} isShown
   */
  function toggle(one, isShown) {
    const hidden = new Set(store.get().hidden[slot]);
    if (isShown) hidden.delete(one.index);
    else hidden.add(one.index);
    setHidden(hidden);
  }

  /** @param {Set<number>} set */
  function setHidden(set) {
    const hidden = [...store.get().hidden];
    hidden[slot] = set;
    store.set({ hidden });
  }

  return { element: whole };
}

/**
 * As people read a share.
 * @param {number} share 0 to 1.
 */
export function formatShare(share) {
  const percent = share * 100;
  return `${percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
}

/**
 * @param {import("./runs.js").Run} run
 * @param {Found[]} found
 */
function summarise(run, found) {
  if (run.model?.task === "classification") return "Most probable classes";
  const kind = run.model?.segmentation === "semantic" ? ["class", "classes"] : ["object", "objects"];
  if (!found.length) return run.found.length ? "Nothing above the threshold" : "Nothing found";
  return `${found.length} ${kind[found.length === 1 ? 0 : 1]}`;
}
