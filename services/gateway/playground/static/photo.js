/**
 * The chosen image: the file that is sent, and a picture of it that is not larger than a screen needs.
 * @module
 */

/** The longest side of the picture that is drawn, in pixels; the server gets the file as it is. */
const MOST_SIDE = 2048;

/**
 * @typedef {object} Photo
 * @property {Blob} file What is sent, byte by byte.
 * @property {string} name
 * @property {HTMLCanvasElement | null} picture Upright; null where this browser cannot show the format.
 * @property {number} width Of the upright image in pixels; 0 where it is unknown.
 * @property {number} height
 */

/**
 * Decodes a file for the screen.
 * @param {Blob} file
 * @param {string} name
 * @returns {Promise<Photo>}
 */
export async function readPhoto(file, name) {
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    const { width, height } = bitmap;
    const scale = Math.min(1, MOST_SIDE / Math.max(width, height));
    const picture = document.createElement("canvas");
    picture.width = Math.max(1, Math.round(width * scale));
    picture.height = Math.max(1, Math.round(height * scale));
    const context = picture.getContext("2d");
    if (context) {
      context.imageSmoothingQuality = "high";
      context.drawImage(bitmap, 0, 0, picture.width, picture.height);
    }
    bitmap.close();
    return { file, name, picture: context ? picture : null, width, height };
  } catch {
    return { file, name, picture: null, width: 0, height: 0 };
  }
}

/**
 * A size that people read.
 * @param {number} bytes
 */
export function formatBytes(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
