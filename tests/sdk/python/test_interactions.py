"""Features that the page describes in prose, and common uses: fixing code, functions, history, errors."""

import asyncio
import base64
import json
import os

import pytest
from google import genai

from conftest import ASSETS
from recorder import check_event, check_interaction
from streams import assemble, canonical

CODE_EXECUTION = [{"type": "code_execution"}]
PRIMES = (
    "What is the sum of the first 50 prime numbers? "
    "Generate and run code for the calculation, and make sure you get all 50."
)
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Gets the current weather of a place.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def step_types(interaction):
    return [step.type for step in interaction.steps]


def results(interaction):
    return [step for step in interaction.steps if step.type == "code_execution_result"]


def direct(client, code, **request):
    return client.interactions.create(model="direct", input=code, tools=CODE_EXECUTION, **request)


def test_failing_code_is_fixed(client):
    interaction = client.interactions.create(
        model="gemini-3-flash-preview", input="What is the average speed of each lap?", tools=CODE_EXECUTION
    )

    assert interaction.status == "completed"
    verdicts = [result.is_error for result in results(interaction)]
    assert verdicts[0] is True and verdicts[-1] is False
    assert "ZeroDivisionError" in results(interaction)[0].result
    assert "4.00 m/s" in interaction.output_text


def test_a_function_is_called_and_its_result_is_sent_back(client):
    interaction = client.interactions.create(
        model="gemini-3-flash-preview",
        input="What is the weather in Paris in Fahrenheit?",
        tools=[WEATHER, *CODE_EXECUTION],
    )

    assert interaction.status == "requires_action"
    call = interaction.steps[-1]
    assert call.type == "function_call"
    assert call.name == "get_weather"
    assert call.arguments == {"city": "Paris"}

    answer = client.interactions.create(
        model="gemini-3-flash-preview",
        previous_interaction_id=interaction.id,
        input=[
            {
                "type": "function_result",
                "name": call.name,
                "call_id": call.id,
                "result": [{"type": "text", "text": json.dumps({"temperature_c": 18})}],
            }
        ],
        tools=[WEATHER, *CODE_EXECUTION],
    )

    assert answer.status == "completed"
    assert "64.4 °F" in answer.output_text


def test_a_conversation_that_the_server_does_not_store(client):
    steps = [{"type": "user_input", "content": [{"type": "text", "text": "I have a math question for you."}]}]
    first = client.interactions.create(
        model="gemini-3-flash-preview", input=steps, tools=CODE_EXECUTION, store=False
    )
    assert not first.id

    steps += [step.to_dict() for step in first.steps]
    steps += [{"type": "user_input", "content": [{"type": "text", "text": PRIMES}]}]
    second = client.interactions.create(
        model="gemini-3-flash-preview", input=steps, tools=CODE_EXECUTION, store=False
    )
    assert "5117" in second.output_text

    # The history includes a call, its result and thoughts, with ids and signatures as received.
    steps += [step.to_dict() for step in second.steps]
    steps += [{"type": "user_input", "content": [{"type": "text", "text": "I have a math question for you."}]}]
    third = client.interactions.create(
        model="gemini-3-flash-preview", input=steps, tools=CODE_EXECUTION, store=False
    )
    assert third.output_text == first.output_text


def test_direct_runs_a_block_of_code(client):
    interaction = direct(client, "```python\nprint(6*7)\n```")

    assert step_types(interaction) == ["code_execution_call", "code_execution_result", "model_output"]
    assert interaction.steps[0].arguments.code.strip() == "print(6*7)"
    assert interaction.steps[1].result == "42\n"
    assert interaction.steps[1].is_error is False
    assert interaction.output_text == "done"


def test_direct_runs_two_blocks_in_one_interpreter(client):
    interaction = direct(client, "```python\nx = 6\n```\nand then\n```py\nprint(x * 7)\n```")

    assert [result.result for result in results(interaction)] == ["", "42\n"]


def test_direct_returns_an_error(client):
    interaction = direct(client, "1/0")

    assert [result.is_error for result in results(interaction)] == [True]
    assert "ZeroDivisionError" in results(interaction)[0].result
    assert interaction.status == "completed"


def test_direct_without_the_tool_runs_nothing(client):
    interaction = client.interactions.create(model="direct", input="print(6*7)")

    assert step_types(interaction) == ["model_output"]
    assert "code_execution" in interaction.output_text


def test_input_files_are_in_the_working_directory(client):
    table = (ASSETS / "measurements.csv").read_bytes()
    picture = (ASSETS / "instrument.jpeg").read_bytes()

    interaction = direct(
        client,
        [
            {"type": "document", "data": base64.b64encode(table).decode(), "mime_type": "text/csv"},
            {"type": "image", "data": base64.b64encode(picture).decode(), "mime_type": "image/jpeg"},
            {
                "type": "text",
                "text": "import os\nfor name in sorted(os.listdir('.')):\n    print(name, os.path.getsize(name))",
            },
        ],
    )

    assert results(interaction)[0].result.splitlines() == [
        f"input_file_0.csv {len(table)}",
        f"input_file_1.jpeg {len(picture)}",
    ]


def test_get_shows_the_input_and_the_steps(plain):
    made = direct(plain, "print(6*7)")

    stored = plain.interactions.get(made.id)

    assert stored.id == made.id
    assert stored.status == "completed"
    assert stored.model == "direct"
    assert stored.steps[0].type == "user_input"
    assert stored.steps[0].content[0].text == "print(6*7)"
    assert stored.steps[1:] == made.steps
    assert stored.usage.total_tokens == made.usage.total_tokens
    assert (stored.created, stored.updated) == (made.created, made.updated)


def test_a_stream_can_be_resumed_from_any_event(plain):
    events = list(direct(plain, "print(6*7)", stream=True))
    made = events[0].interaction.id

    assert list(plain.interactions.get(made, stream=True)) == events
    for position in [0, len(events) // 2, len(events) - 2]:
        rest = plain.interactions.get(made, stream=True, last_event_id=events[position].event_id)
        assert list(rest) == events[position + 1 :]


def test_the_asynchronous_client_gets_the_same(plain):
    async def ask():
        whole = await plain.aio.interactions.create(model="direct", input="print(6*7)", tools=CODE_EXECUTION)
        stream = await plain.aio.interactions.create(
            model="direct", input="print(6*7)", tools=CODE_EXECUTION, stream=True
        )
        return whole, [check_event(event) async for event in stream]

    whole, events = asyncio.run(ask())

    assert whole.output_text == "done"
    steps = canonical(assemble(events)["steps"])
    assert [step["type"] for step in steps] == step_types(whole)
    assert steps[1]["result"] == whole.steps[1].result == "42\n"


def test_a_background_interaction_is_polled(plain):
    made = direct(plain, "print(6*7)", background=True)
    assert made.status == "in_progress"

    # The interaction ends when its stream does.
    events = list(plain.interactions.get(made.id, stream=True))

    assert events[0].interaction.id == made.id
    ended = plain.interactions.get(made.id)
    assert ended.status == "completed"
    assert results(ended)[0].result == "42\n"


def test_a_running_interaction_can_be_cancelled(plain):
    made = direct(plain, "while True: pass", background=True)

    ended = check_interaction(plain.interactions.cancel(made.id))

    assert ended.status == "cancelled"
    assert plain.interactions.get(made.id).status == "cancelled"


def test_a_deleted_interaction_cannot_be_fetched(plain, refused):
    made = direct(plain, "print(6*7)")

    plain.interactions.delete(made.id)

    with refused("NotFoundError"):
        plain.interactions.get(made.id)
    with refused("NotFoundError"):
        plain.interactions.delete(made.id)


def test_an_unknown_id_is_refused(plain, refused):
    with refused("BadRequestError") as refusal:
        plain.interactions.get("nonsense")
    assert "nonsense" in refusal["message"]

    # A well-formed id: the bytes 0A 17 <23 characters> 12 17 <the same>.
    form = b"\x0a\x17" + b"x" * 23 + b"\x12\x17" + b"x" * 23
    unknown = "v1_" + base64.urlsafe_b64encode(form).decode().rstrip("=")
    with refused("NotFoundError"):
        plain.interactions.get(unknown)
    with refused("NotFoundError"):
        direct(plain, "print(6*7)", previous_interaction_id=unknown)


def test_an_unknown_field_is_refused(plain, refused):
    with refused("BadRequestError") as refusal:
        direct(plain, "print(6*7)", extra_body={"temprature": 1})
    assert "temprature" in refusal["message"]


def test_an_unknown_tool_is_refused(plain, refused):
    with refused("BadRequestError"):
        # Bypasses the types of the SDK, which refuses it itself from 2.34 on.
        tools = [{"type": "code_execution"}, {"type": "time_travel"}]
        plain.interactions.create(model="direct", input="print(6*7)", extra_body={"tools": tools})


def test_an_empty_input_is_refused(plain, refused):
    with refused("BadRequestError"):
        direct(plain, "")


def test_a_prompt_without_a_matching_scenario_is_refused_whole_and_streamed(plain, refused):
    for stream in [False, True]:
        with refused("BadRequestError") as refusal:
            list(
                plain.interactions.create(
                    model="gemini-3-flash-preview", input="xyzzy plugh", tools=CODE_EXECUTION, stream=stream
                )
            )
        assert refusal["code"] == "invalid_request"


@pytest.mark.skipif(not os.environ.get("BELLJAR_API_KEYS"), reason="the server asks for no keys")
def test_a_wrong_key_is_refused(refused):
    stranger = genai.Client(api_key="not-one-of-them")
    with refused("AuthenticationError"):
        direct(stranger, "print(6*7)")
