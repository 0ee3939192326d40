// An agent that answers, computes, draws, and looks up the weather. It does not know Belljar.
import { ApiError, GoogleGenAI } from "@google/genai";

const model = "gemini-3-flash-preview";

function parts(answer: Awaited<ReturnType<GoogleGenAI["models"]["generateContent"]>>) {
  return answer.candidates?.[0]?.content?.parts ?? [];
}

export async function ask(question: string): Promise<string> {
  const client = new GoogleGenAI({});
  const answer = await client.models.generateContent({ model, contents: question });
  return answer.text ?? "";
}

/** An answer that rests on code which ran. */
export async function compute(question: string): Promise<string> {
  const client = new GoogleGenAI({});
  const config = { tools: [{ codeExecution: {} }] };
  const answer = await client.models.generateContent({ model, contents: question, config });
  const result = parts(answer).findLast((part) => part.codeExecutionResult)?.codeExecutionResult;
  if (result?.outcome !== "OUTCOME_OK") return "I could not compute it.";
  return parts(answer).map((part) => part.text ?? "").join("");
}

/** The picture that the model's code draws of a table. */
export async function draw(question: string, table: string): Promise<Buffer> {
  const client = new GoogleGenAI({});
  const file = { mimeType: "text/csv", data: Buffer.from(table).toString("base64") };
  const answer = await client.models.generateContent({
    model,
    contents: [{ role: "user", parts: [{ inlineData: file }, { text: question }] }],
    config: { tools: [{ codeExecution: {} }] },
  });
  const picture = parts(answer).findLast((part) => part.inlineData)?.inlineData?.data;
  if (!picture) throw new Error("the model drew no picture");
  return Buffer.from(picture, "base64");
}

/** Calls `weather` when the model wants it. */
export async function advise(question: string, weather: (city: string) => string): Promise<string> {
  const client = new GoogleGenAI({});
  const chat = client.chats.create({
    model,
    config: {
      tools: [{ functionDeclarations: [{ name: "weather", parametersJsonSchema: { type: "object" } }] }],
    },
  });
  let answer = await chat.sendMessage({ message: question });
  for (const call of answer.functionCalls ?? []) {
    const response = { output: weather(String(call.args?.city)) };
    const message = [{ functionResponse: { id: call.id, name: call.name, response } }];
    answer = await chat.sendMessage({ message });
  }
  return answer.text ?? "";
}

/** Asks again when the service has no room. */
export async function insist(question: string, attempts = 3): Promise<string> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask(question);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 429 || attempt === attempts) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50 * attempt));
    }
  }
}
