"""google-generativeai over REST, as an example of clients made by Google's gapic generator: it sends
enums as numbers, requests numbers, and reads a stream that is one list."""

import google.generativeai as genai
import pytest
from google.generativeai import protos

from conftest import ANNOUNCEMENT, PLOT, PRIMES, TABLE, is_picture, test_of_the_page  # noqa: F401

HEADING = "google-generativeai"


@pytest.fixture
def chat(way, page):
    """A chat that sends its own history back, and how to ask in it."""
    chat = page.model.start_chat()

    def ask(message):
        answer = chat.send_message(message, stream=way == "streamed")
        if way == "streamed":
            assert len(list(answer)) > 1
        return answer

    return ask, chat


def test_a_conversation_with_code_in_it(chat):
    ask, chat = chat
    ask(ANNOUNCEMENT)
    second = ask(PRIMES)
    parts = second.candidates[0].content.parts
    [code] = [part.executable_code for part in parts if part.executable_code]
    [result] = [part.code_execution_result for part in parts if part.code_execution_result]
    assert code.language == protos.ExecutableCode.Language.PYTHON and "is_prime" in code.code
    assert result.outcome == protos.CodeExecutionResult.Outcome.OUTCOME_OK
    assert "5117" in result.output and "5117" in second.text
    assert second.candidates[0].finish_reason == protos.Candidate.FinishReason.STOP

    # The history has the code and its result, in this client's format.
    third = ask(ANNOUNCEMENT)
    assert third.text and len(chat.history) == 6


def test_a_picture_that_code_drew(chat):
    ask, _ = chat
    answer = ask([{"mime_type": "text/csv", "data": TABLE}, PLOT])
    parts = answer.candidates[0].content.parts
    [picture] = [part.inline_data for part in parts if part.inline_data]
    assert picture.mime_type == "image/png" and is_picture(picture.data)
    assert "greenhouse" in "".join(part.text for part in parts)


def test_numbers_and_schemas_in_protobufs_format(page):
    model = genai.GenerativeModel(
        "direct",
        generation_config={
            "temperature": 0.5,
            "top_k": 40,
            "max_output_tokens": 100,
            "response_mime_type": "application/json",
            "response_schema": {
                "type": "ARRAY",
                "min_items": 1,
                "items": {"type": "STRING", "enum": ["a", "b"], "nullable": True},
            },
        },
        safety_settings={"HARASSMENT": "BLOCK_NONE", "DANGEROUS": "BLOCK_ONLY_HIGH"},
    )
    # The whole request is sent to be counted; an answer would have to match the schema.
    assert model.count_tokens(ANNOUNCEMENT).total_tokens > 0


def test_a_function_and_its_response(page):
    function = protos.FunctionDeclaration(
        name="get_weather",
        description="The weather somewhere.",
        parameters=protos.Schema(
            type=protos.Type.OBJECT,
            properties={"city": protos.Schema(type=protos.Type.STRING)},
            required=["city"],
        ),
    )
    model = genai.GenerativeModel(
        "direct",
        tools=[protos.Tool(function_declarations=[function])],
        tool_config={"function_calling_config": {"mode": "ANY"}},
    )
    call = protos.FunctionCall(name="get_weather", args={"city": "Bern"})
    response = protos.FunctionResponse(name="get_weather", response={"sky": "clear"})
    history = [
        protos.Content(role="user", parts=[protos.Part(text="print(6 * 7)")]),
        protos.Content(role="model", parts=[protos.Part(function_call=call)]),
        protos.Content(role="user", parts=[protos.Part(function_response=response)]),
    ]
    assert model.generate_content(history).candidates


def test_tokens_are_counted_and_models_listed(page):
    assert page.model.count_tokens(ANNOUNCEMENT).total_tokens > 0
    assert genai.get_model("models/gemini-3-flash-preview").supported_generation_methods
    assert [model.name for model in genai.list_models()]
