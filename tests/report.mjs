// The tables and the checks of tests/report.sh: `data` writes the tables, `check URL` opens the reports.
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const [, , what, url] = process.argv;

/** Numbers from 0 to 1 that are the same each time. */
function generator(seed) {
  let state = seed;
  return () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
}

function data() {
  const next = generator(1);
  const markup = ['"<img src=x onerror=alert(1)>",</table><b>bold</b>,"class ""quoted"" & <i>",<script>alert(2)</script>'];
  for (let i = 0; i < 240; i++) {
    const x = Math.round(next() * 1000) / 10;
    const level = ["<u>left</u>", "&lt;right&gt;", "javascript:alert(3)"][i % 3];
    const label = x + 10 * (i % 3) + 20 * next() > 60 ? "<script>alert('yes')</script>" : '<b class="no">no</b>';
    markup.push(`${x},${level},${Math.round(next() * 100)},${label}`);
  }
  writeFileSync("markup.csv", markup.join("\n") + "\n");
  const unseen = (line) => line.replace("<u>left</u>", "<i>new</i>");
  writeFileSync("markup_new.csv", [markup[0], ...markup.slice(60).map(unseen)].join("\n") + "\n");
  const fifty = ["a,b,c,word,y"];
  for (let i = 0; i < 4000; i++) {
    const k = Math.floor(next() * 50);
    const near = (value) => (value + next() - 0.5).toFixed(3);
    fifty.push(`${near(k % 7)},${near(Math.floor(k / 7))},${next().toFixed(3)},${"xyz"[k % 3]},class ${k} with a long name`);
  }
  writeFileSync("fifty.csv", fifty.join("\n") + "\n");
}

/** Penguins that are heavier, from another island, with fewer bills measured. */
function shifted() {
  const [head, ...lines] = readFileSync("penguins.csv", "utf8").trim().split("\n");
  const at = (name) => head.split(",").indexOf(name);
  const rows = lines.map((line, i) => {
    const cells = line.split(",");
    if (Number(cells[at("body_mass_g")])) cells[at("body_mass_g")] = Number(cells[at("body_mass_g")]) + 700;
    if (i % 3 === 0) cells[at("island")] = "Newland";
    if (i % 2 === 0) cells[at("bill_length_mm")] = "NA";
    return cells.join(",");
  });
  writeFileSync("shifted.csv", [head, ...rows].join("\n") + "\n");
}

const EVERYWHERE = ["Metrics", "Worst rows", "Important columns", "Dependence on columns", "Associations", "Model card"];
const CLASSES = [...EVERYWHERE, "Classes", "ROC and precision-recall", "Calibration and probabilities", "Gain and lift"];
const TWO = [...CLASSES, "Thresholds"];
const PAGES = [
  ["iris.html", [...CLASSES, "Decision tree"]],
  ["penguins.html", [...CLASSES, "Prediction sets", "Segments"]],
  ["cancer.html", [...TWO, "Prediction sets"]],
  ["diabetes.html", [...EVERYWHERE, "Errors", "Prediction intervals"]],
  ["markup.html", TWO],
  ["fifty.html", CLASSES],
  ["both.html", [...TWO, "Comparison"]],
  ["/report", ["Metrics", "Classes", "Model card", "Decision tree"]],
  ["/models/diabetes/report", ["Metrics", "Model card", "Prediction intervals"]],
];
const DRIFT = ["Summary", "Features", "Distributions", "Predictions", "Domain classifier"];
PAGES.push(["drift.html", DRIFT], ["drift_markup.html", DRIFT], ["drift_diabetes.html", DRIFT], ["/drift", ["Summary", "Features"]]);
const WIDTHS = { phone: 390, desktop: 1300 };

async function check() {
  const require = createRequire(`${process.env.NODE_PATH}/`);
  const { chromium } = require("playwright-core");
  const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
  const browser = await chromium.launch({ executablePath: process.env.BROWSER, args: ["--no-sandbox"] });
  const wrong = [];
  const wanted = process.env.PAGES?.split(" ");
  const pages = PAGES.filter(([name]) => !wanted || wanted.includes(name));
  for (const [name, sections] of pages) {
    const before = wrong.length;
    const served = name.startsWith("/");
    const address = served ? url + name : `file://${resolve(name)}`;
    if (!served && statSync(name).size > 2e6) wrong.push(`${name}: ${statSync(name).size} bytes`);
    for (const [device, width] of Object.entries(WIDTHS)) {
      for (const colorScheme of ["light", "dark"]) {
        const say = (text) => wrong.push(`${name}, ${device}, ${colorScheme}: ${text}`);
        // Scripts of the test itself run in spite of the policy; whether the page keeps to it is seen first, without.
        const strict = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
        strict.on("console", (message) => say(`console: ${message.text()}`));
        strict.on("pageerror", (error) => say(`error: ${error}`));
        strict.on("dialog", (dialog) => (say(`dialog: ${dialog.message()}`), dialog.dismiss()));
        strict.on("request", (request) => {
          if (request.url() !== address && !request.url().startsWith("data:")) say(`request: ${request.url()}`);
        });
        const answer = await strict.goto(address);
        if (served && !/default-src 'none'/.test(answer.headers()["content-security-policy"])) say("no policy in the head");
        const found = await strict.evaluate(() => ({
          titles: [...document.querySelectorAll("h2, h3")].map((title) => title.textContent),
          linked: [...document.querySelectorAll("nav a")].every((a) => document.getElementById(a.hash.slice(1))),
          width: document.documentElement.scrollWidth,
          scripts: document.querySelectorAll("script, iframe, object, embed, img, [onerror], [onload], [style]").length,
          strange: document.querySelectorAll("main u, main i, b.no").length,
          charts: [...document.querySelectorAll("svg.chart")].map((svg) => {
            const box = svg.getBoundingClientRect();
            const outside = [...svg.querySelectorAll("text")].filter((text) => {
              const own = text.getBoundingClientRect();
              return own.left < box.left - 2 || own.right > box.right + 2 || own.top < box.top - 3 || own.bottom > box.bottom + 3;
            });
            const ticks = [...svg.querySelectorAll("text.tick")].map((text) => text.getBoundingClientRect());
            const overlap = ticks.some((a, i) =>
              ticks.slice(i + 1).some((b) => a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom),
            );
            return {
              title: svg.querySelector("title").textContent,
              drawn: box.height > 40,
              outside: outside.map((text) => text.textContent),
              overlap,
              isChart: svg.querySelectorAll("path, rect, circle").length > 2,
              table: !!svg.closest("figure").querySelector("details table"),
            };
          }),
        }));
        for (const section of sections) if (!found.titles.includes(section)) say(`no section ${section}`);
        if (!found.linked) say("a link of the contents leads nowhere");
        if (found.width > width) say(`${found.width} wide`);
        if (found.scripts) say(`${found.scripts} elements that run or load`);
        if (found.strange) say(`${found.strange} elements made of names`);
        if (!served && found.charts.length < (name.startsWith("drift") ? 3 : 6)) say(`${found.charts.length} charts`);
        for (const chart of found.charts) {
          if (!chart.drawn || !chart.isChart) say(`empty chart ${chart.title}`);
          if (!chart.table) say(`no table behind ${chart.title}`);
          if (chart.overlap) say(`labels overlap in ${chart.title}`);
          if (chart.outside.length) say(`text outside of ${chart.title}: ${chart.outside.slice(0, 3)}`);
        }
        await strict.keyboard.press("Tab");
        const first = await strict.evaluate(() => document.activeElement.getBoundingClientRect().left);
        if (!(first >= 0)) say("the skip link is not seen when it has the focus");
        if (process.env.SHOTS) {
          const file = `${process.env.SHOTS}/${name.replaceAll("/", "_")}-${device}-${colorScheme}.png`;
          await strict.screenshot({ path: file, fullPage: true });
        }
        if (device === "desktop" && colorScheme === "light" && !served) {
          await strict.emulateMedia({ media: "print" });
          await strict.setViewportSize({ width: 700, height: 990 });
          const cut = await strict.evaluate(() =>
            [...document.querySelectorAll("figure")].filter((figure) => figure.getBoundingClientRect().right > 702).length,
          );
          if (cut) say(`${cut} charts are cut in print`);
          const pdf = await strict.pdf({ format: "A4", printBackground: true, margin: { top: "1cm", bottom: "1cm" } });
          if (pdf.subarray(0, 5).toString() !== "%PDF-" || pdf.length < 20000) say("no PDF");
          if (process.env.SHOTS) writeFileSync(`${process.env.SHOTS}/${name}.pdf`, pdf);
        }
        await strict.close();

        // Each width and each scheme once.
        if ((device === "phone") !== (colorScheme === "light")) continue;
        const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, bypassCSP: true });
        const open = await context.newPage();
        await open.goto(address);
        await open.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
        await open.evaluate(axe);
        const { violations } = await open.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
        for (const { id, nodes } of violations) say(`axe: ${id}: ${nodes[0].html.slice(0, 160)} (${nodes.length}); ${nodes[0].any[0]?.message ?? ""}`);
        await context.close();
      }
    }
    console.log(`${name}: ${wrong.length - before || "nothing"} wrong`);
    wrong.slice(before).forEach((line) => console.log(`  ${line}`));
  }
  await browser.close();
  if (wrong.length) {
    console.error(`${wrong.length} faults`);
    process.exit(1);
  }
  console.log(`${pages.length} pages, ${Object.keys(WIDTHS).length} widths, light and dark: nothing wrong`);
}

await (what === "data" ? (data(), shifted()) : check());
