// A table of rows: a CSV file is sent in pieces of whole rows, and the answers are put together for download. A piece is
// answered as a whole, so a file of any length is scored in the memory of its answer, and one that fails says where.
import { explain, failure, figure, h, pathOf, request, t, table } from "./shared.js";

// Below the 1 MB that nginx takes by default.
const PIECE_BYTES = 900_000;
const PIECE_ROWS = 20_000;
const PREVIEW_ROWS = 5;
const MAX_TRIES = 8;
const [NEWLINE, QUOTE] = [10, 34];

/** Cuts bytes that arrive into pieces that end with a row: a line end between quotes is part of a field. */
class Cutter {
  constructor(maxBytes, maxRows) {
    this.limits = { maxBytes, maxRows };
    this.held = new Uint8Array(0);
    this.restart();
  }

  restart() {
    this.at = 0;
    this.ends = [];
    this.isQuoted = false;
    this.lastLine = 0;
  }

  /** Takes bytes, and gives back the pieces that are full. */
  add(bytes) {
    const joined = new Uint8Array(this.held.length + bytes.length);
    joined.set(this.held);
    joined.set(bytes, this.held.length);
    this.held = joined;
    const pieces = [];
    for (; this.at < this.held.length; this.at++) {
      const byte = this.held[this.at];
      if (byte === QUOTE) this.isQuoted = !this.isQuoted;
      if (byte !== NEWLINE) continue;
      this.lastLine = this.at + 1;
      if (!this.isQuoted) this.ends.push(this.at + 1);
      const { maxBytes, maxRows } = this.limits;
      if (this.ends.length >= maxRows || (this.at + 1 >= maxBytes && (this.ends.length > 0 || this.at > 8 * maxBytes))) {
        // A quote that is never closed is no quote: the piece then ends with the line.
        const end = this.ends.length > 0 ? this.ends[this.ends.length - 1] : this.lastLine;
        pieces.push(this.held.subarray(0, end));
        this.held = this.held.slice(end);
        this.restart();
        this.at = -1;
      }
    }
    return pieces;
  }
}

/** The length of the first row of a table, its line end included. */
function firstRow(bytes) {
  let isQuoted = false;
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] === QUOTE) isQuoted = !isQuoted;
    if (bytes[at] === NEWLINE && !isQuoted) return at + 1;
  }
  return bytes.length;
}

function countRows(bytes) {
  let n = 0;
  let isQuoted = false;
  for (const byte of bytes) {
    if (byte === QUOTE) isQuoted = !isQuoted;
    if (byte === NEWLINE && !isQuoted) n++;
  }
  return n + (bytes.length > 0 && bytes[bytes.length - 1] !== NEWLINE ? 1 : 0);
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Scores a file. `progress` is told the bytes read and the rows scored. */
export async function score(model, file, hasHeader, progress, signal) {
  const type = `text/csv; header=${hasHeader ? "present" : "absent"}`;
  const parts = [];
  let header = null;
  let [nBytes, nRows] = [0, 0];

  async function send(piece, isFirst) {
    const body = isFirst || !header ? piece : await new Blob([header, piece]).arrayBuffer();
    for (let tries = 1; ; tries++) {
      const response = await request(pathOf(model, "predict"), { method: "POST", headers: { "Content-Type": type }, body, signal });
      if (response.ok) {
        const answer = new Uint8Array(await response.arrayBuffer());
        const own = isFirst || !hasHeader ? answer : answer.subarray(firstRow(answer));
        parts.push(own);
        nRows += countRows(own) - (isFirst && hasHeader ? 1 : 0);
        return;
      }
      if ((response.status === 503 || response.status === 429) && tries < MAX_TRIES) {
        await pause(Number(response.headers.get("Retry-After")) || 1);
        continue;
      }
      const rows = countRows(piece);
      if (response.status === 413 && rows > 2) {
        const cutter = new Cutter(piece.length, Math.ceil(rows / 2));
        const halves = [...cutter.add(piece), cutter.held].filter((half) => half.length > 0);
        for (const [i, half] of halves.entries()) await send(half, isFirst && i === 0);
        return;
      }
      throw await failure(response);
    }
  }

  const cutter = new Cutter(PIECE_BYTES, PIECE_ROWS);
  const reader = file.stream().getReader();
  let isFirst = true;
  const take = async (piece) => {
    if (isFirst && hasHeader) header = piece.slice(0, firstRow(piece));
    await send(piece, isFirst);
    isFirst = false;
    nBytes += piece.length;
    progress(nBytes, nRows);
  };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    for (const piece of cutter.add(value)) await take(piece);
  }
  if (cutter.held.length > 0 || isFirst) await take(cutter.held);
  return { blob: new Blob(parts, { type: "text/csv" }), start: parts[0], nRows };
}

/** The first rows of CSV text as lists of fields. */
function readRows(text, limit) {
  const rows = [[""]];
  const delimiter = [",", ";", "\t", "|"].map((mark) => [text.split("\n", 1)[0].split(mark).length, mark]).sort((a, b) => b[0] - a[0])[0][1];
  let isQuoted = false;
  for (let i = 0; i < text.length; i++) {
    const row = rows[rows.length - 1];
    const letter = text[i];
    if (letter === '"') {
      if (isQuoted && text[i + 1] === '"') (row[row.length - 1] += '"'), i++;
      else isQuoted = !isQuoted;
    } else if (!isQuoted && letter === delimiter) row.push("");
    else if (!isQuoted && letter === "\n") {
      if (rows.length === limit) return rows;
      rows.push([""]);
    } else if (letter !== "\r" || isQuoted) row[row.length - 1] += letter;
  }
  return rows.filter((row) => row.length > 1 || row[0] !== "");
}

/** The section that takes a file. */
export function tableSection(model, description) {
  const hasHeader = description.schema.header !== false;
  const state = h("p", { role: "status" });
  const outcome = h("div", {});
  const bar = h("progress", { max: 1, value: 0, hidden: true, "aria-label": t("progress") });
  const cancel = h("button", { type: "button", hidden: true }, t("cancel"));
  const input = h("input", { type: "file", id: "file", accept: ".csv,.tsv,.txt,text/csv", onchange: () => take(input.files[0]) });
  const zone = h("div", { class: "drop" }, h("label", { for: "file" }, t("chooseFile")), input);
  let address = null;

  async function take(file) {
    if (!file) return;
    const stop = new AbortController();
    cancel.onclick = () => stop.abort();
    bar.hidden = cancel.hidden = false;
    bar.value = 0;
    outcome.replaceChildren();
    state.textContent = t("scoring", { n: 0 });
    const started = performance.now();
    try {
      const progress = (nBytes, nRows) => {
        bar.value = nBytes / Math.max(1, file.size);
        state.textContent = t("scoring", { n: figure(nRows) });
      };
      const { blob, start, nRows } = await score(model, file, hasHeader, progress, stop.signal);
      const seconds = (performance.now() - started) / 1000;
      state.textContent = t("scored", { n: figure(nRows, 9), seconds: figure(seconds, 2) });
      if (address) URL.revokeObjectURL(address);
      address = URL.createObjectURL(blob);
      const name = file.name.replace(/\.[^.]*$/, "") + ".predictions.csv";
      const text = new TextDecoder().decode(start.subarray(0, 100_000));
      const rows = readRows(text, PREVIEW_ROWS + 1);
      const head = hasHeader ? rows.shift() : (rows[0] ?? []).map((_, i) => String(i + 1));
      outcome.append(
        h("p", { class: "buttons" }, h("a", { href: address, download: name, class: "button main", id: "download" }, t("download", { name }))),
        table(t("firstRows"), head, rows.slice(0, PREVIEW_ROWS)),
      );
    } catch (error) {
      state.textContent = error.name === "AbortError" ? t("cancelled") : explain(error);
    }
    bar.hidden = cancel.hidden = true;
    input.value = "";
  }

  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files[0]);
  });
  return h(
    "section",
    { id: "table", "aria-labelledby": "table-title" },
    h("h2", { id: "table-title" }, t("scoreTable")),
    h("p", {}, t(hasHeader ? "tableHint" : "tableHintBare")),
    zone,
    h("div", { class: "buttons" }, bar, cancel),
    state,
    outcome,
  );
}
