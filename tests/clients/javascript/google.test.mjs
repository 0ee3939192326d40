// @google/genai: the page's code. `tests/sdk` has the rest.

import assert from "node:assert/strict";
import { test } from "node:test";
import { interaction } from "./page.mjs";

test("the code of the page works", () => {
  assert.match(interaction.output_text, /5117/);
});
