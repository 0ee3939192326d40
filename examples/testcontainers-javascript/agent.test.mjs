// The image with the scenarios of this folder: `node --test`.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { GoogleGenAI } from "@google/genai";
import { GenericContainer, Wait } from "testcontainers";

const PORT = 8080;
let container;
let url;

before(async () => {
  container = await new GenericContainer(process.env.BELLJAR_IMAGE ?? "belljar")
    .withExposedPorts(PORT)
    .withCopyDirectoriesToContainer([
      { source: fileURLToPath(new URL("scenarios", import.meta.url)), target: "/scenarios" },
    ])
    .withEnvironment({ BELLJAR_SCENARIOS: "/scenarios" })
    .withWaitStrategy(Wait.forHealthCheck())
    .withStartupTimeout(120_000)
    .start();
  url = `http://${container.getHost()}:${container.getMappedPort(PORT)}`;
});

after(() => container?.stop());

test("the answer comes from code that ran", async () => {
  const client = new GoogleGenAI({ apiKey: "anything", httpOptions: { baseUrl: url } });
  const answer = await client.models.generateContent({
    model: "gemini-2.5-flash",
    contents: "How long is the word 'Donaudampfschiff'?",
    config: { tools: [{ codeExecution: {} }] },
  });
  const parts = answer.candidates[0].content.parts;
  const results = parts.flatMap((part) => part.codeExecutionResult?.output ?? []);
  assert.deepEqual(results, ["16\n"]);
  assert.equal(parts.map((part) => part.text ?? "").join(""), "It has 16 letters.");
});
