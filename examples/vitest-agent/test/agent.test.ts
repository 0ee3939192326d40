// The agent's tests: `npx vitest run`. Each has a room of its own on one server.
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Belljar, startBelljar } from "belljar";
import * as agent from "../src/agent.js";

let belljar: Belljar;

beforeEach(async () => {
  belljar = await startBelljar();
});

afterEach(async () => {
  await belljar.stop();
});

test("the agent greets", async () => {
  await belljar.add("scenarios");
  expect(await agent.ask("Say hello")).toBe("Good day.");
  const [request] = await belljar.requests();
  expect(request).toMatchObject({ scenario: "greeting", status: "completed" });
});

test("a question gets its answer", async () => {
  await belljar.script({ when: { input: { contains: "capital" } }, script: [{ text: "Paris." }] });
  expect(await agent.ask("What is the capital of France?")).toBe("Paris.");
});

test("the answer comes from code that ran", async () => {
  await belljar.script({
    when: { input: { contains: "sum" } },
    script: [{ code: "print(40 + 2)" }, { text: "It is {{ stdout | trim }}." }],
  });
  expect(await agent.compute("the sum?")).toBe("It is 42.");
  const [run] = await belljar.runs();
  expect(run).toMatchObject({ code: "print(40 + 2)", stdout: "42\n", outcome: "ok" });
});

test("the agent admits that code failed", async () => {
  await belljar.script({ script: [{ code: "print(1 / 0)" }, { text: "It is infinite." }] });
  expect(await agent.compute("One divided by nothing?")).toBe("I could not compute it.");
  const [run] = await belljar.runs();
  expect(run?.outcome).toBe("failed");
  expect(run?.stderr).toContain("ZeroDivisionError");
});

test("a table becomes a picture", async () => {
  const code = [
    "import pandas as pd, matplotlib.pyplot as plt",
    "table = pd.read_csv('input_file_0.csv')",
    "plt.bar(table.month, table.rain)",
    "plt.show()",
  ].join("\n");
  await belljar.script({ script: [{ code }, { text: "Here it is." }] });
  const picture = await agent.draw("Draw the rain.", "month,rain\nJanuary,61\nFebruary,48\n");
  expect(picture.subarray(1, 4).toString()).toBe("PNG");
  const [run] = await belljar.runs();
  expect(run?.images[0]?.equals(picture)).toBe(true);
  expect(run?.images[0]?.mimeType).toBe("image/png");
});

test("files that code writes can be read", async () => {
  await belljar.script({ script: [{ code: "open('n.csv', 'w').write('2,4')" }, { text: "Written." }] });
  await agent.compute("Write the square of 2.");
  const [run] = await belljar.runs();
  expect(run?.files["n.csv"]?.toString()).toBe("2,4");
});

test("the agent answers function calls", async () => {
  await belljar.script({
    when: { input: { contains: "umbrella" }, tools: ["weather"] },
    script: [
      { function_call: { name: "weather", arguments: { city: "Paris" } } },
      { text: "Take one: {{ function_result.output }}." },
    ],
  });
  const advice = await agent.advise("An umbrella in Paris?", (city) => `rain in ${city}`);
  expect(advice).toBe("Take one: rain in Paris.");
  const [request] = await belljar.requests();
  expect(request?.functionCalls).toEqual([{ name: "weather", arguments: { city: "Paris" } }]);
});

test("the agent asks again after 429", async () => {
  await belljar.script({ script: [{ text: "At last." }] });
  await belljar.fail({ status: 429, times: 2 });
  expect(await agent.insist("Hello?")).toBe("At last.");
});

test("the agent gives up after three attempts", async () => {
  await belljar.fail({ status: 429, times: 3 });
  await expect(agent.insist("Hello?")).rejects.toMatchObject({ status: 429 });
});

test("an unexpected question names the nearest scenario", async () => {
  await belljar.script({ name: "sums", when: { input: { contains: "the sum" } }, script: [{ text: "42" }] });
  await expect(agent.ask("the product?")).rejects.toThrow("No scenario matches");
  const [request] = await belljar.unmatched();
  expect(request?.nearMisses[0]?.scenario).toBe("sums");
});
