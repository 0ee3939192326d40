"""A client with minimal error handling: it retries as the SDK does, and reads the first candidate."""

from google import genai
from google.genai import types

client = genai.Client(http_options=types.HttpOptions(retry_options=types.HttpRetryOptions(attempts=3)))
response = client.models.generate_content(
    model="direct",
    contents="print(6 * 7)",
    config=types.GenerateContentConfig(tools=[types.Tool(code_execution=types.ToolCodeExecution())]),
)
parts = response.candidates[0].content.parts
assert "42" in "".join(part.code_execution_result.output for part in parts if part.code_execution_result)
