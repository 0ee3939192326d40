"""What the clients' tests share: the page's own code, the questions, a table, and what a picture is."""

import contextlib
import io
import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

# The scenarios of the repository have the answers: of a conversation, of code that prints a sum, of
# code that draws a table.
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
    """What the page's code leaves behind when it has run as it stands there: its names, and what it printed."""
    code = Path(os.environ["PAGES"]) / f"{request.module.HEADING}.py"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        names = runpy.run_path(str(code))
    return SimpleNamespace(**names, printed=printed.getvalue())


@pytest.fixture(params=["whole", "streamed"])
def way(request):
    return request.param


def test_of_the_page(page):
    """Each client's file imports it: the code of the page does what it is there for."""
    assert "5117" in page.printed


def is_picture(data):
    """Whether it is a PNG from its first byte to its last."""
    return data.startswith(b"\x89PNG\r\n\x1a\n") and data[-8:-4] == b"IEND"
