import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    globalSetup: "belljar/vitest",
    // Code really runs, and a server with other options takes seconds to start.
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
});
