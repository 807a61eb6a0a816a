// The current row as a command or a program that can be pasted.
import { copy, h, hasKey, pathOf, ROOT, t } from "./shared.js";

/** A text between single quotes for a shell. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A value of JSON as Python writes it. */
function python(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${python(item)}`).join(", ")}}`;
  return JSON.stringify(value);
}

const MAKERS = {
  curl(url, body, withKey) {
    const key = withKey ? '-H "Authorization: Bearer $MLAPI_KEY" ' : "";
    return `curl ${key}-H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))} ${quoted(url)}`;
  },
  Python(url, body, withKey) {
    const key = withKey ? ', "Authorization": "Bearer " + os.environ["MLAPI_KEY"]' : "";
    return [
      withKey ? "import json, os, urllib.request" : "import json, urllib.request",
      "",
      `row = ${python(body)}`,
      `request = urllib.request.Request(${JSON.stringify(url)}, json.dumps(row).encode(),`,
      `                                 {"Content-Type": "application/json"${key}})`,
      "print(json.load(urllib.request.urlopen(request)))",
    ].join("\n");
  },
  JavaScript(url, body, withKey) {
    const key = withKey ? ", Authorization: `Bearer ${process.env.MLAPI_KEY}`" : "";
    return [
      `fetch(${JSON.stringify(url)}, {`,
      '  method: "POST",',
      `  headers: { "Content-Type": "application/json"${key} },`,
      `  body: JSON.stringify(${JSON.stringify(body)}),`,
      "})",
      "  .then((response) => response.json())",
      "  .then((answer) => console.log(answer));",
    ].join("\n");
  },
  R(url, body, withKey) {
    return [
      "library(httr2)",
      `request(${JSON.stringify(url)}) |>`,
      withKey && '  req_auth_bearer_token(Sys.getenv("MLAPI_KEY")) |>',
      `  req_body_raw(${JSON.stringify(JSON.stringify(body))}, "application/json") |>`,
      "  req_perform() |>",
      "  resp_body_json()",
    ]
      .filter(Boolean)
      .join("\n");
  },
};

/** The section of snippets; `show` is called with each new request body. */
export class Snippets {
  constructor(model) {
    this.url = ROOT + pathOf(model, "predict");
    this.language = "curl";
    this.code = h("code", {});
    this.body = {};
    const tabs = Object.keys(MAKERS).map((name) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": String(name === this.language),
          onclick: (event) => {
            this.language = name;
            tabs.forEach((tab) => tab.setAttribute("aria-pressed", String(tab === event.target)));
            this.show(this.body);
          },
        },
        name,
      ),
    );
    const said = h("span", { role: "status" });
    const button = h(
      "button",
      {
        type: "button",
        onclick: async () => {
          await copy(this.code.textContent);
          said.textContent = t("copied");
          setTimeout(() => (said.textContent = ""), 2000);
        },
      },
      t("copy"),
    );
    this.note = h("p", { class: "hint" });
    this.element = h(
      "section",
      { "aria-labelledby": "code", id: "snippets" },
      h("h2", { id: "code" }, t("code")),
      h("div", { class: "buttons", role: "group", "aria-label": t("programLanguage") }, tabs),
      h("pre", { tabindex: 0, role: "group", "aria-label": t("code") }, this.code),
      h("div", { class: "buttons" }, button, said),
      this.note,
    );
  }

  show(body) {
    this.body = body;
    this.code.textContent = MAKERS[this.language](this.url, body, hasKey());
    this.note.textContent = hasKey() ? t("codeKey") : this.language === "R" ? t("codeR") : "";
  }
}
