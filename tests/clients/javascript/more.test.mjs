// LangChain, Mastra and TanStack AI. They keep the history of a conversation in their own formats, so their
// requests differ from those of Google's SDK.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { Agent } from "@mastra/core/agent";
import { createTool } from "@mastra/core/tools";
import { chat, toolDefinition } from "@tanstack/ai";
import { codeExecutionTool } from "@tanstack/ai-gemini/tools";
import { z } from "zod";
import { answers, langchain, langchainCoder, mastra, tanstack, tanstackInteractions } from "./page.mjs";
import {
  FAHRENHEIT,
  PLOT,
  PRIMES,
  SKY,
  TABLE,
  addScenarios,
  assertPicture,
  assertWeather,
  converse,
  removeScenarios,
  weather,
} from "./shared.mjs";

before(addScenarios);
after(removeScenarios);

const FUNCTION = { name: "get_weather", description: "The weather in a city." };
const schema = z.object({ city: z.string() });

test("the page's code prints the sum from each client", () => {
  assert.deepEqual(Object.keys(answers), ["langchain", "mastra", "tanstack"]);
  for (const answer of Object.values(answers)) assert.match(answer, /5117/);
});

const langchainWays = {
  whole: (model, messages) => model.invoke(messages),
  streamed: async (model, messages) => {
    const chunks = [];
    for await (const chunk of await model.stream(messages)) chunks.push(chunk);
    // A function call comes in one chunk.
    assert.ok(chunks.length > 1 || chunks[0].tool_calls.length > 0);
    return chunks.reduce((sum, chunk) => sum.concat(chunk));
  },
};

for (const [way, ask] of Object.entries(langchainWays)) {
  test(`LangChain continues a conversation after code ran, ${way}`, async () => {
    const messages = [];
    await converse(async (question) => {
      messages.push(new HumanMessage(question));
      const answer = await ask(langchainCoder, messages);
      messages.push(answer);
      if (question === PRIMES) {
        const [code] = answer.content.filter((part) => part.type === "executableCode");
        const [result] = answer.content.filter((part) => part.type === "codeExecutionResult");
        assert.match(code.executableCode.code, /def is_prime/);
        assert.match(result.codeExecutionResult.output, /sum_of_primes=5117\n/);
      }
      return answer.text;
    });
  });

  test(`LangChain shows a picture that code drew, ${way}`, async () => {
    const file = { type: "media", mimeType: "text/csv", data: TABLE.toString("base64") };
    const answer = await ask(langchainCoder, [new HumanMessage({ content: [file, { type: "text", text: PLOT }] })]);
    const [picture] = answer.content.filter((part) => part.type === "inlineData");
    assert.equal(picture.inlineData.mimeType, "image/png");
    assertPicture(picture.inlineData.data);
    assert.match(answer.text, /greenhouse.*22\.0/);
  });

  test(`LangChain calls a function and its result arrives, ${way}`, async () => {
    const getWeather = tool(weather, { ...FUNCTION, schema });
    const model = langchain.bindTools([getWeather]);
    const messages = [new HumanMessage(SKY)];
    const asked = await ask(model, messages);
    assert.equal(asked.tool_calls.length, 1);
    messages.push(asked, await getWeather.invoke(asked.tool_calls[0]));
    assertWeather((await ask(model, messages)).text);
  });
}

const mastraWays = {
  whole: async (agent, messages) => {
    const { text, response, toolResults } = await agent.generate(messages);
    return { text, messages: response.messages, toolResults };
  },
  streamed: async (agent, messages) => {
    const stream = await agent.stream(messages);
    const deltas = [];
    for await (const delta of stream.textStream) deltas.push(delta);
    assert.ok(deltas.length > 0);
    const { messages: added } = await stream.response;
    assert.equal(deltas.join(""), await stream.text);
    return { text: await stream.text, messages: added, toolResults: await stream.toolResults };
  },
};

for (const [way, ask] of Object.entries(mastraWays)) {
  const getWeather = createTool({ ...FUNCTION, id: FUNCTION.name, inputSchema: schema, execute: async (input) => weather(input) });
  const { code_execution } = await mastra.listTools();
  const settings = { id: "forecaster", name: "forecaster", instructions: "Answer.", model: await mastra.getModel() };

  test(`Mastra continues a conversation after code ran, ${way}`, async () => {
    const messages = [];
    await converse(async (content) => {
      messages.push({ role: "user", content });
      const answer = await ask(mastra, messages);
      messages.push(...answer.messages);
      if (content === PRIMES) assert.match(answer.toolResults[0].payload.result.output, /sum_of_primes=5117\n/);
      return answer.text;
    });
  });

  test(`Mastra calls a function and its result arrives, ${way}`, async () => {
    const agent = new Agent({ ...settings, tools: { get_weather: getWeather } });
    assertWeather((await ask(agent, SKY)).text);
  });

  test(`Mastra calls a function beside code, ${way}`, async () => {
    const agent = new Agent({ ...settings, tools: { get_weather: getWeather, code_execution } });
    assert.match((await ask(agent, FAHRENHEIT)).text, /69\.8 °F in Paris/);
  });
}

const tanstackWays = {
  whole: async (request) => ({ text: await chat({ ...request, stream: false }), events: [] }),
  streamed: async (request) => {
    const events = [];
    for await (const event of chat(request)) events.push(event);
    assert.deepEqual(events.filter((event) => event.type === "RUN_ERROR"), []);
    const deltas = events.filter((event) => event.type === "TEXT_MESSAGE_CONTENT").map((event) => event.delta);
    assert.ok(deltas.length > 0);
    return { text: deltas.join(""), events };
  },
};
const tanstackCode = codeExecutionTool();
const tanstackWeather = toolDefinition({ ...FUNCTION, inputSchema: schema }).server(async (input) => weather(input));

for (const [way, ask] of Object.entries(tanstackWays)) {
  test(`TanStack AI continues a conversation after code ran, ${way}`, async () => {
    const messages = [];
    await converse(async (content) => {
      messages.push({ role: "user", content });
      const { text } = await ask({ adapter: tanstack, messages, tools: [tanstackCode] });
      messages.push({ role: "assistant", content: text });
      return text;
    });
  });

  for (const [api, adapter] of Object.entries({ generateContent: tanstack, interactions: tanstackInteractions })) {
    test(`TanStack AI calls a function over ${api} and its result arrives, ${way}`, async () => {
      const messages = [{ role: "user", content: SKY }];
      assertWeather((await ask({ adapter, messages, tools: [tanstackWeather] })).text);
    });
  }

  test(`TanStack AI calls a function beside code in interactions, ${way}`, async () => {
    const messages = [{ role: "user", content: FAHRENHEIT }];
    const { text } = await ask({ adapter: tanstackInteractions, messages, tools: [tanstackWeather, tanstackCode] });
    assert.match(text, /69\.8 °F in Paris/);
  });
}

test("TanStack AI continues an interaction that the server stores", async () => {
  let previous_interaction_id;
  await converse(async (content) => {
    const request = { adapter: tanstackInteractions, messages: [{ role: "user", content }], tools: [tanstackCode] };
    const { text, events } = await tanstackWays.streamed({ ...request, modelOptions: { previous_interaction_id } });
    const named = events.filter((event) => event.type === "CUSTOM");
    const [kept] = named.filter((event) => event.name === "gemini.interactionId");
    previous_interaction_id = kept.value.interactionId;
    const ran = named.filter((event) => event.name.startsWith("gemini.codeExecution"));
    assert.equal(ran.length, content === PRIMES ? 2 : 0);
    return text;
  });
});
