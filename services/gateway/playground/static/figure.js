/**
 * A canvas in a frame of the image's shape, so that nothing moves when it is drawn.
 * @module
 */

import { element } from "./elements.js";

/** The tallest that an image is shown. */
const MOST_HEIGHT = "max(240px, 72vh)";

/**
 * Makes the canvas.
 * @param {string} name Part of its id.
 * @returns {{frame: any, canvas: HTMLCanvasElement, note: HTMLElement}} `frame` has `setSize` and `onResize`.
 */
export function figure(name) {
  const canvas = element("canvas", { id: `canvas-${name}`, role: "img", "aria-label": "No image" });
  const note = element("p", { class: "note" });
  const frame = element("div", { class: "frame" }, canvas, note);

  frame.setSize = (/** @type {{width: number, height: number}} */ { width, height }) => {
    if (!width || !height) return;
    canvas.style.aspectRatio = `${width} / ${height}`;
    canvas.style.width = `min(100%, calc(${MOST_HEIGHT} * ${width / height}))`;
  };
  frame.onResize = (/** @type {() => void} */ listener) => {
    let shown = 0;
    new ResizeObserver(() => {
      if (canvas.clientWidth === shown) return;
      shown = canvas.clientWidth;
      listener();
    }).observe(canvas);
  };
  return { frame, canvas, note };
}
