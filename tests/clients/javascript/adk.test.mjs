// @google/adk over generateContent and over interactions.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  BuiltInCodeExecutor,
  FunctionTool,
  Gemini,
  InMemoryRunner,
  LlmAgent,
  LogLevel,
  StreamingMode,
  setLogLevel,
} from "@google/adk";
import { agent as coder, text as printed } from "./page.mjs";
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

setLogLevel(LogLevel.WARN);
before(addScenarios);
after(removeScenarios);

const interactions = new Gemini({ model: coder.model.model, apiKey: "anything", useInteractionsApi: true });
const WAYS = { whole: StreamingMode.NONE, streamed: StreamingMode.SSE };

/** Returns a function that asks the agent in one session, and returns the parts of the answer's events. */
async function session(agent, streamingMode) {
  const runner = new InMemoryRunner({ agent });
  const { id: sessionId } = await runner.sessionService.createSession({ appName: runner.appName, userId: "me" });
  return async (text, ...files) => {
    const newMessage = { role: "user", parts: [...files, { text }] };
    const events = [];
    for await (const event of runner.runAsync({ userId: "me", sessionId, newMessage, runConfig: { streamingMode } })) {
      assert.equal(event.errorMessage, undefined);
      events.push(event);
    }
    assert.equal(events.some((event) => event.partial), streamingMode === StreamingMode.SSE);
    return events.filter((event) => !event.partial).flatMap((event) => event.content?.parts ?? []);
  };
}

function textOf(parts) {
  return parts.map((part) => part.text ?? "").join("");
}

/** An agent with the function, and how often the function was called. */
function withFunction(model, settings = {}) {
  const calls = [];
  const parameters = { type: "OBJECT", properties: { city: { type: "STRING" } }, required: ["city"] };
  const execute = (input) => {
    calls.push(input);
    return weather(input);
  };
  const tool = new FunctionTool({ name: "get_weather", description: "The weather in a city.", parameters, execute });
  return { agent: new LlmAgent({ name: "forecaster", model, tools: [tool], ...settings }), calls };
}

test("the page's code prints the sum", () => {
  assert.match(printed, /5117/);
});

for (const [way, mode] of Object.entries(WAYS)) {
  test(`a conversation continues after code ran, ${way}`, async () => {
    const ask = await session(coder, mode);
    // In a stream, the SDK sends the result of code back as a turn of the user.
    const turns = mode === StreamingMode.SSE ? 4 : 3;
    await converse(async (question) => {
      const parts = await ask(question);
      if (question === PRIMES) {
        const [code] = parts.filter((part) => part.executableCode);
        const [result] = parts.filter((part) => part.codeExecutionResult);
        assert.match(code.executableCode.code, /def is_prime/);
        assert.match(result.codeExecutionResult.output, /sum_of_primes=5117\n/);
      }
      return textOf(parts);
    }, turns);
  });

  test(`code draws a picture, ${way}`, async () => {
    const table = { inlineData: { mimeType: "text/csv", data: TABLE.toString("base64") } };
    const parts = await (await session(coder, mode))(PLOT, table);
    const [picture] = parts.filter((part) => part.inlineData);
    assert.equal(picture.inlineData.mimeType, "image/png");
    assertPicture(picture.inlineData.data);
    assert.match(textOf(parts), /greenhouse.*22\.0/);
  });

  test(`a conversation continues in interactions, ${way}`, async () => {
    const agent = new LlmAgent({ name: "coder", model: interactions, codeExecutor: new BuiltInCodeExecutor() });
    const ask = await session(agent, mode);
    await converse(async (question) => textOf(await ask(question)));
  });

  test(`a function is called and its result arrives, ${way}`, async () => {
    const { agent, calls } = withFunction(coder.model);
    assertWeather(textOf(await (await session(agent, mode))(SKY)));
    assert.deepEqual(calls, [{ city: "Bern" }]);
  });

  test(`a function is called beside code in interactions, ${way}`, async () => {
    const { agent, calls } = withFunction(interactions, { codeExecutor: new BuiltInCodeExecutor() });
    assert.match(textOf(await (await session(agent, mode))(FAHRENHEIT)), /69\.8 °F in Paris/);
    const repeats = mode === StreamingMode.SSE ? 3 : 1;
    assert.equal(calls.length, repeats, "the SDK repeats another number of events: the page names three");
  });
}
