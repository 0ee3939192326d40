"""Answers that broke real clients, and how Google's SDK presents each. The issues are in server/crates/domain/src/chaos/quirk.rs."""

import json
import warnings

import pytest
from google import genai

FAILS = "print('ok')\nprint(1/0)"
DRAWS = "from PIL import Image\nImage.new('RGB', (2, 2)).save('dot.png')\nprint('drawn')"
CONFIG = {"tools": [{"code_execution": {}}]}
CODE, RESULT, TEXT = ["executable_code"], ["code_execution_result"], ["text"]


@pytest.fixture(autouse=True)
def recorder():
    """Disables the checks of received values, because these tests request invalid ones."""


def client(quirk):
    return genai.Client(http_options={"headers": {"x-belljar-fault": json.dumps({"quirk": quirk})}})


def content(response):
    """The finish reason, and the content: `None`, or the kinds of its parts."""
    if not response.candidates:
        return None
    (candidate,) = response.candidates
    reason = candidate.finish_reason and candidate.finish_reason.value
    if candidate.content is None or candidate.content.parts is None:
        return reason, None
    kinds = [
        name
        for part in candidate.content.parts
        for name in ["text", "executable_code", "code_execution_result", "inline_data", "function_call"]
        if getattr(part, name) is not None
    ]
    return reason, kinds


def whole(quirk, code=FAILS):
    asking = client(quirk)
    with warnings.catch_warnings(action="ignore"):
        return asking.models.generate_content(model="direct", contents=code, config=CONFIG)


def streamed(quirk):
    asking = client(quirk)
    return [content(chunk) for chunk in asking.models.generate_content_stream(model="direct", contents="print(1)", config=CONFIG)]


def test_of_several_results_the_shortcut_returns_the_first():
    response = whole("several_results")
    assert content(response) == ("STOP", CODE + RESULT + RESULT + TEXT)
    _, printed, failed, _ = response.candidates[0].content.parts
    assert response.code_execution_result == printed.code_execution_result.output == "ok\n"
    assert printed.code_execution_result.id is None
    assert failed.code_execution_result.outcome.value == "OUTCOME_FAILED"
    assert failed.code_execution_result.output.startswith("division by zero\nTraceback")


def test_a_picture_may_come_before_the_result():
    response = whole("picture_before_result", DRAWS)
    assert content(response) == ("STOP", CODE + ["inline_data"] + RESULT + TEXT)
    assert response.code_execution_result == "drawn\n"


@pytest.mark.parametrize(
    "quirk, wanted",
    [
        ("malformed_function_call", ("MALFORMED_FUNCTION_CALL", None)),
        ("candidate_without_content", ("MALFORMED_FUNCTION_CALL", None)),
        ("stop_without_parts", ("STOP", None)),
        ("unexpected_tool_call", ("UNEXPECTED_TOOL_CALL", ["function_call"])),
        ("blocked_prompt", None),
    ],
)
def test_an_answer_without_text_has_no_text_and_raises_nothing(quirk, wanted):
    response = whole(quirk)
    assert content(response) == wanted
    assert response.text is None and response.code_execution_result is None


def test_the_finish_message_is_lost():
    # The SDK drops `finishMessage` (googleapis/python-genai#1789), so only the call itself shows the cause.
    candidate = whole("unexpected_tool_call").candidates[0]
    assert candidate.finish_message is None
    assert candidate.content.parts[0].function_call.name == "undeclaredTool"
    assert whole("blocked_prompt").prompt_feedback.block_reason.value == "PROHIBITED_CONTENT"


@pytest.mark.parametrize(
    "quirk, wanted",
    [
        ("code_twice", [(None, CODE), (None, CODE), (None, RESULT), (None, TEXT), ("STOP", TEXT)]),
        ("chunk_without_content", [(None, CODE), (None, None), (None, RESULT), (None, TEXT), ("STOP", TEXT)]),
        ("stop_in_every_chunk", [("STOP", CODE), ("STOP", RESULT), ("STOP", TEXT), ("STOP", TEXT)]),
        ("early_finish", [(None, CODE), ("STOP", RESULT), (None, TEXT), ("STOP", TEXT)]),
        (
            "leading_finish",
            [("STOP", [])] * 2 + [(None, CODE), (None, RESULT), (None, TEXT)] + [("STOP", [])] * 2,
        ),
        ("finish_alone", [(None, CODE), (None, RESULT), (None, TEXT), ("STOP", None)]),
        ("cut_short", [(None, CODE), (None, RESULT), (None, TEXT)]),
        ("malformed_function_call", [("MALFORMED_FUNCTION_CALL", None)]),
        ("blocked_prompt", [None]),
    ],
)
def test_every_chunk_of_a_stream_is_passed_on(quirk, wanted):
    assert streamed(quirk) == wanted


def events(quirk):
    asking = client(quirk)
    return list(
        asking.interactions.create(
            model="direct", input="print(1)", tools=[{"type": "code_execution"}], stream=True
        )
    )


def test_an_error_that_is_not_an_event_is_ignored_in_a_stream():
    assert [event.event_type for event in events("bare_error")] == [
        "interaction.created",
        "interaction.status_update",
    ]
    asking = client("bare_error")
    with pytest.raises(Exception) as caught:
        asking.interactions.create(model="direct", input="print(1)", tools=[{"type": "code_execution"}])
    assert type(caught.value).__name__ == "BadRequestError"
    assert caught.value.body["error"]["code"] == "prohibited_content"


def test_unknown_events_are_passed_on_as_unknown():
    names = [type(event).__name__ for event in events("unknown_events")]
    assert names == ["UnknownInteractionSSEEvent", "InteractionStatusUpdate"] + ["UnknownInteractionSSEEvent"] * 10


def test_the_last_event_has_no_steps():
    last = events("completed_without_steps")[-1]
    assert last.event_type == "interaction.completed" and not last.interaction.steps


def test_a_stream_may_end_without_its_last_event():
    assert events("no_completed_event")[-1].event_type == "step.stop"
