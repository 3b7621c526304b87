/**
 * How much boxes overlap.
 * @module
 */

/**
 * Intersection over union of two boxes.
 * @param {number[] | null} one
 * @param {number[] | null} other
 */
export function overlap(one, other) {
  if (!one || !other) return 0;
  const width = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const height = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  const shared = Math.max(0, width) * Math.max(0, height);
  const area = (/** @type {number[]} */ box) => (box[2] - box[0]) * (box[3] - box[1]);
  return shared / (area(one) + area(other) - shared);
}
