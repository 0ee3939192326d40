// Assembles an interaction from the events of a stream, and is strict about their order.

import assert from "node:assert/strict";

/** The interaction, in the shape that a whole answer has. */
export function assemble(events) {
  const [created, started, ...middle] = events;
  const completed = middle.pop();
  assert.equal(created.event_type, "interaction.created");
  assert.equal(created.interaction.status, "in_progress");
  assert.equal(started.event_type, "interaction.status_update");
  assert.equal(started.interaction_id, created.interaction.id);
  assert.equal(completed.event_type, "interaction.completed", JSON.stringify(completed));
  assert.equal(completed.interaction.id, created.interaction.id);
  const ids = events.map((event) => event.event_id);
  assert.ok(ids.every(Boolean) && new Set(ids).size === ids.length, "every event has an id of its own");

  const steps = [];
  let isOpen = false;
  for (const event of middle) {
    switch (event.event_type) {
      case "interaction.status_update":
        assert.ok(!isOpen, "a status inside of a step");
        break;
      case "step.start":
        assert.ok(!isOpen, "a step inside of a step");
        assert.equal(event.index, steps.length, "indices count up from 0 without gaps");
        steps.push(structuredClone(event.step));
        isOpen = true;
        break;
      case "step.delta":
        assert.ok(isOpen && event.index === steps.length - 1);
        grow(steps.at(-1), event.delta);
        break;
      case "step.stop":
        assert.ok(isOpen && event.index === steps.length - 1);
        if ("json" in steps.at(-1)) {
          const { json, ...step } = steps.pop();
          steps.push({ ...step, arguments: JSON.parse(json) });
        }
        isOpen = false;
        break;
      default:
        assert.fail(`an event that the SDK does not know: ${JSON.stringify(event)}`);
    }
  }
  assert.ok(!isOpen, "a step without an end");
  return { ...completed.interaction, steps };
}

/** Steps without the freedoms of the wire: texts in one piece, nothing that is empty. */
export function canonical(steps) {
  return steps.map((given) => {
    const step = { ...given };
    for (const key of ["content", "summary"]) {
      const pieces = step[key] ?? [];
      step[key] = [];
      for (const piece of pieces) append(step[key], piece);
    }
    for (const key of ["content", "summary", "signature"]) {
      if (!step[key]?.length) delete step[key];
    }
    return step;
  });
}

function grow(step, delta) {
  switch (delta.type) {
    case "text":
    case "image":
      assert.equal(step.type, "model_output");
      append((step.content ??= []), delta);
      break;
    case "text_annotation_delta":
      (step.content.at(-1).annotations ??= []).push(...delta.annotations);
      break;
    case "thought_summary":
      append((step.summary ??= []), delta.content);
      break;
    case "thought_signature":
      step.signature = delta.signature;
      break;
    case "arguments_delta":
      assert.equal(step.type, "function_call");
      step.json = (step.json ?? "") + delta.arguments;
      break;
    case "code_execution_call":
    case "code_execution_result":
    case "google_search_call":
    case "google_search_result":
      // In one delta, because clients concatenate several.
      assert.equal(delta.type, step.type);
      assert.ok(!("arguments" in step) && !("result" in step), "the payload came twice");
      Object.assign(step, delta);
      break;
    default:
      assert.fail(`a delta that no test expects: ${JSON.stringify(delta)}`);
  }
}

function append(contents, content) {
  const last = contents.at(-1);
  if (content.type === "text" && last?.type === "text") {
    contents[contents.length - 1] = { ...last, ...content, text: last.text + content.text };
  } else {
    contents.push({ ...content });
  }
}
