/** A condition, or an entry of a script, as in a scenario file. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** A scenario, as in a file. `belljar schema scenario` prints the JSON Schema. */
export interface Scenario {
  name?: string;
  when?: { [condition: string]: Json };
  script: { [part: string]: Json }[];
  [key: string]: Json | undefined;
}

/** A file or a folder, a scenario, or the content of a file. */
export type Scenarios = string | Scenario | { scenarios: Scenario[] };

export interface StartOptions {
  /** Scenarios of this test, which are tried before all others. */
  scenarios?: Scenarios | Scenarios[];
  /** The namespace; a new one by default. */
  namespace?: string;
  /** Whether to set the variables of Google's SDKs in this process until `stop()`. Default: true. */
  setEnv?: boolean;
  /** The folder of recordings that answer. */
  record?: string;
  /** Record what is missing there. Default: whether BELLJAR_TEST_RECORD is 1. */
  recording?: boolean;
  /** While recording: the configuration that names the models. */
  config?: string;
  /** The seed of the server, which makes runs reproducible. */
  seed?: number;
  /** More options of `belljar serve`. */
  args?: string[];
}

/** A fault of the server: what happens to a request. */
export interface Fault {
  status?: number;
  message?: string;
  retry_after?: string;
  delay?: string;
  between_events?: string;
  drop_after_events?: number;
  drop_after_bytes?: number;
  malformed_event?: number;
  finish?: string;
  quirk?: string;
  /** How many requests it applies to. Default: 1; null means all. */
  times?: number | null;
}

export interface Missed {
  condition: string;
  wanted: string;
  got: string;
}

export interface NearMiss {
  scenario: string;
  missed: Missed[];
}

export type Image = Buffer & { mimeType: string };

export interface Run {
  code: string;
  outcome: "ok" | "failed" | "deadline_exceeded";
  stdout: string;
  /** With the traceback. */
  stderr: string;
  /** Pictures that the code showed or saved. */
  images: Image[];
  /** Files that the code wrote to its work directory, by name: at most 4 MiB a run. */
  files: { [name: string]: Buffer };
  wallMs: number;
}

export interface Request {
  number: number;
  model: string;
  /** The newest text of the user. */
  input: string;
  tools: string[];
  turn: number;
  /** The scenario that answered. */
  scenario: string | null;
  status: string | null;
  /** Why it was rejected or failed. */
  error: string | null;
  /** The text of the answer. */
  text: string;
  runs: Run[];
  functionCalls: { name: string; arguments: Json }[];
  /** If no scenario matched: the nearest ones. */
  nearMisses: NearMiss[];
  warnings: string[];
}

/** A request of the test itself was rejected, for example an invalid scenario. */
export class BelljarError extends Error {}

/** A namespace of a server. */
export interface Belljar {
  readonly namespace: string;
  /** The base URL for the app under test. */
  readonly url: string;
  /** The variables that Google's SDKs read. */
  readonly env: { GOOGLE_GEMINI_BASE_URL: string; GEMINI_API_KEY: string };
  /** Adds a scenario, which is tried before all others. */
  script(scenario: Scenario): Promise<void>;
  /** Adds scenarios: files, folders or objects. */
  add(scenarios: Scenarios | Scenarios[]): Promise<void>;
  /** Makes the next request fail. */
  fail(fault: Fault): Promise<void>;
  /** All requests so far, oldest first. */
  requests(): Promise<Request[]>;
  /** All code that ran so far, oldest first. */
  runs(): Promise<Run[]>;
  /** The requests that no scenario answered. Their `error` has a scenario for each. */
  unmatched(): Promise<Request[]>;
  /** Removes scenarios, failures and the journal. */
  reset(): Promise<void>;
  /** Removes all of it and leaves the server, which stops with its last user. */
  stop(): Promise<void>;
}

/** Starts a server, or joins the one that runs, and makes a namespace for the caller. */
export function startBelljar(options?: StartOptions): Promise<Belljar>;
