// OpenAI's SDK. Its API has no code execution, so tested are conversations, functions, pictures and errors.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import { answer, client, model } from "./page.mjs";
import { ANNOUNCEMENT, PERSON, SKY, addScenarios, assertWeather, lastRequest, removeScenarios, weather } from "./shared.mjs";

before(addScenarios);
after(removeScenarios);

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const FUNCTION = { name: "get_weather", description: "The weather in a city.", parameters };
const tools = [{ type: "function", function: FUNCTION }];
const user = (content) => ({ role: "user", content });

const ways = {
  whole: async (request) => (await client.chat.completions.create({ model, ...request })).choices[0],
  streamed: async (request) => {
    const stream = client.chat.completions.stream({ model, ...request });
    return (await stream.finalChatCompletion()).choices[0];
  },
};

test("the page's code prints an answer", () => assert.match(answer, /glad to help/));

for (const [way, ask] of Object.entries(ways)) {
  test(`a conversation goes on, ${way}`, async () => {
    const messages = [{ role: "system", content: "Be brief." }];
    for (let turn = 0; turn < 3; turn++) {
      messages.push(user(ANNOUNCEMENT));
      const choice = await ask({ messages });
      assert.equal(choice.finish_reason, "stop");
      assert.equal(choice.message.role, "assistant");
      assert.match(choice.message.content, /glad to help/);
      messages.push(choice.message);
    }
    const request = await lastRequest();
    assert.deepEqual([request.turn, request.system_instruction], [3, "Be brief."]);
  });

  test(`a function is called and its result arrives, ${way}`, async () => {
    const messages = [user(SKY)];
    const choice = await ask({ messages, tools });
    assert.equal(choice.finish_reason, "tool_calls");
    const [call] = choice.message.tool_calls;
    messages.push(choice.message);
    messages.push({ role: "tool", tool_call_id: call.id, content: weather(JSON.parse(call.function.arguments)) });
    assertWeather((await ask({ messages, tools })).message.content);
  });
}

test("chunks have usage on request", async () => {
  const request = { model, messages: [user(ANNOUNCEMENT)], stream: true, stream_options: { include_usage: true } };
  const chunks = [];
  for await (const chunk of await client.chat.completions.create(request)) chunks.push(chunk);
  assert.match(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""), /glad to help/);
  assert.ok(chunks.at(-1).usage.total_tokens > 0);
});

// The helper drops the signatures of calls, which models from Gemini 3 on require, as with Google.
test("the helper runs functions with models before Gemini 3", async () => {
  const named = { ...FUNCTION, function: weather, parse: JSON.parse };
  const run = (model) => {
    const request = { model, messages: [user(SKY)], tools: [{ type: "function", function: named }] };
    return client.chat.completions.runTools(request).finalContent();
  };
  assertWeather(await run("gemini-2.5-flash"));
  await assert.rejects(run(model), OpenAI.BadRequestError);
});

test("an object has the requested schema", async () => {
  const schema = { type: "object", properties: { name: { type: "string" }, age: { type: "integer" } } };
  const response_format = { type: "json_schema", json_schema: { name: "person", schema } };
  const choice = await ways.whole({ messages: [user(PERSON)], response_format });
  assert.deepEqual(JSON.parse(choice.message.content), { name: "Ada", age: 36 });
});

test("models are listed, and errors have their class", async () => {
  const names = [];
  for await (const found of client.models.list()) names.push(found.id);
  assert.ok(names.includes(`models/${model}`));
  assert.equal((await client.models.retrieve(names[0])).id, names[0]);
  await assert.rejects(client.files.list(), OpenAI.NotFoundError);
  await assert.rejects(ways.whole({ messages: [user("a")], reasoning: {} }), OpenAI.BadRequestError);
});

test("texts are embedded", async () => {
  const input = ["a red house", "red houses", "quarterly revenue"];
  const embed = async (options) => {
    const { data } = await client.embeddings.create({ model: "gemini-embedding-2", input, dimensions: 768, ...options });
    return data.map(({ embedding }) => embedding);
  };
  const [first, near, far] = await embed({});
  const product = (other) => first.reduce((sum, value, at) => sum + value * other[at], 0);
  assert.deepEqual([first.length, product(first).toFixed(3)], [768, "1.000"]);
  assert.ok(product(near) > product(far) + 0.2);
  const numbers = await embed({ encoding_format: "float" });
  assert.ok(numbers[0].every((value, at) => Math.fround(value) === Math.fround(first[at])));
});
