"""`adk run` and `adk web`, with the page's code as the agent."""

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from conftest import ANNOUNCEMENT, PRIMES, SKY, WEATHER

HEADING = "adk run and adk web"
SERVER = os.environ["GOOGLE_GEMINI_BASE_URL"]
FORECASTER = '''
from google.adk.agents import LlmAgent


def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"clear over {city}, 21 degrees"


root_agent = LlmAgent(name="forecaster", model="gemini-3-flash-preview", tools=[get_weather])
'''
# The script `adk` cannot be used: its first line names the folder that it was installed into.
ADK = [sys.executable, "-W", "ignore", "-m", "google.adk.cli"]
IN_MEMORY = ["--session_service_uri", "memory://", "--artifact_service_uri", "memory://"]


@pytest.fixture(scope="module")
def agents(tmp_path_factory):
    """A folder with two agents: the page's, and one with a function."""
    folder = tmp_path_factory.mktemp("agents")
    for name, code in [
        ("coder", (Path(os.environ["PAGES"]) / f"{HEADING}.py").read_text()),
        ("forecaster", FORECASTER),
    ]:
        (folder / name).mkdir()
        (folder / name / "agent.py").write_text(code)
    return folder


@pytest.fixture(scope="module", autouse=True)
def scenario():
    urlopen(Request(f"{SERVER}/x/scenarios", WEATHER.encode(), method="POST")).close()
    yield
    urlopen(Request(f"{SERVER}/x/scenarios", method="DELETE")).close()


def last_turn():
    with urlopen(f"{SERVER}/x/journal") as answer:
        return json.load(answer)["entries"][-1]["turn"]


def adk_run(agents, agent, *arguments, **options):
    command = [*ADK, "run", "--in_memory", str(agents / agent), *arguments]
    environment = os.environ | {"TMPDIR": str(agents)}  # for its log
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, **options)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def results_and_text(events):
    parts = [part for event in events if not event.get("partial") for part in event.get("content", {}).get("parts", [])]
    results = [part["codeExecutionResult"]["output"] for part in parts if "codeExecutionResult" in part]
    return results, "".join(part.get("text", "") for part in parts)


def test_adk_run_answers_one_question_with_code(agents):
    lines = adk_run(agents, "coder", "--jsonl", PRIMES).splitlines()
    [result], text = results_and_text([json.loads(line) for line in lines if line.startswith("{")])
    assert "sum_of_primes=5117\n" in result
    assert "5117" in text


def test_adk_run_continues_a_conversation(agents):
    output = adk_run(agents, "coder", input="\n".join([ANNOUNCEMENT, PRIMES, ANNOUNCEMENT, "exit", ""]))
    assert output.count("glad to help") == 2
    assert "5117" in output
    assert last_turn() == 3


def test_adk_run_calls_a_function(agents):
    output = adk_run(agents, "forecaster", SKY)
    assert "The function said" in output and "clear over Bern, 21 degrees" in output


@pytest.fixture(scope="module")
def web(agents):
    """The address of `adk web`, which prints its port when it accepts requests."""
    command = [*ADK, "web", "--port", "0", *IN_MEMORY, str(agents)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        running = next((line for line in server.stderr if "Uvicorn running on " in line), "")
        assert running, f"adk web ended with {server.wait()}"
        yield running.split("Uvicorn running on ")[1].split()[0]
        server.terminate()


def post(address, body):
    request = Request(address, json.dumps(body).encode(), {"content-type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def ask(web, agent):
    """Returns a function that sends messages to this agent in one session, and returns all events of the answer."""
    session = json.loads(post(f"{web}/apps/{agent}/users/me/sessions", {}))["id"]

    def ask(text, way):
        message = {"role": "user", "parts": [{"text": text}]}
        body = {"appName": agent, "userId": "me", "sessionId": session, "newMessage": message}
        if way == "whole":
            return json.loads(post(f"{web}/run", body))
        lines = post(f"{web}/run_sse", body | {"streaming": True}).splitlines()
        events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
        assert len([event for event in events if event.get("partial")]) > 1
        return events

    return ask


def test_adk_web_continues_a_conversation_after_code_ran(web, way):
    coder = ask(web, "coder")
    _, first = results_and_text(coder(ANNOUNCEMENT, way))
    assert "glad to help" in first
    [result], text = results_and_text(coder(PRIMES, way))
    assert "sum_of_primes=5117\n" in result
    assert "5117" in text
    assert results_and_text(coder(ANNOUNCEMENT, way)) == ([], first)
    assert last_turn() == 3


def test_adk_web_calls_a_function(web, way):
    _, text = results_and_text(ask(web, "forecaster")(SKY, way))
    assert "The function said" in text and "clear over Bern, 21 degrees" in text
