// The API document as a page: operations by tag, their bodies and responses, and the schemas.
import { copy, explain, fill, h, pageHead, read, ROOT, t } from "./shared.js";

const place = h("div", { id: "page" });
document.body.prepend(place);
let api = null;
let chosen = "";

async function start() {
  fill(place, h("main", { id: "main" }, h("h1", {}, t("apiTitle")), h("p", { role: "status" }, t("loading"))));
  try {
    api = await read("openapi.json");
    draw();
  } catch (error) {
    fill(
      place,
      h("main", { id: "main" }, h("h1", {}, t("apiTitle")), h("p", { role: "alert" }, explain(error)), h("button", { type: "button", onclick: start }, t("again"))),
    );
  }
}

/** What a pointer within the document leads to. */
function resolve(reference) {
  return reference.slice(2).split("/").reduce((value, name) => value?.[decodeURIComponent(name).replaceAll("~1", "/").replaceAll("~0", "~")], api);
}

const followed = (value) => (value?.$ref ? resolve(value.$ref) : value);
const schemaId = (name) => `schema-${encodeURIComponent(name)}`;

/** The model that a path names; empty for those of the server and of the first model. */
function modelOf(path) {
  const found = /^\/(?:v2\/)?models\/([^/]+)/.exec(path);
  return found ? decodeURIComponent(found[1]) : "";
}

function draw() {
  const models = [...new Set(Object.keys(api.paths).map(modelOf))].filter((name) => name !== "");
  document.title = api.info.title;
  const chooser = [
    h("label", { class: "away", for: "models" }, t("model")),
    h(
      "select",
      {
        id: "models",
        onchange: (event) => {
          chosen = event.target.value;
          draw();
          document.getElementById("models").focus();
        },
      },
      h("option", { value: "", selected: chosen === "" }, t("allOperations")),
      models.map((name) => h("option", { value: name, selected: chosen === name }, name)),
    ),
  ];
  const operations = Object.entries(api.paths)
    .filter(([path]) => modelOf(path) === chosen)
    .flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })));
  const tags = api.tags
    .map((tag) => ({ ...tag, operations: operations.filter(({ operation }) => operation.tags.includes(tag.name)) }))
    .filter((tag) => tag.operations.length > 0);
  const links = [[ROOT, t("tryPage")], ...tags.map((tag) => [`#tag-${tag.name}`, tag.name]), ["#schemas", t("schemas")]];
  fill(
    place,
    h("a", { class: "skip", href: "#main" }, t("skipDocs")),
    pageHead(api.info.title, links, draw, chooser),
    h(
      "main",
      { id: "main", tabindex: -1 },
      h("p", { class: "lead" }, api.info.description),
      h("p", {}, h("a", { href: `${ROOT}openapi.json` }, "openapi.json"), ` · OpenAPI ${api.openapi} · mlapi ${api.info.version}`),
      tags.map((tag) => h("section", { "aria-labelledby": `tag-${tag.name}` }, h("h2", { id: `tag-${tag.name}` }, tag.name), h("p", {}, tag.description), tag.operations.map(operationView))),
      h("section", { "aria-labelledby": "schemas" }, h("h2", { id: "schemas" }, t("schemas")), Object.entries(api.components.schemas).map(schemaDetails)),
    ),
  );
}

/** Details whose content is made when they are opened first: a document of many models has thousands of elements. */
function lazily(attributes, summary, content) {
  const details = h("details", attributes, summary);
  const open = () => details.childElementCount === 1 && details.append(h("div", { class: "inner" }, content()));
  details.addEventListener("toggle", open);
  return details;
}

function operationView({ path, method, operation }) {
  const summary = h("summary", {}, h("span", { class: `method ${method}` }, method), " ", h("code", {}, path), " ", h("span", {}, operation.summary));
  return lazily({ class: "operation", id: operation.operationId }, summary, () => [
    operation.description && h("p", {}, operation.description),
    h("p", { class: "hint" }, operation.security ? `${t("key")}: ${t("required")}` : t("noKey")),
    operation.requestBody && [h("h3", {}, t("body")), contents(operation.requestBody.content)],
    h("h3", {}, t("answers")),
    Object.entries(operation.responses).map(([status, response]) => responseView(status, followed(response))),
    example(path, method, operation),
  ]);
}

function responseView(status, response) {
  const title = h("summary", {}, h("code", {}, status), " ", response.description);
  if (!response.content) return h("p", { class: "bare" }, h("code", {}, status), " ", response.description);
  return lazily({}, title, () => contents(response.content));
}

function contents(content) {
  return Object.entries(content).map(([type, { schema, example: value, examples }]) => {
    const shown = [...(value === undefined ? [] : [["", value]]), ...Object.entries(examples ?? {}).map(([name, each]) => [name, each.value])];
    return [
      h("h4", {}, h("code", {}, type)),
      schema && schemaView(schema, 0),
      shown.map(([name, each]) => h("div", {}, h("p", { class: "hint" }, `${t("example")} ${name}`), code(typeof each === "string" ? each : JSON.stringify(each, null, 1)))),
    ];
  });
}

function code(text) {
  return h("pre", { tabindex: 0, role: "group", "aria-label": t("example") }, h("code", {}, text));
}

/** A command that works when it is pasted. */
function example(path, method, operation) {
  const url = ROOT.replace(/\/$/, "") + path;
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const key = operation.security ? '-H "Authorization: Bearer $MLAPI_KEY" ' : "";
  const [type, media] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  const schema = followed(media?.schema);
  const value = media?.example ?? Object.values(media?.examples ?? {})[0]?.value ?? schema?.examples?.[0];
  if (method === "POST" && value === undefined) return null;
  const body = method === "GET" ? "" : `-H 'Content-Type: ${type}' --data-binary ${quoted(typeof value === "string" ? value : JSON.stringify(value))} `;
  const text = `curl ${key}${body}${quoted(url)}`;
  return [h("h3", {}, "curl"), code(text), h("button", { type: "button", onclick: () => copy(text) }, t("copy"))];
}

function schemaDetails([name, schema]) {
  return lazily({ id: schemaId(name) }, h("summary", {}, h("code", {}, name)), () => schemaView(schema, 0));
}

function reference(pointer) {
  const name = pointer.split("/").pop();
  const id = schemaId(name);
  return h("a", { href: `#${id}`, onclick: () => (document.getElementById(id).open = true) }, name);
}

/** The type of a schema in a few words. */
function typeOf(schema) {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.slice(0, 12).map((value) => JSON.stringify(value)).join(" | ") + (schema.enum.length > 12 ? " | …" : "");
  const type = [schema.type ?? "any"].flat().join(" | ");
  const bounds = [
    ["minimum", "≥"], ["maximum", "≤"], ["exclusiveMinimum", ">"], ["exclusiveMaximum", "<"], ["minItems", "items ≥"], ["maxItems", "items ≤"], ["format", ""],
  ];
  return [type, ...bounds.filter(([name]) => schema[name] !== undefined).map(([name, sign]) => `${sign} ${schema[name]}`.trim())].join(", ");
}

function schemaView(schema, depth) {
  if (schema.$ref) return h("p", {}, reference(schema.$ref));
  const choices = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  const parts = [];
  if (schema.description) parts.push(h("p", {}, schema.description));
  if (choices) parts.push(h("ul", {}, choices.map((choice) => h("li", {}, schemaView(choice, depth + 1)))));
  else if (!schema.properties && !schema.items && !schema.prefixItems) parts.push(h("p", {}, h("code", {}, typeOf(schema))));
  const inner = (each) => (depth > 6 ? null : schemaView(each, depth + 1));
  if (schema.properties) {
    const required = schema.required ?? [];
    parts.push(h("dl", { class: "schema" }, Object.entries(schema.properties).map(([name, each]) => [
      h("dt", {}, h("code", {}, name), required.includes(name) && h("span", { class: "hint" }, ` ${t("required")}`)),
      h("dd", {}, inner(each)),
    ])));
  }
  if (schema.prefixItems) parts.push(h("ol", { start: 0 }, schema.prefixItems.map((each) => h("li", {}, inner(each)))));
  if (schema.items) parts.push(h("p", { class: "hint" }, `array${schema.minItems ? `, ≥ ${schema.minItems}` : ""}`), inner(schema.items));
  if (schema.examples) parts.push(h("p", { class: "hint" }, `${t("example")}: `, h("code", {}, schema.examples.slice(0, 5).map((each) => JSON.stringify(each)).join(", "))));
  return parts;
}

start();
