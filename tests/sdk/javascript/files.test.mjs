// Uploaded files: upload, get, list, delete, and their use by code.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { createPartFromUri } from "@google/genai";
import { asset, collect, plainClient } from "./client.mjs";

const CSV = fileURLToPath(new URL("../assets/measurements.csv", import.meta.url));
const CODE = { tools: [{ codeExecution: {} }] };

test("a file is uploaded, found and deleted", async () => {
  const { files } = plainClient();
  const file = await files.upload({ file: CSV, config: { displayName: "Measurements" } });
  assert.equal(file.mimeType, "text/csv");
  assert.equal(file.displayName, "Measurements");
  assert.equal(Number(file.sizeBytes), asset("measurements.csv").length);
  assert.equal(file.state, "ACTIVE");
  assert.equal((await files.get({ name: file.name })).sha256Hash, file.sha256Hash);
  await files.delete({ name: file.name });
  const gone = await files.get({ name: file.name }).catch((error) => error);
  assert.equal(gone.status, 403);
});

test("a file of several chunks arrives complete", async () => {
  const client = plainClient();
  const content = Buffer.alloc((16 << 20) + 1, "0123456789abcdef"); // two chunks and one byte
  const file = await client.files.upload({ file: new Blob([content], { type: "text/plain" }) });
  assert.equal(Number(file.sizeBytes), content.length);
  const code = "import hashlib\nprint(hashlib.sha256(open('input_file_0.txt', 'rb').read()).hexdigest())";
  const response = await client.models.generateContent({
    model: "direct",
    contents: [code, createPartFromUri(file.uri, file.mimeType)],
    config: CODE,
  });
  const wanted = createHash("sha256").update(content).digest("hex");
  assert.equal(response.codeExecutionResult.trim(), wanted);
  await client.files.delete({ name: file.name });
});

test("a file is used in an interaction", async () => {
  const client = plainClient();
  const file = await client.files.upload({ file: CSV });
  const interaction = await client.interactions.create({
    model: "direct",
    input: [
      { type: "text", text: "print(open('input_file_0.csv').readline(), end='')" },
      { type: "document", uri: file.uri, mime_type: file.mimeType },
    ],
    tools: [{ type: "code_execution" }],
  });
  assert.equal(interaction.steps[1].result, `${asset("measurements.csv").toString().split("\n")[0]}\n`);
  await client.files.delete({ name: file.name });
});

test("files are listed in pages", async () => {
  const { files } = plainClient();
  const names = [];
  for (let n = 0; n < 3; n += 1) names.push((await files.upload({ file: CSV })).name);
  const pager = await files.list({ config: { pageSize: 2 } });
  assert.equal(pager.page.length, 2);
  const listed = (await collect(pager)).map((file) => file.name);
  for (const name of names) {
    assert.ok(listed.includes(name));
    await files.delete({ name });
  }
});

test("an unsupported type is refused", async () => {
  const refused = await plainClient()
    .files.upload({ file: CSV, config: { mimeType: "bad/mime_type" } })
    .catch((error) => error);
  assert.match(refused.message, /Unsupported MIME/);
});
