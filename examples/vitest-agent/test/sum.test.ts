import { GoogleGenAI } from "@google/genai";
import { startBelljar } from "belljar";
import { expect, test } from "vitest";

test("the sum", async () => {
  const belljar = await startBelljar();
  await belljar.script({
    when: { input: { contains: "sum" } },
    script: [{ code: "print(40 + 2)" }, { text: "It is {{ stdout | trim }}." }],
  });
  const client = new GoogleGenAI({});
  const config = { tools: [{ codeExecution: {} }] };
  await client.models.generateContent({ model: "gemini-3-flash-preview", contents: "the sum?", config });
  const [run] = await belljar.runs();
  expect(run?.stdout).toBe("42\n");
  await belljar.stop();
});
