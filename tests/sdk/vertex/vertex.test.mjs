// @google/genai in the mode of Vertex AI, as programs configure it: each way leads to the server of `belljar exec`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { GoogleGenAI } from "@google/genai";

const MODEL = "gemini-3-flash-preview";
const PRIMES = "What is the sum of the first 50 prime numbers?";
const CODE = { tools: [{ codeExecution: {} }] };
const KEY = process.env.GOOGLE_API_KEY;
const URL = process.env.GOOGLE_VERTEX_BASE_URL;
const PLACE = { project: "p", location: "l" };

/** Sets variables while `run` runs. */
async function withVariables(variables, run) {
  Object.assign(process.env, variables);
  try {
    return await run();
  } finally {
    for (const name of Object.keys(variables)) delete process.env[name];
  }
}

const WAYS = [
  [{}, {}, false],
  [{ GOOGLE_GENAI_USE_VERTEXAI: "false" }, {}, false],
  [{ GOOGLE_GENAI_USE_VERTEXAI: "true" }, {}, true],
  [{ GOOGLE_GENAI_USE_ENTERPRISE: "true" }, {}, true],
  [{}, { vertexai: true }, true],
  [{}, { vertexai: true, apiKey: KEY }, true],
  [{}, { vertexai: true, ...PLACE }, true],
  [{}, { vertexai: true, project: "p" }, true],
  [{}, { vertexai: true, ...PLACE, httpOptions: { baseUrl: URL, apiVersion: "v1" } }, true],
];
for (const [variables, options, isVertex] of WAYS) {
  test(`a client with ${JSON.stringify(variables)} and ${JSON.stringify(options)}`, async () => {
    const response = await withVariables(variables, () =>
      new GoogleGenAI(options).models.generateContent({ model: MODEL, contents: PRIMES, config: CODE }),
    );
    assert.match(response.text, /5117/);
    assert.equal(response.createTime !== undefined, isVertex);
    assert.equal(response.usageMetadata.trafficType, isVertex ? "ON_DEMAND" : undefined);
  });
}

const CLIENTS = [
  ["express", new GoogleGenAI({ vertexai: true, apiKey: KEY })],
  ["project", new GoogleGenAI({ vertexai: true, ...PLACE })],
];
for (const [name, client] of CLIENTS) {
  test(`${name}: a stream counts at its end`, async () => {
    const chunks = [];
    const stream = await client.models.generateContentStream({ model: MODEL, contents: PRIMES, config: CODE });
    for await (const chunk of stream) chunks.push(chunk);
    assert.match(chunks.map((chunk) => chunk.text ?? "").join(""), /5117/);
    const counts = chunks.map((chunk) => chunk.usageMetadata.totalTokenCount);
    assert.ok(counts.pop() > 0);
    assert.ok(counts.length > 1 && counts.every((count) => count === undefined));
  });

  test(`${name}: a chat goes on`, async () => {
    const chat = client.chats.create({ model: MODEL, config: CODE });
    await chat.sendMessage({ message: "I have a math question for you." });
    assert.match((await chat.sendMessage({ message: PRIMES })).text, /5117/);
    assert.equal(chat.getHistory().length, 4);
  });

  test(`${name}: tokens are counted and computed`, async () => {
    const config = { systemInstruction: "Be brief." };
    const counted = await client.models.countTokens({ model: MODEL, contents: "hello", config });
    assert.equal(counted.totalTokens, 5);
    const computed = await client.models.computeTokens({ model: MODEL, contents: "hello" });
    assert.equal(computed.tokensInfo[0].tokenIds.length, 2);
  });

  test(`${name}: models are listed over pages and found`, async () => {
    const names = [];
    for await (const model of await client.models.list({ config: { pageSize: 2 } })) names.push(model.name);
    assert.ok(names.includes(`publishers/google/models/${MODEL}`) && names.length > 2);
    assert.equal((await client.models.get({ model: MODEL })).name, `publishers/google/models/${MODEL}`);
  });

  for (const model of ["text-embedding-005", "gemini-embedding-001", "gemini-embedding-2"]) {
    test(`${name}: embeddings of ${model}`, async () => {
      const config = { outputDimensionality: 128, taskType: "RETRIEVAL_QUERY" };
      const { embeddings } = await client.models.embedContent({ model, contents: "a red house", config });
      assert.equal(embeddings.length, 1);
      assert.equal(embeddings[0].values.length, 128);
    });
  }

  test(`${name}: interactions`, async () => {
    const tools = [{ type: "code_execution" }];
    const interaction = await client.interactions.create({ model: MODEL, input: PRIMES, tools });
    assert.match(interaction.output_text, /5117/);
    assert.equal((await client.interactions.get(interaction.id)).status, "completed");
    await client.interactions.delete(interaction.id);
  });
}

test("embeddings of the Gemini API", async () => {
  const contents = ["a red house", "red houses", "xyz"].map((text) => ({ parts: [{ text }] }));
  const client = new GoogleGenAI({ vertexai: false });
  const { embeddings } = await client.models.embedContent({ model: "gemini-embedding-2", contents });
  const [first, near, far] = embeddings.map((embedding) => embedding.values);
  const product = (a, b) => a.reduce((sum, value, at) => sum + value * b[at], 0);
  assert.ok(Math.abs(product(first, first) - 1) < 1e-5);
  assert.ok(product(first, near) > product(first, far) + 0.2);
});

test("errors are those of Vertex AI", async () => {
  const client = new GoogleGenAI({ vertexai: true, apiKey: "wrong" });
  const request = { model: MODEL, contents: PRIMES };
  await assert.rejects(client.models.generateContent(request), { name: "ApiError", status: 401 });
  await assert.rejects(client.models.generateContentStream(request), { name: "ApiError", status: 401 });
});
