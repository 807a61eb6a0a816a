// What the modules share: elements, numbers, requests with a key, the language.
import { WORDS } from "./words.js";

/** The root of the server, which a proxy may have put under a path. */
export const ROOT = new URL(document.documentElement.dataset.root || ".", location.href).href;

/** Settings of this page that outlive a reload; a key is none of them. */
const kept = {
  get(name) {
    try {
      return localStorage.getItem(`mlapi-${name}`);
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`mlapi-${name}`, value);
    } catch {
      // A browser that keeps nothing: the setting holds until the page is closed.
    }
  },
};

export const LANGUAGES = { en: "English", zh: "中文" };
let language = LANGUAGES[kept.get("language")] ? kept.get("language") : document.documentElement.lang;
document.documentElement.lang = language;

export const currentLanguage = () => language;

export function setLanguage(chosen) {
  language = chosen;
  document.documentElement.lang = chosen;
  kept.set("language", chosen);
}

/** A text of words.js in the language of the page, with `{name}` replaced. */
export function t(name, values = {}) {
  const text = WORDS[name][language === "zh" ? 1 : 0];
  return text.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

export function setScheme(scheme) {
  document.documentElement.dataset.scheme = scheme;
  kept.set("scheme", scheme);
  document.dispatchEvent(new Event("scheme"));
}

export const isDark = () =>
  (document.documentElement.dataset.scheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

if (kept.get("scheme")) document.documentElement.dataset.scheme = kept.get("scheme");

/** An element. Texts become text nodes, so that names of columns and labels are never markup. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** An element of SVG. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  append(element, children);
  return element;
}

function append(element, children) {
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false));
}

/** Replaces the children of an element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/** A table with a caption; cells are texts or elements, and those of the columns in `numeric` stand at the right. */
export function table(caption, head, rows, numeric = []) {
  const right = (i) => (numeric.includes(i) ? "n" : undefined);
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, head.map((cell, i) => h("th", { scope: "col", class: right(i) }, cell)))),
      h("tbody", {}, rows.map((row) =>
        h("tr", {}, row.map((cell, i) => (i === 0 ? h("th", { scope: "row" }, cell) : h("td", { class: right(i) }, cell)))),
      )),
    ),
  );
}

/** A number for people. */
export function figure(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const isLarge = Math.abs(value) >= 10 ** digits;
  const options = isLarge ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: digits };
  // A year is no number of thousands.
  return new Intl.NumberFormat(language, { ...options, useGrouping: "min2" }).format(value);
}

/** A number with so many decimals. */
export function fixed(value, decimals) {
  return new Intl.NumberFormat(language, { minimumFractionDigits: decimals, maximumFractionDigits: decimals, signDisplay: "negative" }).format(value).replace("-", "−");
}

export function percent(value) {
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 }).format(value);
}

/** Calls `action` once nothing has happened for so many milliseconds. */
export function debounce(action, milliseconds) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds, ...values);
  };
}

// The key is held here and nowhere else: it is gone when the page is closed or loaded again.
let key = "";
let asking = null;

/** Whether the server has asked for a key. */
export const hasKey = () => key !== "";

function askForKey() {
  asking ??= new Promise((resolve) => {
    const input = h("input", { type: "password", autocomplete: "off", id: "key", required: true, spellcheck: "false" });
    const dialog = h(
      "dialog",
      { "aria-labelledby": "key-title" },
      h(
        "form",
        { method: "dialog", onsubmit: () => (key = input.value.trim()) },
        h("h2", { id: "key-title" }, t("keyTitle")),
        h("p", {}, key ? t("keyWrong") : t("keyNeeded")),
        h("label", { for: "key" }, t("key")),
        input,
        h("p", { class: "buttons" }, h("button", { class: "main" }, t("keyUse"))),
      ),
    );
    const before = key;
    key = "";
    dialog.addEventListener("close", () => {
      dialog.remove();
      asking = null;
      if (!key) key = "";
      resolve(key !== "" && key !== before);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}

/** A request of the API by a path below the root; asks for a key if the server does. */
export async function request(path, options = {}) {
  for (;;) {
    const used = key;
    const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    const response = await fetch(ROOT + path, { ...options, headers });
    // Another request may have got the key meanwhile.
    if (response.status !== 401 || (used === key && !(await askForKey()))) return response;
  }
}

/** A failed request: its status and the problems that the server lists. */
export class Failed extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
    this.problems = problem.errors ?? [];
  }
}

export async function failure(response) {
  const problem = await response.json().catch(() => ({}));
  return new Failed(response.status, problem);
}

/** The JSON that a path answers. */
export async function read(path, options) {
  const response = await request(path, options);
  if (!response.ok) throw await failure(response);
  return response.json();
}

/** The path of a model's endpoint. */
export function pathOf(model, endpoint = "") {
  return `models/${encodeURIComponent(model)}${endpoint ? `/${endpoint}` : ""}`;
}

/** What went wrong, for people. */
export function explain(error) {
  if (error instanceof Failed) return [error.message, ...error.problems.map((problem) => `${problem.pointer} ${problem.detail}`.trim())].join(" · ");
  return error instanceof TypeError ? t("unreachable") : String(error);
}

/** Puts a text on the clipboard, also where the page is not served over HTTPS. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "away", "aria-hidden": "true", tabindex: -1 });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/** The head of both pages: the title, links, language and colours. `redraw` is called when the language changes. */
export function pageHead(title, links, redraw, ...controls) {
  const choose = h(
    "select",
    {
      id: "language",
      onchange: (event) => {
        setLanguage(event.target.value);
        redraw();
        document.getElementById("language")?.focus();
      },
    },
    Object.entries(LANGUAGES).map(([code, name]) => h("option", { value: code, lang: code, selected: code === language }, name)),
  );
  const scheme = h(
    "button",
    {
      type: "button",
      id: "scheme",
      "aria-pressed": String(isDark()),
      onclick: () => {
        setScheme(isDark() ? "light" : "dark");
        scheme.setAttribute("aria-pressed", String(isDark()));
      },
    },
    t("dark"),
  );
  return h(
    "header",
    {},
    h("h1", {}, title),
    h("div", { class: "controls" }, controls, h("label", { class: "away", for: "language" }, t("language")), choose, scheme),
    h("nav", { "aria-label": t("contents") }, links.map(([href, text]) => h("a", { href }, text))),
  );
}
