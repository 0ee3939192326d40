import assert from "node:assert/strict";
import { test } from "node:test";

import { ask } from "./agent.mjs";

test("the answer comes from code that ran", async () => {
  const { text, output } = await ask("How long is the word 'Donaudampfschiff'?");
  assert.equal(output, "16\n");
  assert.equal(text, "It has 16 letters.");
});
