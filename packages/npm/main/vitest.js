// A global set-up for vitest: one server for all tests.
import { SHARED, Server } from "./server.js";

export default async function setup() {
  const server = await Server.join([]);
  process.env[SHARED] = server.url;
  return async () => {
    delete process.env[SHARED];
    await server.leave();
  };
}
