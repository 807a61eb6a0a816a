// What training recorded of a model: facts, metrics, importances, thresholds, and the report of its evaluation.
import { bars } from "./charts.js";
import { explain, failure, figure, fill, h, isDark, pathOf, percent, request, t, table } from "./shared.js";

const METRICS = {
  classification: ["accuracy", "balanced_accuracy", "f1.macro", "log_loss", "roc_auc", "average_precision", "brier", "mcc"],
  regression: ["r2", "rmse", "mae", "median_ae", "mape"],
};

function member(object, path) {
  return path.split(".").reduce((value, name) => value?.[name], object);
}

/** The section of the card. */
export function modelSection(name, model) {
  const { card } = model;
  const evaluation = card.evaluation ?? {};
  const known = METRICS[model.task] ?? [];
  const metrics = known.filter((metric) => typeof member(model.metrics, metric) === "number");
  const facts = [
    [t("target"), model.target],
    [t("algorithm"), model.algorithm],
    [t("trainedOn"), t("nRows", { n: figure(card.n_train, 9) }) + (card.data?.path ? ` · ${card.data.path}` : "")],
    [t("settings"), Object.entries(card.hyperparameters ?? {}).map(([key, value]) => `${key}=${value}`).join(" ")],
    [t("members"), (model.members ?? []).map((member) => `${figure(member.weight, 3)} ${member.algorithm}`).join(", ")],
    [t("seed"), String(card.seed)],
  ].filter(([, value]) => value !== undefined && value !== "");
  const importances = Object.entries(model.importances).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  const largest = Math.abs(importances[0]?.[1] ?? 0) || 1;
  return h(
    "section",
    { id: "model", "aria-labelledby": "model-title" },
    h("h2", { id: "model-title" }, t("model")),
    h("dl", { class: "facts" }, facts.map(([fact, value]) => [h("dt", {}, fact), h("dd", {}, value)])),
    h("div", { class: "columns" },
      metrics.length > 0 && table(
        t("metrics", { n: figure(evaluation.n_rows, 9) }),
        [t("metric"), t("thisModel"), t("baseline")],
        metrics.map((metric) => [metric, figure(member(model.metrics, metric)), figure(member(model.baseline, metric))]),
        [1, 2],
      ),
      evaluation.confusion_matrix && evaluation.confusion_matrix.labels.length <= 12 && confusion(evaluation.confusion_matrix),
      importances.length > 0 && h("div", {}, h("h3", {}, t("importances")),
        bars(t("importances"), importances.slice(0, 12).map(([column, value]) => [column, Math.abs(value) / largest]), percent)),
    ),
    card.notes?.length > 0 && h("details", {}, h("summary", {}, t("notes")), h("ul", {}, card.notes.map((note) => h("li", { lang: "en" }, note)))),
    report(name),
  );
}

function confusion({ labels, counts }) {
  return table(
    t("confusion"),
    [t("trueClass"), ...labels.map(String)],
    counts.map((row, i) => [String(labels[i]), ...row.map((n, j) => h("span", { class: i === j ? "right" : n > 0 ? "wrong" : "" }, figure(n, 9)))]),
    labels.map((_, i) => i + 1),
  );
}

/** The report, fetched when it is opened, in a tree of its own so that its styles stay with it. */
function report(name) {
  const place = h("div", {});
  const details = h("details", { class: "report" }, h("summary", {}, t("report")), place);
  details.addEventListener("toggle", async () => {
    if (!details.open || place.hasChildNodes()) return;
    place.append(h("p", { role: "status" }, t("loading")));
    try {
      const response = await request(pathOf(name, "report"));
      if (!response.ok) throw await failure(response);
      const html = await response.text();
      // The policy of this page holds for what it parses: the style sheet is taken out before.
      const inline = /<style>([^]*?)<\/style>/;
      const own = inline.exec(html)?.[1] ?? "";
      const page = new DOMParser().parseFromString(html.replace(inline, ""), "text/html");
      const style = new CSSStyleSheet();
      // The page is the host of the report here, and its colours are those that were chosen for the page.
      const dress = () => {
        const scheme = own.replaceAll(":root", ":host").replaceAll("@media(prefers-color-scheme:dark)", isDark() ? "@media all" : "@media not all");
        style.replaceSync(`${scheme}:host{display:block}h1,footer{display:none}`);
      };
      dress();
      document.addEventListener("scheme", dress);
      const holder = h("div", {});
      const tree = holder.attachShadow({ mode: "open" });
      tree.adoptedStyleSheets = [style];
      const main = document.importNode(page.querySelector("main"), true);
      const inner = h("div", {});
      inner.append(...main.childNodes);
      tree.append(inner);
      fill(place, holder);
    } catch (error) {
      fill(place, h("p", { role: "status" }, explain(error)));
    }
  });
  return details;
}

/** Precision and recall of a threshold as the card has them: of the nearest of its rows, or `null`. */
function atThreshold(card, threshold) {
  const found = card.thresholds;
  if (!found) return null;
  const last = found.true_positives.length - 1;
  const i = Math.round(threshold * last);
  const [tp, fp] = [found.true_positives[i], found.false_positives[i]];
  return { precision: tp + fp > 0 ? tp / (tp + fp) : null, recall: found.positives > 0 ? tp / found.positives : null, n: found.positives + found.negatives };
}

/** The threshold of a model of two classes: a slider, and what it means. `changed` gets the value. */
export function thresholdField(model, value, changed) {
  const positive = String(model.labels[1]);
  const own = model.postprocessing?.threshold?.threshold ?? 0.5;
  const shown = h("output", { for: "threshold" });
  const meaning = h("p", { class: "hint", id: "threshold-hint", role: "status" });
  const slider = h("input", { type: "range", id: "threshold", min: 0, max: 1, step: 0.01, "aria-describedby": "threshold-hint" });
  const show = () => {
    const at = Number(slider.value);
    shown.textContent = figure(at, 2);
    const row = atThreshold(model.card, at);
    const share = (number) => (number === null ? "–" : percent(number));
    meaning.textContent = row
      ? t("thresholdMeans", { precision: share(row.precision), recall: share(row.recall), n: figure(row.n, 9), label: positive })
      : t("thresholdUnknown");
  };
  slider.value = value ?? own;
  slider.addEventListener("input", () => {
    show();
    changed(Number(slider.value));
  });
  show();
  return h(
    "div",
    { class: "threshold" },
    h("label", { for: "threshold" }, t("threshold", { label: positive })),
    h("div", { class: "pair" }, slider, shown),
    meaning,
  );
}
