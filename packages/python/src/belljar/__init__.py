"""Gemini's code execution on this machine, for the tests of agents.

The pytest fixture `belljar` is in `belljar.pytest_plugin`. Without pytest:

    with belljar.start(scenarios="tests/scenarios") as room:
        client = genai.Client(http_options={"base_url": room.url}, api_key="any")
"""

from belljar._journal import File, FunctionCall, Image, Missed, NearMiss, Request, Run
from belljar._room import BelljarError, Room, Scenarios
from belljar._server import Server, start
from belljar._version import __version__

__all__ = [
    "BelljarError",
    "File",
    "FunctionCall",
    "Image",
    "Missed",
    "NearMiss",
    "Request",
    "Room",
    "Run",
    "Scenarios",
    "Server",
    "__version__",
    "start",
]
