// An agent that lets the model compute, and returns its answer and what its code printed.
import { GoogleGenAI } from "@google/genai";

export async function ask(question) {
  const client = new GoogleGenAI({});
  const answer = await client.models.generateContent({
    model: "gemini-2.5-flash",
    contents: question,
    config: { tools: [{ codeExecution: {} }] },
  });
  const parts = answer.candidates[0].content.parts;
  const texts = parts.map((part) => part.text ?? "").join("");
  return { text: texts, output: parts.find((part) => part.codeExecutionResult)?.codeExecutionResult.output };
}
