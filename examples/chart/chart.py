"""Sends a table to the model, and saves the picture that the model's code draws of it."""

from pathlib import Path

from google import genai
from google.genai import types

TABLE = "month,rain\nJanuary,61\nFebruary,48\nMarch,55\nApril,39\n"

client = genai.Client()
answer = client.models.generate_content(
    model="gemini-2.5-flash",
    contents=[types.Part.from_bytes(data=TABLE.encode(), mime_type="text/csv"), "Draw the rain of each month as bars."],
    config=types.GenerateContentConfig(tools=[types.Tool(code_execution=types.ToolCodeExecution())]),
)
for part in answer.candidates[0].content.parts:
    if part.inline_data:
        Path("chart.png").write_bytes(part.inline_data.data)
    elif part.text:
        print(part.text)
