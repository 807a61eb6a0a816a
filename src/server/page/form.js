// The form of a model, made from its schema; rows to begin with; the row as a request.
import { currentLanguage, figure, h, t } from "./shared.js";

const DAY = 86400;
const OTHER = "\u0000other";
/** Columns that are shown at once; the others of a wide table are behind a button, by importance. */
const SHOWN = 24;
const MAX_OPTIONS = 300;

/** The form of one model. `changed` is called with each change of a value. */
export class Form {
  constructor(model, changed) {
    this.model = model;
    this.changed = changed;
    this.fields = model.schema.features.map((feature, i) => {
      const given = model.example.data[i];
      return makeField(feature, i, given, () => changed());
    });
    const byImportance = [...this.fields].sort((a, b) => this.importance(b) - this.importance(a));
    const first = new Set(this.fields.length > SHOWN ? byImportance.slice(0, SHOWN) : this.fields);
    const others = this.fields.filter((field) => !first.has(field));
    this.element = h(
      "form",
      { class: "fields", "aria-label": t("row"), onsubmit: (event) => event.preventDefault(), autocomplete: "off" },
      this.fields.filter((field) => first.has(field)).map((field) => field.element),
      others.length > 0 &&
        h("details", {}, h("summary", {}, t("moreColumns", { n: others.length })), others.map((field) => field.element)),
    );
    this.set(model.example.data);
  }

  importance(field) {
    return Math.abs(this.model.importances[field.feature.name] ?? 0);
  }

  /** Fills the form with a row in column order. */
  set(row) {
    this.fields.forEach((field, i) => field.set(row[i] ?? null));
  }

  /** The row by name, as a request has it. */
  row() {
    return Object.fromEntries(this.fields.map((field) => [field.feature.name, field.value()]));
  }

  /** The texts of the fields, to be kept while the page is drawn anew. */
  values() {
    return this.fields.map((field) => field.value());
  }

  /** Shows the warnings and problems of an answer beside their fields. */
  mark(warnings, problems) {
    const messages = new Map();
    for (const { feature, kind } of warnings) messages.set(feature, [t(kind), false]);
    const others = [];
    for (const { pointer, detail } of problems) {
      const name = pointer.startsWith("/features/") && pointer.slice(10).replaceAll("~1", "/").replaceAll("~0", "~");
      if (this.fields.some((field) => field.feature.name === name)) messages.set(name, [detail, true]);
      else others.push(`${pointer} ${detail}`);
    }
    for (const field of this.fields) field.mark(...(messages.get(field.feature.name) ?? ["", false]));
    return others;
  }
}

function makeField(feature, i, example, changed) {
  const id = `field-${i}`;
  const message = h("p", { class: "message", id: `${id}-message`, "aria-live": "polite" });
  const described = `${id}-hint ${id}-message`;
  const attributes = { id, "aria-describedby": described };
  const make = { number, boolean, category, date, text }[feature.type] ?? text;
  const input = make(feature, attributes, changed, example);
  const element = h(
    "div",
    { class: "field" },
    h("label", { for: id }, feature.name),
    h("p", { class: "hint", id: `${id}-hint` }, input.hint),
    input.elements,
    message,
  );
  const mark = (text, isError) => {
    message.textContent = text;
    message.classList.toggle("error", isError);
    element.classList.toggle("marked", text !== "");
    element.querySelector(`#${id}`).setAttribute("aria-invalid", String(isError));
  };
  return { feature, element, mark, set: input.set, value: input.value };
}

/** What a text of a number column is in a request: a number if it is written as JSON writes them. */
function numberOf(text) {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  return /^-?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(trimmed) ? Number(trimmed) : trimmed;
}

/** Decimals of the numbers that a column has. */
function decimalsOf(feature) {
  const seen = [feature.min, feature.max, ...(feature.histogram?.edges ?? [])];
  return Math.min(6, Math.max(...seen.map((value) => (String(value).split(".")[1] ?? "").split("e")[0].length)));
}

const hasRange = (feature) => typeof feature.min === "number" && feature.max > feature.min;

function number(feature, attributes, changed) {
  const input = h("input", { ...attributes, type: "text", inputmode: "decimal", placeholder: t("missing") });
  if (!hasRange(feature)) {
    input.addEventListener("input", changed);
    const hint = feature.private ? t("privateColumn") : t("aNumber");
    return { elements: input, hint, set: (value) => (input.value = value ?? ""), value: () => numberOf(input.value) };
  }
  const step = 10 ** -decimalsOf(feature);
  const slider = h("input", { type: "range", min: feature.min, max: feature.max, step, "aria-label": t("slider", { name: feature.name }) });
  const follow = () => {
    const value = numberOf(input.value);
    slider.value = typeof value === "number" ? value : (feature.min + feature.max) / 2;
    slider.classList.toggle("empty", typeof value !== "number");
  };
  input.addEventListener("input", () => (follow(), changed()));
  slider.addEventListener("input", () => {
    input.value = slider.value;
    slider.classList.remove("empty");
    changed();
  });
  return {
    elements: h("div", { class: "pair" }, input, slider),
    hint: t("range", { min: figure(feature.min), max: figure(feature.max) }),
    set: (value) => ((input.value = value ?? ""), follow()),
    value: () => numberOf(input.value),
  };
}

/** The two words of a column of booleans, that of 1 first, as the notation names them. */
function boolean(feature, attributes, changed) {
  const words = (feature.notation?.boolean ?? "true-false").split("-");
  const isPlain = words[0] === "true";
  const select = h(
    "select",
    { ...attributes, onchange: changed },
    h("option", { value: "" }, t("missing")),
    words.map((word) => h("option", { value: word }, word)),
  );
  return {
    elements: select,
    hint: t("aBoolean"),
    set: (value) => (select.value = value === null ? "" : String(value)),
    value: () => (select.value === "" ? null : isPlain ? select.value === "true" : select.value),
  };
}

function category(feature, attributes, changed) {
  const levels = feature.levels ?? [];
  if (levels.length === 0 || levels.length > MAX_OPTIONS) {
    const list = h("datalist", { id: `${attributes.id}-levels` }, levels.slice(0, 5000).map((level) => h("option", { value: level })));
    const input = h("input", { ...attributes, list: list.id, placeholder: t("missing"), oninput: changed });
    return {
      elements: [input, list],
      hint: feature.private ? t("privateColumn") : t("levels", { n: levels.length }),
      set: (value) => (input.value = value ?? ""),
      value: () => (input.value === "" ? null : input.value),
    };
  }
  const other = h("input", { class: "other", "aria-label": t("otherValue", { name: feature.name }), oninput: changed, hidden: true });
  const select = h(
    "select",
    {
      ...attributes,
      onchange: () => {
        other.hidden = select.value !== OTHER;
        if (!other.hidden) other.focus();
        changed();
      },
    },
    h("option", { value: "" }, t("missing")),
    levels.map((level) => h("option", { value: level }, level)),
    h("option", { value: OTHER }, t("other")),
  );
  return {
    elements: [select, other],
    hint: t("levels", { n: levels.length }),
    set(value) {
      const text = value === null ? "" : String(value);
      const isKnown = text === "" || levels.includes(text);
      select.value = isKnown ? text : OTHER;
      other.hidden = isKnown;
      other.value = isKnown ? "" : text;
    },
    value: () => (select.value === OTHER ? other.value || null : select.value === "" ? null : select.value),
  };
}

/** ISO 8601 of seconds since 1970, without seconds that are 0. */
function iso(seconds, withTime) {
  const text = new Date(seconds * 1000).toISOString();
  return withTime ? text.slice(0, 16) : text.slice(0, 10);
}

function date(feature, attributes, changed) {
  const hasTime = feature.min % DAY !== 0 || feature.max % DAY !== 0;
  const hasValues = typeof feature.min === "number";
  const type = hasTime && hasValues ? "datetime-local" : "date";
  const input = h("input", { ...attributes, type, oninput: changed });
  const shown = (seconds) =>
    new Intl.DateTimeFormat(currentLanguage(), { dateStyle: "medium", timeZone: "UTC" }).format(new Date(seconds * 1000));
  return {
    elements: input,
    hint: hasValues ? t("range", { min: shown(feature.min), max: shown(feature.max) }) : t("privateColumn"),
    set(value) {
      const text = String(value ?? "");
      input.value = type === "date" ? text.slice(0, 10) : (text.length === 10 ? `${text}T00:00` : text.replace(" ", "T").slice(0, 16));
    },
    value: () => (input.value === "" ? null : input.value),
  };
}

/** Texts, and lists and pairs, which may be written as arrays. */
function text(feature, attributes, changed, example) {
  const takesArrays = Array.isArray(example) || feature.notation?.list || feature.notation?.pair;
  const area = h("textarea", { ...attributes, rows: takesArrays ? 1 : 3, placeholder: t("missing"), oninput: changed });
  return {
    elements: area,
    hint: takesArrays ? t("aList") : t("aText"),
    set: (value) => (area.value = value === null ? "" : Array.isArray(value) ? JSON.stringify(value) : String(value)),
    value() {
      if (area.value === "") return null;
      if (takesArrays && area.value.startsWith("[")) {
        try {
          return JSON.parse(area.value);
        } catch {
          // Sent as it is: the server says what does not fit.
        }
      }
      return area.value;
    },
  };
}

/** A row made up from what the schema tells of each column on its own. */
export function randomRow(model) {
  return model.schema.features.map((feature, i) => {
    const typical = model.example.data[i];
    if (feature.private) return typical;
    if (feature.type === "category") return feature.levels[drawn(feature.counts)] ?? typical;
    if (feature.type === "boolean") {
      const words = (feature.notation?.boolean ?? "").split("-");
      const value = Math.random() < feature.mean;
      return words.length === 2 && words[0] !== "true" ? words[value ? 0 : 1] : value;
    }
    if (feature.type === "date" && hasRange(feature)) {
      return iso(feature.min + Math.random() * (feature.max - feature.min), typeof typical === "string" && typical.length > 10);
    }
    if (feature.type === "number" && hasRange(feature)) {
      const { edges, counts } = feature.histogram ?? { edges: [], counts: [1] };
      const bounds = [feature.min, ...edges, feature.max];
      const bin = drawn(counts);
      const [low, high] = [bounds[bin], bounds[bin + 1]];
      return Number((low + Math.random() * (high - low)).toFixed(decimalsOf(feature)));
    }
    return typical;
  });
}

/** A position, drawn by weights. */
function drawn(weights) {
  let left = Math.random() * weights.reduce((sum, weight) => sum + weight, 0);
  return Math.max(0, weights.findIndex((weight) => (left -= weight) < 0));
}
