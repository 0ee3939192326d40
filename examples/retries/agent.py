"""An agent that asks again when the service has no room."""

import time

from google import genai
from google.genai.errors import APIError


def ask(question: str, attempts: int = 3) -> str:
    # The SDK would ask again by itself, after seconds.
    client = genai.Client(http_options={"retry_options": {"attempts": 1}})
    for attempt in range(1, attempts + 1):
        try:
            return client.models.generate_content(model="gemini-2.5-flash", contents=question).text
        except APIError as error:
            if error.code != 429 or attempt == attempts:
                raise
            time.sleep(0.1 * attempt)
