// Shared by the tests of several clients: the questions, a table, scenarios with a function, and the journal.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

// Questions for the scenarios of the repository: a conversation, code that prints a sum, a function and then
// code, code that draws a table.
export const ANNOUNCEMENT = "I have a math question for you.";
export const PRIMES = "What is the sum of the first 50 prime numbers?";
export const FAHRENHEIT = "What is the weather in Paris in Fahrenheit?";
export const PLOT = "Which room is the warmest on average? Plot the temperatures.";
export const TABLE = readFileSync(new URL("../assets/measurements.csv", import.meta.url));

export const SKY = "Tell me about the sky over Bern.";
export const PERSON = "Extract the person: Ada is 36.";
const SCENARIOS = `
scenarios:
  - name: a function is called
    when: { input: { contains: the sky over }, tools: [get_weather] }
    script:
      - function_call: { name: get_weather, arguments: { city: Bern } }
      - text: "The function said {{ function_result }}."
  - name: an object is answered
    when: { input: { contains: Extract the person } }
    script:
      - text: '{"name": "Ada", "age": 36}'
`;
const server = process.env.GOOGLE_GEMINI_BASE_URL;

export async function addScenarios() {
  const added = await fetch(`${server}/x/scenarios`, { method: "POST", body: SCENARIOS });
  assert.equal(added.status, 200);
}

export async function removeScenarios() {
  await fetch(`${server}/x/scenarios`, { method: "DELETE" });
}

/** The function that the scenarios call. */
export function weather({ city }) {
  return `clear over ${city}, 21 degrees`;
}

/** Whether an answer has what the function returned. */
export function assertWeather(answer) {
  assert.match(answer, /The function said .*clear over Bern, 21 degrees/);
}

/** Three turns with code in the second. `ask` returns the text of an answer. `turns` is how many the last request has. */
export async function converse(ask, turns = 3) {
  const first = await ask(ANNOUNCEMENT);
  assert.match(first, /glad to help/);
  assert.match(await ask(PRIMES), /5117/);
  assert.equal(await ask(ANNOUNCEMENT), first);
  assert.equal((await lastRequest()).turn, turns);
}

export async function lastRequest() {
  const { entries } = await (await fetch(`${server}/x/journal`)).json();
  return entries.at(-1);
}

/** Whether Base64 has a PNG from its first byte to its last. */
export function assertPicture(base64) {
  const bytes = Buffer.from(base64, "base64");
  assert.equal(bytes.subarray(0, 8).toString("latin1"), "\x89PNG\r\n\x1a\n");
  assert.equal(bytes.subarray(-8, -4).toString("latin1"), "IEND");
}
