// Shared by the tests: a client of the installed SDK, with whole or streamed replies.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { GoogleGenAI } from "@google/genai";
import { assemble, canonical } from "./streams.mjs";

// Without it the SDK would use Google's server.
assert(
  process.env.GOOGLE_GEMINI_BASE_URL && process.env.GEMINI_API_KEY,
  "GOOGLE_GEMINI_BASE_URL and GEMINI_API_KEY must name the server to test",
);

// Steps that the client wrote: `get` shows them, the reply to `create` does not.
const INPUTS = ["user_input", "function_result"];

/** The two ways to ask, each with the client that asks so. */
export const WAYS = [
  ["whole", () => plainClient()],
  ["streamed", () => new StreamingClient(plainClient())],
];

/** The client as everyone makes it: nothing set but two environment variables. */
export function plainClient() {
  const client = new GoogleGenAI({});
  return client;
}

/** A client whose `create` streams, and returns the interaction assembled from the stream. */
class StreamingClient {
  constructor(client) {
    this.client = client;
    this.interactions = this;
  }

  async create(request) {
    const events = await collect(await this.client.interactions.create({ ...request, stream: true }));
    const streamed = assemble(events);
    if (!streamed.id) return streamed; // a stream of `store: false` has no id, and nothing to compare with

    const stored = await this.client.interactions.get(streamed.id);
    const kept = stored.steps.filter((step) => !INPUTS.includes(step.type));
    assert.deepEqual(canonical(streamed.steps), canonical(kept));
    assert.equal(streamed.status, stored.status);
    assert.deepEqual(streamed.usage, stored.usage);
    return { ...stored, steps: streamed.steps };
  }
}

export async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

/** What the SDK throws. By name, for it does not export the classes. */
export async function refused(className, request) {
  try {
    await request();
  } catch (error) {
    assert.equal(error.constructor.name, className, error.stack);
    const { message, code } = error.error.error;
    assert.ok(message);
    assert.equal(typeof code, "string");
    return { message, code };
  }
  assert.fail(`${className} was expected`);
}

export function asset(name) {
  return readFileSync(new URL(`../assets/${name}`, import.meta.url));
}

/** What `program` prints with `console.log`, as one text. */
export async function printed(t, program) {
  const log = t.mock.method(console, "log", () => {});
  try {
    await program();
  } finally {
    log.mock.restore();
  }
  return log.mock.calls.map((call) => call.arguments.join(" ")).join("\n");
}

export function stepTypes(interaction) {
  return interaction.steps.map((step) => step.type);
}

export function results(interaction) {
  return interaction.steps.filter((step) => step.type === "code_execution_result");
}

/** The pictures that an interaction gives back, each seen to be a PNG from its first byte to its last. */
export function pictures(interaction) {
  const contents = interaction.steps.flatMap((step) => (step.type === "model_output" ? step.content : []));
  const images = contents.filter((content) => content.type === "image");
  for (const image of images) {
    assert.equal(image.mime_type, "image/png");
    const bytes = Buffer.from(image.data, "base64");
    assert.equal(bytes.toString("base64"), image.data, "base64 as Google writes it");
    assert.equal(bytes.subarray(0, 8).toString("latin1"), "\x89PNG\r\n\x1a\n");
    assert.ok(bytes.readUInt32BE(16) > 0 && bytes.readUInt32BE(20) > 0, "a width and a height");
    assert.equal(bytes.subarray(-8, -4).toString("latin1"), "IEND");
  }
  return images;
}
