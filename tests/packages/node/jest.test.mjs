// The same helpers in jest, without a set-up: the server starts with the first test. Google's SDK 3.3 cannot send
// requests in jest's modules ("Undici globalDispatcher is not available"), so this app uses `fetch`.
import { afterAll, expect, test } from "@jest/globals";
import { startBelljar } from "belljar";

// A server takes seconds to start.
const WITHIN_MS = 60_000;
const MODEL = "v1beta/models/gemini-3-flash-preview:generateContent";
let belljar;
afterAll(() => belljar?.stop());

test("code runs", async () => {
  const scenario = { name: "sum", script: [{ code: "print(40 + 2)" }, { text: "{{ stdout }}" }] };
  belljar = await startBelljar({ scenarios: scenario });
  const body = { contents: [{ parts: [{ text: "the sum?" }] }], tools: [{ codeExecution: {} }] };
  const url = `${process.env.GOOGLE_GEMINI_BASE_URL}/${MODEL}`;
  const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  expect(response.status).toBe(200);
  expect((await belljar.runs())[0].stdout).toBe("42\n");
}, WITHIN_MS);
