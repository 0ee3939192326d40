// genkit with its plugin for Gemini.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { z } from "genkit";
import { ai, config, text as printed } from "./page.mjs";
import {
  PERSON,
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

const getWeather = ai.defineTool(
  {
    name: "get_weather",
    description: "The weather in a city.",
    inputSchema: z.object({ city: z.string() }),
    outputSchema: z.string(),
  },
  async (input) => weather(input),
);

function whole(request) {
  return ai.generate(request);
}

async function streamed(request) {
  const { stream, response } = ai.generateStream(request);
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  assert.ok(chunks.length > 1);
  return response;
}

test("the page's code prints the sum", () => {
  assert.match(printed, /5117/);
});

for (const ask of [whole, streamed]) {
  test(`a conversation continues after code ran, ${ask.name}`, async () => {
    let messages = [];
    await converse(async (prompt) => {
      const answer = await ask({ messages, prompt, config });
      messages = answer.messages;
      if (prompt === PRIMES) {
        const parts = answer.message.content.map((part) => part.custom ?? {});
        const [code] = parts.filter((part) => part.executableCode);
        const [result] = parts.filter((part) => part.codeExecutionResult);
        assert.match(code.executableCode.code, /def is_prime/);
        assert.match(result.codeExecutionResult.output, /sum_of_primes=5117\n/);
      }
      return answer.text;
    });
  });

  test(`code draws a picture, ${ask.name}`, async () => {
    const media = { contentType: "text/csv", url: `data:text/csv;base64,${TABLE.toString("base64")}` };
    const answer = await ask({ prompt: [{ media }, { text: PLOT }], config });
    const [header, base64] = answer.media.url.split(",");
    assert.equal(header, "data:image/png;base64");
    assertPicture(base64);
    assert.match(answer.text, /greenhouse.*22\.0/);
  });

  test(`a function is called and its result arrives, ${ask.name}`, async () => {
    assertWeather((await ask({ prompt: SKY, tools: [getWeather] })).text);
  });

  test(`an answer has the shape of a schema, ${ask.name}`, async () => {
    const schema = z.object({ name: z.string(), age: z.number() });
    assert.deepEqual((await ask({ prompt: PERSON, output: { schema } })).output, { name: "Ada", age: 36 });
  });
}
