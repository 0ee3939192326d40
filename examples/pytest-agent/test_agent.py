"""The agent's tests: `pytest`, or `pytest -n 4`. Each has a room of its own on one server."""

import csv
import io

import pytest
from google.genai.errors import APIError

import agent


@pytest.mark.belljar(scenarios="scenarios")
def test_the_agent_greets(belljar):
    assert agent.ask("Hello, you") == "Good day."
    assert belljar.requests[-1].scenario == "greeting"


def test_a_question_gets_its_answer(belljar):
    belljar.script(when={"input": {"contains": "capital"}}, script=[{"text": "Paris."}])
    assert agent.ask("What is the capital of France?") == "Paris."


@pytest.mark.belljar(scenarios={"name": "anything", "script": [{"text": "{{ input | upper }}"}]})
async def test_the_agent_works_in_asyncio(belljar):
    assert await agent.ask_async("shout") == "SHOUT"


def test_the_answer_comes_from_code_that_ran(belljar):
    belljar.script(
        when={"input": {"contains": "sum"}},
        script=[{"code": "print(40 + 2)"}, {"text": "It is {{ stdout | trim }}."}],
    )
    assert agent.compute("the sum?") == "It is 42."
    assert belljar.runs[-1].stdout == "42\n"
    assert belljar.last.code == "print(40 + 2)"


def test_the_agent_admits_that_code_failed(belljar):
    belljar.script(script=[{"code": "print(1 / 0)"}, {"text": "It is infinite."}])
    assert agent.compute("One divided by nothing?") == "I could not compute it."
    assert belljar.last.outcome == "failed"
    assert "ZeroDivisionError" in belljar.last.stderr


def test_a_table_becomes_a_picture(belljar):
    belljar.script(
        script=[
            {
                "code": "import pandas as pd, matplotlib.pyplot as plt\n"
                "table = pd.read_csv('input_file_0.csv')\n"
                "plt.bar(table.month, table.rain)\n"
                "plt.show()\n"
            },
            {"text": "Here it is."},
        ]
    )
    picture = agent.draw("Draw the rain of each month.", "month,rain\nJanuary,61\nFebruary,48\n")
    assert picture.startswith(b"\x89PNG")
    assert belljar.last.images == [picture]
    assert belljar.last.images[0].mime_type == "image/png"


def test_files_that_code_writes_can_be_read(belljar):
    belljar.script(
        script=[{"code": "open('squares.csv', 'w').write('n,square\\n2,4\\n3,9\\n')"}, {"text": "Written."}]
    )
    agent.compute("Write the squares of 2 and 3.")
    rows = list(csv.DictReader(io.StringIO(belljar.last.files["squares.csv"].decode())))
    assert rows == [{"n": "2", "square": "4"}, {"n": "3", "square": "9"}]


def test_the_agent_answers_function_calls(belljar):
    belljar.script(
        when={"input": {"contains": "umbrella"}, "tools": ["weather"]},
        script=[
            {"function_call": {"name": "weather", "arguments": {"city": "Paris"}}},
            {"text": "Take one: {{ function_result }}."},
        ],
    )
    assert agent.advise("An umbrella in Paris?", lambda city: f"rain in {city}") == "Take one: rain in Paris."
    [call] = belljar.requests[0].function_calls
    assert (call.name, call.arguments) == ("weather", {"city": "Paris"})


def test_the_agent_asks_again_after_429(belljar):
    belljar.script(script=[{"text": "At last."}])
    belljar.fail(status=429, retry_after="1s", times=2)
    assert agent.insist("Hello?") == "At last."
    assert len(belljar.requests) == 1, "the server counts those that it answered"


def test_the_agent_gives_up_after_three_attempts(belljar):
    belljar.fail(status=429, times=3)
    with pytest.raises(APIError, match="429"):
        agent.insist("Hello?")


def test_an_unexpected_question_names_the_nearest_scenario(belljar):
    belljar.script(name="sums", when={"input": {"contains": "the sum"}}, script=[{"text": "42"}])
    with pytest.raises(Exception, match="No scenario matches"):
        agent.ask("the product?")
    [request] = belljar.requests
    assert request.is_unmatched
    assert request.near_misses[0].scenario == "sums"


@pytest.mark.belljar(record="recordings")
def test_the_days_of_a_leap_year(belljar):
    assert "366" in agent.compute("How many days has the year 2028? Compute it with code.")


@pytest.mark.belljar(record="recordings")
def test_the_days_of_other_years(belljar):
    assert "365" in agent.compute("How many days has the year 2027? Compute it with code.")


@pytest.mark.belljar(
    seed=7,
    scenarios={"name": "dice", "script": [{"code": "import random\nprint(random.random())"}, {"text": "{{ stdout }}"}]},
)
def test_random_numbers_repeat_with_a_seed(belljar):
    assert agent.compute("Throw the dice.") == agent.compute("Throw the dice.")
