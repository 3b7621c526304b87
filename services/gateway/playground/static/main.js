/**
 * Starts the page: makes the store, the connection and the parts, and joins them.
 * @module
 */

import { createAccuracy } from "./accuracy.js";
import { createApi } from "./api.js";
import { createClassNames, loadCatalog } from "./catalog.js";
import { createChooser } from "./chooser.js";
import { createCodePanel } from "./code_panel.js";
import { createControls } from "./controls.js";
import { byId } from "./elements.js";
import { createExplanation } from "./explanation.js";
import { createKeyForm } from "./key.js";
import { createLayers } from "./layers.js";
import { chooseModel, createModelChoice } from "./model_choice.js";
import { createOriginal } from "./original.js";
import { readPhoto } from "./photo.js";
import { createRunCard, describe } from "./run_card.js";
import { createRunner } from "./runs.js";
import { INITIAL, shownBy } from "./state.js";
import { createStore } from "./store.js";
import { tabs } from "./tabs.js";
import { TASKS } from "./tasks.js";

const store = createStore(INITIAL);
const api = createApi((error) => {
  store.set({ needsKey: true });
  keyForm.ask(error);
});
const keyForm = createKeyForm((key) => {
  api.useKey(key);
  void reload(true);
});
const classNamesOf = createClassNames(api);
const runner = createRunner(store, api, () => void reload(false));
const explain = createExplanation(store, api);
const refreshAccuracy = createAccuracy(api);
const layers = createLayers(store, api);
let photos = 0;
let reloads = 0;

createChooser(takePhoto);
createModelChoice(store, () => void reload(true));
createControls(store, (model) => TASKS[model.task].controls(model), classNamesOf);
createCodePanel(store);
const actions = { api, classNamesOf, explain, repeat: runner.repeat };
byId("hello").after(createOriginal(store), createRunCard(store, 0, actions), createRunCard(store, 1, actions));
arrange();
tabs(byId("tab-try").parentElement, showView);
forgetTicks();
announce();
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) void reload(false); // models may have been loaded or unloaded meanwhile
});
void reload(false);

/**
 * Reads the catalog.
 * @param {boolean} isRepeated Whether the requests are sent again, too, such as with another key.
 */
async function reload(isRepeated) {
  const number = ++reloads;
  try {
    const models = await loadCatalog(api);
    if (number === reloads) takeModels(models);
    keyForm.accept();
    if (!isRepeated) return;
    for (const slot of [0, 1]) runner.repeat(slot);
    if (!byId("view-accuracy").hidden) void refreshAccuracy();
  } catch (error) {
    if (number === reloads) store.set({ catalogProblem: error, isCatalogLoaded: true });
  }
}

/** @param {import("./catalog.js").Model[]} all */
function takeModels(all) {
  const models = all.filter((model) => !model.takesSignals);
  const { first, second, task } = store.get();
  const isServed = (/** @type {string} */ value) => models.some((model) => model.value === value);
  const chosen = isServed(first) ? first : (models.find((model) => model.task === task) ?? models[0])?.value;
  store.set({
    models,
    signals: all.filter((model) => model.takesSignals),
    isCatalogLoaded: true,
    catalogProblem: null,
    first: chosen === first ? first : "",
    second: isServed(second) ? second : "",
  });
  if (chosen && chosen !== first) chooseModel(store, chosen);
}

/**
 * @param {File} file
 * @param {import("./samples.js").Sample | null} sample
 */
async function takePhoto(file, sample) {
  const number = ++photos;
  const unread = {
    file,
    name: file.name || "photo.png",
    picture: null,
    width: 0,
    height: 0,
    isRead: false,
    number,
    credit: sample?.credit,
  };
  store.set({ photo: unread });
  const { models, first } = store.get();
  if (sample && !sample.models.includes(first)) {
    const fitting = sample.models.find((name) => models.some((model) => model.value === name));
    if (fitting) chooseModel(store, fitting);
  }
  if (matchMedia("(max-width: 820px)").matches) byId("result").scrollIntoView(); // it is below the controls there
  const photo = await readPhoto(file, unread.name);
  if (number === photos) store.set({ photo: { ...unread, ...photo, isRead: true } });
}

/** @param {HTMLElement} tab */
function showView(tab) {
  for (const name of ["try", "layers", "accuracy"]) byId(`view-${name}`).hidden = tab.id !== `tab-${name}`;
  if (tab.id === "tab-accuracy") void refreshAccuracy();
  if (tab.id !== "tab-layers") layers.close();
  if (tab.id === "tab-accuracy") return;
  const [side, card] = [byId(tab.id === "tab-layers" ? "layers-side" : "try-side"), byId("image-card")];
  if (!side.contains(card)) side.prepend(card); // one choice of an image for both views
  if (tab.id === "tab-layers") layers.open();
}

/** Lays the cards out: for no image, one answer, or two. */
function arrange() {
  const cards = byId("cards");
  store.watch(
    (now) => [Boolean(now.photo), now.second],
    ({ photo, second }) => {
      byId("hello").hidden = Boolean(photo);
      cards.classList.toggle("empty", !photo);
      cards.classList.toggle("two", Boolean(photo && second));
    },
  );
}

/** Ticks belong to an answer: with another one all objects are shown. */
function forgetTicks() {
  for (const slot of [0, 1]) {
    store.watch(
      (now) => [now.runs[slot].answer],
      ({ hidden, highlighted }) =>
        store.set({
          hidden: hidden.map((set, at) => (at === slot ? new Set() : set)),
          highlighted: highlighted?.slot === slot ? null : highlighted,
        }),
    );
  }
}

/** Says in one line what has happened, for screen readers, too. */
function announce() {
  const status = byId("status");
  store.watch(
    (now) => [now.runs, now.photo],
    (now) => {
      const lines = now.runs.flatMap((run, slot) => {
        if (run.status === "done") return [`${describe(run, shownBy(now, slot))}.`];
        return run.status === "waiting" ? [`Asking ${run.model?.value} …`] : [];
      });
      status.textContent = lines.join(" ");
    },
  );
}
