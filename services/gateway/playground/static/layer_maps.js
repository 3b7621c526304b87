/**
 * The feature maps of a layer for the photo: all of them, one of them large, and what each of its units sees.
 * @module
 */

import { draw } from "./canvas.js";
import { element } from "./elements.js";
import { figure } from "./figure.js";
import { formatMs } from "./timing.js";

/** Pixels a side of the large map; smaller maps are enlarged by whole units. */
const LARGE_SIDE = 320;

/**
 * The maps of an answer to `method=features`.
 * @param {any} body The answer.
 * @param {any} photo
 * @returns {Node[]}
 */
export function mapsView(body, photo) {
  const size = body.image;
  const seen = figure("seen");
  const large = element("canvas", { id: "canvas-map", class: "map", role: "img" });
  const sheet = element("img", { class: "sheet", alt: `Maps of the layer ${body.layer}` });
  const marker = element("div", { class: "marker", "aria-hidden": "true" });
  const told = element("p", { class: "hint", id: "unit-told" });
  const at = { tile: 0, row: Math.floor(body.map.height / 2), column: Math.floor(body.map.width / 2) };
  const rows = slider("Row", { id: "unit-row" }, body.map.height, at.row, (row) => move({ row }));
  const columns = slider("Column", { id: "unit-column" }, body.map.width, at.column, (column) => move({ column }));

  /** @param {Partial<typeof at>} change */
  function move(change) {
    Object.assign(at, change);
    rows.set(at.row);
    columns.set(at.column);
    redraw();
  }
  function redraw() {
    drawLarge(large, sheet, body, at);
    place(marker, body, at, sheet);
    const area = areaOf(body, at);
    drawSeen(seen.canvas, photo, size, area);
    const words = tell(body, at, area);
    told.textContent = words;
    seen.canvas.setAttribute("aria-label", `The photo. ${words}`);
  }

  seen.frame.setSize(size);
  seen.frame.onResize(redraw);
  sheet.addEventListener("load", () => move({}));
  sheet.src = `data:image/png;base64,${body.sheet}`;
  follow(large, (x, y) => move(unitAt(x, y, body)));
  const holder = element("div", { class: "sheet-holder" }, sheet, marker);
  follow(holder, (x, y) => {
    const found = tileAt(x * sheet.naturalWidth, y * sheet.naturalHeight, body);
    if (found) move(found);
  });
  return [
    element(
      "div",
      { class: "seeing" },
      element("div", {}, element("h4", {}, "What one unit sees"), seen.frame),
      element("div", {}, element("h4", { id: "map-heading" }, "One map"), large),
    ),
    element("div", { class: "units" }, rows.element, columns.element),
    told,
    element("h4", {}, body.shown < body.channels ? `The ${body.shown} maps that vary most` : "All maps"),
    holder,
    element("p", { class: "hint facts" }, `${body.shown} of ${body.channels} maps · ${formatMs(body.took_ms)}`),
  ];
}

/**
 * @param {string} label
 * @param {{id: string}} identity
 * @param {number} count
 * @param {number} value From 0; people count from 1.
 * @param {(value: number) => void} onMove
 */
function slider(label, { id }, count, value, onMove) {
  const output = element("output", { for: id });
  const input = element("input", {
    type: "range",
    id,
    min: 1,
    max: count,
    step: 1,
    value: value + 1,
    on: { input: () => onMove(Number(input.value) - 1) },
  });
  return {
    element: element("div", { class: "field range" }, element("label", { for: id }, label), output, input),
    set(/** @type {number} */ now) {
      input.value = String(now + 1);
      output.textContent = `${now + 1} of ${count}`;
    },
  };
}

/**
 * Calls back with the place of the pointer, as shares of the element, while it moves over it and where it touches.
 * @param {HTMLElement} target
 * @param {(x: number, y: number) => void} onMove
 */
function follow(target, onMove) {
  const told = (/** @type {PointerEvent} */ event) => {
    const box = target.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    if (x >= 0 && y >= 0 && x < 1 && y < 1) onMove(x, y);
  };
  target.addEventListener("pointermove", told);
  target.addEventListener("pointerdown", told);
}

/**
 * @param {number} x Share of the map.
 * @param {number} y
 * @param {any} body
 */
function unitAt(x, y, body) {
  return { row: Math.floor(y * body.map.height), column: Math.floor(x * body.map.width) };
}

/**
 * The map on the sheet at a place, and its unit.
 * @param {number} x In pixels of the sheet.
 * @param {number} y
 * @param {any} body
 */
function tileAt(x, y, body) {
  const { width, height } = body.tile;
  const tile = body.tiles.findIndex(
    (/** @type {any} */ one) => x >= one.x && y >= one.y && x < one.x + width && y < one.y + height,
  );
  if (tile < 0) return null;
  const { x: left, y: top } = body.tiles[tile];
  return { tile, ...unitAt((x - left) / width, (y - top) / height, body) };
}

/**
 * What a unit sees: left, top, right, bottom in pixels of the photo; null where it is not known.
 * @param {any} body
 * @param {{row: number, column: number}} at
 */
function areaOf({ seen }, { row, column }) {
  if (!seen) return null;
  const [[top, bottom], [left, right]] = [seen.rows[row], seen.columns[column]];
  return [left, top, right, bottom];
}

/**
 * @param {any} body
 * @param {{tile: number, row: number, column: number}} at
 * @param {number[] | null} area
 */
function tell(body, at, area) {
  const unit = `Row ${at.row + 1}, column ${at.column + 1} of ${body.map.height} × ${body.map.width}`;
  const channel = `in channel ${body.tiles[at.tile].channel}`;
  if (!area) return `${unit} ${channel}: what it sees is not known.`;
  const { width, height } = body.image;
  const wide = Math.round(Math.min(width, area[2]) - Math.max(0, area[0]));
  const high = Math.round(Math.min(height, area[3]) - Math.max(0, area[1]));
  if (wide <= 0 || high <= 0) return `${unit} ${channel} sees padding alone.`;
  return `${unit} ${channel} can see ${wide} × ${high} pixels of the photo.`;
}

/**
 * Draws the photo, dim but for an area.
 * @param {HTMLCanvasElement} canvas
 * @param {any} photo
 * @param {{width: number, height: number}} size
 * @param {number[] | null} area
 */
function drawSeen(canvas, photo, size, area) {
  draw(canvas, { photo, size, found: [], colourOf: () => [0, 0, 0], highlighted: null });
  const context = canvas.getContext("2d");
  if (!context || !area) return;
  const scale = canvas.width / size.width;
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const [left, top] = [Math.max(0, area[0]) * scale, Math.max(0, area[1]) * scale];
  const right = Math.min(size.width, area[2]) * scale;
  const bottom = Math.min(size.height, area[3]) * scale;
  context.fillStyle = "rgb(0 0 0 / 0.55)";
  context.beginPath();
  context.rect(0, 0, canvas.width, canvas.height);
  if (right > left && bottom > top) context.rect(left, top, right - left, bottom - top);
  context.fill("evenodd");
  if (right <= left || bottom <= top) return;
  for (const [colour, width] of /** @type {[string, number][]} */ ([["rgb(0 0 0 / 0.7)", 4], ["rgb(45 212 191)", 2]])) {
    context.strokeStyle = colour;
    context.lineWidth = width * ratio;
    context.strokeRect(left, top, right - left, bottom - top);
  }
}

/**
 * Draws one map of the sheet large, with its unit.
 * @param {HTMLCanvasElement} canvas
 * @param {HTMLImageElement} sheet
 * @param {any} body
 * @param {{tile: number, row: number, column: number}} at
 */
function drawLarge(canvas, sheet, body, at) {
  const { height: rows, width: columns } = body.map;
  const cell = Math.max(1, Math.floor(LARGE_SIDE / Math.max(rows, columns)));
  [canvas.width, canvas.height] = [columns * cell, rows * cell];
  canvas.style.aspectRatio = `${columns} / ${rows}`;
  canvas.setAttribute("aria-label", `Map of channel ${body.tiles[at.tile].channel} of the layer ${body.layer}`);
  const context = canvas.getContext("2d");
  if (!context || !sheet.complete || !sheet.naturalWidth) return;
  context.imageSmoothingEnabled = false;
  const { x, y } = body.tiles[at.tile];
  context.drawImage(sheet, x, y, body.tile.width, body.tile.height, 0, 0, canvas.width, canvas.height);
  const side = Math.max(8, cell); // seen where units are smaller than that
  const [left, top] = [(at.column + 0.5) * cell - side / 2, (at.row + 0.5) * cell - side / 2];
  context.lineWidth = 4;
  context.strokeStyle = "rgb(0 0 0 / 0.7)";
  context.strokeRect(left, top, side, side);
  context.lineWidth = 2;
  context.strokeStyle = "white";
  context.strokeRect(left, top, side, side);
}

/**
 * Puts the frame on the map that is shown large.
 * @param {HTMLElement} marker
 * @param {any} body
 * @param {{tile: number}} at
 * @param {HTMLImageElement} sheet
 */
function place(marker, body, at, sheet) {
  const [width, height] = [sheet.naturalWidth || 1, sheet.naturalHeight || 1];
  const { x, y } = body.tiles[at.tile];
  marker.style.left = `${(x / width) * 100}%`;
  marker.style.top = `${(y / height) * 100}%`;
  marker.style.width = `${(body.tile.width / width) * 100}%`;
  marker.style.height = `${(body.tile.height / height) * 100}%`;
}
