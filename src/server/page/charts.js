// Bars, the waterfall of contributions, and lines. Lengths are set from script: the policy allows no inline style.
import { fixed, h, svg, t } from "./shared.js";

function placed(element, left, width) {
  element.style.left = `${left * 100}%`;
  element.style.width = `${width * 100}%`;
  return element;
}

/** The widths of names, bars and numbers. */
const columns = () => h("colgroup", {}, h("col", { class: "names" }), h("col"), h("col", { class: "numbers" }));

/** Bars of shares from 0 to 1 with their names: [name, share, mark]. */
export function bars(caption, rows, format) {
  return h(
    "table",
    { class: "bars" },
    h("caption", { class: "away" }, caption),
    columns(),
    h("tbody", {}, rows.map(([name, share, mark]) =>
      h(
        "tr",
        { class: mark ? "chosen" : undefined },
        h("th", { scope: "row" }, name),
        h("td", {}, h("div", { class: "track" }, placed(h("div", { class: "bar" }), 0, Math.max(0, Math.min(1, share))))),
        h("td", { class: "n" }, format(share)),
      ),
    )),
  );
}

/** Contributions from the base to the score: each bar begins where the one before it ends. */
export function waterfall(explanation, values, shown = 12) {
  const { base, score, contributions, others } = explanation;
  const sorted = Object.entries(contributions).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  const rest = sorted.slice(shown).reduce((sum, [, value]) => sum + value, others ?? 0);
  const steps = sorted.slice(0, shown).map(([name, value]) => [name, valueText(values[name]), value]);
  if (sorted.length > shown || others) steps.push([t("otherColumns"), "", rest]);
  const reached = steps.reduce((at, [, , value]) => [...at, at[at.length - 1] + value], [base]);
  const low = Math.min(...reached, score);
  const high = Math.max(...reached, score);
  const at = (value) => (high > low ? (value - low) / (high - low) : 0.5);
  const line = (name, value, from, to, kind, text) => {
    const left = Math.min(at(from), at(to));
    const width = Math.max(0.004, Math.abs(at(to) - at(from)));
    return h(
      "tr",
      { class: kind },
      h("th", { scope: "row" }, h("span", { class: "name" }, name), value !== "" && h("span", { class: "value" }, value)),
      h("td", {}, h("div", { class: "track" }, placed(h("div", { class: `bar ${kind}` }), Math.min(left, 1 - width), width))),
      h("td", { class: "n" }, text),
    );
  };
  // As many decimals for all, so that they can be compared and added up: three digits of the largest number, two of the
  // largest change.
  const place = (value) => Math.floor(Math.log10(Math.max(Math.abs(value), 1e-9)));
  const largest = Math.max(...steps.map(([, , change]) => Math.abs(change)), 0);
  const decimals = Math.min(12, Math.max(0, 2 - place(Math.max(Math.abs(low), Math.abs(high))), largest > 0 ? 1 - place(largest) : 0));
  const plain = (value) => fixed(value, decimals);
  const signed = (value) => (value > 0 ? "+" : "") + plain(value);
  return h(
    "table",
    { class: "bars waterfall" },
    h("caption", { class: "away" }, t("contributions")),
    columns(),
    h("thead", { class: "away" }, h("tr", {}, h("th", { scope: "col" }, t("column")), h("td"), h("th", { scope: "col" }, t("contribution")))),
    h(
      "tbody",
      {},
      line(t("base"), "", base, base, "sum", plain(base)),
      steps.map(([name, value, change], i) => line(name, value, reached[i], reached[i + 1], change < 0 ? "down" : "up", signed(change))),
      line(t("score"), "", score, score, "sum", plain(score)),
    ),
  );
}

function valueText(value) {
  if (value === undefined || value === null) return t("missing");
  const text = Array.isArray(value) ? JSON.stringify(value) : String(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/** Lines over time, one below the other scale: { name, values }; `null` is a gap. */
export function lines(title, series, format) {
  const [width, height] = [320, 80];
  const all = series.flatMap(({ values }) => values).filter((value) => value !== null);
  const top = Math.max(...all, 0) || 1;
  const n = Math.max(...series.map(({ values }) => values.length), 2);
  const path = (values) => {
    let pen = "M";
    return values
      .map((value, i) => {
        if (value === null) {
          pen = "M";
          return "";
        }
        const point = `${pen}${((i / (n - 1)) * width).toFixed(1)},${(height - 2 - (value / top) * (height - 6)).toFixed(1)}`;
        pen = "L";
        return point;
      })
      .join("");
  };
  const latest = series.map(({ name, values }) => `${name} ${format(values[values.length - 1] ?? null)}`).join(", ");
  return h(
    "figure",
    {},
    h("figcaption", {}, h("strong", {}, title), " ", latest),
    svg(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${latest}`, preserveAspectRatio: "none", class: "lines" },
      svg("path", { d: `M0,${height - 1}H${width}`, class: "axis" }),
      series.map(({ values }, i) => svg("path", { d: path(values), class: `line s${i}` })),
    ),
  );
}
