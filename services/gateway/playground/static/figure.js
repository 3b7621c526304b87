/**
 * A canvas in a frame of the image's shape, so that nothing moves when it is drawn.
 * @module
 */

import { element } from "./elements.js";

/** The tallest that an image is shown, as a share of the window's height. */
const MOST_HEIGHT = 0.72;

/**
 * Makes the canvas.
 * @param {string} name Part of its id.
 * @returns {{frame: any, canvas: HTMLCanvasElement, note: HTMLElement}} `frame` has `setSize` and `onResize`.
 */
export function figure(name) {
  const canvas = element("canvas", { id: `canvas-${name}`, role: "img", "aria-label": "No image" });
  const note = element("p", { class: "note" });
  const frame = element("div", { class: "frame" }, canvas, note);
  let [width, height] = [0, 0];

  function fit() {
    if (!width || !height) return;
    const most = Math.max(240, window.innerHeight * MOST_HEIGHT);
    canvas.style.aspectRatio = `${width} / ${height}`;
    canvas.style.width = `min(100%, ${Math.round((most * width) / height)}px)`;
  }

  frame.setSize = (/** @type {{width: number, height: number}} */ size) => {
    if (!size.width || (size.width === width && size.height === height)) return;
    [width, height] = [size.width, size.height];
    fit();
  };
  frame.onResize = (/** @type {() => void} */ listener) => {
    let shown = 0;
    new ResizeObserver(() => {
      if (canvas.clientWidth === shown) return;
      shown = canvas.clientWidth;
      listener();
    }).observe(canvas);
    window.addEventListener("resize", fit);
  };
  return { frame, canvas, note };
}
