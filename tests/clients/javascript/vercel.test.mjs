// The Vercel AI SDK. `page.mjs` is the page's own code, and the tests use its exports. Of the page's two
// variants, the one over generateContent sends the conversation, the other refers to it by id.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { generateText, streamText } from "ai";
import { google, model, text as printed, tools } from "./page.mjs";

const ANNOUNCEMENT = "I have a math question for you.";
const PRIMES = "What is the sum of the first 50 prime numbers?";
const PLOT = "Which room is the warmest on average? Plot the temperatures.";
const TABLE = readFileSync(new URL("../assets/measurements.csv", import.meta.url));
const KEPT = model.provider.endsWith("interactions");

/** An answer, whichever way it came. */
async function whole(request) {
  const { text, content, files, response, providerMetadata } = await generateText({ tools, ...request });
  return { text, content, files, messages: response.messages, metadata: providerMetadata };
}

async function streamed(request) {
  const answer = streamText({ tools, ...request });
  const parts = [];
  for await (const part of answer.fullStream) parts.push(part);
  assert.deepEqual(parts.filter((part) => part.type === "error"), []);
  assert.ok(parts.filter((part) => part.type === "text-delta").length > 0);
  return {
    text: await answer.text,
    content: await answer.content,
    files: await answer.files,
    messages: (await answer.response).messages,
    metadata: await answer.providerMetadata,
  };
}

/** The next request, with the conversation sent along or referred to by id. */
function next(last, messages, prompt) {
  const user = { role: "user", content: prompt };
  if (!KEPT) return { model, messages: [...messages, ...last.messages, user] };
  const previousInteractionId = last.metadata.google.interactionId;
  return { model, messages: [user], providerOptions: { google: { previousInteractionId } } };
}

function of(type, answer) {
  return answer.content.filter((part) => part.type === type);
}

test("the code of the page works", () => {
  assert.match(printed, /5117/);
});

for (const ask of [whole, streamed]) {
  test(`a conversation with code in it, ${ask.name}`, async () => {
    const messages = [{ role: "user", content: ANNOUNCEMENT }];
    const first = await ask({ model, messages });
    assert.ok(first.text);
    assert.deepEqual(of("tool-call", first), []);

    const second = await ask(next(first, messages, PRIMES));
    const [call] = of("tool-call", second);
    const [result] = of("tool-result", second);
    assert.match(call.input.code, /def is_prime/);
    assert.equal(call.providerExecuted, true);
    assert.equal(result.toolCallId, call.toolCallId);
    assert.match(KEPT ? result.output : result.output.output, /sum_of_primes=5117\n/);
    assert.match(second.text, /5117/);

    messages.push(...first.messages, { role: "user", content: PRIMES });
    const third = await ask(next(second, messages, ANNOUNCEMENT));
    assert.equal(third.text, first.text);
  });

  test(`a picture that code drew, ${ask.name}`, async () => {
    const file = { type: "file", data: TABLE, mediaType: "text/csv" };
    const messages = [{ role: "user", content: [file, { type: "text", text: PLOT }] }];
    const { text, files } = await ask({ model, messages });

    const [picture] = files;
    assert.equal(files.length, 1);
    assert.equal(picture.mediaType, "image/png");
    const bytes = Buffer.from(picture.uint8Array);
    assert.equal(bytes.subarray(0, 8).toString("latin1"), "\x89PNG\r\n\x1a\n");
    assert.equal(bytes.subarray(-8, -4).toString("latin1"), "IEND");
    assert.match(text, /greenhouse.*22\.0/);
  });

  test(`failing code is fixed, ${ask.name}`, async () => {
    const answer = await ask({ model, prompt: "What is the average speed of each lap?" });
    const outputs = of("tool-result", answer).map((result) => result.output);
    if (!KEPT) assert.deepEqual(outputs.map((output) => output.outcome), ["OUTCOME_FAILED", "OUTCOME_OK"]);
    const [failed, mended] = outputs.map((output) => (KEPT ? output : output.output));
    assert.match(failed, /ZeroDivisionError/);
    assert.match(mended, /4\.00 m\/s/);
    assert.match(answer.text, /4\.00 m\/s/);
  });

  test(`the SDK or the server runs code, depending on the name of the model, ${ask.name}`, async () => {
    const direct = KEPT ? google.interactions("direct") : google("direct");
    const { text } = await ask({ model: direct, prompt: "print(6 * 7)" });
    if (KEPT) assert.equal(text, "done");
    else assert.match(text, /code_execution/, "the SDK offers the tool to other models now: the page claims the opposite");
  });
}
