// Starts servers: one for each set of options, shared by all rooms of this process.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { program } from "./programs.js";

const READY = "belljar listening on ";
/** The server of the vitest set-up, for the processes that run tests. */
export const SHARED = "BELLJAR_TEST_SERVER";

/** @type {Map<string, Promise<Server>>} */
const running = new Map();

/** The options of `belljar serve`. */
export function serverArguments({ record, recording, config, seed, args = [] }) {
  const found = [...args];
  if (seed !== undefined) found.push(`--seed=${seed}`);
  if (record === undefined) return found;
  if (!(recording ?? process.env.BELLJAR_TEST_RECORD === "1")) {
    return [...found, `--scenarios=${record}`];
  }
  if (config === undefined) throw new Error("recording needs `config`, a file that names the models");
  mkdirSync(record, { recursive: true });
  return [...found, `--config=${config}`, `--record=${record}`, "--record-mode=new"];
}

/** Counts the users of a server, which stops with its last one. */
export class Server {
  users = 0;

  constructor(url, child) {
    this.url = url;
    this.child = child;
  }

  /** The server with these options, started if need be. */
  static async join(args) {
    const shared = process.env[SHARED];
    if (shared && args.length === 0) return new Server(shared, undefined);
    const key = JSON.stringify(args);
    if (!running.has(key)) running.set(key, start(args));
    let server;
    try {
      server = await running.get(key);
    } catch (error) {
      running.delete(key);
      throw error;
    }
    server.key = key;
    server.users += 1;
    return server;
  }

  async leave() {
    if (!this.child) return;
    this.users -= 1;
    if (this.users > 0) return;
    running.delete(this.key);
    const ended = this.child.exitCode === null && once(this.child, "exit");
    this.child.ref();
    this.child.stdin.end();
    await ended;
  }
}

async function start(args) {
  const fixed = ["serve", "--listen=127.0.0.1:0", "--ephemeral", "--control", "--exit-with-stdin"];
  const env = { ...process.env, BELLJAR_LOG: process.env.BELLJAR_LOG ?? "error" };
  // Standard input stays open as long as this process lives. The progress of an installation is on stderr.
  const child = spawn(program(), [...fixed, ...args], { env, stdio: ["pipe", "pipe", "inherit"], detached: true });
  const lines = createInterface({ input: child.stdout });
  const line = await Promise.race([
    once(lines, "line").then(([line]) => line),
    once(child, "exit").then(([code]) => {
      throw new Error(`the server did not start (exit code ${code}); its message is on stderr`);
    }),
  ]);
  lines.close();
  if (!line.startsWith(READY)) throw new Error(`unexpected output of the server: ${line}`);
  // A test run that forgets `stop()` ends all the same.
  for (const handle of [child, child.stdin, child.stdout]) handle.unref();
  return new Server(line.slice(READY.length), child);
}
