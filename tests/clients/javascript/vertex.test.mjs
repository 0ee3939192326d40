// The AI SDK for Vertex AI, and Firebase with both of its services. `page.mjs` is the page's own code.

import assert from "node:assert/strict";
import { test } from "node:test";
import { embedMany, generateText, streamText } from "ai";
import { answers, firebase, name, tools, vertex } from "./page.mjs";
import { ANNOUNCEMENT, PRIMES } from "./shared.mjs";

test("the code of the page works", () => {
  for (const answer of Object.values(answers)) assert.match(answer, /5117/);
});

test("AI SDK: a conversation with code in it", async () => {
  const messages = [{ role: "user", content: ANNOUNCEMENT }];
  const first = await generateText({ model: vertex(name), tools, messages });
  messages.push(...first.response.messages, { role: "user", content: PRIMES });
  const second = await generateText({ model: vertex(name), tools, messages });
  assert.match(second.text, /5117/);
  assert.equal(second.content.filter((part) => part.type === "tool-result").length, 1);
  messages.push(...second.response.messages, { role: "user", content: ANNOUNCEMENT });
  assert.equal((await generateText({ model: vertex(name), tools, messages })).text, first.text);
});

test("AI SDK: a stream", async () => {
  const answer = streamText({ model: vertex(name), tools, prompt: PRIMES });
  assert.match(await answer.text, /5117/);
  assert.ok((await answer.usage).totalTokens > 0);
});

test("AI SDK: embeddings", async () => {
  const model = vertex.embeddingModel("text-embedding-005");
  const { embeddings, usage } = await embedMany({ model, values: ["a red house", "b"] });
  assert.deepEqual(embeddings.map((embedding) => embedding.length), [768, 768]);
  assert.equal(usage.tokens, 4);
});

for (const [service, model] of [["Gemini API", firebase[0]], ["Vertex AI", firebase[1]]]) {
  test(`Firebase with the ${service}: a chat`, async () => {
    const chat = model.startChat();
    const first = (await chat.sendMessage(ANNOUNCEMENT)).response.text();
    const second = (await chat.sendMessage(PRIMES)).response;
    assert.match(second.text(), /5117/);
    assert.ok(second.candidates[0].content.parts.some((part) => part.codeExecutionResult?.output));
    assert.equal((await chat.sendMessage(ANNOUNCEMENT)).response.text(), first);
  });

  test(`Firebase with the ${service}: a stream and a count`, async () => {
    const { stream, response } = await model.generateContentStream(PRIMES);
    let chunks = 0;
    for await (const chunk of stream) chunks += chunk.candidates ? 1 : 0;
    assert.ok(chunks > 2);
    assert.match((await response).text(), /5117/);
    assert.ok((await model.countTokens("hello")).totalTokens > 0);
  });
}
