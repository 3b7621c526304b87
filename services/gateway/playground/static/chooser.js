/**
 * Ways to an image: a file, the camera, the clipboard, a drop, and the samples.
 * @module
 */

import { byId, button, element } from "./elements.js";
import { SAMPLES, loadSample } from "./samples.js";

/**
 * Makes the choice of an image work.
 * @param {(file: File, sample: import("./samples.js").Sample | null) => void} onFile
 */
export function createChooser(onFile) {
  const problem = byId("image-problem");
  let latest = 0; // number of the last choice

  /**
   * @param {ArrayLike<File>} files
   * @param {import("./samples.js").Sample | null} [sample]
   */
  function take(files, sample = null) {
    latest++;
    const nothing = "There is no file in that. Drop or paste an image file.";
    const several = `Only the first of these ${files.length} files is taken.`;
    problem.textContent = files.length === 0 ? nothing : files.length > 1 ? several : "";
    if (files.length) onFile(files[0], sample);
  }

  for (const input of [byId("file"), byId("camera")]) {
    input.addEventListener("change", () => {
      if (input.files.length) take(input.files);
      input.value = ""; // so that the same file can be chosen again
    });
  }
  document.addEventListener("paste", (event) => {
    const isText = event.target instanceof HTMLInputElement;
    const files = event.clipboardData?.files ?? [];
    if (files.length || !isText) take(files);
  });
  createDrop(take);
  byId("samples").append(...SAMPLES.map((sample) => sampleButton(sample)));

  /** @param {import("./samples.js").Sample} sample */
  function sampleButton(sample) {
    const picture = element("img", {
      src: `playground/thumbnail-${sample.name}.jpg`,
      alt: "",
      width: 60,
      height: 60,
      loading: "lazy",
    });
    async function choose() {
      const own = ++latest;
      try {
        const file = await loadSample(sample);
        if (own === latest) take([file], sample); // or something else was chosen meanwhile
      } catch {
        if (own === latest) problem.textContent = "The sample cannot be loaded. Is the server still running?";
      }
    }
    const made = button("", choose, { class: "sample", id: `sample-${sample.name}`, title: sample.credit });
    made.append(picture, element("span", {}, sample.label));
    return made;
  }
}

/** @param {(files: ArrayLike<File>) => void} take */
function createDrop(take) {
  const drop = byId("drop");
  let depth = 0; // enters minus leaves: children of the page fire them, too

  /** @param {number} now */
  function setDepth(now) {
    depth = Math.max(0, now);
    drop.classList.toggle("over", depth > 0);
  }

  document.addEventListener("dragenter", () => setDepth(depth + 1));
  document.addEventListener("dragleave", () => setDepth(depth - 1));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    setDepth(0);
    take(event.dataTransfer?.files ?? []);
  });
}
