#!/usr/bin/env node
// Runs the program of the platform's package.
import { spawnSync } from "node:child_process";
import { constants } from "node:os";
import { program } from "../programs.js";

// The terminal sends Ctrl-C to the program too, which ends in its own time.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]) process.on(signal, () => {});
const { status, signal, error } = spawnSync(program(), process.argv.slice(2), { stdio: "inherit" });
if (error) throw error;
process.exitCode = status ?? 128 + constants.signals[signal];
