// The page to try the models: a form, the answer while it is filled, and what else there is to know of a model.
import { bars, waterfall } from "./charts.js";
import { Form, randomRow } from "./form.js";
import { Live } from "./live.js";
import { modelSection, thresholdField } from "./model.js";
import { currentLanguage, debounce, explain, Failed, failure, figure, fill, h, pageHead, pathOf, percent, read, request, ROOT, t } from "./shared.js";
import { Snippets } from "./snippets.js";
import { tableSection } from "./table.js";

/** Milliseconds without a key press before the row is predicted. */
const PAUSE = 150;
/** Explanations that take longer are asked for after the prediction. */
const SLOW = 400;
const SLOW_PAUSE = 500;
const MAX_BARS = 12;
/** Rows that are tried to find an example of a class. */
const TRIED_ROWS = 40;
const MAX_EXAMPLES = 6;

const place = h("div", { id: "page" });
document.body.prepend(place);

/** What is shown; kept while the page is drawn anew in another language. */
const state = { models: null, name: null, model: null, row: null, threshold: null, label: "", scale: "probability" };
let live = null;

/** The model that the address names, if it names one. */
function namedInAddress() {
  const found = /\/models\/([^/]+)\/$/.exec(location.pathname);
  return found && location.href.startsWith(ROOT) ? decodeURIComponent(found[1]) : null;
}

async function start() {
  fill(place, h("main", { id: "main" }, h("h1", {}, "mlapi"), h("p", { role: "status" }, t("loading"))));
  try {
    state.models = await read("models");
    await open(namedInAddress() ?? state.models.default);
  } catch (error) {
    fill(
      place,
      h("main", { id: "main" }, h("h1", {}, "mlapi"), h("p", { role: "alert" }, explain(error)), h("button", { type: "button", onclick: start }, t("again"))),
    );
  }
}

async function open(name) {
  const model = await read(pathOf(name));
  Object.assign(state, { name, model, row: null, threshold: null, label: "", scale: "probability" });
  draw();
}

function draw() {
  live?.stop();
  const { name, model, models } = state;
  document.title = `${name} · mlapi`;
  const trial = new Trial(name, model);
  live = new Live(name);
  const chooser = models.models.length > 1 && [
    h("label", { class: "away", for: "models" }, t("model")),
    h(
      "select",
      { id: "models", onchange: (event) => choose(event.target.value) },
      models.models.map((each) => h("option", { value: each.name, selected: each.name === name }, each.name)),
    ),
  ];
  const links = [["#try", t("try")], ["#snippets", t("code")], ["#table", t("scoreTable")], ["#model", t("model")], ["#live", t("live")], [`${ROOT}docs`, t("docs")]];
  fill(
    place,
    h("a", { class: "skip", href: "#main" }, t("skip")),
    pageHead(name, links, draw, chooser),
    h(
      "main",
      { id: "main", tabindex: -1 },
      h("p", { class: "lead" }, t(model.task === "regression" ? "predictsNumber" : "predictsClass", { target: model.target, n: model.schema.features.length, algorithm: model.algorithm })),
      trial.element,
      trial.snippets.element,
      tableSection(name, model),
      modelSection(name, model),
      live.element,
    ),
    h("footer", {}, `mlapi ${model.mlapi_version} · `, h("a", { href: `${ROOT}openapi.json` }, "openapi.json")),
  );
  trial.changed();
}

async function choose(name) {
  history.pushState(null, "", `${ROOT}${pathOf(name)}/`);
  try {
    await open(name);
    document.getElementById("models")?.focus();
  } catch (error) {
    fill(document.getElementById("main"), h("p", { role: "alert" }, explain(error)));
  }
}

addEventListener("popstate", () => {
  const name = namedInAddress() ?? state.models?.default;
  if (name && name !== state.name) open(name);
});

/** The form of a model and the answer to its row. */
class Trial {
  constructor(name, model) {
    Object.assign(this, { name, model, canExplain: true, isSlow: false, stop: null });
    this.isBinary = model.task === "classification" && model.labels.length === 2;
    this.snippets = new Snippets(name);
    this.predictSoon = debounce(() => this.predict(), PAUSE);
    this.explainSoon = debounce(() => this.explainRow(), SLOW_PAUSE);
    this.form = new Form(model, () => this.changed());
    if (state.row) this.form.set(state.row);
    this.headline = h("p", { class: "headline", role: "status" });
    this.answer = h("div", {});
    this.why = h("div", { id: "why" });
    this.problems = h("div", { role: "alert" });
    this.element = h(
      "section",
      { id: "try", class: "trial", "aria-labelledby": "try-title" },
      h("div", {}, h("h2", { id: "try-title" }, t("row")), h("p", { class: "hint" }, t("rowHint")), this.examples(), this.form.element),
      h(
        "div",
        { class: "answer" },
        h("h2", {}, model.target),
        this.headline,
        this.problems,
        this.answer,
        this.isBinary && thresholdField(model, state.threshold, (value) => {
          state.threshold = value;
          this.changed();
        }),
        h("h3", {}, t("why")),
        this.whyControls(),
        this.why,
      ),
    );
  }

  examples() {
    const button = (text, make, id) =>
      h("button", { type: "button", id, onclick: async () => {
        const row = await make();
        if (row) {
          this.form.set(row);
          this.changed();
        }
      } }, text);
    const { model } = this;
    const kinds = model.task === "regression"
      ? [[t("low"), null, -1], [t("high"), null, 1]]
      : model.labels.slice(0, MAX_EXAMPLES).map((label) => [String(label), label, 1]);
    return h(
      "div",
      { class: "buttons", role: "group", "aria-label": t("examples") },
      h("span", {}, t("examples")),
      button(t("typical"), () => model.example.data, "typical"),
      kinds.map(([text, label, sign]) => button(text, () => this.found(label, sign))),
      button(t("random"), () => randomRow(model), "random"),
      button(t("clear"), () => model.example.data.map(() => null), "clear"),
    );
  }

  /** A row that the model is sure to be of a class, or that has a low or high value, among some that are made up. */
  async found(label, sign) {
    const rows = Array.from({ length: TRIED_ROWS }, () => randomRow(this.model));
    try {
      const { predictions } = await read(pathOf(this.name, "predict"), json({ data: rows }));
      const worth = predictions.map((one) => sign * (label === null ? one.prediction : one.probabilities[String(label)]));
      return rows[worth.indexOf(Math.max(...worth))];
    } catch (error) {
      this.failed(error);
      return null;
    }
  }

  whyControls() {
    const { labels } = this.model;
    const change = (name) => (event) => {
      state[name] = event.target.value;
      this.changed();
    };
    const option = (value, text, chosen) => h("option", { value, selected: value === chosen }, text);
    return h(
      "div",
      { class: "buttons" },
      labels.length > 0 && labels.length <= 50 && [
        h("label", { for: "why-label" }, t("whyClass")),
        h("select", { id: "why-label", onchange: change("label") },
          option("", t("predicted"), state.label), labels.map((label) => option(String(label), String(label), state.label))),
      ],
      h("label", { for: "why-scale" }, t("scale")),
      h("select", { id: "why-scale", onchange: change("scale") },
        option("score", t("scaleScore"), state.scale), option("probability", t(labels.length > 0 ? "scaleProbability" : "scaleValue"), state.scale)),
    );
  }

  /** The request of the row, as the snippets show it. */
  body() {
    const body = { features: this.form.row() };
    if (this.isBinary && state.threshold !== null) body.threshold = state.threshold;
    return body;
  }

  changed() {
    state.row = this.form.values();
    this.snippets.show(this.body());
    this.predictSoon();
  }

  explainOption() {
    const option = { scale: state.scale };
    const label = this.model.labels.find((each) => String(each) === state.label);
    if (label !== undefined) option.label = label;
    return option;
  }

  async ask(body) {
    this.stop?.abort();
    this.stop = new AbortController();
    const response = await request(pathOf(this.name, "predict"), json(body, this.stop.signal));
    if (!response.ok) throw await failure(response);
    return response.json();
  }

  async predict() {
    const body = this.body();
    const isExplained = this.canExplain && !this.isSlow;
    const started = performance.now();
    try {
      const answer = await this.ask(isExplained ? { ...body, explain: this.explainOption() } : body);
      this.show(answer, body.features);
      if (isExplained && performance.now() - started > SLOW) this.isSlow = true;
      else if (this.canExplain && this.isSlow) this.explainSoon();
    } catch (error) {
      if (isExplained && this.isAboutExplaining(error)) this.predict();
      else this.failed(error);
    }
  }

  /** Whether it is the explanation that failed: the row is then predicted without. */
  isAboutExplaining(error) {
    const found = error instanceof Failed && error.problems.find(({ pointer }) => pointer.startsWith("/explain"));
    if (!found) return false;
    this.canExplain = false;
    fill(this.why, h("p", { class: "hint" }, t("noWhy"), " ", found.detail));
    return true;
  }

  async explainRow() {
    const body = this.body();
    try {
      this.show(await this.ask({ ...body, explain: this.explainOption() }), body.features);
    } catch (error) {
      if (!this.isAboutExplaining(error)) this.failed(error);
    }
  }

  failed(error) {
    if (error.name === "AbortError") return;
    const problems = error instanceof Failed ? error.problems : [];
    const others = this.form.mark([], problems);
    this.headline.textContent = "–";
    const text = problems.length > 0 && others.length === 0 ? t("seeFields") : explain(error);
    fill(this.problems, h("p", { class: "message error" }, text));
    fill(this.answer);
  }

  show(answer, values) {
    const { model } = this;
    this.problems.replaceChildren();
    this.form.mark(answer.warnings ?? [], []);
    const isNumber = model.task === "regression";
    this.headline.textContent = isNumber ? figure(answer.prediction, 6) : `${answer.prediction} · ${percent(answer.probability)}`;
    const parts = [];
    if (answer.interval) parts.push(h("p", {}, t("interval", { low: figure(answer.interval[0]), high: figure(answer.interval[1]) })));
    if (answer.prediction_set) parts.push(h("p", {}, t("predictionSet", { labels: answer.prediction_set.join(", ") || "–" })));
    if (answer.probabilities) {
      let shares = model.labels.map((label) => [String(label), answer.probabilities[String(label)], label === answer.prediction]);
      if (shares.length > MAX_BARS) shares = shares.sort((a, b) => b[1] - a[1]).slice(0, MAX_BARS);
      parts.push(bars(t("probabilities"), shares, percent));
      if (model.labels.length > MAX_BARS) parts.push(h("p", { class: "hint" }, t("mostProbable", { n: MAX_BARS, all: model.labels.length })));
    }
    fill(this.answer, parts);
    // Contributions of the row before are faded until those of this one come.
    this.why.classList.toggle("stale", !answer.explanation);
    if (answer.explanation) this.showWhy(answer.explanation, values);
  }

  showWhy(explanation, values) {
    const scales = { "log-odds": "scaleLogOdds", margin: "scaleMargin", probability: "scaleIsProbability", value: "scaleIsValue" };
    const scale = scales[explanation.scale] ? t(scales[explanation.scale]) : t("scaleOther", { scale: explanation.scale });
    const error = explanation.standard_error;
    fill(
      this.why,
      h("p", { class: "hint" }, explanation.label === undefined ? "" : `${t("speaksFor", { label: explanation.label })} `, `${scale} ${t("baseHint")}`),
      waterfall(explanation, values),
      error !== undefined && h("p", { class: "hint" }, t("sampled", { error: figure(error, 2) })),
      h("ul", { class: "reasons" }, reasonsOf(explanation, values).map((reason) => h("li", {}, reason))),
    );
  }
}

/** The largest contributions in words: those of the API, which are English, or the same in the language of the page. */
function reasonsOf(explanation, values) {
  if (currentLanguage() === "en") return explanation.reasons ?? [];
  const largest = Object.entries(explanation.contributions).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 3);
  const kind = explanation.label === undefined ? ["raises", "lowers"] : ["speaksPro", "speaksContra"];
  return largest
    .filter(([, change]) => change !== 0)
    .map(([name, change]) => t(kind[change > 0 ? 0 : 1], { name, value: values[name] ?? t("missing"), label: explanation.label }));
}

function json(body, signal) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal };
}

start();
