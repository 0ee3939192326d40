// aimock with its defaults and one answer, as a test suite starts it. Prints its address, and ends with its standard input.

import { LLMock } from "@copilotkit/aimock";

const [question, answer] = process.argv.slice(1);
const mock = new LLMock({ port: 0 });
mock.onMessage(question, { content: answer });
console.log(await mock.start());
process.stdin.resume().on("end", () => process.exit());
