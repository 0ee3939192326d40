"""LiteLLM's interactions: Gemini's own steps and events, and the server stores the conversation."""

import base64

import pytest
from litellm import interactions

from conftest import ANNOUNCEMENT, PLOT, PRIMES, TABLE, is_picture, test_of_the_page  # noqa: F401

HEADING = "LiteLLM with interactions"


@pytest.fixture
def ask(way, page):
    def ask(prompt, model="gemini-3-flash-preview", **more):
        """The id and the model's output: steps of a whole reply, deltas of a stream."""
        request = {"model": f"gemini/{model}", "input": prompt, **more, **page.server}
        request["tools"] = [{"type": "code_execution"}]
        if way == "whole":
            answer = interactions.create(**request)
            contents = [content for step in answer.steps for content in step.get("content", [step])]
            return answer.id, contents
        events = list(interactions.create(stream=True, **request))
        assert events[-1].event_type == "interaction.completed"
        return events[0].interaction["id"], [event.delta for event in events if event.delta]

    return ask


def of(kind, contents):
    return [content for content in contents if content["type"] == kind]


def text(contents):
    return "".join(content["text"] for content in of("text", contents))


def test_a_conversation_with_code_in_it(ask, page):
    first, announced = ask(ANNOUNCEMENT)
    assert text(announced) and not of("code_execution_call", announced)

    second, contents = ask(PRIMES, previous_interaction_id=first)
    [call], [result] = of("code_execution_call", contents), of("code_execution_result", contents)
    assert "def is_prime" in call["arguments"]["code"]
    assert result["is_error"] is False and "sum_of_primes=5117\n" in result["result"]
    assert "5117" in text(contents)

    stored = interactions.get(interaction_id=second, **page.server)
    assert stored.status == "completed" and stored.steps[0]["type"] == "user_input"
    assert interactions.cancel(interaction_id=second, **page.server).status == "completed"
    assert interactions.delete(interaction_id=second, **page.server).success is True
    with pytest.raises(Exception, match="not_found"):
        interactions.get(interaction_id=second, **page.server)


def test_a_picture_that_code_drew(ask):
    table = {"type": "document", "data": base64.b64encode(TABLE).decode(), "mime_type": "text/csv"}
    _, contents = ask([{"type": "user_input", "content": [table, {"type": "text", "text": PLOT}]}])

    [picture] = of("image", contents)
    assert is_picture(base64.b64decode(picture["data"]))
    assert "greenhouse" in text(contents)


def test_code_that_fails(ask):
    _, contents = ask("1 / 0", model="direct")
    [result] = of("code_execution_result", contents)
    assert result["is_error"] is True and "ZeroDivisionError" in result["result"]
