/**
 * Masks of an answer as pictures: COCO's compressed run lengths, and polygons.
 * @module
 */

/** The longest side that a mask is drawn with, in pixels. */
const MOST_SIDE = 1024;

/**
 * @typedef {object} Bitmap A mask, cut to where it is.
 * @property {number} scale Pixels of this per pixel of the image.
 * @property {number} left In pixels of this, from the image's corner.
 * @property {number} top
 * @property {number} width
 * @property {number} height
 * @property {Uint8Array} inside Row by row: 1 inside, 0 outside.
 */

/**
 * The lengths of the runs of pixels, column by column: outside, inside, outside …
 *
 * A letter holds five bits of a number, the lowest first, and whether more follow; from the fourth on, a number is what
 * a length has more than the one two before it. Source: `rleFrString` in
 * https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c
 * @param {string} counts
 * @returns {number[]}
 */
export function decodeRunLengths(counts) {
  /** @type {number[]} */
  const lengths = [];
  let number = 0;
  let shift = 0;
  for (let place = 0; place < counts.length; place++) {
    const bits = counts.charCodeAt(place) - 48;
    number |= (bits & 0x1f) << shift;
    shift += 5;
    if (bits & 0x20) continue;
    if (bits & 0x10 && shift < 32) number |= -1 << shift;
    lengths.push(lengths.length > 2 ? number + lengths[lengths.length - 2] : number);
    number = 0;
    shift = 0;
  }
  return lengths;
}

/**
 * Draws run lengths.
 * @param {{size: [number, number], counts: string}} mask `size` is (height, width).
 * @returns {Bitmap}
 */
export function rasterise(mask) {
  const [height, width] = mask.size;
  const scale = Math.min(1, MOST_SIDE / Math.max(height, width));
  const [rows, columns] = [Math.max(1, Math.round(height * scale)), Math.max(1, Math.round(width * scale))];
  const whole = new Uint8Array(rows * columns);
  const drawnOf = new Int32Array(width).fill(-1); // of a column of the image: the one that is drawn, if any
  for (let drawn = 0; drawn < columns; drawn++) {
    drawnOf[Math.min(width - 1, Math.floor((drawn + 0.5) / scale))] = drawn;
  }
  let [left, top, right, bottom] = [columns, rows, 0, 0];
  let start = 0;
  decodeRunLengths(mask.counts).forEach((length, index) => {
    const end = start + length;
    if (index % 2 === 1 && length > 0) {
      const lastColumn = Math.floor((end - 1) / height);
      for (let column = Math.floor(start / height); column <= lastColumn; column++) {
        const drawn = drawnOf[column];
        if (drawn < 0) continue;
        const first = Math.max(0, start - column * height);
        const last = Math.min(height, end - column * height);
        const from = Math.max(0, Math.ceil(first * scale - 0.5));
        const to = Math.min(rows, Math.ceil(last * scale - 0.5));
        for (let row = from; row < to; row++) whole[row * columns + drawn] = 1;
        if (from < to) {
          [left, right] = [Math.min(left, drawn), Math.max(right, drawn + 1)];
          [top, bottom] = [Math.min(top, from), Math.max(bottom, to)];
        }
      }
    }
    start = end;
  });
  return cut(whole, columns, scale, left, top, right, bottom);
}

/**
 * @param {Uint8Array} whole
 * @param {number} columns
 * @param {number} scale
 * @param {number} left
 * @param {number} top
 * @param {number} right
 * @param {number} bottom
 * @returns {Bitmap}
 */
function cut(whole, columns, scale, left, top, right, bottom) {
  const [width, height] = [Math.max(0, right - left), Math.max(0, bottom - top)];
  const inside = new Uint8Array(width * height);
  for (let row = 0; row < height; row++) {
    const from = (top + row) * columns + left;
    inside.set(whole.subarray(from, from + width), row * width);
  }
  return { scale, left, top, width, height, inside };
}

/**
 * Whether a point lies within a mask.
 * @param {Bitmap} bitmap
 * @param {number} x In pixels of the image.
 * @param {number} y
 */
export function covers(bitmap, x, y) {
  const column = Math.floor(x * bitmap.scale) - bitmap.left;
  const row = Math.floor(y * bitmap.scale) - bitmap.top;
  const isWithin = column >= 0 && row >= 0 && column < bitmap.width && row < bitmap.height;
  return isWithin && bitmap.inside[row * bitmap.width + column] === 1;
}

/**
 * Colours a mask: translucent, with a firm edge.
 * @param {Bitmap} bitmap
 * @param {[number, number, number]} colour Red, green, blue, 0 to 255.
 * @param {number} alpha Of the inside, 0 to 255.
 * @returns {HTMLCanvasElement | null} Null where the mask is empty.
 */
export function colourMask(bitmap, colour, alpha) {
  const { width, height, inside } = bitmap;
  if (!width || !height) return null;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  if (!context) return null;
  const image = context.createImageData(width, height);
  const is = (/** @type {number} */ row, /** @type {number} */ column) =>
    row >= 0 && column >= 0 && row < height && column < width && inside[row * width + column] === 1;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = row * width + column;
      if (!inside[at]) continue;
      const isEdge = !(is(row - 1, column) && is(row + 1, column) && is(row, column - 1) && is(row, column + 1));
      image.data.set([...colour, isEdge ? 255 : alpha], at * 4);
    }
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/**
 * The outline of polygons, in pixels of the image.
 * @param {number[][]} rings Each x, y, x, y …
 * @returns {Path2D}
 */
export function outline(rings) {
  const path = new Path2D();
  for (const ring of rings) {
    for (let at = 0; at + 1 < ring.length; at += 2) {
      if (at === 0) path.moveTo(ring[0], ring[1]);
      else path.lineTo(ring[at], ring[at + 1]);
    }
    path.closePath();
  }
  return path;
}
