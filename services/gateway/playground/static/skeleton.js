/**
 * Draws the key points of an object, and the lines between them.
 * @module
 */

import { css } from "./colours.js";

const DOT = 3.5;

/**
 * Draws a skeleton.
 * @param {CanvasRenderingContext2D} context
 * @param {import("./tasks.js").Found} one
 * @param {[number, number, number]} colour
 * @param {number} scale Pixels of the canvas per pixel of the image.
 * @param {number} ratio Pixels of the canvas per pixel of the page.
 * @param {number} least Key points with a lower score are left out.
 */
export function drawSkeleton(context, one, colour, scale, ratio, least) {
  const points = one.keyPoints ?? [];
  const isSeen = (/** @type {number} */ at) => points[at]?.score >= least;
  const lines = new Path2D();
  for (const [from, to] of one.edges.filter(([from, to]) => isSeen(from) && isSeen(to))) {
    lines.moveTo(points[from].x * scale, points[from].y * scale);
    lines.lineTo(points[to].x * scale, points[to].y * scale);
  }
  const dots = new Path2D();
  for (const point of points.filter((_, at) => isSeen(at))) {
    dots.moveTo(point.x * scale + DOT * ratio, point.y * scale);
    dots.arc(point.x * scale, point.y * scale, DOT * ratio, 0, 2 * Math.PI);
  }
  context.lineCap = "round";
  for (const [style, width] of /** @type {[string, number][]} */ ([
    ["rgb(0 0 0 / 0.55)", 5],
    [css(colour), 2.5],
  ])) {
    context.strokeStyle = style;
    context.lineWidth = width * ratio;
    context.stroke(lines);
  }
  context.fillStyle = "#ffffff";
  context.fill(dots);
  context.strokeStyle = css(colour);
  context.lineWidth = 2 * ratio;
  context.stroke(dots);
}
