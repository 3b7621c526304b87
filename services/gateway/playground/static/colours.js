/**
 * Colours of objects, stages and heat.
 * @module
 */

/** @type {[number, number, number][]} Bright enough for dark text on them, and seen on light and dark photos. */
const PALETTE = [
  [45, 212, 191],
  [251, 146, 60],
  [129, 140, 248],
  [250, 204, 21],
  [244, 114, 182],
  [74, 222, 128],
  [56, 189, 248],
  [248, 113, 113],
  [192, 132, 252],
  [163, 230, 53],
  [253, 186, 116],
  [103, 232, 249],
];

/**
 * The colour of each object: by class where there are several, else by object.
 * @param {import("./tasks.js").Found[]} found
 * @returns {(one: import("./tasks.js").Found) => [number, number, number]}
 */
export function coloursOf(found) {
  const hasClasses = new Set(found.map((one) => one.classId)).size > 1;
  return (one) => PALETTE[(hasClasses ? one.classId : one.index) % PALETTE.length];
}

/**
 * As CSS has it.
 * @param {[number, number, number]} colour
 * @param {number} [alpha]
 */
export function css(colour, alpha = 1) {
  return `rgb(${colour.join(" ")} / ${alpha})`;
}

/** @type {[number, number, number][]} From nothing to much, dark to light, of even steps in lightness. */
const HEAT = [
  [13, 8, 80],
  [94, 15, 128],
  [172, 40, 112],
  [230, 84, 72],
  [252, 152, 40],
  [246, 232, 90],
];

/**
 * The colour of an amount of heat.
 * @param {number} value 0 to 1.
 * @returns {[number, number, number]}
 */
export function heatColour(value) {
  const place = Math.max(0, Math.min(1, value)) * (HEAT.length - 1);
  const [low, high] = [HEAT[Math.floor(place)], HEAT[Math.ceil(place)]];
  const part = place - Math.floor(place);
  return /** @type {[number, number, number]} */ (low.map((from, at) => Math.round(from + part * (high[at] - from))));
}
