// The programs of Google's page about code execution, with as few changes as a test allows.
//
// https://ai.google.dev/gemini-api/docs/code-execution (2026-11). Differences: the pictures come
// from `assets` and not from the network, and `client` uses whole as well as streamed replies.

import assert from "node:assert/strict";
import { test } from "node:test";
import { WAYS, asset, pictures, printed, results, stepTypes } from "./client.mjs";

// Shown in the picture, which `assets/draw.py` draws.
const PEDALS = /4/;

for (const [way, connect] of WAYS) {
  test(`the sum of the first 50 primes, ${way}`, async (t) => {
    const client = connect();

    const interaction = await client.interactions.create({
      model: "gemini-3-flash-preview",
      input: "What is the sum of the first 50 prime numbers? " +
             "Generate and run code for the calculation, and make sure you get all 50.",
      tools: [{ type: "code_execution" }]
    });

    const output = await printed(t, () => {
      for (const step of interaction.steps) {
        if (step.type === "model_output") {
          for (const contentBlock of step.content) {
            if (contentBlock.type === "text") {
              console.log(contentBlock.text);
            }
          }
        } else if (step.type === "code_execution_call") {
          console.log(step.arguments.code);
        } else if (step.type === "code_execution_result") {
          console.log(step.result);
        }
      }
    });

    assert.equal(interaction.status, "completed");
    const types = stepTypes(interaction);
    assert.deepEqual(types.slice(-3), ["code_execution_call", "code_execution_result", "model_output"]);
    assert.ok(types.slice(0, -3).includes("model_output"), "a text announces the code");
    const [call, result] = interaction.steps.slice(-3);
    assert.match(call.id, /^[a-z0-9]{8}$/);
    assert.equal(result.call_id, call.id);
    assert.equal(result.is_error, false);
    assert.match(result.result, /5117/);
    assert.match(interaction.output_text, /5117/);
    assert.ok(output.includes(result.result));
  });

  test(`zooming into a picture, ${way}`, async (t) => {
    const client = connect();

    // 1. Prepare Image Data
    const base64ImageData = asset("instrument.jpeg").toString("base64");

    // 2. Call the API with Code Execution enabled
    const interaction = await client.interactions.create({
      model: "gemini-3-flash-preview",
      input: [
        {
          type: "image",
          data: base64ImageData,
          mime_type: "image/jpeg"
        },
        { type: "text", text: "Zoom into the expression pedals and tell me how many pedals are there?" }
      ],
      tools: [{ type: "code_execution" }]
    });

    // 3. Process the response (Text, Code, and Execution Results)
    const output = await printed(t, () => {
      for (const step of interaction.steps) {
        if (step.type === "model_output") {
          for (const contentBlock of step.content) {
            if (contentBlock.type === "text") {
              console.log("Text:", contentBlock.text);
            }
          }
        } else if (step.type === "code_execution_call") {
          console.log(`\nGenerated Code:\n`, step.arguments.code);
        } else if (step.type === "code_execution_result") {
          console.log(`\nExecution Output:\n`, step.result);
        }
      }
    });

    assert.equal(interaction.status, "completed");
    assert.ok(results(interaction).every((result) => !result.is_error), output);
    assert.equal(pictures(interaction).length, 1);
    assert.match(interaction.output_text, PEDALS);
    assert.equal(interaction.output_image.mime_type, "image/png");
    assert.match(output, /Generated Code:/);
  });

  test(`annotating a picture, ${way}`, async () => {
    const client = connect();

    const interaction = await client.interactions.create({
      model: "gemini-3-flash-preview",
      input: [
        { type: "image", data: asset("instrument.jpeg").toString("base64"), mime_type: "image/jpeg" },
        { type: "text", text: "Draw an arrow to each of the expression pedals and number them." }
      ],
      tools: [{ type: "code_execution" }]
    });

    assert.equal(interaction.status, "completed");
    assert.ok(results(interaction).every((result) => !result.is_error));
    assert.equal(pictures(interaction).length, 1);
    assert.match(interaction.output_text, PEDALS);
  });

  test(`a graph of a CSV file, ${way}`, async () => {
    const client = connect();

    const interaction = await client.interactions.create({
      model: "gemini-3-flash-preview",
      input: [
        { type: "document", data: asset("measurements.csv").toString("base64"), mime_type: "text/csv" },
        { type: "text", text: "Which room is the warmest on average? Plot the temperatures." }
      ],
      tools: [{ type: "code_execution" }]
    });

    assert.equal(interaction.status, "completed");
    assert.deepEqual(results(interaction).map((result) => result.is_error), [false]);
    assert.equal(pictures(interaction).length, 1);
    assert.match(interaction.output_text, /greenhouse.*22\.0/);
  });

  test(`a conversation of two turns, ${way}`, async (t) => {
    const client = connect();

    const output = await printed(t, async () => {
      // First turn
      const interaction1 = await client.interactions.create({
        model: "gemini-3-flash-preview",
        input: "I have a math question for you.",
        tools: [{ type: "code_execution" }]
      });

      console.log(interaction1.steps.at(-1).content[0].text);
      assert.ok(interaction1.output_text);
      assert.ok(!stepTypes(interaction1).includes("code_execution_call"));

      // Second turn - follow-up with code execution
      const interaction2 = await client.interactions.create({
        model: "gemini-3-flash-preview",
        previous_interaction_id: interaction1.id,
        input: "What is the sum of the first 50 prime numbers? " +
               "Generate and run code for the calculation, and make sure you get all 50.",
        tools: [{ type: "code_execution" }]
      });

      for (const step of interaction2.steps) {
        if (step.type === "model_output") {
          for (const contentBlock of step.content) {
            if (contentBlock.type === "text") {
              console.log(contentBlock.text);
            }
          }
        } else if (step.type === "code_execution_call") {
          console.log(step.arguments.code);
        } else if (step.type === "code_execution_result") {
          console.log(step.result);
        }
      }
      assert.match(interaction2.output_text, /5117/);
    });

    assert.match(output, /5117/);
  });
}
