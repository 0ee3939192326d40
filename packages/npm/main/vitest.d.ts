/** Starts one server for all tests. For `globalSetup` in the configuration of vitest. */
export default function setup(): Promise<() => Promise<void>>;
