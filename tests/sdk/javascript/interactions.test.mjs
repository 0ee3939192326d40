// Features that the page describes in prose, and common uses: fixing code, functions, history, errors.

import assert from "node:assert/strict";
import { test } from "node:test";
import { GoogleGenAI } from "@google/genai";
import { WAYS, asset, collect, plainClient, refused, results, stepTypes } from "./client.mjs";

const MODEL = "gemini-3-flash-preview";
const CODE_EXECUTION = [{ type: "code_execution" }];
const PRIMES =
  "What is the sum of the first 50 prime numbers? " +
  "Generate and run code for the calculation, and make sure you get all 50.";
const WEATHER = {
  type: "function",
  name: "get_weather",
  description: "Gets the current weather of a place.",
  parameters: {
    type: "object",
    properties: { city: { type: "string" } },
    required: ["city"],
  },
};

function direct(client, input, more = {}) {
  return client.interactions.create({ model: "direct", input, tools: CODE_EXECUTION, ...more });
}

function userInput(text) {
  return { type: "user_input", content: [{ type: "text", text }] };
}

for (const [way, connect] of WAYS) {
  test(`failing code is fixed, ${way}`, async () => {
    const interaction = await connect().interactions.create({
      model: MODEL,
      input: "What is the average speed of each lap?",
      tools: CODE_EXECUTION,
    });

    assert.equal(interaction.status, "completed");
    const verdicts = results(interaction).map((result) => result.is_error);
    assert.equal(verdicts[0], true);
    assert.equal(verdicts.at(-1), false);
    assert.match(results(interaction)[0].result, /ZeroDivisionError/);
    assert.match(interaction.output_text, /4\.00 m\/s/);
  });

  test(`a function is called and its result is sent back, ${way}`, async () => {
    const client = connect();
    const interaction = await client.interactions.create({
      model: MODEL,
      input: "What is the weather in Paris in Fahrenheit?",
      tools: [WEATHER, ...CODE_EXECUTION],
    });

    assert.equal(interaction.status, "requires_action");
    const call = interaction.steps.at(-1);
    assert.equal(call.type, "function_call");
    assert.equal(call.name, "get_weather");
    assert.deepEqual(call.arguments, { city: "Paris" });

    const answer = await client.interactions.create({
      model: MODEL,
      previous_interaction_id: interaction.id,
      input: [
        {
          type: "function_result",
          name: call.name,
          call_id: call.id,
          result: [{ type: "text", text: JSON.stringify({ temperature_c: 18 }) }],
        },
      ],
      tools: [WEATHER, ...CODE_EXECUTION],
    });

    assert.equal(answer.status, "completed");
    assert.match(answer.output_text, /64\.4 °F/);
  });

  test(`a conversation that the server does not store, ${way}`, async () => {
    const client = connect();
    const steps = [userInput("I have a math question for you.")];
    const ask = () => client.interactions.create({ model: MODEL, input: steps, tools: CODE_EXECUTION, store: false });

    const first = await ask();
    assert.ok(!first.id);

    steps.push(...first.steps, userInput(PRIMES));
    const second = await ask();
    assert.match(second.steps.at(-1).content.at(-1).text, /5117/);

    // The history includes a call, its result and thoughts, with ids and signatures as received.
    steps.push(...second.steps, userInput("I have a math question for you."));
    const third = await ask();
    assert.deepEqual(third.steps.at(-1), first.steps.at(-1));
  });

  test(`direct runs a block of code, ${way}`, async () => {
    const interaction = await direct(connect(), "```python\nprint(6*7)\n```");

    assert.deepEqual(stepTypes(interaction), ["code_execution_call", "code_execution_result", "model_output"]);
    assert.equal(interaction.steps[0].arguments.code.trim(), "print(6*7)");
    assert.equal(interaction.steps[1].result, "42\n");
    assert.equal(interaction.steps[1].is_error, false);
    assert.equal(interaction.output_text, "done");
  });

  test(`direct runs two blocks in one interpreter, ${way}`, async () => {
    const interaction = await direct(connect(), "```python\nx = 6\n```\nand then\n```py\nprint(x * 7)\n```");

    assert.deepEqual(results(interaction).map((result) => result.result), ["", "42\n"]);
  });

  test(`direct returns an error, ${way}`, async () => {
    const interaction = await direct(connect(), "1/0");

    assert.deepEqual(results(interaction).map((result) => result.is_error), [true]);
    assert.match(results(interaction)[0].result, /ZeroDivisionError/);
    assert.equal(interaction.status, "completed");
  });

  test(`direct without the tool runs nothing, ${way}`, async () => {
    const interaction = await connect().interactions.create({ model: "direct", input: "print(6*7)" });

    assert.deepEqual(stepTypes(interaction), ["model_output"]);
    assert.match(interaction.output_text, /code_execution/);
  });

  test(`input files are in the working directory, ${way}`, async () => {
    const table = asset("measurements.csv");
    const picture = asset("instrument.jpeg");

    const interaction = await direct(connect(), [
      { type: "document", data: table.toString("base64"), mime_type: "text/csv" },
      { type: "image", data: picture.toString("base64"), mime_type: "image/jpeg" },
      {
        type: "text",
        text: "import os\nfor name in sorted(os.listdir('.')):\n    print(name, os.path.getsize(name))",
      },
    ]);

    assert.equal(
      results(interaction)[0].result,
      `input_file_0.csv ${table.length}\ninput_file_1.jpeg ${picture.length}\n`,
    );
  });
}

test("get shows the input and the steps", async () => {
  const client = plainClient();
  const made = await direct(client, "print(6*7)");

  const stored = await client.interactions.get(made.id);

  assert.deepEqual(stored.steps[0], userInput("print(6*7)"));
  assert.deepEqual(stored.steps.slice(1), made.steps);
  for (const key of ["id", "status", "created", "updated", "service_tier", "object", "model", "output_text"]) {
    assert.equal(stored[key], made[key], key);
  }
  assert.equal(stored.usage.total_tokens, made.usage.total_tokens);
});

test("a stream can be resumed from any event", async () => {
  const client = plainClient();
  const events = await collect(await direct(client, "print(6*7)", { stream: true }));
  const made = events[0].interaction.id;

  assert.deepEqual(await collect(await client.interactions.get(made, { stream: true })), events);
  for (const position of [0, Math.floor(events.length / 2), events.length - 2]) {
    const last_event_id = events[position].event_id;
    const rest = await collect(await client.interactions.get(made, { stream: true, last_event_id }));
    assert.deepEqual(rest, events.slice(position + 1));
  }
});

test("a deleted interaction cannot be fetched", async () => {
  const client = plainClient();
  const made = await direct(client, "print(6*7)");

  await client.interactions.delete(made.id);

  await refused("NotFoundError", () => client.interactions.get(made.id));
  await refused("NotFoundError", () => client.interactions.delete(made.id));
});

test("an unknown id is refused", async () => {
  const client = plainClient();
  const refusal = await refused("BadRequestError", () => client.interactions.get("nonsense"));
  assert.match(refusal.message, /nonsense/);

  // A well-formed id: the bytes 0A 17 <23 characters> 12 17 <the same>.
  const half = "x".repeat(23);
  const unknown = "v1_" + Buffer.from(`\x0a\x17${half}\x12\x17${half}`, "latin1").toString("base64url");
  await refused("NotFoundError", () => client.interactions.get(unknown));
  await refused("NotFoundError", () => direct(client, "print(6*7)", { previous_interaction_id: unknown }));
});

test("an unknown field is refused", async () => {
  const refusal = await refused("BadRequestError", () => direct(plainClient(), "print(6*7)", { temprature: 1 }));
  assert.match(refusal.message, /temprature/);
});

test("an unknown tool is refused", async () => {
  const tools = [...CODE_EXECUTION, { type: "time_travel" }];
  await refused("BadRequestError", () => direct(plainClient(), "print(6*7)", { tools }));
});

test("a missing and an empty input are refused", async () => {
  await refused("BadRequestError", () => direct(plainClient(), undefined));
  await refused("BadRequestError", () => direct(plainClient(), ""));
});

test("a prompt without a matching scenario is refused, whole and streamed", async () => {
  for (const stream of [false, true]) {
    const request = { model: MODEL, input: "xyzzy plugh", tools: CODE_EXECUTION, stream };
    const { code } = await refused("BadRequestError", () => plainClient().interactions.create(request));
    assert.equal(code, "invalid_request");
  }
});

const requiresKeys = Boolean(process.env.BELLJAR_API_KEYS);
test("a wrong key is refused", { skip: !requiresKeys && "the server requires no keys" }, async () => {
  const stranger = new GoogleGenAI({ apiKey: "not-one-of-them" });
  await refused("AuthenticationError", () => direct(stranger, "print(6*7)"));
});
