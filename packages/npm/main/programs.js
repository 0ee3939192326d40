// Finds the programs.
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);

/** The path of `belljar`, in the package of this platform. */
export function program() {
  const name = `belljar-${process.platform}-${process.arch}`;
  try {
    return join(dirname(require.resolve(`${name}/package.json`)), "programs/belljar");
  } catch {
    throw new Error(
      `no programs for ${process.platform} on ${process.arch}: the package ${name} is not installed. ` +
        "They exist for Linux on x86-64; optional dependencies must not be left out.",
    );
  }
}
