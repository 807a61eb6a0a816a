// What the server does right now: requests, latency and drift of the model, read while the section is in sight.
import { lines } from "./charts.js";
import { explain, figure, fill, h, pathOf, percent, read, request, t, table } from "./shared.js";

const SECONDS = 2;
const SAMPLES = 60;
/** Polls of the metrics for each of the drift, which takes longer to compute and changes slowly. */
const DRIFT_EVERY = 5;
/** The routes that predict; the page's own questions are not among them. */
const ROUTES = ["/predict", "/rank", "/invocations", "/v2/models/NAME/infer"];

/** The samples of a text of metrics: [name, labels, value]. */
function samples(text) {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [, name, labels, value] = /^([^{ ]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      const pairs = [...(labels ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
      const plain = (label) => label.replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter));
      return [name, Object.fromEntries(pairs.map(([, key, label]) => [key, plain(label)])), Number(value === "+Inf" ? Infinity : value)];
    });
}

/** Counts of a model's predictions: requests, failures, and those of each bound of the durations. */
function counted(text, model) {
  const found = { requests: 0, failures: 0, rows: 0, buckets: new Map() };
  for (const [name, labels, value] of samples(text)) {
    if (labels.model !== model) continue;
    if (name === "mlapi_rows_predicted_total") found.rows = value;
    if (!ROUTES.includes(labels.route)) continue;
    if (name === "mlapi_requests_total") {
      found.requests += value;
      if (Number(labels.status) >= 400) found.failures += value;
    }
    if (name === "mlapi_request_duration_seconds_bucket") {
      const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
      found.buckets.set(bound, (found.buckets.get(bound) ?? 0) + value);
    }
  }
  return found;
}

/** A quantile of the durations between two counts, within its bucket by straight line, as Prometheus computes it. */
function quantile(before, now, share) {
  const bounds = [...now.buckets.keys()].sort((a, b) => a - b);
  const counts = bounds.map((bound) => now.buckets.get(bound) - (before.buckets.get(bound) ?? 0));
  const total = counts[counts.length - 1] ?? 0;
  if (total <= 0) return null;
  const i = counts.findIndex((count) => count >= share * total);
  const [low, below] = i > 0 ? [bounds[i - 1], counts[i - 1]] : [0, 0];
  if (bounds[i] === Infinity) return low;
  return low + ((bounds[i] - low) * (share * total - below)) / (counts[i] - below);
}

/** The section; `stop` ends its questions. */
export class Live {
  constructor(model) {
    this.model = model;
    this.history = [];
    this.latest = null;
    this.polls = 0;
    this.isSeen = false;
    this.facts = h("p", {});
    this.charts = h("div", { class: "charts" });
    this.drift = h("div", {});
    this.element = h(
      "section",
      { id: "live", "aria-labelledby": "live-title" },
      h("h2", { id: "live-title" }, t("live")),
      h("p", { class: "hint" }, t("liveHint", { seconds: SECONDS })),
      this.facts,
      this.charts,
      h("h3", {}, t("drift")),
      this.drift,
    );
    this.observer = new IntersectionObserver(([entry]) => {
      this.isSeen = entry.isIntersecting;
      if (this.isSeen && !this.timer) this.poll();
    });
    this.observer.observe(this.element);
  }

  stop() {
    this.observer.disconnect();
    clearTimeout(this.timer);
    this.isStopped = true;
  }

  async poll() {
    clearTimeout(this.timer);
    this.timer = null;
    if (this.isStopped || !this.isSeen || document.hidden) {
      this.timer = this.isStopped || !this.isSeen ? null : setTimeout(() => this.poll(), SECONDS * 1000);
      return;
    }
    this.timer = setTimeout(() => this.poll(), SECONDS * 1000);
    try {
      const response = await request("metrics");
      if (response.ok) this.sample(counted(await response.text(), this.model));
      if (this.polls++ % DRIFT_EVERY === 0) this.showDrift(await read(pathOf(this.model, "drift")));
    } catch (error) {
      this.facts.textContent = explain(error);
    }
  }

  sample(now) {
    const at = performance.now() / 1000;
    if (this.latest) {
      const { counts, time } = this.latest;
      const rate = Math.max(0, now.requests - counts.requests) / (at - time);
      this.history.push({ rate, p50: quantile(counts, now, 0.5), p99: quantile(counts, now, 0.99) });
      this.history = this.history.slice(-SAMPLES);
    }
    this.latest = { counts: now, time: at };
    this.facts.textContent = t("served", { requests: figure(now.requests, 9), rows: figure(now.rows, 9), failures: figure(now.failures, 9) });
    const of = (name) => this.history.map((sample) => sample[name]);
    const milliseconds = (value) => (value === null ? "–" : `${figure(value * 1000, 3)} ms`);
    fill(
      this.charts,
      lines(t("requestsPerSecond"), [{ name: "", values: of("rate") }], (value) => figure(value, 3)),
      lines(t("latency"), [{ name: "p50", values: of("p50") }, { name: "p99", values: of("p99") }], milliseconds),
    );
  }

  showDrift(drift) {
    if (drift.n_rows === 0) {
      fill(this.drift, h("p", {}, t("noDrift")));
      return;
    }
    const word = (verdict) => (verdict ? h("span", { class: `verdict ${verdict}` }, t(verdict)) : "–");
    const rows = [...drift.features].sort((a, b) => (b.psi ?? -1) - (a.psi ?? -1)).slice(0, 12);
    const share = (value) => (value === null ? "–" : percent(value));
    fill(
      this.drift,
      h("p", {}, t("driftRows", { n: figure(drift.n_rows, 9) }), " ", word(drift.verdict)),
      table(
        t("drift"),
        [t("column"), "PSI", t("missingShare"), t("unseenShare"), t("verdict")],
        rows.map((row) => [row.feature, figure(row.psi, 3), share(row.missing.new), share(row.unseen), word(row.verdict)]),
        [1, 2, 3],
      ),
      (drift.notes ?? []).map((note) => h("p", { class: "hint" }, note)),
    );
  }
}
