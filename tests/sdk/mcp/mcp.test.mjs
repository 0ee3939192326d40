// The official TypeScript clients: the one of version 2, and the SDK of version 1.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as current from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { Client as ClientOfSdk } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as TransportOfSdk } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const url = new URL("/mcp", process.env.BELLJAR_URL);
const requestInit = { headers: { "x-goog-api-key": "first" } };
const about = { name: "test", version: "1" };
const plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()";

const ways = {
  "version 2 over HTTP": () => [
    new current.Client(about),
    new current.StreamableHTTPClientTransport(url, { requestInit }),
  ],
  "version 2 over stdio": () => [
    new current.Client(about),
    new StdioClientTransport({
      command: process.env.BELLJAR_PROGRAM,
      args: ["mcp", "--sandbox-socket", process.env.BELLJAR_SANDBOX_SOCKET],
    }),
  ],
  "version 1 over HTTP": () => [new ClientOfSdk(about), new TransportOfSdk(url, { requestInit })],
};

for (const [name, connect] of Object.entries(ways)) {
  test(`${name}: three calls with state and a picture`, async () => {
    const [client, transport] = connect();
    await client.connect(transport);
    try {
      const run = (code) => client.callTool({ name: "run_python", arguments: { code } });
      const { tools } = await client.listTools();
      assert.equal(tools.length, 5);
      await run("x = 6");
      const printed = await run("print(x * 7)");
      assert.equal(printed.content[0].text, "42\n");
      const picture = (await run(plot)).content[1];
      assert.equal(picture.mimeType, "image/png");
      assert.ok(picture.data.startsWith("iVBORw0KGgo"));
      const ended = await run("import os; os._exit(1)");
      assert.match(ended.content[0].text, /The session has ended/);
    } finally {
      await client.close();
    }
  });
}
