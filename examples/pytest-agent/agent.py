"""An agent that answers, computes, draws, and looks up the weather. It does not know Belljar."""

import time

from google import genai
from google.genai import types
from google.genai.errors import APIError

MODEL = "gemini-3-flash-preview"
CODE = {"type": "code_execution"}
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def ask(question: str) -> str:
    client = genai.Client()
    return client.interactions.create(model=MODEL, input=question).output_text


async def ask_async(question: str) -> str:
    client = genai.Client()
    answer = await client.aio.interactions.create(model=MODEL, input=question)
    return answer.output_text


def compute(question: str) -> str:
    """An answer that rests on code which ran."""
    client = genai.Client()
    answer = client.interactions.create(model=MODEL, input=question, tools=[CODE])
    results = [step for step in answer.steps if step.type == "code_execution_result"]
    if not results or results[-1].is_error:
        return "I could not compute it."
    return answer.output_text


def draw(question: str, table: str) -> bytes:
    """The picture that the model's code draws of a table."""
    client = genai.Client()
    answer = client.models.generate_content(
        model=MODEL,
        contents=[types.Part.from_bytes(data=table.encode(), mime_type="text/csv"), question],
        config=types.GenerateContentConfig(tools=[types.Tool(code_execution=types.ToolCodeExecution())]),
    )
    pictures = [part.inline_data.data for part in answer.candidates[0].content.parts if part.inline_data]
    return pictures[-1]


def advise(question: str, weather) -> str:
    """Calls `weather(city)` as often as the model wants."""
    client = genai.Client()
    answer = client.interactions.create(model=MODEL, input=question, tools=[WEATHER])
    while calls := [step for step in answer.steps if step.type == "function_call"]:
        results = [
            {"type": "function_result", "call_id": call.id, "name": call.name, "result": weather(**call.arguments)}
            for call in calls
        ]
        answer = client.interactions.create(
            model=MODEL, input=results, tools=[WEATHER], previous_interaction_id=answer.id
        )
        if answer.status != "requires_action":
            break
    return answer.output_text


def insist(question: str, attempts: int = 3) -> str:
    """Asks again when the service has no room."""
    # The SDK would ask again by itself, after seconds.
    client = genai.Client(http_options={"retry_options": {"attempts": 1}})
    for attempt in range(1, attempts + 1):
        try:
            return client.models.generate_content(model=MODEL, contents=question).text
        except APIError as error:
            if error.code != 429 or attempt == attempts:
                raise
            time.sleep(0.05 * attempt)
    raise AssertionError("at least one attempt is needed")
