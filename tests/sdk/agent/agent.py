"""A minimal agent: it lets the model compute, and keeps the answer and the code that produced it."""

from google import genai


def ask(question):
    client = genai.Client()
    answer = client.interactions.create(
        model="gemini-3-flash-preview", input=question, tools=[{"type": "code_execution"}]
    )
    runs = [step for step in answer.steps if step.type == "code_execution_result"]
    return answer.output_text, [run.result for run in runs]
