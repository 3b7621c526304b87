/**
 * Errors, shown where they belong: code, message, and what can be done.
 * @module
 */

import { ApiError } from "./api.js";
import { button, element } from "./elements.js";

/** @type {Record<string, string>} What the page adds to a message of the server, by code. */
const ADVICE = {
  image_too_large: "The server reads the size off the file's header, and refuses it before it is decoded.",
  unsupported_content_type: "Choose an image file.",
  unauthorized: "Enter an API key above.",
  forbidden: "Enter another API key above.",
  out_of_time: "The server gave up; a smaller image is faster.",
  overloaded: "The server has too much to do at the moment.",
  not_ready: "The model is not ready yet.",
};

/**
 * An error in place, announced by screen readers.
 * @param {unknown} error
 * @param {(() => void) | null} [retry] What "Try again" does; null: it is not offered.
 * @returns {HTMLElement}
 */
export function problem(error, retry = null) {
  const told = error instanceof ApiError ? error : new ApiError(0, "page_error", String(error));
  const head = element("p", {}, element("code", {}, told.code), told.status ? ` ${told.status}` : "");
  const lines = [head, element("p", { class: "message" }, capitalise(told.message))];
  if (ADVICE[told.code]) lines.push(element("p", {}, ADVICE[told.code]));
  if (told.retryAfterS !== null) lines.push(element("p", {}, `Try again in ${told.retryAfterS} s.`));
  if (told.requestId) lines.push(element("p", { class: "hint" }, `Request ${told.requestId}`));
  if (retry && told.isTemporary) lines.push(button("Try again", retry));
  return element("div", { class: "problem", role: "alert" }, ...lines);
}

/** @param {string} text */
function capitalise(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
