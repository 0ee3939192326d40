// gemini-cli: the page's code with a separate home folder, and the CLI's features with the given model.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

const server = process.env.GOOGLE_GEMINI_BASE_URL;
const home = mkdtempSync(join(tmpdir(), "gemini-cli-"));
const SCENARIO = `
scenarios:
  - name: a note is read
    when: { input: { contains: what is in the note }, tools: [read_file] }
    script:
      - function_call: { name: read_file, arguments: { file_path: note.txt } }
      - text: "The note reads {{ function_result }}"
`;
after(() => fetch(`${server}/x/scenarios`, { method: "DELETE" }));

/** What a command in the CLI's home prints. */
function run(program, ...parameters) {
  const env = { PATH: `${import.meta.dirname}/node_modules/.bin:${process.env.PATH}`, HOME: home };
  const { GOOGLE_GEMINI_BASE_URL, GEMINI_API_KEY } = process.env;
  Object.assign(env, { GOOGLE_GEMINI_BASE_URL, GEMINI_API_KEY });
  const options = { cwd: home, env, encoding: "utf8", timeout: 120_000, stdio: ["ignore", "pipe", "pipe"] };
  return execFileSync(program, parameters, options);
}

async function lastRequest() {
  const { entries } = await (await fetch(`${server}/x/journal`)).json();
  return entries.at(-1);
}

test("the code of the page has an answer", async () => {
  cpSync(new URL("page.sh", import.meta.url), join(home, "page.sh"));
  assert.match(run("bash", "page.sh"), /I'd be glad to help/);
  const asked = await lastRequest();
  assert.equal(asked.turn, 1);
  assert.ok(!asked.tools.includes("code_execution"), "the CLI offers the tool now: the page claims the opposite");
});

test("the next turn calls a function of the CLI and uses its result", async () => {
  writeFileSync(join(home, "note.txt"), "six times seven is 42\n");
  const added = await fetch(`${server}/x/scenarios`, { method: "POST", body: SCENARIO });
  assert.equal(added.status, 200);
  const model = ["--skip-trust", "--model", "gemini-3-flash-preview"];
  const answer = run("gemini", ...model, "--resume", "latest", "--prompt", "Tell me what is in the note.");
  assert.match(answer, /The note reads .*six times seven is 42/s);
  assert.equal((await lastRequest()).turn, 2);
});
