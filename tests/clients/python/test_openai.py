"""OpenAI's SDK and its Agents SDK. Their API has no code execution, so tested are conversations, functions,
formats, pictures and errors."""

import asyncio
import base64
import json
import os
import struct
from urllib.request import Request, urlopen

import agents
import openai
import pytest
from pydantic import BaseModel

from conftest import ANNOUNCEMENT, SKY, WEATHER

HEADING = "OpenAI SDK and Agents SDK"
SERVER = os.environ["GOOGLE_GEMINI_BASE_URL"]
MODEL = "gemini-3-flash-preview"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCENARIOS = WEATHER + """\
  - name: an object is answered
    when: { input: { contains: Extract the person } }
    script:
      - text: '{"name": "Ada", "age": 36}'
  - name: a picture is seen
    when: { input: { contains: How large }, files: { count: 1 } }
    script:
      - text: "It is {{ files[0].name }}."
  - name: a thought is shown
    when: { input: { contains: Think } }
    script:
      - thought: A thought.
      - text: Thought.
"""


@pytest.fixture(autouse=True)
def scenarios():
    def send(method, data=None):
        urlopen(Request(f"{SERVER}/x/scenarios", data, method=method)).close()

    send("POST", SCENARIOS.encode())
    yield
    send("DELETE")


@pytest.fixture
def client():
    return openai.OpenAI(base_url=f"{SERVER}/v1beta/openai/", api_key="anything")


def user(content):
    return {"role": "user", "content": content}


def test_the_code_of_the_page(page):
    assert page.printed.count("glad to help") == 2


def ask(client, way, **request):
    """The message of the answer."""
    if way == "whole":
        return client.chat.completions.create(model=MODEL, **request).choices[0]
    with client.chat.completions.stream(model=MODEL, **request) as stream:
        kinds = [event.type for event in stream]
        assert "chunk" in kinds
        return stream.get_final_completion().choices[0]


def test_a_conversation_goes_on(client, way):
    messages = [{"role": "system", "content": "Be brief."}]
    for _ in range(3):
        messages.append(user(ANNOUNCEMENT))
        choice = ask(client, way, messages=messages)
        assert choice.finish_reason == "stop"
        assert choice.message.role == "assistant"
        assert "glad to help" in choice.message.content
        messages.append(choice.message)
    with urlopen(f"{SERVER}/x/journal") as answer:
        entry = json.load(answer)["entries"][-1]
    assert (entry["turn"], entry["system_instruction"]) == (3, "Be brief.")


def test_a_function_is_called_and_its_result_arrives(client, way):
    messages = [user(SKY)]
    choice = ask(client, way, messages=messages, tools=[TOOL])
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "Bern"}
    messages.append(choice.message.model_dump(exclude_unset=True, exclude={"parsed"}))
    for call in messages[-1]["tool_calls"]:
        call["function"].pop("parsed_arguments", None)  # of the helper for streams
    messages.append({"role": "tool", "tool_call_id": choice.message.tool_calls[0].id, "content": "clear, 21 degrees"})
    assert "clear, 21 degrees" in ask(client, way, messages=messages, tools=[TOOL]).message.content


def test_raw_chunks_have_usage_on_request(client):
    stream = client.chat.completions.create(
        model=MODEL, messages=[user(ANNOUNCEMENT)], stream=True, stream_options={"include_usage": True}
    )
    *pieces, last = stream
    assert "glad to help" in "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert last.choices == [] and last.usage.total_tokens > 0


def test_an_object_is_parsed(client):
    class Person(BaseModel):
        name: str
        age: int

    answer = client.chat.completions.parse(
        model=MODEL, messages=[user("Extract the person: Ada is 36.")], response_format=Person
    )
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)


def test_a_picture_is_sent(client):
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    choice = ask(client, "whole", messages=[user([{"type": "text", "text": "How large?"}, picture])])
    assert choice.message.content == "It is input_file_0.png."


def test_googles_settings_are_in_extra_body(client):
    thinking = {"google": {"thinking_config": {"include_thoughts": True}}}
    for extra in (thinking, {"extra_body": thinking}):
        choice = ask(client, "whole", messages=[user("Think")], extra_body=extra)
        assert choice.message.content == "<thought>A thought.</thought>Thought."
    assert ask(client, "whole", messages=[user("Think")], reasoning_effort="low").message.content == "Thought."


def test_several_choices(client):
    answer = client.chat.completions.create(model=MODEL, messages=[user(ANNOUNCEMENT)], n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]


def test_models_and_errors(client):
    names = [model.id for model in client.models.list()]
    assert f"models/{MODEL}" in names
    assert client.models.retrieve(names[0]).id == names[0]
    with pytest.raises(openai.NotFoundError):
        client.files.list()
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, "whole", messages=[user("a")], extra_body={"reasoning": {}})
    [body] = error.value.response.json()
    assert 'Unknown name "reasoning"' in body["error"]["message"]


@agents.function_tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"clear over {city}, 21 degrees"


def test_an_agent_calls_a_function(page, way):
    # A client belongs to one event loop.
    client = openai.AsyncOpenAI(**page.settings)
    model = agents.OpenAIChatCompletionsModel(model=MODEL, openai_client=client)
    agent = agents.Agent(name="a", model=model, tools=[get_weather])

    async def run():
        if way == "whole":
            return (await agents.Runner.run(agent, SKY)).final_output
        result = agents.Runner.run_streamed(agent, SKY)
        assert len([event async for event in result.stream_events()]) > 1
        return result.final_output

    assert "clear over Bern, 21 degrees" in asyncio.run(run())


@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_texts_are_embedded(client, encoding):
    texts = ["How do I reset my password?", "Resetting a forgotten password", "Opening hours of the museum"]
    options = {"encoding_format": encoding} if encoding else {}
    answer = client.embeddings.create(model="gemini-embedding-2", input=texts, dimensions=768, **options)
    vectors = [item.embedding for item in answer.data]
    if encoding == "base64":  # then the SDK leaves them as they are
        vectors = [struct.unpack("<768f", base64.b64decode(vector)) for vector in vectors]
    assert [len(vector) for vector in vectors] == [768] * 3
    near, far = (sum(a * b for a, b in zip(vectors[0], other, strict=True)) for other in vectors[1:])
    assert near > far + 0.2
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


def test_tokens_are_not_embedded(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="gemini-embedding-2", input=[[1, 2, 3]])
    assert "tokens cannot be embedded" in refused.value.response.json()[0]["error"]["message"]
