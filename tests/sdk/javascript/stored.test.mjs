// Cached contents and batches.

import assert from "node:assert/strict";
import { test } from "node:test";
import { collect, plainClient } from "./client.mjs";

const TOOLS = [{ codeExecution: {} }];
const DONE = ["JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"];

async function finished({ batches }, job) {
  const deadline = Date.now() + 60_000;
  while (!DONE.includes(job.state)) {
    assert.ok(Date.now() < deadline, JSON.stringify(job));
    job = await batches.get({ name: job.name });
  }
  return job;
}

const request = (code) => ({ contents: [{ role: "user", parts: [{ text: code }] }], config: { tools: TOOLS } });

test("a cache is used, counted, changed, listed and deleted", async () => {
  const { caches, models } = plainClient();
  const config = { contents: ["x = 6 * 7"], tools: TOOLS, displayName: "manual", ttl: "300s" };
  const cache = await caches.create({ model: "direct", config });
  const response = await models.generateContent({
    model: "direct",
    contents: "print(6 * 7)",
    config: { cachedContent: cache.name },
  });
  assert.equal(response.codeExecutionResult, "42\n");
  assert.equal(response.usageMetadata.cachedContentTokenCount, cache.usageMetadata.totalTokenCount);

  const twice = { model: "direct", contents: "print(1)", config: { cachedContent: cache.name, tools: TOOLS } };
  const refused = await models.generateContent(twice).catch((error) => error);
  assert.equal(refused.status, 400);
  assert.match(refused.message, /CachedContent can not be used with GenerateContent request/);

  const longer = await caches.update({ name: cache.name, config: { ttl: "7200s" } });
  assert.ok(longer.expireTime > cache.expireTime);
  const names = (await collect(await caches.list({ config: { pageSize: 1 } }))).map(({ name }) => name);
  assert.ok(names.includes(cache.name));
  await caches.delete({ name: cache.name });
  const gone = await caches.get({ name: cache.name }).catch((error) => error);
  assert.equal(gone.status, 403);
});

test("a batch runs, and has its results in order", async () => {
  const client = plainClient();
  const begun = await client.batches.create({ model: "direct", src: [request("print(1)"), request("print(2)")] });
  const job = await finished(client, begun);
  assert.equal(job.state, "JOB_STATE_SUCCEEDED");
  const output = ({ response }) => response.candidates[0].content.parts.find((part) => part.codeExecutionResult);
  assert.deepEqual(
    job.dest.inlinedResponses.map((result) => output(result).codeExecutionResult.output),
    ["1\n", "2\n"],
  );
  await client.batches.delete({ name: job.name });
  const gone = await client.batches.get({ name: job.name }).catch((error) => error);
  assert.equal(gone.status, 404);
});

test("a batch is cancelled", async () => {
  const { batches } = plainClient();
  const { name } = await batches.create({ model: "direct", src: [request("while True: pass")] });
  await batches.cancel({ name });
  assert.equal((await batches.get({ name })).state, "JOB_STATE_CANCELLED");
  await batches.delete({ name });
});
