// The page of the API: what openapi.json says, and forms to try it. The token stays in this variable: it is gone when
// the page is. All text is set as text, never as HTML.
let token = "";
let api;
const $ = (id) => document.getElementById(id);

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function resolved(schema) {
  return schema?.$ref ? resolved(api.components.schemas[schema.$ref.split("/").at(-1)]) : (schema ?? {});
}

// A schema in a few words.
function kind(schema = {}) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  const choices = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (choices) return [...new Set(choices.map(kind))].join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  return schema.format ?? (Array.isArray(schema.type) ? schema.type.join(" or ") : schema.type) ?? "anything";
}

const ANY_TEXT = "^[^\\x00]*$";

function limits(schema) {
  const told = { minimum: "at least", maximum: "at most", minLength: "shortest", maxLength: "longest", pattern: "pattern", default: "default" };
  const parts = Object.entries(told).filter(([key]) => schema[key] !== undefined && schema[key] !== null && schema[key] !== ANY_TEXT);
  return parts.map(([key, words]) => `${words} ${JSON.stringify(schema[key])}`).join(", ");
}

// A value that a body may be begun from.
function example(schema, depth = 0) {
  const told = resolved(schema);
  if (told.examples?.length) return told.examples[0];
  if (told.default !== undefined) return told.default;
  if (told.const !== undefined) return told.const;
  if (told.enum) return told.enum[0];
  if (told.anyOf) return example(told.anyOf[0], depth);
  if (told.type === "array") return [];
  if (told.type === "object") {
    if (depth > 2) return {};
    return Object.fromEntries(Object.entries(told.properties ?? {}).map(([key, part]) => [key, example(part, depth + 1)]));
  }
  if (told.type === "integer" || told.type === "number") return told.minimum ?? 0;
  if (told.type === "boolean") return false;
  if (told.format === "uuid") return "00000000-0000-0000-0000-000000000000";
  return told.type === "string" ? "" : null;
}

function properties(schema) {
  const told = resolved(schema);
  const table = element("table");
  for (const [name, part] of Object.entries(told.properties ?? {})) {
    const needed = told.required?.includes(name) ? " *" : "";
    table.append(element("tr", {},
      element("td", {}, element("code", { textContent: name + needed })),
      element("td", { textContent: kind(part) }),
      element("td", { className: "quiet", textContent: [part.description ?? "", limits(part)].filter(Boolean).join(" ") })));
  }
  return table.rows.length ? table : element("p", { className: "quiet", textContent: kind(told) });
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

// The same request as a command; the token is named, not told.
function command(method, url, headers, body, part) {
  const words = ["curl", "-N", "-X", method, quoted(url)];
  for (const [name, value] of Object.entries(headers)) {
    words.push("-H", name === "Authorization" ? `"Authorization: Bearer $TOKEN"` : quoted(`${name}: ${value}`));
  }
  if (part) words.push("-F", quoted(`${part}=@FILE`));
  else if (body !== undefined) words.push("--data-binary", quoted(body));
  return words.join(" ");
}

async function shown(response, output) {
  const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  output.textContent = `${response.status} ${response.statusText}\n${headers}\n\n`;
  const type = response.headers.get("content-type") ?? "";
  if (type.includes("json")) {
    const text = await response.text();
    try {
      output.textContent += JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      output.textContent += text;
    }
  } else if (response.body) {
    // As it comes: a stream of events has no end.
    for (const reader = response.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) return;
      output.textContent += value;
    }
  }
}

function trial(path, method, operation) {
  const form = element("form");
  const inputs = [];
  const table = element("table");
  for (const parameter of operation.parameters ?? []) {
    const input = element("input", { required: parameter.required ?? false });
    input.setAttribute("aria-label", parameter.name);
    inputs.push([parameter, input]);
    table.append(element("tr", {},
      element("td", {}, element("code", { textContent: parameter.name + (parameter.required ? " *" : "") }), " ", element("small", { textContent: parameter.in })),
      element("td", {}, input),
      element("td", { textContent: kind(parameter.schema) }),
      element("td", { className: "quiet", textContent: [parameter.description ?? "", limits(parameter.schema)].filter(Boolean).join(" ") })));
  }
  if (inputs.length) form.append(element("h3", { textContent: "Parameters" }), table);

  const [[media, content] = []] = Object.entries(operation.requestBody?.content ?? {});
  const part = media === "multipart/form-data" ? Object.keys(content.schema.properties)[0] : undefined;
  let input;
  if (part) {
    input = element("input", { type: "file", required: true });
    form.append(element("h3", { textContent: `File (${part})` }), input);
  } else if (media) {
    input = element("textarea", { value: JSON.stringify(example(content.schema), null, 2), spellcheck: false });
    input.setAttribute("aria-label", "Body");
    const fields = element("details", {}, element("summary", { textContent: `Fields of ${kind(content.schema)}` }), element("div", { className: "inside" }, properties(content.schema)));
    form.append(element("h3", { textContent: "Body" }), input, fields);
  }

  const send = element("button", { textContent: "Send" });
  const stop = element("button", { textContent: "Stop", type: "button", hidden: true });
  const asked = element("pre", { hidden: true });
  const output = element("pre", { hidden: true });
  form.append(element("p", {}, send, " ", stop), asked, output);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const query = new URLSearchParams();
    let filled = path;
    for (const [parameter, { value }] of inputs) {
      if (parameter.in === "path") filled = filled.replace(`{${parameter.name}}`, encodeURIComponent(value));
      else if (value !== "" && parameter.in === "query") query.append(parameter.name, value);
      else if (value !== "") headers[parameter.name] = value;
    }
    let body;
    if (part) {
      body = new FormData();
      body.append(part, input.files[0]);
    } else if (media) {
      body = input.value;
      headers["Content-Type"] = media;
    }
    const url = location.origin + api.servers[0].url + filled + (query.size ? `?${query}` : "");
    const leaving = new AbortController();
    stop.onclick = () => leaving.abort();
    asked.hidden = output.hidden = stop.hidden = false;
    asked.textContent = command(method.toUpperCase(), url, headers, body, part);
    output.textContent = "...";
    try {
      await shown(await fetch(url, { method: method.toUpperCase(), headers, body, signal: leaving.signal }), output);
    } catch (error) {
      output.textContent += `\n${leaving.signal.aborted ? "Stopped." : error}`;
    }
    stop.hidden = true;
  });
  return form;
}

function answers(operation) {
  const table = element("table");
  for (const [status, answer] of Object.entries(operation.responses)) {
    const contents = Object.entries(answer.content ?? {}).map(([media, content]) => (content.schema ? `${kind(content.schema)} (${media})` : media));
    table.append(element("tr", {},
      element("td", { textContent: status }),
      element("td", { textContent: answer.description }),
      element("td", { className: "quiet", textContent: contents.join(", ") })));
  }
  return table;
}

// What is inside is made when it is opened: there are hundreds of operations.
function unfolding(title, inside) {
  const details = element("details", {}, element("summary", {}, ...title));
  details.addEventListener("toggle", () => details.append(element("div", { className: "inside" }, ...inside())), { once: true });
  return details;
}

function entry(path, method, operation) {
  const open = operation.security?.length === 0;
  const made = unfolding(
    [
      element("span", { className: `method ${method}`, textContent: method.toUpperCase() }),
      element("span", { className: "path", textContent: path }),
      element("span", { className: "quiet", textContent: operation.summary }),
      element("small", { textContent: open ? "no log-in" : "" }),
    ],
    () => [
      element("p", { textContent: operation.description }),
      trial(path, method, operation),
      element("h3", { textContent: "Answers" }),
      answers(operation),
    ],
  );
  made.dataset.words = `${method} ${path} ${operation.summary} ${operation.operationId}`.toLowerCase();
  return made;
}

function section(name, entries) {
  const heading = element("h2", { textContent: name, id: `tag-${name}` });
  $("tags").append(element("li", {}, element("a", { href: `#tag-${name}`, textContent: name })));
  $("operations").append(element("section", {}, heading, ...entries));
}

function filter() {
  const words = $("filter").value.toLowerCase().split(/\s+/);
  for (const part of document.querySelectorAll("main section")) {
    const entries = [...part.querySelectorAll(":scope > details")];
    for (const each of entries) each.hidden = !words.every((word) => each.dataset.words.includes(word));
    part.hidden = entries.every((each) => each.hidden);
  }
}

// The form in the head: the fields of the operation that logs in, whose answer has the token.
function logIn() {
  const found = Object.entries(api.paths).find(([, item]) => /\.log_?in$/i.test(item.post?.operationId ?? ""));
  if (!found) return;
  const [path, { post }] = found;
  const form = $("log-in");
  const said = element("span", { role: "status" });
  const schema = resolved(post.requestBody.content["application/json"].schema);
  const names = Object.keys(schema.properties);
  const inputs = [/email|login/i, /password/i].map((kind) => {
    const name = names.find((each) => kind.test(each));
    const secret = /password/i.test(name);
    return element("input", { name, placeholder: name, ariaLabel: name, required: true, type: secret ? "password" : "text", autocomplete: secret ? "current-password" : "username" });
  });
  form.append(...inputs, element("button", { textContent: "Log in" }), said);
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = JSON.stringify(Object.fromEntries(inputs.map(({ name, value }) => [name, value])));
    try {
      const response = await fetch(api.servers[0].url + path, { method: "POST", headers: { "Content-Type": "application/json" }, body });
      const answer = await response.json();
      token = response.ok ? (Object.entries(answer).find(([name]) => /token/i.test(name))?.[1] ?? "") : "";
      said.textContent = token ? `Logged in as ${inputs[0].value}` : (answer.detail ?? answer.message ?? response.status);
    } catch (error) {
      said.textContent = error;
    }
    said.className = token ? "" : "failed";
    for (const input of inputs) if (input.type === "password") input.value = "";
  });
}

async function start() {
  api = await (await fetch("openapi.json")).json();
  document.title = $("title").textContent = `${api.info.title} ${api.info.version}`;
  $("operations").replaceChildren();
  for (const { name } of api.tags) {
    const entries = [];
    for (const [path, item] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        if (operation.tags[0] === name) entries.push(entry(path, method, operation));
      }
    }
    section(name, entries);
  }
  section("Schemas", Object.entries(api.components.schemas).map(([name, schema]) => {
    const made = unfolding([element("code", { textContent: name }), element("span", { className: "quiet", textContent: schema.description ?? "" })], () => [properties(schema)]);
    made.dataset.words = `schema ${name}`.toLowerCase();
    return made;
  }));
  $("filter").addEventListener("input", filter);
  logIn();
}

start().catch((error) => $("operations").replaceChildren(element("p", { className: "failed", textContent: `The description cannot be shown: ${error}` })));
