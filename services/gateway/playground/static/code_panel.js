/**
 * The panel with the code of the shown request.
 * @module
 */

import { LANGUAGES } from "./code.js";
import { byId, element } from "./elements.js";
import { tabs } from "./tabs.js";
import { TASKS, shownQuery } from "./tasks.js";

/** What stands for a photo that was not chosen yet. */
const NO_PHOTO = { name: "photo.jpg", file: { type: "image/jpeg" } };
const DONE_MS = 1600;

/**
 * Makes the panel; it follows the state.
 * @param {import("./store.js").Store<any>} store
 */
export function createCodePanel(store) {
  const [list, panel, copy] = [byId("languages"), byId("code"), byId("copy")];
  let language = LANGUAGES[0];
  list.append(
    ...LANGUAGES.map(({ name, label }, at) =>
      element(
        "button",
        {
          type: "button",
          role: "tab",
          id: `language-${name}`,
          "aria-controls": "code",
          "aria-selected": at === 0 ? "true" : "false",
        },
        label,
      ),
    ),
  );
  tabs(list, (tab) => {
    language = LANGUAGES.find(({ name }) => tab.id === `language-${name}`) ?? LANGUAGES[0];
    panel.setAttribute("aria-labelledby", tab.id);
    write();
  });
  store.watch((now) => [now.photo, now.models, now.first, now.parameters, now.needsKey], write);

  function write() {
    panel.firstElementChild.textContent = language.write(shownRequest(store.get()));
  }

  copy.addEventListener("click", async () => {
    const text = panel.textContent;
    const isCopied = await copyText(text, panel);
    copy.textContent = isCopied ? "Copied" : "Press Ctrl+C";
    window.setTimeout(() => (copy.textContent = "Copy"), DONE_MS);
  });
}

/** @param {any} now The state. */
function shownRequest({ photo, models, first, task, parameters, needsKey }) {
  const model = models.find((/** @type {any} */ one) => one.value === first);
  const { path, method } = TASKS[task];
  const { name, file } = photo ?? NO_PHOTO;
  return {
    origin: new URL(".", document.baseURI).href,
    path,
    method,
    query: model ? shownQuery(parameters, model) : {},
    fileName: name,
    mediaType: file.type || "application/octet-stream",
    needsKey,
  };
}

/**
 * Copies a text, or selects it where the browser does not let pages copy.
 * @param {string} text
 * @param {Element} shown
 */
async function copyText(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    window.getSelection()?.selectAllChildren(shown);
    return false;
  }
}
