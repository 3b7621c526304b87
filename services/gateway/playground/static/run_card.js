/**
 * The card of one model's answer: the drawn image, the list of what was found, its times, and feedback.
 * @module
 */

import { draw, objectAt } from "./canvas.js";
import { coloursOf } from "./colours.js";
import { element } from "./elements.js";
import { createFeedback } from "./feedback.js";
import { figure } from "./figure.js";
import { createList } from "./found_list.js";
import { sizeOf } from "./original.js";
import { problem } from "./problems.js";
import { highlight, shownBy } from "./state.js";
import { TASKS, valueOf } from "./tasks.js";
import { formatMs, timingBar } from "./timing.js";

/** @typedef {import("./tasks.js").Found} Found */

/**
 * Makes the card of a slot; it follows the state.
 * @param {import("./store.js").Store<any>} store
 * @param {number} slot 0, or 1 for the model to compare with.
 * @param {any} actions `repeat(slot)`, `explain(slot, found)`, `api`, `classNamesOf`.
 * @returns {HTMLElement}
 */
export function createRunCard(store, slot, actions) {
  const heading = element("h2", { id: `run-heading-${slot}` }, "Result");
  const badges = element("span", { class: "badges" });
  const { frame, canvas, note } = figure(`result-${slot}`);
  const body = element("div", { class: "run-body" });
  const timing = element("div", { class: "times" });
  const list = createList(store, slot, actions.explain);
  const feedback = createFeedback(store, slot, actions);
  const card = element(
    "section",
    { class: "card run", id: `run-${slot}`, "aria-labelledby": heading.id },
    element("div", { class: "row between" }, heading, badges),
    frame,
    body,
    list.element,
    timing,
    feedback.element,
  );

  function redraw() {
    const { photo, runs, hidden, highlighted } = store.get();
    const listed = shownBy(store.get(), slot);
    const found = listed.filter((one) => !hidden[slot].has(one.index));
    const chosen = highlighted?.slot === slot ? found.find((one) => one.index === highlighted.index) : null;
    const drawn = {
      photo,
      size: sizeOf(photo, [runs[slot]]),
      found,
      colourOf: coloursOf(listed),
      highlighted: chosen ?? null,
      leastPoint: runs[slot].model ? valueOf("keypointThreshold", store.get().parameters, runs[slot].model) : 0,
    };
    draw(canvas, drawn);
  }

  store.watch(
    (now) => [now.photo, now.runs[slot], now.parameters, now.hidden[slot], now.highlighted],
    ({ photo, runs }) => {
      frame.setSize(sizeOf(photo, [runs[slot]]));
      redraw();
    },
  );
  store.watch(
    (now) => [now.photo, now.runs[slot]],
    ({ photo, runs }) => {
      const run = runs[slot];
      card.hidden = run.status === "idle";
      card.classList.toggle("waiting", run.status === "waiting");
      card.setAttribute("aria-busy", String(run.status === "waiting"));
      heading.textContent = run.model?.value ?? "Result";
      badges.replaceChildren(...badgesOf(run));
      note.textContent = photo?.isRead && !photo.picture && run.answer ? "Drawn on blank ground." : "";
      const retry = () => actions.repeat(slot);
      body.replaceChildren(...(run.status === "failed" ? [problem(run.error, retry)] : waitingFor(run)));
      timing.replaceChildren(...(run.reply ? [timingBar(run.reply, run.isCold)] : []));
    },
  );
  store.watch(
    (now) => [now.runs[slot], now.parameters],
    (now) => canvas.setAttribute("aria-label", describe(now.runs[slot], shownBy(now, slot))),
  );
  frame.onResize(redraw);

  const at = (/** @type {PointerEvent | MouseEvent} */ event) => {
    const size = sizeOf(store.get().photo, [store.get().runs[slot]]);
    const scale = size.width / canvas.clientWidth;
    const found = shownBy(store.get(), slot).filter((one) => !store.get().hidden[slot].has(one.index));
    return objectAt(found, event.offsetX * scale, event.offsetY * scale);
  };
  const isExplained = (/** @type {Found | null} */ one) =>
    one !== null && !TASKS[store.get().runs[slot].model.task].isUnexplained;
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse") return;
    const one = at(event);
    canvas.classList.toggle("over", isExplained(one));
    highlight(store, slot, one);
  });
  canvas.addEventListener("pointerleave", () => highlight(store, slot, null));
  canvas.addEventListener("click", (event) => {
    const one = at(event);
    if (isExplained(one)) actions.explain(slot, one);
  });
  return card;
}

/** @param {import("./runs.js").Run} run */
function badgesOf(run) {
  if (run.status === "waiting" && run.answer) return [element("span", { class: "spinner", "aria-hidden": "true" })];
  if (!run.answer || !run.reply) return [];
  const cached = run.answer.cached ? [element("span", { class: "badge cached" }, "cached")] : [];
  return [...cached, element("span", { class: "badge" }, formatMs(run.reply.tookMs))];
}

/** @param {import("./runs.js").Run} run */
function waitingFor(run) {
  if (run.status !== "waiting" || run.answer) return [];
  const what = run.isCold
    ? `Loading ${run.model?.name}: the first request loads it, which takes some seconds.`
    : "Waiting for the answer.";
  return [element("p", { class: "wait" }, element("span", { class: "spinner", "aria-hidden": "true" }), what)];
}

/**
 * The result in words.
 * @param {import("./runs.js").Run} run
 * @param {Found[]} found
 */
export function describe(run, found) {
  const name = run.model?.value ?? "Result";
  if (run.status !== "done") return `${name}: no answer`;
  if (!found.length) return `${name} found nothing`;
  const few = found.slice(0, 3).map((one) => `${one.className} ${Math.round(one.share * 100)} %`);
  const more = found.length > few.length ? `, and ${found.length - few.length} more` : "";
  return `${name}: ${few.join(", ")}${more}`;
}
