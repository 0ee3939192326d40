"""Shared by the clients' tests: the page's own code, the questions, a table, and a check of pictures."""

import contextlib
import io
import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

# Questions for the scenarios of the repository: a conversation, code that prints a sum, code that
# draws a table.
ANNOUNCEMENT = "I have a math question for you."
PRIMES = "What is the sum of the first 50 prime numbers?"
SKY = "Tell me about the sky over Bern."
#: A scenario for it, which calls the client's function.
WEATHER = """
scenarios:
  - name: a function is called
    when: { input: { contains: the sky over }, tools: [get_weather] }
    script:
      - function_call: { name: get_weather, arguments: { city: Bern } }
      - text: "The function said {{ function_result }}."
"""
PLOT = "Which room is the warmest on average? Plot the temperatures."
TABLE = (Path(__file__).parents[2] / "sdk/assets/measurements.csv").read_bytes()


@pytest.fixture(scope="module")
def page(request):
    """Runs the page's code unchanged. Returns its names and its output."""
    code = Path(os.environ["PAGES"]) / f"{request.module.HEADING}.py"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        names = runpy.run_path(str(code))
    return SimpleNamespace(**names, printed=printed.getvalue())


@pytest.fixture(params=["whole", "streamed"])
def way(request):
    return request.param


def test_of_the_page(page):
    """Each client's file imports this test: the code of the page works."""
    assert "5117" in page.printed


def is_picture(data):
    """Whether it is a complete PNG file."""
    return data.startswith(b"\x89PNG\r\n\x1a\n") and data[-8:-4] == b"IEND"
