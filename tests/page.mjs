// The tables and the checks of tests/page.sh: `data` writes the tables, `check URL KEYED PROXY` opens the pages.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const [, , what, url, keyed, proxy] = process.argv;
const KEY = "a-key-for-this-test";
const N_ROWS = 10_000;
const PATIENCE = 15_000;
/** Of a snippet that runs: what it writes to standard error is shown if it fails. */
const QUIET = { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] };

/** Numbers from 0 to 1 that are the same each time. */
function generator(seed) {
  let state = seed;
  return () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
}

const MARKUP = ['<img src=x onerror=alert(1)>', '</table><b>bold</b>', 'class "quoted" & <i>'];
const LEVELS = ["<u>left</u>", "&lt;right&gt;", "javascript:alert(3)"];
const LABELS = ["<script>alert('yes')</script>", '<b class="no">no</b>'];

function data() {
  const next = generator(1);
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const markup = [[...MARKUP, "<script>alert(2)</script>"].map(quoted).join(",")];
  for (let i = 0; i < 240; i++) {
    const x = Math.round(next() * 1000) / 10;
    const label = x + 10 * (i % 3) + 20 * next() > 60 ? LABELS[0] : LABELS[1];
    markup.push([x, quoted(LEVELS[i % 3]), Math.round(next() * 100), quoted(label)].join(","));
  }
  writeFileSync("markup.csv", markup.join("\n") + "\n");
  // Line ends and commas between quotes, so that a piece is cut between rows only.
  const rows = ["note,sepal_length,sepal_width,petal_length,petal_width"];
  for (let i = 0; i < N_ROWS; i++) {
    const note = i % 7 === 0 ? `"line 1, of ${i}\nline ""2"""` : `row ${i}`;
    rows.push([note, ...[4.3 + 3.6 * next(), 2 + 2.4 * next(), 1 + 5.9 * next(), 0.1 + 2.4 * next()].map((value) => value.toFixed(1))].join(","));
  }
  writeFileSync("rows.csv", rows.join("\n") + "\n");
}

async function check() {
  const require = createRequire(`${process.env.NODE_PATH}/`);
  const { chromium } = require("playwright-core");
  const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
  const browser = await chromium.launch({ executablePath: process.env.BROWSER, args: ["--no-sandbox"] });
  const wrong = [];
  const only = process.env.ONLY?.split(" ");
  let n = 0;

  /** Runs a check on a page of its own, in which nothing may go wrong. */
  async function run(name, options, action) {
    if (only && !only.includes(name)) return;
    n += 1;
    const before = wrong.length;
    const say = (text) => wrong.push(`${name}: ${text}`);
    const context = await browser.newContext({ viewport: { width: 1300, height: 900 }, locale: "en-GB", ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const origin = new URL(options.at ?? url).origin;
    page.on("console", (message) => {
      // The browser reports each 4xx; those that a check brings about on purpose are named by it.
      const isMeant = options.statuses?.some((status) => message.text().includes(`status of ${status}`));
      if (!isMeant && ["error", "warning"].includes(message.type())) say(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => say(`error: ${error}`));
    page.on("dialog", (dialog) => (say(`dialog: ${dialog.message()}`), dialog.dismiss()));
    page.on("request", (request) => {
      if (!request.url().startsWith(`${origin}/`) && !/^(data|blob):/.test(request.url())) say(`request: ${request.url()}`);
    });
    await page.addInitScript(() => {
      window.violations = [];
      addEventListener("securitypolicyviolation", (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
    });
    try {
      await action(page, say, context);
      if (!options.bypassCSP) for (const violation of await page.evaluate(() => window.violations)) say(`policy: ${violation}`);
    } catch (error) {
      say(String(error).split("\n").slice(0, 4).join(" "));
      if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/failed-${name}.png`, fullPage: true }).catch(() => {});
    }
    await context.close();
    console.log(`${name}: ${wrong.length - before || "nothing"} wrong`);
    wrong.slice(before).forEach((line) => console.log(`  ${line}`));
  }

  const headline = (page) => page.locator(".headline");
  const answered = (page) => page.waitForFunction(() => /[\d]/.test(document.querySelector(".headline")?.textContent ?? ""));
  const explained = (page) => page.waitForSelector(".waterfall tr.sum");
  const field = (page, name) => page.getByLabel(name, { exact: true });
  /** Opens the page of a model and waits for its first answer. */
  const open = async (page, name, base = url) => {
    const answer = await page.goto(name === "" ? `${base}/` : `${base}/models/${name}/`);
    if (answer.status() !== 200) throw new Error(`status ${answer.status()}`);
    await answered(page);
  };
  const same = (say, name, found, expected) => {
    if (JSON.stringify(found) !== JSON.stringify(expected)) say(`${name}: ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
  };

  await run("predict", {}, async (page, say) => {
    await open(page, "");
    await page.fill("#field-0", "5.1");
    await page.fill("#field-1", "3.5");
    await page.fill("#field-2", "1.4");
    await page.fill("#field-3", "0.2");
    await page.waitForFunction(() => document.querySelector(".headline").textContent.startsWith("setosa"));
    await explained(page);
    const found = await page.evaluate(() => ({
      rows: document.querySelectorAll(".waterfall tbody tr").length,
      chosen: document.querySelector(".bars .chosen th").textContent,
      hint: document.getElementById("field-0-hint").textContent,
      reasons: document.querySelectorAll(".reasons li").length,
    }));
    same(say, "answer", { ...found, reasons: found.reasons > 0 }, { rows: 6, chosen: "setosa", hint: "4.3 to 7.9", reasons: true });
    // The numbers of the waterfall are those of the API, and add up.
    const { explanation } = await (await fetch(`${url}/models/iris/predict`, { method: "POST", body: '{"data":[5.1,3.5,1.4,0.2],"explain":{"scale":"probability"}}' })).json();
    const sum = Object.values(explanation.contributions).reduce((a, b) => a + b, explanation.base);
    if (Math.abs(sum - explanation.score) > 1e-9) say(`contributions add up to ${sum}, not ${explanation.score}`);
    const shown = await page.locator(".waterfall tr.sum td.n").last().textContent();
    if (Math.abs(Number(shown.replace("−", "-")) - explanation.score) > 0.01) say(`score ${shown}, not ${explanation.score}`);
    // Another class and scale.
    await page.selectOption("#why-label", "virginica");
    await page.selectOption("#why-scale", "score");
    await page.waitForFunction(() => /virginica/.test(document.querySelector("#why .hint")?.textContent));
    // Warnings and errors stand beside their fields.
    await page.fill("#field-3", "99");
    await page.waitForSelector("#field-3-message:has-text('Outside')");
    await page.fill("#field-3", "");
    await page.waitForSelector("#field-3-message:has-text('No value')");
    for (const example of ["versicolor", "virginica", "setosa"]) {
      await page.getByRole("button", { name: example, exact: true }).click();
      await page.waitForFunction((label) => document.querySelector(".headline").textContent.startsWith(label), example);
    }
    await page.click("#random");
    await page.click("#clear");
    await page.waitForSelector("#field-0-message:has-text('No value')");
  });

  await run("errors", { statuses: [422] }, async (page, say) => {
    await open(page, "iris");
    await page.fill("#field-0", "abc");
    await page.waitForSelector("#field-0-message.error");
    same(say, "invalid", await page.getAttribute("#field-0", "aria-invalid"), "true");
    await page.fill("#field-0", "5");
    await page.waitForFunction(() => document.getElementById("field-0-message").textContent === "");
    await answered(page);
  });

  await run("types", {}, async (page, say) => {
    await open(page, "penguins");
    await page.selectOption("#field-0", "Dream");
    await page.selectOption("#field-5", "");
    await page.waitForSelector("#field-5-message:has-text('No value')");
    await page.selectOption("#field-0", { label: "another value…" });
    await page.fill(".other >> visible=true", "Atlantis");
    await page.waitForSelector("#field-0-message:has-text('Not among')");
    for (const name of ["rentals", "intents"]) {
      await open(page, name);
      await explained(page);
    }
    await page.fill("#field-0", "please play some music");
    await answered(page);
    // A model that is explained by sampling.
    await open(page, "neighbours");
    await explained(page);
    if (!(await page.locator(".answer").textContent()).includes("standard error")) say("no standard error");
    await open(page, "diabetes");
    await explained(page);
    await page.getByRole("button", { name: "high value" }).click();
    await answered(page);
  });

  await run("threshold", {}, async (page, say) => {
    await open(page, "cancer");
    const meaning = () => page.textContent("#threshold-hint");
    const before = await meaning();
    await page.focus("#threshold");
    for (let i = 0; i < 40; i++) await page.keyboard.press("ArrowRight");
    same(say, "threshold", await page.locator(".threshold output").textContent(), "0.9");
    const after = await meaning();
    if (before === after || !/precision [\d.]+%, recall [\d.]+%/.test(after)) say(`meaning: ${after}`);
    // The counts are those of eval at this threshold.
    await page.waitForFunction(() => document.querySelector("#snippets code").textContent.includes('"threshold":0.9'));
    const label = (await page.textContent(".threshold label")).replace("Threshold for ", "");
    await page.keyboard.press("Home");
    await page.waitForFunction((name) => document.querySelector(".headline").textContent.startsWith(name), label);
    const { card } = await (await fetch(`${url}/models/cancer`)).json();
    const { positives, true_positives: counts } = card.thresholds;
    if (counts.length !== 101 || counts[0] !== positives) say("the counts of the card do not begin with all positives");
  });

  await run("csv", { acceptDownloads: true }, async (page, say) => {
    await open(page, "iris");
    const csv = readFileSync("rows.csv");
    const direct = await fetch(`${url}/models/iris/predict`, { method: "POST", headers: { "Content-Type": "text/csv" }, body: csv });
    const expected = await direct.text();
    const download = async () => {
      await page.waitForSelector("#download");
      const [file] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
      same(say, "name", file.suggestedFilename(), "rows.predictions.csv");
      return readFileSync(await file.path(), "utf8");
    };
    await page.setInputFiles("#file", "rows.csv");
    if ((await download()) !== expected) say("the downloaded file is not what the API answers");
    same(say, "count", (await page.textContent("#table [role=status]")).split(" in ")[0], "10,000 rows scored");
    // The same, dropped, and so long that it is sent in pieces.
    await page.evaluate((text) => {
      const [header, ...rest] = [text.slice(0, text.indexOf("\n") + 1), text.slice(text.indexOf("\n") + 1)];
      const files = new DataTransfer();
      files.items.add(new File([header, ...Array(6).fill(rest[0])], "rows.csv", { type: "text/csv" }));
      document.getElementById("download").remove();
      document.querySelector(".drop").dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));
    }, csv.toString());
    const pieces = await download();
    const head = expected.slice(0, expected.indexOf("\n") + 1);
    if (pieces !== head + expected.slice(head.length).repeat(6)) say("pieces are not put together as the API answers the whole");
    same(say, "count", (await page.textContent("#table [role=status]")).split(" in ")[0], "60,000 rows scored");
  });

  await run("csv-errors", { statuses: [422, 400] }, async (page, say) => {
    await open(page, "iris");
    await page.setInputFiles("#file", { name: "bad.csv", mimeType: "text/csv", buffer: Buffer.from("a,b\n1,2\n") });
    await page.waitForFunction(() => /sepal_length/.test(document.querySelector("#table [role=status]").textContent));
  });

  await run("snippets", {}, async (page, say) => {
    for (const model of ["iris", "markup", "penguins"]) {
      await open(page, model);
      if (model === "iris") await page.fill("#field-0", "5.1");
      if (model === "penguins") await page.selectOption("#field-5", "");
      await page.waitForTimeout(400);
      const body = JSON.parse((await page.textContent("#snippets code")).match(/-d '(.*)' '/s)[1].replaceAll("'\\''", "'"));
      const expected = await (await fetch(`${url}/models/${model}/predict`, { method: "POST", body: JSON.stringify(body) })).json();
      for (const [name, command, args] of [["curl", "bash", ["-c"]], ["Python", "python3", ["-c"]], ["JavaScript", "node", ["-e"]], ["R", "Rscript", ["-e"]]]) {
        await page.locator("#snippets").getByRole("button", { name, exact: true }).click();
        const code = await page.textContent("#snippets code");
        try {
          const out = execFileSync(command, [...args, code], QUIET);
          if (!out.includes(String(expected.prediction).replace(/[<>'"]/g, "").slice(0, 3))) say(`${name}: ${out}`);
          if (name === "curl") same(say, `${model} by curl`, JSON.parse(out), expected);
        } catch (error) {
          say(`${model}, ${name}: ${error.stderr ?? error}`);
        }
      }
      await page.locator("#snippets").getByRole("button", { name: "Copy" }).click();
      await page.waitForSelector("#snippets [role=status]:has-text('Copied')");
    }
  });

  await run("models", {}, async (page, say) => {
    await open(page, "");
    same(say, "default", await page.textContent("h1"), "iris");
    await page.selectOption("#models", "diabetes");
    await page.waitForFunction(() => document.querySelector("h1")?.textContent === "diabetes");
    await answered(page);
    same(say, "address", new URL(page.url()).pathname, "/models/diabetes/");
    await page.goBack();
    await page.waitForFunction(() => document.querySelector("h1")?.textContent === "iris");
    await page.goForward();
    await page.waitForFunction(() => document.querySelector("h1")?.textContent === "diabetes");
    await page.reload();
    await answered(page);
    same(say, "after a reload", await page.textContent("h1"), "diabetes");
  });

  await run("language", { locale: "zh-CN" }, async (page, say) => {
    await open(page, "iris");
    same(say, "language", await page.getAttribute("html", "lang"), "zh");
    await page.fill("#field-0", "6.6");
    await page.waitForSelector("#try-title:has-text('数据行')");
    await page.selectOption("#language", "en");
    await page.waitForSelector("#try-title:has-text('Row')");
    same(say, "row", await page.inputValue("#field-0"), "6.6");
    await page.reload();
    await answered(page);
    same(say, "kept", await page.getAttribute("html", "lang"), "en");
  });

  // On a phone the answer is in sight above the fields that fill the screen.
  await run("phone", { viewport: { width: 390, height: 844 } }, async (page, say) => {
    await open(page, "penguins");
    const inSight = async (when) => {
      const { y, height } = await headline(page).boundingBox();
      if (y < 0 || y + height > 844) say(`${when}, the answer is at ${y}`);
    };
    await inSight("at the top");
    await field(page, "body_mass_g").focus();
    await inSight("at a field");
  });

  await run("markup", {}, async (page, say) => {
    await open(page, "markup");
    await explained(page);
    await page.selectOption("#field-1", LEVELS[1]);
    await answered(page);
    const found = await page.evaluate(() => ({
      labels: [...document.querySelectorAll(".field label")].map((label) => label.textContent),
      strange: document.querySelectorAll("#page u, #page i, #page b, #page img, #page script, [onerror]").length,
      shown: document.querySelector(".headline").textContent,
    }));
    same(say, "names", found.labels, MARKUP);
    if (found.strange) say(`${found.strange} elements made of names`);
    if (!LABELS.some((label) => found.shown.startsWith(label))) say(`headline ${found.shown}`);
    await page.click("summary:has-text('Report')");
    await page.waitForFunction(() => document.querySelector(".report div div")?.shadowRoot?.querySelector("svg, table"));
    await page.goto(`${url}/docs`);
    await page.selectOption("#models", "markup");
    for (const summary of await page.locator("summary").all()) if (await summary.isVisible()) await summary.click();
    same(say, "elements", await page.evaluate(() => document.querySelectorAll("#page u, #page i, #page b, #page img, #page script").length), 0);
  });

  await run("keyboard", {}, async (page, say) => {
    await open(page, "iris");
    await page.keyboard.press("Tab");
    same(say, "first", await page.evaluate(() => document.activeElement.className), "skip");
    await page.keyboard.press("Enter");
    const reached = new Set();
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press("Tab");
      reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.textContent.slice(0, 12)));
      if (i === 0) await page.evaluate(() => 0);
    }
    for (const id of ["typical", "field-0", "field-3", "why-label", "file"]) if (!reached.has(id)) say(`${id} is not reached`);
    await page.focus("#field-3");
    await page.keyboard.press("Control+A");
    await page.keyboard.type("2.4");
    await page.keyboard.press("Tab");
    const before = await page.inputValue("#field-3");
    await page.keyboard.press("ArrowLeft");
    if ((await page.inputValue("#field-3")) === before) say("the slider does not move by key");
    await answered(page);
  });

  await run("live", {}, async (page, say) => {
    await open(page, "penguins");
    await page.locator("#live").scrollIntoViewIfNeeded();
    await page.waitForSelector("#live svg.lines");
    await page.waitForSelector("#live table, #live :text('No row')");
    for (let i = 0; i < 30; i++) await fetch(`${url}/models/penguins/predict`, { method: "POST", body: '{"data":["Biscoe",43.9,17.2,201,4200,"male",2009]}' });
    await page.waitForFunction(() => /p50 [\d.]+ ms/.test(document.querySelector("#live").textContent));
    await page.waitForFunction(() => document.querySelector("#live table"), null, { timeout: 20_000 });
    if (!/[3-9]\d requests|\d{3} requests/.test(await page.textContent("#live"))) say(await page.textContent("#live"));
  });

  await run("keys", { at: keyed, statuses: [401] }, async (page, say) => {
    await page.goto(`${keyed}/`);
    await page.fill("#key", "a-wrong-key-for-this-test");
    await page.keyboard.press("Enter");
    await page.waitForSelector("dialog:has-text('does not know')");
    await page.fill("#key", KEY);
    await page.keyboard.press("Enter");
    await answered(page);
    await explained(page);
    const snippet = await page.textContent("#snippets code");
    if (snippet.includes(KEY) || !snippet.includes("$MLAPI_KEY")) say(`snippet ${snippet}`);
    const out = execFileSync("bash", ["-c", snippet], { ...QUIET, env: { ...process.env, MLAPI_KEY: KEY } });
    if (!JSON.parse(out).prediction) say(out);
    for (const [name, command, flag] of [["Python", "python3", "-c"], ["JavaScript", "node", "-e"], ["R", "Rscript", "-e"]]) {
      await page.locator("#snippets").getByRole("button", { name, exact: true }).click();
      const answer = execFileSync(command, [flag, await page.textContent("#snippets code")], { ...QUIET, env: { ...process.env, MLAPI_KEY: KEY } });
      if (!answer.includes("prediction")) say(answer);
    }
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]));
    if (kept.includes(KEY)) say(`the key is kept: ${kept}`);
    await page.reload();
    await page.waitForSelector("#key");
    await page.goto(`${keyed}/docs`);
    await page.fill("#key", KEY);
    await page.keyboard.press("Enter");
    await page.waitForSelector(".operation");
  });

  await run("proxy", { at: proxy, acceptDownloads: true }, async (page, say) => {
    await open(page, "", proxy);
    await page.selectOption("#models", "penguins");
    await page.waitForFunction(() => document.querySelector("h1")?.textContent === "penguins");
    await answered(page);
    same(say, "address", page.url(), `${proxy}/models/penguins/`);
    const snippet = await page.textContent("#snippets code");
    if (!snippet.includes(`${proxy}/models/penguins/predict`)) say(`snippet ${snippet}`);
    if (!JSON.parse(execFileSync("bash", ["-c", snippet], QUIET)).prediction) say("the snippet does not run");
    await page.reload();
    await answered(page);
    await page.click("nav a:has-text('API document')");
    await page.waitForSelector(".operation");
    same(say, "address", page.url(), `${proxy}/docs`);
    await page.click("nav a:has-text('Try the models')");
    await answered(page);
    same(say, "address", page.url(), `${proxy}/`);
    await page.setInputFiles("#file", "rows.csv");
    await page.waitForSelector("#download");
    // The server of the document is where the document is.
    const document = await (await fetch(`${proxy}/openapi.json`)).json();
    const server = new URL(document.servers[0].url, `${proxy}/openapi.json`).href.replace(/\/$/, "");
    same(say, "server", server, proxy);
    same(say, "its livez", (await fetch(`${server}/livez`)).status, 200);
  });

  await run("docs", {}, async (page, say) => {
    await page.goto(`${url}/docs`);
    await page.waitForSelector(".operation");
    await page.selectOption("#models", "penguins");
    const first = page.locator(".operation summary").first();
    await first.click();
    await page.waitForSelector(".operation[open] h3");
    const text = await page.textContent(".operation[open]");
    for (const part of ["Request body", "Responses", "422", "curl"]) if (!text.includes(part)) say(`no ${part}`);
    const command = await page.locator(".operation[open] pre").last().textContent();
    if (!JSON.parse(execFileSync("bash", ["-c", command], QUIET)).prediction) say(`does not run: ${command}`);
    await page.locator(".operation[open] a").first().click();
    const isOpen = await page.evaluate(() => document.getElementById(location.hash.slice(1))?.open ?? document.getElementById(decodeURIComponent(location.hash.slice(1)))?.open);
    same(say, "schema", isOpen, true);
  });

  /** Each page in each width and scheme: not wider than the screen, and nothing for axe to find. */
  const pages = [["iris", "/"], ["penguins", "/models/penguins/"], ["diabetes", "/models/diabetes/"], ["cancer", "/models/cancer/"], ["rentals", "/models/rentals/"],
    ["markup", "/models/markup/"], ["chinese", "/models/penguins/"], ["docs", "/docs"]];
  for (const [name, path] of pages) {
    for (const [device, width] of Object.entries({ phone: 390, desktop: 1300 })) {
      for (const colorScheme of ["light", "dark"]) {
        const locale = name === "chinese" ? "zh-CN" : "en-GB";
        const options = { viewport: { width, height: 900 }, colorScheme, locale, bypassCSP: true };
        await run(`look-${name}-${device}-${colorScheme}`, options, async (page, say) => {
          await page.goto(url + path);
          if (name === "docs") {
            await page.waitForSelector(".operation");
            await page.locator(".operation summary").first().click();
          } else {
            await answered(page);
            await explained(page);
            await page.locator("#live").scrollIntoViewIfNeeded();
            await page.waitForSelector("#live svg.lines");
            if (name === "penguins") {
              await page.locator(".report summary").click();
              await page.waitForFunction(() => document.querySelector(".report div div")?.shadowRoot);
            }
          }
          const wide = await page.evaluate(() => document.documentElement.scrollWidth);
          if (wide > width) say(`${wide} wide`);
          await page.evaluate(() => scrollTo(0, 0));
          if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name}-${device}-${colorScheme}.png`, fullPage: true });
          await page.evaluate(axe);
          const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
          for (const { id, nodes } of violations) say(`axe: ${id}: ${nodes[0].html.slice(0, 200)} (${nodes.length}); ${nodes[0].any[0]?.message ?? nodes[0].all[0]?.message ?? ""}`);
        });
      }
    }
  }

  await browser.close();
  if (wrong.length) {
    console.error(`${wrong.length} faults`);
    process.exit(1);
  }
  console.log(`${n} checks: nothing wrong`);
}

await (what === "data" ? data() : check());
