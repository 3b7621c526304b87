/**
 * Draws a photo, and the objects that were found on it.
 * @module
 */

import { css } from "./colours.js";
import { colourMask, covers, outline, rasterise } from "./masks.js";
import { drawSkeleton } from "./skeleton.js";

const FONT = "600 12px system-ui, sans-serif";
const LABEL_HEIGHT = 19;
/** With more objects than these, only the highlighted one has its label. */
const MOST_LABELS = 25;
const MASK_ALPHA = 115;

/** @typedef {import("./tasks.js").Found} Found */

/**
 * @typedef {object} Scene What a canvas shows.
 * @property {import("./photo.js").Photo | null} photo
 * @property {{width: number, height: number}} size Of the upright image in pixels.
 * @property {Found[]} found The objects, best first; none for the original.
 * @property {(one: Found) => [number, number, number]} colourOf
 * @property {Found | null} highlighted
 * @property {number} [leastPoint] Key points with a lower score are not drawn.
 */

/** @type {WeakMap<object, import("./masks.js").Bitmap>} Masks that were rasterised, by the answer's own object. */
const bitmaps = new WeakMap();
/** @type {WeakMap<object, {colour: string, canvas: HTMLCanvasElement | null}>} The same, coloured. */
const coloured = new WeakMap();

/**
 * Draws a scene at the size that the canvas has on the page.
 * @param {HTMLCanvasElement} canvas
 * @param {Scene} scene
 */
export function draw(canvas, scene) {
  const { width, height } = scene.size;
  const context = canvas.getContext("2d");
  if (!context) return;
  if (!width || !height) {
    context.clearRect(0, 0, canvas.width, canvas.height); // of the photo before
    return;
  }
  const shownWidth = canvas.clientWidth || width;
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  canvas.width = Math.max(1, Math.round(shownWidth * ratio));
  canvas.height = Math.max(1, Math.round((canvas.width * height) / width));
  const scale = canvas.width / width;
  context.imageSmoothingQuality = "high";
  if (scene.photo?.picture) context.drawImage(scene.photo.picture, 0, 0, canvas.width, canvas.height);
  if (scene.highlighted) dim(context, scene, scale);
  for (const one of [...scene.found].reverse()) {
    if (scene.highlighted && one !== scene.highlighted) continue;
    drawMask(context, one, scene.colourOf(one), scale);
    drawBox(context, one, scene.colourOf(one), scale, ratio);
    drawSkeleton(context, one, scene.colourOf(one), scale, ratio, scene.leastPoint ?? 0);
  }
  const labelled = scene.highlighted ? [scene.highlighted] : scene.found;
  if (labelled.length <= MOST_LABELS) {
    for (const one of [...labelled].reverse()) drawLabel(context, one, scene.colourOf(one), scale, ratio);
  }
}

/**
 * Dims everything but the box of the highlighted object.
 * @param {CanvasRenderingContext2D} context
 * @param {Scene} scene
 * @param {number} scale
 */
function dim(context, { photo, size, highlighted }, scale) {
  context.fillStyle = "rgb(0 0 0 / 0.5)";
  context.fillRect(0, 0, context.canvas.width, context.canvas.height);
  if (!photo?.picture || !highlighted?.box) return;
  const [left, top, right, bottom] = highlighted.box;
  const [width, height] = [right - left, bottom - top];
  const own = photo.picture.width / size.width;
  /** @type {(by: number) => [number, number, number, number]} */
  const scaled = (by) => [left * by, top * by, width * by, height * by];
  context.drawImage(photo.picture, ...scaled(own), ...scaled(scale));
}

/**
 * The object at a point: of several the smallest.
 * @param {Found[]} found
 * @param {number} x In pixels of the image.
 * @param {number} y
 * @returns {Found | null}
 */
export function objectAt(found, x, y) {
  const hit = found.filter((one) => {
    if (one.mask && !Array.isArray(one.mask)) return covers(bitmapOf(one.mask), x, y);
    if (!one.box) return Array.isArray(one.mask) && isWithin(one.mask, x, y);
    return x >= one.box[0] && y >= one.box[1] && x <= one.box[2] && y <= one.box[3];
  });
  return hit.sort((one, other) => areaOf(one) - areaOf(other))[0] ?? null;
}

/**
 * The heat of an explanation over the photo.
 * @param {HTMLCanvasElement} canvas
 * @param {Scene} scene
 * @param {HTMLCanvasElement} heat One pixel per value.
 * @param {[number, number, number, number]} area What it covers, in pixels of the upright image.
 * @param {number} alpha 0 to 1.
 */
export function drawHeat(canvas, scene, heat, area, alpha) {
  draw(canvas, { ...scene, found: [], highlighted: null });
  const context = canvas.getContext("2d");
  if (!context) return;
  const scale = canvas.width / scene.size.width;
  const [left, top, right, bottom] = area.map((edge) => edge * scale);
  context.globalAlpha = alpha;
  context.drawImage(heat, left, top, right - left, bottom - top);
  context.globalAlpha = 1;
  for (const one of scene.found) drawBox(context, one, [255, 255, 255], scale, window.devicePixelRatio || 1);
}

/** @param {any} mask */
function bitmapOf(mask) {
  let bitmap = bitmaps.get(mask);
  if (!bitmap) bitmaps.set(mask, (bitmap = rasterise(mask)));
  return bitmap;
}

/**
 * @param {any} mask
 * @param {[number, number, number]} colour
 */
function colouredMask(mask, colour) {
  const known = coloured.get(mask);
  if (known?.colour === css(colour)) return known.canvas;
  const canvas = colourMask(bitmapOf(mask), colour, MASK_ALPHA);
  coloured.set(mask, { colour: css(colour), canvas });
  return canvas;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Found} one
 * @param {[number, number, number]} colour
 * @param {number} scale
 */
function drawMask(context, one, colour, scale) {
  if (!one.mask) return;
  if (Array.isArray(one.mask)) {
    context.save();
    context.scale(scale, scale);
    const path = outline(one.mask);
    context.fillStyle = css(colour, MASK_ALPHA / 255);
    context.fill(path);
    context.strokeStyle = css(colour);
    context.lineWidth = 1.5 / scale;
    context.stroke(path);
    context.restore();
    return;
  }
  const canvas = colouredMask(one.mask, colour);
  if (!canvas) return;
  const { left, top, width, height, scale: own } = bitmapOf(one.mask);
  const factor = scale / own;
  context.drawImage(canvas, left * factor, top * factor, width * factor, height * factor);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Found} one
 * @param {[number, number, number]} colour
 * @param {number} scale
 * @param {number} ratio
 */
function drawBox(context, one, colour, scale, ratio) {
  if (!one.box) return;
  const [left, top, right, bottom] = one.box.map((edge) => edge * scale);
  const line = (one.mask ? 1.25 : 2.5) * ratio;
  context.lineJoin = "round";
  if (!one.mask) {
    context.strokeStyle = "rgb(0 0 0 / 0.55)"; // seen on a background of the same colour, too
    context.lineWidth = line + 2 * ratio;
    context.strokeRect(left, top, right - left, bottom - top);
  }
  context.strokeStyle = css(colour);
  context.lineWidth = line;
  context.strokeRect(left, top, right - left, bottom - top);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Found} one
 * @param {[number, number, number]} colour
 * @param {number} scale
 * @param {number} ratio
 */
function drawLabel(context, one, colour, scale, ratio) {
  const [left, top] = one.box ?? anchorOf(one);
  if (left === undefined) return;
  const text = `${one.className} ${Math.round(one.share * 100)}%`;
  context.save();
  context.scale(ratio, ratio);
  context.font = FONT;
  const width = context.measureText(text).width + 12;
  const most = context.canvas.width / ratio;
  const x = Math.max(0, Math.min((left * scale) / ratio - 1, most - width));
  const above = (top * scale) / ratio - LABEL_HEIGHT;
  const y = above >= 0 ? above : (top * scale) / ratio + 2;
  context.fillStyle = css(colour);
  context.beginPath();
  context.roundRect(x, y, width, LABEL_HEIGHT, 4);
  context.fill();
  context.fillStyle = "#0b0d0e";
  context.textBaseline = "middle";
  context.fillText(text, x + 6, y + LABEL_HEIGHT / 2 + 0.5);
  context.restore();
}

/**
 * Where the label of a region goes: its upper left corner.
 * @param {Found} one
 * @returns {number[]}
 */
function anchorOf(one) {
  if (!one.mask) return [];
  if (Array.isArray(one.mask)) {
    const corners = one.mask.flat();
    const along = (/** @type {number} */ offset) => Math.min(...every(corners, offset));
    return corners.length ? [along(0), along(1)] : [];
  }
  const { left, top, scale } = bitmapOf(one.mask);
  return [left / scale, top / scale];
}

/**
 * @param {number[]} corners
 * @param {number} offset
 */
function every(corners, offset) {
  return corners.filter((_, at) => at % 2 === offset).slice(0, 10_000);
}

/** @param {Found} one */
function areaOf(one) {
  if (one.areaPixels !== null) return one.areaPixels;
  return one.box ? (one.box[2] - one.box[0]) * (one.box[3] - one.box[1]) : Infinity;
}

/** @type {CanvasRenderingContext2D | null} */
let probe = null;

/**
 * @param {number[][]} rings
 * @param {number} x
 * @param {number} y
 */
function isWithin(rings, x, y) {
  probe ??= document.createElement("canvas").getContext("2d");
  return probe?.isPointInPath(outline(rings), x, y) ?? false;
}
