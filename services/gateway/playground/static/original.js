/**
 * The card of the original image.
 * @module
 */

import { draw } from "./canvas.js";
import { element } from "./elements.js";
import { figure } from "./figure.js";
import { formatBytes } from "./photo.js";

/**
 * Makes the card; it follows the state.
 * @param {import("./store.js").Store<any>} store
 * @returns {HTMLElement}
 */
export function createOriginal(store) {
  const { frame, canvas, note } = figure("original");
  const facts = element("p", { class: "hint facts", id: "image-facts" });
  const card = element(
    "section",
    { class: "card original", "aria-labelledby": "original-heading" },
    element("h2", { id: "original-heading" }, "Original"),
    frame,
    facts,
  );
  function redraw() {
    const { photo, runs } = store.get();
    const size = sizeOf(photo, runs);
    draw(canvas, { photo, size, found: [], colourOf: () => [0, 0, 0], highlighted: null });
  }
  store.watch(
    (now) => [now.photo, now.runs[0].answer],
    ({ photo, runs }) => {
      const size = sizeOf(photo, runs);
      card.hidden = !photo;
      if (!photo) return;
      frame.setSize(size);
      canvas.setAttribute("aria-label", `Original: ${photo.name}`);
      note.textContent =
        photo.isRead && !photo.picture ? "This browser cannot show the image. The server may read it." : "";
      const pixels = size.width ? `${size.width} × ${size.height} pixels, ` : "";
      const parts = [photo.name, pixels + formatBytes(photo.file.size), photo.credit];
      facts.textContent = parts.filter(Boolean).join(" · ");
      redraw();
    },
  );
  frame.onResize(redraw);
  return card;
}

/**
 * The size of the upright image: as the server says, or as the browser does.
 * @param {import("./photo.js").Photo | null} photo
 * @param {import("./runs.js").Run[]} runs
 * @returns {{width: number, height: number}}
 */
export function sizeOf(photo, runs) {
  const told = runs.find((run) => run.answer?.image)?.answer.image;
  return told ?? { width: photo?.width ?? 0, height: photo?.height ?? 0 };
}
