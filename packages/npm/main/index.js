// Helpers for tests: a server, a namespace for each test, scenarios, failures and the journal.
import { randomBytes } from "node:crypto";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Server, serverArguments } from "./server.js";

// They would send an SDK elsewhere: a key with higher precedence, and Google's other services.
const ELSEWHERE = ["GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE"];

/** A request of the test itself was rejected, for example an invalid scenario. */
export class BelljarError extends Error {
  name = "BelljarError";
}

/** Starts a server, or joins the one that runs, and makes a namespace for the caller. */
export async function startBelljar(options = {}) {
  const server = await Server.join(serverArguments(options));
  const room = new Belljar(server, options.namespace ?? randomBytes(8).toString("hex"));
  try {
    if (options.scenarios !== undefined) await room.add(options.scenarios);
  } catch (error) {
    await server.leave();
    throw error;
  }
  if (options.setEnv ?? true) room.setEnv();
  return room;
}

export class Belljar {
  #server;
  #scripted = 0;
  #before;

  constructor(server, namespace) {
    this.#server = server;
    this.namespace = namespace;
    this.url = `${server.url}/n/${namespace}`;
    this.env = { GOOGLE_GEMINI_BASE_URL: this.url, GEMINI_API_KEY: "belljar" };
  }

  setEnv() {
    const wanted = { ...this.env, ...Object.fromEntries(ELSEWHERE.map((name) => [name, undefined])) };
    this.#before ??= Object.fromEntries(Object.keys(wanted).map((name) => [name, process.env[name]]));
    apply(wanted);
  }

  async script({ name, ...scenario }) {
    this.#scripted += 1;
    await this.add({ name: name ?? `script ${this.#scripted} of ${this.namespace}`, ...scenario });
  }

  async add(scenarios) {
    for (const one of Array.isArray(scenarios) ? scenarios : [scenarios]) {
      if (typeof one === "string") {
        for (const file of filesOf(one)) {
          await this.#call("POST", "/x/scenarios", readFileSync(file, "utf8"), file);
        }
      } else {
        const file = "scenarios" in one ? one : { scenarios: [one] };
        await this.#call("POST", "/x/scenarios", JSON.stringify(file));
      }
    }
  }

  async fail({ times = 1, ...fault }) {
    const body = times === null ? fault : { times, ...fault };
    await this.#call("POST", "/x/faults", JSON.stringify(body));
  }

  async requests() {
    const { entries } = await this.#call("GET", "/x/journal");
    return Promise.all(entries.map((entry) => this.#request(entry)));
  }

  async runs() {
    return (await this.requests()).flatMap((request) => request.runs);
  }

  async unmatched() {
    return (await this.requests()).filter(({ scenario, error }) => scenario === null && error !== null);
  }

  async reset() {
    await this.#call("POST", "/x/reset", "");
  }

  async stop() {
    if (this.#before) apply(this.#before);
    this.#before = undefined;
    try {
      await this.reset();
    } finally {
      await this.#server.leave();
    }
  }

  async #request(entry) {
    const runs = entry.runs.map((summary, at) => this.#run(entry.number, at + 1, summary));
    return {
      number: entry.number,
      model: entry.model,
      input: entry.input,
      tools: entry.tools,
      turn: entry.turn,
      scenario: entry.scenario,
      status: entry.status,
      error: entry.error,
      text: entry.text,
      runs: await Promise.all(runs),
      functionCalls: entry.function_calls,
      nearMisses: entry.near_misses,
      warnings: entry.warnings,
    };
  }

  async #run(request, number, summary) {
    const isWhole = !summary.is_cut && summary.pictures === 0 && summary.files.length === 0;
    const path = `/x/journal/${request}/runs/${number}`;
    const run = isWhole ? { ...summary, images: [], files: [] } : await this.#call("GET", path);
    const images = run.images.map(({ mime_type: mimeType, data }) =>
      Object.assign(Buffer.from(data, "base64"), { mimeType }),
    );
    const files = run.files.map(({ name, data }) => [name, Buffer.from(data, "base64")]);
    return {
      code: run.code,
      outcome: run.outcome,
      stdout: run.stdout,
      stderr: run.stderr,
      images,
      files: Object.fromEntries(files),
      wallMs: run.wall_ms,
    };
  }

  async #call(method, path, body, what) {
    const headers = { "content-type": what ? "application/yaml" : "application/json" };
    const response = await fetch(this.url + path, { method, headers, body });
    const answer = await response.json();
    if (response.ok) return answer;
    const message = answer?.error?.message ?? `status ${response.status}`;
    throw new BelljarError(what ? `${what}: ${message}` : message);
  }
}

function apply(variables) {
  for (const [name, value] of Object.entries(variables)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

function filesOf(path) {
  if (!statSync(path).isDirectory()) return [path];
  const names = readdirSync(path, { recursive: true }).filter((name) => /\.ya?ml$/.test(name));
  return names.sort().map((name) => join(path, name));
}
