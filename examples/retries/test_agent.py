import json
import os
from urllib.request import Request, urlopen

import pytest
from google.genai.errors import APIError

from agent import ask


def control(method: str, path: str, body=None):
    """The server's test controls."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    with urlopen(Request(os.environ["GOOGLE_GEMINI_BASE_URL"] + path, data, headers, method=method)) as answer:
        return json.loads(answer.read() or "null")


@pytest.fixture(autouse=True)
def fresh_server():
    control("POST", "/x/reset")


def test_the_agent_asks_again_after_429():
    control("POST", "/x/faults", {"status": 429, "times": 2})
    assert ask("Hello?") == "Good day."
    assert control("GET", "/x/faults")["faults"][0]["happened"] == 2


def test_the_agent_gives_up_after_three_attempts():
    control("POST", "/x/faults", {"status": 429, "times": 5})
    with pytest.raises(APIError):
        ask("Hello?")
    assert control("GET", "/x/faults")["faults"][0]["happened"] == 3
