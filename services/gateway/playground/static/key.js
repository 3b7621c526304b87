/**
 * The API key: asked for where the server wants one, and kept in memory only.
 * @module
 */

import { byId } from "./elements.js";

/** What a key consists of: visible ASCII characters, as a header has them. */
const KEY = /^[!-~]+$/;

/**
 * Makes the form of the key work.
 * @param {(key: string) => void} onKey Called with a key to use, and with an empty one to forget it.
 * @returns {{ask: (error: import("./api.js").ApiError) => void, accept: () => void}} `ask` opens the form and says why;
 *     `accept` closes it, after a request with the key has succeeded.
 */
export function createKeyForm(onKey) {
  const [panel, open, input] = [byId("key-panel"), byId("key-open"), byId("key-input")];
  const problem = byId("key-problem");
  let isAsked = false;

  /** @param {boolean} isOpen */
  function show(isOpen) {
    panel.hidden = !isOpen;
    open.setAttribute("aria-expanded", String(isOpen));
  }

  open.addEventListener("click", () => {
    show(panel.hidden);
    if (!panel.hidden) input.focus();
  });
  byId("key-form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const key = input.value.trim();
    problem.textContent = KEY.test(key) ? "" : "A key has letters, digits and signs of ASCII only, and no spaces.";
    if (!problem.textContent) onKey(key);
  });
  byId("key-forget").addEventListener("click", () => {
    input.value = "";
    problem.textContent = "";
    onKey("");
  });
  return {
    ask(error) {
      const isFirst = !isAsked && error.status === 401;
      isAsked = true;
      problem.textContent = isFirst ? "This server needs an API key." : refusal(error);
      show(true);
      input.focus();
    },
    accept() {
      problem.textContent = "";
      if (isAsked) show(false);
      isAsked = false;
    },
  };
}

/** @param {import("./api.js").ApiError} error */
function refusal(error) {
  if (error.status === 401) return `This server needs an API key (${error.code}).`;
  return `The server does not accept this key (${error.code}): ${error.message}.`;
}
