/**
 * The view "Accuracy": evaluations, feedback and drift of every served model.
 * @module
 */

import { describeDrift, driftChart, figureChart, legend } from "./charts.js";
import { button, byId, element } from "./elements.js";
import { problem } from "./problems.js";

/** So many figures of an evaluation are shown; the others are folded. */
const MOST_FIGURES = 5;

/**
 * Makes the view; it is filled whenever it is opened.
 * @param {import("./api.js").Api} api
 * @returns {() => Promise<void>} Reads everything again.
 */
export function createAccuracy(api) {
  const view = byId("view-accuracy");
  const place = element("div", { class: "models", "aria-live": "polite" });
  const intro = element(
    "p",
    {},
    "What evaluations of the served weights measured, what feedback says, and how far answers have moved since.",
  );
  view.append(
    element(
      "div",
      { class: "row between" },
      element("h2", {}, "Accuracy of what is served"),
      button("Refresh", () => void refresh(), { id: "refresh" }),
    ),
    intro,
    legend(),
    place,
  );

  async function refresh() {
    view.setAttribute("aria-busy", "true");
    try {
      const { body } = await api.get("v1/accuracy");
      place.replaceChildren(...body.models.map(modelCard));
      if (!body.models.length) place.replaceChildren(element("p", {}, "No model is loaded."));
    } catch (error) {
      place.replaceChildren(problem(error, () => void refresh()));
    }
    view.setAttribute("aria-busy", "false");
  }

  return refresh;
}

/** @param {any} model */
function modelCard(model) {
  const id = `accuracy-${model.name}-${model.version}`;
  const [run] = model.offline;
  const heading = element(
    "h3",
    { id },
    model.name,
    element("span", { class: "hint" }, ` version ${model.version} · ${model.task}`),
  );
  return element(
    "section",
    { class: "card model", "aria-labelledby": id },
    heading,
    figures(run, model),
    ...older(model.offline),
    drift(model.drift),
  );
}

/**
 * The figures of the newest evaluation, with those of the feedback that have the same name beside them.
 * @param {any} run
 * @param {any} model
 */
function figures(run, model) {
  const measured = run ? Object.entries(run.figures) : [];
  const live = model.live?.figures ?? {};
  const names = new Set([...measured.map(([name]) => name), ...Object.keys(live)]);
  const known = new Map(measured);
  const rows = [...names].map((name) => figureRow(name, known.get(name) ?? { value: null }, live[name] ?? null));
  const [first, rest] = [rows.slice(0, MOST_FIGURES), rows.slice(MOST_FIGURES)];
  return element(
    "div",
    {},
    element("p", { class: "hint" }, source(run, model)),
    first.length > 0 && element("dl", { class: "figures" }, ...first),
    rest.length > 0 &&
      element(
        "details",
        {},
        element("summary", {}, `${rest.length} more figures`),
        element("dl", { class: "figures" }, ...rest),
      ),
  );
}

/**
 * Where the figures are from.
 * @param {any} run
 * @param {any} model
 */
function source(run, model) {
  const offline = run
    ? `Evaluated on ${run.dataset}, ${run.images} images, ${formatDay(run.finished_at)}.`
    : `No evaluation is recorded: tapetum evaluate --model ${model.name} --data …`;
  if (!model.live) return `${offline} No feedback yet.`;
  const count = model.live.samples === 1 ? "1 feedback" : `${model.live.samples} feedbacks`;
  return `${offline} ${count} since ${formatDay(model.live.since)}.`;
}

/**
 * @param {string} name
 * @param {any} figure
 * @param {number | null} live
 */
function figureRow(name, figure, live) {
  const parts = [
    typeof figure.value === "number" ? `${format(figure.value)}${interval(figure)}` : "",
    live === null ? "" : `live ${format(live)}`,
  ];
  const isShare = [figure.value, live].every((value) => value === null || (value >= 0 && value <= 1));
  const text = parts.filter(Boolean).join(" · ") || "not measured";
  return row(name, text, isShare && figureChart(figure, live));
}

/**
 * A row of a list of figures: name and text side by side, the chart below them.
 * @param {string} name
 * @param {string} text
 * @param {Node | false} chart
 */
function row(name, text, chart) {
  return element(
    "div",
    {},
    element("dt", {}, name),
    element("dd", {}, text),
    chart && element("dd", { class: "drawn" }, chart),
  );
}

/** @param {any} figure */
function interval({ low, high }) {
  return typeof low === "number" && typeof high === "number" ? ` (${format(low)} to ${format(high)})` : "";
}

/** @param {any[]} runs */
function older(runs) {
  if (runs.length < 2) return [];
  const rows = runs.slice(1).map((run) => {
    const shown = Object.entries(run.figures).slice(0, 3);
    const text = shown
      .map(([name, figure]) => `${name} ${figure.value === null ? "–" : format(figure.value)}`)
      .join(", ");
    return element("li", {}, `${run.dataset}, ${run.images} images, ${formatDay(run.finished_at)}: ${text}`);
  });
  return [
    element(
      "details",
      {},
      element("summary", {}, rows.length === 1 ? "1 earlier evaluation" : `${rows.length} earlier evaluations`),
      element("ul", {}, ...rows),
    ),
  ];
}

/** @param {any} told */
function drift(told) {
  if (!told) return element("p", { class: "hint" }, "Drift: nothing was answered yet.");
  const indices = Object.entries(told.population_stability_index);
  if (!indices.length) {
    const why = told.dataset ? "too few to compare" : "and no evaluation to compare with";
    const count = told.images === 1 ? "1 answer" : `${told.images} answers`;
    return element("p", { class: "hint" }, `Drift: ${count}, ${why}.`);
  }
  const rows = indices.map(([name, index]) => {
    const byChance = told.expected_by_chance[name];
    const text = `${format(index)}, ${describeDrift(index)}; by chance ${format(byChance)}`;
    return row(`drift of ${name}`, text, driftChart(index, byChance));
  });
  return element(
    "div",
    {},
    element(
      "p",
      { class: "hint" },
      `The latest ${told.images} answers against ${told.reference_images} of ${told.dataset}.`,
    ),
    element("dl", { class: "figures" }, ...rows),
  );
}

/** @param {number} value */
function format(value) {
  return Math.abs(value) < 10 ? value.toFixed(3) : value.toFixed(1);
}

/** @param {string} time ISO 8601. */
function formatDay(time) {
  return time.slice(0, 10);
}
