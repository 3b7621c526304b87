/**
 * The request that the page shows, as code to copy. It never has the key itself.
 * @module
 */

import { withQuery } from "./api.js";

/**
 * @typedef {object} Shown
 * @property {string} origin Of the server, like `http://localhost:8000/`.
 * @property {string} path Like `v1/detect`.
 * @property {string} method Of the Python client.
 * @property {Record<string, any>} query
 * @property {string} fileName
 * @property {string} mediaType
 * @property {boolean} needsKey
 */

/** @type {{name: string, label: string, write: (shown: Shown) => string}[]} */
export const LANGUAGES = [
  { name: "curl", label: "curl", write: writeCurl },
  { name: "python", label: "Python", write: writeClient },
  { name: "requests", label: "Python requests", write: writeRequests },
  { name: "javascript", label: "JavaScript", write: writeJavaScript },
];

/** @param {Shown} shown */
function writeCurl({ origin, path, query, fileName, mediaType, needsKey }) {
  const lines = [
    `curl --data-binary ${inShell(`@${fileName}`)}`,
    `-H ${inShell(`Content-Type: ${mediaType}`)}`,
    ...(needsKey ? [`-H "Authorization: Bearer $TAPETUM_API_KEY"`] : []),
    inShell(withQuery(origin + path, query)),
  ];
  return lines.join(" \\\n  ");
}

/** @param {Shown} shown */
function writeClient({ origin, method, query, fileName, needsKey }) {
  const given = Object.entries(query).map(([name, value]) => `, ${name}=${inPython(asList(name, value))}`);
  const key = needsKey ? `, api_key=os.environ["TAPETUM_API_KEY"]` : "";
  return `${needsKey ? "import os\n" : ""}from pathlib import Path

from services.client import Client

with Client(${inPython(origin)}${key}) as client:
    answer = client.${method}(Path(${inPython(fileName)})${given.join("")})
    for found in answer.predictions:
        print(found)`;
}

/** @param {Shown} shown */
function writeRequests({ origin, path, query, fileName, mediaType, needsKey }) {
  const key = needsKey ? `, "Authorization": f"Bearer {os.environ['TAPETUM_API_KEY']}"` : "";
  const given = Object.entries(query).map(([name, value]) => `${inPython(name)}: ${inPython(inQuery(value))}`);
  return `${needsKey ? "import os\n" : ""}from pathlib import Path

import requests

response = requests.post(
    ${inPython(origin + path)},
    params={${given.join(", ")}},
    headers={"Content-Type": ${inPython(mediaType)}${key}},
    data=Path(${inPython(fileName)}).read_bytes(),
    timeout=30,
)
print(response.json())`;
}

/** @param {Shown} shown */
function writeJavaScript({ origin, path, query, mediaType, needsKey }) {
  const key = needsKey ? `, Authorization: \`Bearer \${apiKey}\`` : "";
  return `const file = document.querySelector("input[type=file]").files[0];
const response = await fetch(${inJavaScript(withQuery(origin + path, query))}, {
  method: "POST",
  headers: { "Content-Type": ${inJavaScript(mediaType)}${key} },
  body: file,
});
console.log(await response.json());`;
}

/**
 * The client takes classes as a list.
 * @param {string} name
 * @param {any} value
 */
function asList(name, value) {
  return name === "classes" ? String(value).split(",") : value;
}

/** @param {any} value */
function inQuery(value) {
  return typeof value === "boolean" ? String(value) : value;
}

/**
 * A word of a POSIX shell.
 * @param {string} text
 */
function inShell(text) {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/**
 * A literal of Python.
 * @param {any} value
 * @returns {string}
 */
function inPython(value) {
  if (Array.isArray(value)) return `[${value.map(inPython).join(", ")}]`;
  if (typeof value === "boolean") return value ? "True" : "False";
  return typeof value === "number" ? String(value) : quoted(value, (code) => `\\U${hex(code, 8)}`);
}

/**
 * A string literal of JavaScript.
 * @param {string} text
 */
function inJavaScript(text) {
  return quoted(text, (code) => `\\u{${hex(code, 4)}}`);
}

/**
 * A string literal. Signs that cannot be seen, or that turn the direction of the text around, are escaped.
 * @param {string} text
 * @param {(code: number) => string} escape How the language writes a code point.
 */
function quoted(text, escape) {
  return JSON.stringify(text).replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, (sign) => escape(sign.codePointAt(0) ?? 0));
}

/**
 * @param {number} code
 * @param {number} digits
 */
function hex(code, digits) {
  return code.toString(16).padStart(digits, "0");
}
