// generateContent and related methods: whole, streamed, chats, functions, counting, and the list of models.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FunctionCallingConfigMode } from "@google/genai";
import { collect, plainClient } from "./client.mjs";

const MODEL = "gemini-3-flash-preview";
const CODE = { tools: [{ codeExecution: {} }] };
const PRIMES =
  "What is the sum of the first 50 prime numbers? " +
  "Generate and run code for the calculation, and make sure you get all 50.";
const WEATHER = {
  name: "get_weather",
  description: "Gets the current weather of a place.",
  parametersJsonSchema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

function parts(response) {
  return response.candidates[0].content.parts;
}

function results(response) {
  return parts(response).flatMap((part) => part.codeExecutionResult ?? []);
}

test("code execution as on Google's page", async () => {
  const response = await plainClient().models.generateContent({ model: MODEL, contents: PRIMES, config: CODE });

  assert.match(response.executableCode, /print/);
  assert.match(response.codeExecutionResult, /5117/);
  const [, call, result, text] = parts(response);
  assert.equal(call.executableCode.language, "PYTHON");
  assert.ok(call.thoughtSignature);
  assert.equal(result.codeExecutionResult.outcome, "OUTCOME_OK");
  assert.equal(result.codeExecutionResult.id, call.executableCode.id);
  assert.match(text.text, /5117/);
  assert.equal(response.candidates[0].finishReason, "STOP");
  assert.equal(response.modelVersion, MODEL);
  const usage = response.usageMetadata;
  assert.ok(usage.toolUsePromptTokenCount > 0);
  assert.equal(
    usage.totalTokenCount,
    usage.promptTokenCount +
      usage.candidatesTokenCount +
      usage.toolUsePromptTokenCount +
      (usage.thoughtsTokenCount ?? 0),
  );
});

test("a stream has the parts of the whole answer", async () => {
  const chunks = await collect(
    await plainClient().models.generateContentStream({ model: MODEL, contents: PRIMES, config: CODE }),
  );

  const all = chunks.flatMap(parts);
  assert.equal(all.filter((part) => part.executableCode).length, 1);
  assert.match(all.find((part) => part.codeExecutionResult).codeExecutionResult.output, /5117/);
  assert.match(all.map((part) => part.text ?? "").join(""), /5117/);
  assert.deepEqual(
    chunks.map((chunk) => chunk.candidates[0].finishReason).filter(Boolean),
    ["STOP"],
  );
  assert.ok(chunks.at(-1).usageMetadata.toolUsePromptTokenCount > 0);
});

test("a chat with code in its history", async () => {
  const chat = plainClient().chats.create({ model: MODEL, config: CODE });
  assert.ok((await chat.sendMessage({ message: "I have a math question for you." })).text);
  assert.match((await chat.sendMessage({ message: PRIMES })).codeExecutionResult, /5117/);
  const again = await collect(await chat.sendMessageStream({ message: PRIMES }));
  assert.match(again.flatMap(results)[0].output, /5117/);
  assert.equal(chat.getHistory()[0].role, "user");
});

test("a file is accepted", async () => {
  const response = await plainClient().models.generateContent({
    model: "direct",
    contents: [
      "print(open('input_file_0.csv').read(), end='')",
      { inlineData: { mimeType: "text/csv", data: Buffer.from("a,b\n1,2\n").toString("base64") } },
    ],
    config: CODE,
  });
  assert.equal(response.codeExecutionResult, "a,b\n1,2\n");
});

test("failing code has a failed outcome", async () => {
  const response = await plainClient().models.generateContent({ model: "direct", contents: "1 / 0", config: CODE });
  assert.equal(results(response)[0].outcome, "OUTCOME_FAILED");
  assert.match(results(response)[0].output, /ZeroDivisionError/);
});

test("a function beside code execution", async () => {
  const client = plainClient();
  const contents = "What is the weather in Paris in Fahrenheit?";
  const tools = [{ codeExecution: {}, functionDeclarations: [WEATHER] }];
  const refused = await client.models.generateContent({ model: MODEL, contents, config: { tools } }).catch((e) => e);
  assert.equal(refused.status, 400);
  assert.match(refused.message, /include_server_side_tool_invocations/);

  const toolConfig = {
    includeServerSideToolInvocations: true,
    functionCallingConfig: { mode: FunctionCallingConfigMode.AUTO },
  };
  const chat = client.chats.create({ model: MODEL, config: { tools, toolConfig } });
  const [call] = (await chat.sendMessage({ message: contents })).functionCalls;
  assert.equal(call.name, "get_weather");
  assert.deepEqual(call.args, { city: "Paris" });
  const response = { id: call.id, name: call.name, response: { temperature_c: 18 } };
  const answer = await chat.sendMessage({ message: [{ functionResponse: response }] });
  assert.match(answer.text, /64\.4 °F/);
});

test("tokens are counted", async () => {
  const { totalTokens } = await plainClient().models.countTokens({ model: MODEL, contents: "print(6 * 7)" });
  assert.equal(totalTokens, 3);
});

test("models are listed and found", async () => {
  const { models } = plainClient();
  const pager = await models.list({ config: { pageSize: 2 } });
  assert.equal(pager.page.length, 2);
  const names = (await collect(pager)).map((model) => model.name);
  assert.ok(names.includes("models/direct") && names.includes(`models/${MODEL}`), names.join());
  const model = await models.get({ model: "direct" });
  assert.equal(model.name, "models/direct");
  assert.ok(model.supportedActions.includes("generateContent"));
  assert.deepEqual(await collect(await models.list({ config: { queryBase: false } })), []);
  const missing = await models.get({ model: "a/b" }).catch((error) => error);
  assert.ok(missing.name === "models/a/b" || missing.status === 404);
});
