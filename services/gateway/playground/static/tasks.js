/**
 * The tasks: where each is asked, which parameters it has, and how its answers become the objects that are drawn.
 * @module
 */

/**
 * @typedef {object} Found An object, a class or a region of an answer.
 * @property {number} index Of the answer's list, which is sorted, best first.
 * @property {number} classId
 * @property {string} className
 * @property {number} share Score, probability or share of the image, 0 to 1.
 * @property {boolean} isScored Whether `share` is a score that a threshold is compared with.
 * @property {[number, number, number, number] | null} box Left, top, right, bottom in pixels of the upright image.
 * @property {any} mask As the answer has it: run lengths or polygons; or null.
 * @property {number | null} areaPixels
 * @property {KeyPoint[] | null} keyPoints In the order of the skeleton.
 * @property {[number, number][]} edges Of the skeleton: pairs of key points to draw lines between.
 */

/** @typedef {{name: string, x: number, y: number, score: number}} KeyPoint In pixels of the upright image. */

/**
 * @typedef {{className: string, classId: number}} ClassOf
 */

/**
 * @typedef {object} Parameters What the controls are set to; null: the model's own default.
 * @property {number | null} topK
 * @property {number | null} scoreThreshold
 * @property {number | null} keypointThreshold
 * @property {number | null} iouThreshold
 * @property {number | null} maxDetections
 * @property {ClassOf[] | null} classes Null: all.
 * @property {"rle" | "polygon"} maskFormat
 * @property {boolean} augment
 */

/**
 * @typedef {object} Task
 * @property {string} label
 * @property {string} path
 * @property {string} method Of the Python client.
 * @property {(model: import("./catalog.js").Model) => string[]} controls Names of its controls.
 * @property {boolean} [isUnexplained] Whether the server has no heat maps for it.
 */

/** @type {Parameters} */
export const NO_PARAMETERS = {
  topK: null,
  scoreThreshold: null,
  keypointThreshold: null,
  iouThreshold: null,
  maxDetections: null,
  classes: null,
  maskFormat: "rle",
  augment: false,
};

/** @type {Partial<Record<Range, number>>} Of the server, where the catalog leaves a parameter out. */
const DEFAULTS = { topK: 5 };

/** @typedef {"topK" | "scoreThreshold" | "keypointThreshold" | "iouThreshold" | "maxDetections"} Range Of numbers. */

/** @type {Record<Range, string>} The names of the API. */
const NAMES = {
  topK: "top_k",
  scoreThreshold: "score_threshold",
  keypointThreshold: "keypoint_threshold",
  iouThreshold: "iou_threshold",
  maxDetections: "max_detections",
};

/** The score threshold that the server is asked with, so that the control can go down to it without a new request. */
export const LEAST_SCORE = 0.05;

/** As many classes a classifier is asked for, so that the control can go up to it without a new request. */
export const MOST_CLASSES = 20;

/** @type {Record<string, Task>} By the catalog's name. */
export const TASKS = {
  classification: {
    label: "Classify",
    path: "v1/classify",
    method: "classify",
    controls: () => ["topK", "augment"],
  },
  detection: {
    label: "Detect",
    path: "v1/detect",
    method: "detect",
    controls: () => ["scoreThreshold", "classes", "iouThreshold", "maxDetections", "augment"],
  },
  segmentation: {
    label: "Segment",
    path: "v1/segment",
    method: "segment",
    controls: (model) =>
      model.segmentation === "semantic"
        ? ["classes", "maskFormat", "augment"]
        : ["scoreThreshold", "classes", "maxDetections", "maskFormat", "augment"],
  },
  keypoints: {
    label: "Pose",
    path: "v1/pose",
    method: "pose",
    controls: () => ["scoreThreshold", "keypointThreshold", "classes", "iouThreshold", "maxDetections", "augment"],
    isUnexplained: true,
  },
};

/**
 * The value that a control has for a model: its own, or the model's, or that of the server.
 * @param {Range} name
 * @param {Parameters} parameters
 * @param {import("./catalog.js").Model} model
 * @returns {number}
 */
export function valueOf(name, parameters, model) {
  return parameters[name] ?? model.defaults[NAMES[name]] ?? DEFAULTS[name];
}

/**
 * The query that asks for exactly what is shown; parameters that are the model's defaults are left out.
 * @param {Parameters} parameters
 * @param {import("./catalog.js").Model} model
 * @returns {Record<string, any>}
 */
export function shownQuery(parameters, model) {
  const controls = TASKS[model.task].controls(model);
  /** @type {Record<string, any>} */
  const query = { model: model.value };
  for (const name of /** @type {Range[]} */ (Object.keys(NAMES))) {
    const value = valueOf(name, parameters, model);
    if (controls.includes(name) && value !== valueOf(name, NO_PARAMETERS, model)) query[NAMES[name]] = value;
  }
  if (controls.includes("classes") && parameters.classes?.length)
    query.classes = parameters.classes.map(wordOf).join(",");
  if (controls.includes("maskFormat") && parameters.maskFormat !== "rle") query.mask_format = parameters.maskFormat;
  if (controls.includes("augment") && parameters.augment) query.augment = true;
  return query;
}

/**
 * A class in the parameter `classes`: its name, or its id where the name has a comma.
 * @param {ClassOf} one
 */
function wordOf({ className, classId }) {
  return className.includes(",") ? classId : className;
}

/**
 * The query of the page's own request: it asks for more than is shown, so that controls redraw without a new one.
 * @param {Parameters} parameters
 * @param {import("./catalog.js").Model} model
 * @returns {Record<string, any>}
 */
export function askedQuery(parameters, model) {
  const { classes: _, keypoint_threshold: __, ...query } = shownQuery(parameters, model);
  const controls = TASKS[model.task].controls(model);
  if (controls.includes("topK")) query.top_k = MOST_CLASSES;
  if (query.augment) return query; // merged predictions depend on the threshold, so nothing is filtered here
  if (controls.includes("scoreThreshold")) query.score_threshold = leastScore(model);
  const most = valueOf("maxDetections", NO_PARAMETERS, model);
  if (controls.includes("maxDetections") && valueOf("maxDetections", parameters, model) <= most) {
    delete query.max_detections;
  }
  return query;
}

/**
 * The lowest score threshold of the control.
 * @param {import("./catalog.js").Model} model
 */
export function leastScore(model) {
  return Math.min(LEAST_SCORE, valueOf("scoreThreshold", NO_PARAMETERS, model));
}

/**
 * The list of an answer.
 * @param {any} answer
 * @returns {Found[]}
 */
export function foundIn(answer) {
  return answer.predictions.map((/** @type {any} */ one, /** @type {number} */ index) => ({
    index,
    classId: one.class_id,
    className: one.class_name,
    share: one.score ?? one.probability ?? one.fraction ?? 0,
    isScored: one.score !== undefined,
    box: one.box ? [one.box.x_min, one.box.y_min, one.box.x_max, one.box.y_max] : null,
    mask: one.mask ?? null,
    areaPixels: one.area_pixels ?? null,
    keyPoints: one.keypoints ?? null,
    edges: answer.skeleton ?? [],
  }));
}

/**
 * What the parameters leave of an answer: what the server would have answered with them.
 * @param {Found[]} found
 * @param {Parameters} parameters
 * @param {import("./catalog.js").Model} model
 * @returns {Found[]}
 */
export function filter(found, parameters, model) {
  const controls = TASKS[model.task].controls(model);
  if (controls.includes("topK")) return found.slice(0, valueOf("topK", parameters, model));
  const threshold = valueOf("scoreThreshold", parameters, model);
  const left = found.filter(
    (one) =>
      (!one.isScored || one.share >= threshold) &&
      (!parameters.classes || parameters.classes.some(({ className }) => className === one.className)),
  );
  return controls.includes("maxDetections") ? left.slice(0, valueOf("maxDetections", parameters, model)) : left;
}
