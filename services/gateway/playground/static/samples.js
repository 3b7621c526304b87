/**
 * The sample images that come with the page, with the models that know what is on them.
 * @module
 */

/**
 * @typedef {object} Sample
 * @property {string} name
 * @property {string} label
 * @property {string[]} models That suit it, the best first.
 * @property {string} credit Source and licence.
 */

/** @type {Sample[]} */
export const SAMPLES = [
  {
    name: "astronaut",
    label: "Astronaut",
    models: ["yolo-person", "faster-rcnn-person", "mask-rcnn-person", "unet-person"],
    credit: "Eileen Collins, NASA (public domain)",
  },
  {
    name: "coffee",
    label: "Coffee",
    models: ["efficientnet-lite0"],
    credit: "photo by Rachel Michetti (CC0)",
  },
  {
    name: "nuclei",
    label: "Nuclei",
    models: ["mask-rcnn-nuclei", "unet-nuclei"],
    credit: "made up, drawn by a script",
  },
  {
    name: "digits",
    label: "Digits",
    models: ["yolo-digits"],
    credit: "a built-in scene, made of scikit-learn's digits (CC BY 4.0)",
  },
];

/**
 * Loads a sample.
 * @param {Sample} sample
 * @returns {Promise<File>}
 */
export async function loadSample(sample) {
  const response = await fetch(`playground/sample-${sample.name}.jpg`);
  if (!response.ok) throw new Error("the sample cannot be loaded");
  return new File([await response.blob()], `${sample.name}.jpg`, { type: "image/jpeg" });
}
