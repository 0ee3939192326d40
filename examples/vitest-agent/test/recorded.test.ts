// Tests whose answers were recorded. `BELLJAR_TEST_RECORD=1 npx vitest run` records the missing ones.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Belljar, startBelljar } from "belljar";
import * as agent from "../src/agent.js";

let belljar: Belljar;

beforeAll(async () => {
  belljar = await startBelljar({ record: "recordings", config: process.env.MODELS ?? "gemini.toml" });
});

afterAll(async () => {
  await belljar.stop();
});

test("the days of a leap year", async () => {
  expect(await agent.compute("How many days has the year 2028? Compute it with code.")).toContain("366");
});

test("the days of another year", async () => {
  expect(await agent.compute("How many days has the year 2027? Compute it with code.")).toContain("365");
});
