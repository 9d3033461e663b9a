// Asks the YAML language server what an editor asks it, over stdio.
//
// In: JSON with `server` (the program's path), `root` (a folder) and `questions`: each a `path` and its `text`, with
// places (`line` and `character`, from 0) for `complete` and `hover` where they are wanted.
// Out: JSON with an answer for each: `diagnostics`, `labels`, `hover`. Fails after `DEADLINE_MS` instead of waiting.
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const DEADLINE_MS = 60_000;
const { server, root, questions } = JSON.parse(await text(process.stdin));
const child = spawn(process.execPath, [server, "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
setTimeout(() => fail("no answer in time"), DEADLINE_MS).unref();
child.on("exit", (code) => fail(`the server ended with ${code}`));

const settings = {
  yaml: { validate: true, hover: true, completion: true, schemaStore: { enable: false }, format: { enable: false } },
};
const waiting = new Map();
const diagnostics = new Map();
const published = new Map();
let lastId = 0;

function fail(why) {
  console.error(why);
  child.removeAllListeners("exit");
  child.kill();
  process.exit(1);
}

function send(message) {
  const body = JSON.stringify({ jsonrpc: "2.0", ...message });
  child.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

function ask(method, params) {
  const id = ++lastId;
  send({ id, method, params });
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

function received(message) {
  const { id, method, params } = message;
  if (method === undefined) {
    const { resolve, reject } = waiting.get(id);
    return message.error ? reject(new Error(message.error.message)) : resolve(message.result);
  }
  if (method === "textDocument/publishDiagnostics") {
    diagnostics.set(params.uri, params.diagnostics);
    published.get(params.uri)?.();
  }
  if (id !== undefined) {
    const asked = method === "workspace/configuration" ? params.items.map(({ section }) => settings[section] ?? null) : null;
    send({ id, result: asked });
  }
}

let buffered = Buffer.alloc(0);
child.stdout.on("data", (chunk) => {
  buffered = Buffer.concat([buffered, chunk]);
  for (;;) {
    const end = buffered.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/Content-Length: (\d+)/i.exec(buffered.subarray(0, end).toString())[1]);
    if (buffered.length < end + 4 + length) return;
    const body = buffered.subarray(end + 4, end + 4 + length).toString();
    buffered = buffered.subarray(end + 4 + length);
    received(JSON.parse(body));
  }
});

async function answer({ path, text, complete, hover }) {
  const uri = pathToFileURL(path).href;
  const textDocument = { uri };
  const judged = new Promise((resolve) => published.set(uri, resolve));
  send({ method: "textDocument/didOpen", params: { textDocument: { uri, languageId: "yaml", version: 1, text } } });
  await judged;
  const completion = complete && (await ask("textDocument/completion", { textDocument, position: complete }));
  const hovered = hover && (await ask("textDocument/hover", { textDocument, position: hover }));
  return {
    diagnostics: diagnostics.get(uri).map(({ range, message }) => ({ line: range.start.line, message })),
    labels: (completion?.items ?? []).map(({ label }) => label),
    hover: hovered?.contents?.value ?? "",
  };
}

try {
  const capabilities = { workspace: { configuration: true }, textDocument: { hover: { contentFormat: ["plaintext"] } } };
  await ask("initialize", { processId: process.pid, rootUri: pathToFileURL(root).href, capabilities });
  send({ method: "initialized", params: {} });
  send({ method: "workspace/didChangeConfiguration", params: { settings } });
  const answers = [];
  for (const question of questions) answers.push(await answer(question));
  child.removeAllListeners("exit");
  child.kill();
  console.log(JSON.stringify(answers));
  process.exit(0);
} catch (error) {
  fail(error.message);
}
