// Google Search with code: the results, and the citations in the answer, in bytes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { WAYS, collect, plainClient, stepTypes } from "./client.mjs";

const MODEL = "gemini-3-flash-preview";
const QUESTION = "How tall is the tallest mountain, in feet?";
const EVEREST = "https://en.wikipedia.org/wiki/Mount_Everest";
const CITED = "Der höchste Berg ist der Mount Everest, mit 8848,86 m";

function bytes(text, start, end) {
  return Buffer.from(text).subarray(start, end).toString();
}

for (const [way, client] of WAYS) {
  test(`a search is a step and its pages are cited, ${way}`, async () => {
    const interaction = await client().interactions.create({
      model: MODEL,
      input: QUESTION,
      tools: [{ type: "google_search" }, { type: "code_execution" }],
    });
    assert.deepEqual(stepTypes(interaction), [
      "google_search_call",
      "google_search_result",
      "code_execution_call",
      "code_execution_result",
      "model_output",
    ]);
    const [call, result, , , answer] = interaction.steps;
    assert.deepEqual(call.arguments.queries, ["height of Mount Everest"]);
    assert.match(result.result[0].search_suggestions, /Mount Everest/);
    const [content] = answer.content;
    const [citation] = content.annotations;
    assert.deepEqual([citation.type, citation.url], ["url_citation", EVEREST]);
    assert.equal(bytes(content.text, citation.start_index, citation.end_index), CITED);
    assert.deepEqual(interaction.usage.grounding_tool_count, [{ type: "google_search", count: 1 }]);
  });
}

test("generateContent returns grounding metadata", async () => {
  const request = { model: MODEL, contents: QUESTION, config: { tools: [{ googleSearch: {} }, { codeExecution: {} }] } };
  const response = await plainClient().models.generateContent(request);
  const [candidate] = response.candidates;
  const metadata = candidate.groundingMetadata;
  assert.deepEqual(metadata.webSearchQueries, ["height of Mount Everest"]);
  assert.deepEqual(metadata.groundingChunks, [{ web: { uri: EVEREST, title: "Mount Everest" } }]);
  const [{ segment, groundingChunkIndices }] = metadata.groundingSupports;
  assert.deepEqual(groundingChunkIndices, [0]);
  const { text } = candidate.content.parts[segment.partIndex ?? 0];
  assert.equal(bytes(text, segment.startIndex ?? 0, segment.endIndex), CITED);
  const pieces = await collect(await plainClient().models.generateContentStream(request));
  assert.deepEqual(pieces.at(-1).candidates[0].groundingMetadata, metadata);
});
