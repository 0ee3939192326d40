// Answers that broke real clients, and how Google's SDK presents each. The issues are in
// server/crates/domain/src/chaos/quirk.rs.

import assert from "node:assert/strict";
import { test } from "node:test";
import { GoogleGenAI } from "@google/genai";
import { collect } from "./client.mjs";

const FAILS = "print('ok')\nprint(1/0)";
const DRAWS = "from PIL import Image\nImage.new('RGB', (2, 2)).save('dot.png')\nprint('drawn')";
const CONFIG = { tools: [{ codeExecution: {} }] };
const CODE = ["executableCode"];
const RESULT = ["codeExecutionResult"];
const TEXT = ["text"];

function client(quirk) {
  return new GoogleGenAI({ httpOptions: { headers: { "x-belljar-fault": JSON.stringify({ quirk }) } } });
}

/** The finish reason, and the content: `undefined`, or the kinds of its parts. */
function content(response) {
  if (!response.candidates) return undefined;
  const [{ finishReason, content }] = response.candidates;
  const kinds = content?.parts?.flatMap((part) => Object.keys(part).filter((key) => key !== "thoughtSignature"));
  return [finishReason, kinds];
}

async function whole(quirk, contents = FAILS) {
  const asking = client(quirk);
  return await asking.models.generateContent({ model: "direct", contents, config: CONFIG });
}

async function streamed(quirk) {
  const asking = client(quirk);
  const request = { model: "direct", contents: "print(1)", config: CONFIG };
  return (await collect(await asking.models.generateContentStream(request))).map(content);
}

test("of several results the shortcut returns the first", async () => {
  const response = await whole("several_results");
  assert.deepEqual(content(response), ["STOP", [...CODE, ...RESULT, ...RESULT, ...TEXT]]);
  const [, printed, failed] = response.candidates[0].content.parts;
  assert.equal(response.codeExecutionResult, "ok\n");
  assert.deepEqual(printed.codeExecutionResult, { outcome: "OUTCOME_OK", output: "ok\n" });
  assert.equal(failed.codeExecutionResult.outcome, "OUTCOME_FAILED");
  assert.match(failed.codeExecutionResult.output, /^division by zero\nTraceback/);
});

test("a picture may come before the result", async () => {
  const response = await whole("picture_before_result", DRAWS);
  assert.deepEqual(content(response), ["STOP", [...CODE, "inlineData", ...RESULT, ...TEXT]]);
  assert.equal(response.codeExecutionResult, "drawn\n");
});

for (const [quirk, wanted] of [
  ["malformed_function_call", ["MALFORMED_FUNCTION_CALL", undefined]],
  ["candidate_without_content", ["MALFORMED_FUNCTION_CALL", undefined]],
  ["stop_without_parts", ["STOP", undefined]],
  ["unexpected_tool_call", ["UNEXPECTED_TOOL_CALL", ["functionCall"]]],
  ["blocked_prompt", undefined],
]) {
  test(`an answer without text has no text and throws nothing: ${quirk}`, async () => {
    const response = await whole(quirk);
    assert.deepEqual(content(response), wanted);
    assert.equal(response.text, undefined);
    assert.equal(response.codeExecutionResult, undefined);
  });
}

test("the finish message is lost", async () => {
  // The SDK drops `finishMessage`, so only the call itself shows the cause.
  const [candidate] = (await whole("unexpected_tool_call")).candidates;
  assert.equal(candidate.finishMessage, undefined);
  assert.equal(candidate.content.parts[0].functionCall.name, "undeclaredTool");
  const blocked = await whole("blocked_prompt");
  assert.equal(blocked.promptFeedback.blockReason, "PROHIBITED_CONTENT");
});

const CODE_CHUNK = [undefined, CODE];
const RAN = [undefined, RESULT];
const ANSWERED = [undefined, TEXT];
const STOP = ["STOP", []];
const LAST = ["STOP", TEXT];
for (const [quirk, wanted] of [
  ["code_twice", [CODE_CHUNK, CODE_CHUNK, RAN, ANSWERED, LAST]],
  ["chunk_without_content", [CODE_CHUNK, [undefined, undefined], RAN, ANSWERED, LAST]],
  ["stop_in_every_chunk", [["STOP", CODE], ["STOP", RESULT], ["STOP", TEXT], LAST]],
  ["early_finish", [CODE_CHUNK, ["STOP", RESULT], ANSWERED, LAST]],
  ["leading_finish", [STOP, STOP, CODE_CHUNK, RAN, ANSWERED, STOP, STOP]],
  ["finish_alone", [CODE_CHUNK, RAN, ANSWERED, ["STOP", undefined]]],
  ["cut_short", [CODE_CHUNK, RAN, ANSWERED]],
  ["malformed_function_call", [["MALFORMED_FUNCTION_CALL", undefined]]],
  ["blocked_prompt", [undefined]],
]) {
  test(`every chunk of a stream is passed on: ${quirk}`, async () => {
    assert.deepEqual(await streamed(quirk), wanted);
  });
}

const REQUEST = { model: "direct", input: "print(1)", tools: [{ type: "code_execution" }] };

async function events(quirk) {
  const asking = client(quirk);
  return await collect(await asking.interactions.create({ ...REQUEST, stream: true }));
}

async function names(quirk) {
  return (await events(quirk)).map((event) => event.event_type);
}

test("an error that is not an event is ignored in a stream", async () => {
  assert.deepEqual(await names("bare_error"), ["interaction.created", "interaction.status_update"]);
  const asking = client("bare_error");
  await assert.rejects(asking.interactions.create(REQUEST), (error) => {
    assert.equal(error.constructor.name, "BadRequestError");
    assert.equal(error.error.error.code, "prohibited_content");
    return true;
  });
});

test("unknown events are passed on unchanged", async () => {
  const step = ["content.start", "content.delta", "content.stop"];
  const wanted = ["interaction.start", "interaction.status_update", ...step, ...step, ...step, "interaction.complete"];
  assert.deepEqual(await names("unknown_events"), wanted);
});

test("the last event has no steps", async () => {
  const last = (await events("completed_without_steps")).at(-1);
  assert.equal(last.event_type, "interaction.completed");
  assert.equal(last.interaction.steps, undefined);
});

test("a stream may end without its last event", async () => {
  assert.equal((await names("no_completed_event")).at(-1), "step.stop");
});
