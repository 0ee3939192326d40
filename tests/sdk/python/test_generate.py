"""generate_content and related methods: whole, streamed, chats, functions, counting, and the list of models."""

import asyncio

import pytest
from google import genai
from google.genai import errors, types

MODEL = "gemini-3-flash-preview"
CODE_EXECUTION = types.Tool(code_execution=types.ToolCodeExecution())
# For tools that the server runs beside those that the client runs.
BOTH = types.ToolConfig(include_server_side_tool_invocations=True)
PRIMES = (
    "What is the sum of the first 50 prime numbers? "
    "Generate and run code for the calculation, and make sure you get all 50."
)
WEATHER = {
    "name": "get_weather",
    "description": "Gets the current weather of a place.",
    "parameters": {
        "type": "OBJECT",
        "properties": {"city": {"type": "STRING"}},
        "required": ["city"],
    },
}


def with_code(**more):
    return types.GenerateContentConfig(tools=[CODE_EXECUTION], **more)


def kinds(parts):
    names = ["text", "executable_code", "code_execution_result", "inline_data", "function_call"]
    return [next(name for name in names if getattr(part, name) is not None) for part in parts]


def test_code_execution_as_on_googles_page(plain):
    response = plain.models.generate_content(model=MODEL, contents=PRIMES, config=with_code())

    assert response.executable_code and "print" in response.executable_code
    assert "5117" in response.code_execution_result
    candidate = response.candidates[0]
    assert kinds(candidate.content.parts) == ["text", "executable_code", "code_execution_result", "text"]
    _, call, result, text = candidate.content.parts
    assert call.executable_code.language == types.Language.PYTHON
    assert call.thought_signature
    assert result.code_execution_result.outcome == types.Outcome.OUTCOME_OK
    assert result.code_execution_result.id == call.executable_code.id
    assert "5117" in text.text
    assert candidate.finish_reason == types.FinishReason.STOP
    assert response.model_version == MODEL and response.response_id
    usage = response.usage_metadata
    assert usage.tool_use_prompt_token_count > 0
    counted = [
        usage.prompt_token_count,
        usage.candidates_token_count,
        usage.tool_use_prompt_token_count,
        usage.thoughts_token_count or 0,
    ]
    assert usage.total_token_count == sum(counted)


def test_a_stream_has_the_parts_of_the_whole_answer(plain):
    chunks = list(plain.models.generate_content_stream(model=MODEL, contents=PRIMES, config=with_code()))

    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or []]
    found = [kind for kind in kinds(parts) if kind != "text"]
    assert found == ["executable_code", "code_execution_result"]
    assert "5117" in "".join(part.text for part in parts if part.text)
    assert [chunk.candidates[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert chunks[-1].usage_metadata.tool_use_prompt_token_count > 0


def test_the_async_client_gets_the_same():
    async def ask():
        async with genai.Client().aio as client:
            whole = await client.models.generate_content(model=MODEL, contents=PRIMES, config=with_code())
            stream = await client.models.generate_content_stream(
                model=MODEL, contents=PRIMES, config=with_code()
            )
            return whole, [chunk async for chunk in stream]

    whole, chunks = asyncio.run(ask())
    assert "5117" in whole.code_execution_result
    assert any("5117" in (chunk.code_execution_result or "") for chunk in chunks)


def test_thoughts_are_returned_on_request(plain):
    config = with_code(thinking_config=types.ThinkingConfig(include_thoughts=True))
    shown = plain.models.generate_content(model=MODEL, contents=PRIMES, config=config)
    assert [part.thought for part in shown.candidates[0].content.parts].count(True) == 1
    hidden = plain.models.generate_content(model=MODEL, contents=PRIMES, config=with_code())
    assert not any(part.thought for part in hidden.candidates[0].content.parts)


def test_a_chat_with_code_in_its_history(plain):
    chat = plain.chats.create(model=MODEL, config=with_code())
    assert chat.send_message("I have a math question for you.").text
    assert "5117" in chat.send_message(PRIMES).code_execution_result
    again = [chunk.code_execution_result for chunk in chat.send_message_stream(PRIMES)]
    assert any("5117" in result for result in again if result)
    # The SDK keeps a turn only if each of its chunks has content.
    assert chat.get_history(curated=True) == chat.get_history()
    roles = [content.role for content in chat.get_history()]
    assert roles[:4] == ["user", "model", "user", "model"]


def test_a_file_is_accepted_and_a_picture_returned(plain):
    response = plain.models.generate_content(
        model="direct",
        contents=[
            "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.show()",
            types.Part.from_bytes(data=b"a,b\n1,2\n", mime_type="text/csv"),
        ],
        config=with_code(),
    )
    pictures = [part.inline_data for part in response.candidates[0].content.parts if part.inline_data]
    assert pictures and pictures[0].mime_type == "image/png"
    assert pictures[0].data.startswith(b"\x89PNG\r\n\x1a\n")

    response = plain.models.generate_content(
        model="direct",
        contents=[
            "print(open('input_file_0.csv').read(), end='')",
            types.Part.from_bytes(data=b"a,b\n1,2\n", mime_type="text/csv"),
        ],
        config=with_code(),
    )
    assert response.code_execution_result == "a,b\n1,2\n"


@pytest.mark.parametrize(
    "code, outcome",
    [("print(1)", types.Outcome.OUTCOME_OK), ("1 / 0", types.Outcome.OUTCOME_FAILED)],
)
def test_each_outcome_has_its_enum_value(plain, code, outcome):
    response = plain.models.generate_content(model="direct", contents=code, config=with_code())
    assert response.candidates[0].content.parts[1].code_execution_result.outcome == outcome


def test_a_function_beside_code_execution(plain):
    question = "What is the weather in Paris in Fahrenheit?"
    tools = [types.Tool(code_execution=types.ToolCodeExecution(), function_declarations=[WEATHER])]
    with pytest.raises(errors.ClientError) as refused:
        plain.models.generate_content(
            model=MODEL, contents=question, config=types.GenerateContentConfig(tools=tools)
        )
    assert refused.value.code == 400 and refused.value.status == "INVALID_ARGUMENT"
    assert "include_server_side_tool_invocations" in refused.value.message

    config = types.GenerateContentConfig(
        tools=tools,
        tool_config=BOTH,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    chat = plain.chats.create(model=MODEL, config=config)
    call = chat.send_message(question).function_calls[0]
    assert (call.name, call.args) == ("get_weather", {"city": "Paris"})
    answer = chat.send_message(
        types.Part.from_function_response(name=call.name, response={"temperature_c": 18})
    )
    assert "64.4 °F" in answer.text


def test_the_sdk_calls_a_python_function_itself(plain):
    asked = []

    def get_weather(city: str) -> dict:
        """Gets the current weather of a place."""
        asked.append(city)
        return {"temperature_c": 18}

    response = plain.models.generate_content(
        model=MODEL,
        contents="What is the weather in Paris in Fahrenheit?",
        config=types.GenerateContentConfig(tools=[get_weather, CODE_EXECUTION], tool_config=BOTH),
    )
    assert asked == ["Paris"]
    assert "64.4 °F" in response.text


def test_tokens_are_counted(plain):
    assert plain.models.count_tokens(model=MODEL, contents="print(6 * 7)").total_tokens == 3
    extra = {"systemInstruction": {"parts": [{"text": "you are a chatbot."}], "role": "user"}}
    with pytest.raises(errors.ClientError):
        plain.models.count_tokens(
            model=MODEL, contents="hello", config={"http_options": {"extra_body": extra}}
        )


def test_models_are_listed_and_found(plain):
    pager = plain.models.list(config={"page_size": 2})
    assert len(pager.page) == 2
    names = [model.name for model in pager]
    assert "models/direct" in names and f"models/{MODEL}" in names
    for name in ["direct", "models/direct"]:
        model = plain.models.get(model=name)
        assert model.name == "models/direct"
        assert "generateContent" in model.supported_actions
    assert not list(plain.models.list(config={"query_base": False}))
