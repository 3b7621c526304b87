/**
 * Requests to the server that this page came from. The API key lives here, in memory, and nowhere else.
 * @module
 */

/** An error of the server, or of the way to it. */
export class ApiError extends Error {
  /**
   * @param {number} status HTTP status; 0 where there was no response.
   * @param {string} code
   * @param {string} message
   * @param {{requestId?: string, retryAfterS?: number | null, details?: any}} [more]
   */
  constructor(status, code, message, more = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.requestId = more.requestId ?? "";
    this.retryAfterS = more.retryAfterS ?? null;
    this.details = more.details ?? {};
  }

  /** Whether the server asks for a key, or for another one. */
  get isAboutKey() {
    return this.status === 401 || this.status === 403;
  }

  /** Whether the same request may succeed later. */
  get isTemporary() {
    return [0, 408, 429, 502, 503, 504].includes(this.status);
  }
}

/**
 * @typedef {object} Reply
 * @property {any} body The JSON.
 * @property {string} timing The header `Server-Timing`.
 * @property {number} tookMs From sending to the last byte, as this browser measured it.
 */

/**
 * @typedef {object} Api
 * @property {(key: string) => void} useKey
 * @property {() => boolean} hasKey
 * @property {(path: string, signal?: AbortSignal) => Promise<Reply>} get
 * @property {(path: string, query: Record<string, any>, body: Blob | object, signal?: AbortSignal) => Promise<Reply>}
 *     post Sends a file as it is, and anything else as JSON.
 */

/**
 * Makes the connection to the server.
 * @param {(error: ApiError) => void} onKeyError Called with every 401 and 403.
 * @returns {Api}
 */
export function createApi(onKeyError) {
  let key = "";

  /**
   * @param {string} path
   * @param {RequestInit} options
   * @returns {Promise<Reply>}
   */
  async function send(path, options) {
    const headers = { Accept: "application/json", ...options.headers, ...(key ? { "X-API-Key": key } : {}) };
    const startedMs = performance.now();
    try {
      const response = await fetch(path, { ...options, headers });
      const text = await response.text();
      const tookMs = performance.now() - startedMs;
      if (!response.ok) throw errorOf(response, text);
      return { body: JSON.parse(text), timing: response.headers.get("Server-Timing") ?? "", tookMs };
    } catch (error) {
      const told = translate(error);
      if (told instanceof ApiError && told.isAboutKey) onKeyError(told);
      throw told;
    }
  }

  return {
    useKey(given) {
      key = given;
    },
    hasKey: () => key !== "",
    get: (path, signal) => send(path, { signal }),
    post: (path, query, body, signal) => send(withQuery(path, query), { method: "POST", signal, ...content(body) }),
  };
}

/**
 * The URL of a path with a query; what is null or undefined is left out.
 * @param {string} path
 * @param {Record<string, any>} query
 */
export function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
  const encoded = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  const text = encoded.replaceAll("%2C", ",").replaceAll("%2F", "/"); // which a query may have, and people read
  return text ? `${path}?${text}` : path;
}

/**
 * Whether an error only says that a request was replaced by a later one.
 * @param {unknown} error
 */
export function isAborted(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/** @param {Blob | object} body */
function content(body) {
  if (body instanceof Blob) return { body, headers: { "Content-Type": body.type || "application/octet-stream" } };
  return { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
}

/**
 * @param {Response} response
 * @param {string} text
 */
function errorOf(response, text) {
  const retryAfter = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  const retryAfterS = Number.isFinite(retryAfter) ? retryAfter : null;
  try {
    const { code, message, request_id: requestId, details } = JSON.parse(text).error;
    return new ApiError(response.status, String(code), String(message), { requestId, retryAfterS, details });
  } catch {
    return new ApiError(response.status, `http_${response.status}`, "the server sent an error page", { retryAfterS });
  }
}

/**
 * @param {unknown} error
 * @returns {unknown}
 */
function translate(error) {
  if (error instanceof ApiError || isAborted(error)) return error;
  if (error instanceof SyntaxError) return new ApiError(0, "no_json", "the server's answer is not JSON");
  const message = navigator.onLine ? "the server cannot be reached; is it still running?" : "there is no network";
  return new ApiError(0, "unreachable", message);
}
