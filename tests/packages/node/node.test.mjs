// The same helpers in node:test. Also what the examples do not show.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BelljarError, startBelljar } from "belljar";

test("rooms of one server do not see each other, and the variables come back", async () => {
  process.env.GOOGLE_GEMINI_BASE_URL = "http://before";
  const first = await startBelljar();
  const second = await startBelljar({ setEnv: false });
  assert.equal(new URL(first.url).port, new URL(second.url).port);
  assert.equal(process.env.GOOGLE_GEMINI_BASE_URL, first.url);
  await first.script({ script: [{ text: "mine" }] });
  const ask = (room) =>
    fetch(`${room.url}/v1beta/models/gemini-3-flash-preview:generateContent`, {
      method: "POST",
      body: JSON.stringify({ contents: [{ parts: [{ text: "?" }] }] }),
    });
  assert.equal((await ask(first)).status, 200);
  assert.equal((await ask(second)).status, 400);
  assert.equal((await first.requests()).length, 1);
  assert.equal((await second.unmatched()).length, 1);
  await first.stop();
  assert.equal(process.env.GOOGLE_GEMINI_BASE_URL, "http://before");
  assert.equal((await ask(second)).status, 400, "its server runs as long as it has a user");
  await second.stop();
  await assert.rejects(ask(second));
});

test("mistakes are reported", async () => {
  const belljar = await startBelljar();
  await assert.rejects(belljar.script({ script: [{ txt: "hi" }] }), BelljarError);
  await assert.rejects(belljar.fail({ status: 299 }), /unknown status 299/);
  await belljar.stop();
  await assert.rejects(startBelljar({ args: ["--no-such-option"] }), /did not start/);
});
