"""pydantic-ai, over generateContent: each request sends the whole conversation."""

import asyncio

import pytest
from pydantic_ai import Agent, BinaryContent, FilePart, NativeToolCallPart, NativeToolReturnPart
from pydantic_ai.capabilities import NativeTool
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.native_tools import CodeExecutionTool

from conftest import ANNOUNCEMENT, PLOT, PRIMES, TABLE, is_picture, test_of_the_page  # noqa: F401

HEADING = "pydantic-ai"


@pytest.fixture
def ask(way, page):
    async def streamed(agent, prompt, history):
        async with agent.run_stream(prompt, message_history=history) as answer:
            text = "".join([piece async for piece in answer.stream_text(delta=True)])
            return text, answer.response, answer.all_messages()

    async def whole(agent, prompt, history):
        answer = await agent.run(prompt, message_history=history)
        return answer.output, answer.response, answer.all_messages()

    # One event loop for each test: the provider keeps its connections.
    with asyncio.Runner() as runner:

        def ask(prompt, history=(), agent=page.agent):
            return runner.run({"whole": whole, "streamed": streamed}[way](agent, prompt, list(history)))

        yield ask


def of(kind, response):
    return [part for part in response.parts if isinstance(part, kind)]


def test_a_conversation_with_code_in_it(ask):
    announced, response, history = ask(ANNOUNCEMENT)
    assert announced and not of(NativeToolCallPart, response)

    summed, response, history = ask(PRIMES, history)
    [call], [result] = of(NativeToolCallPart, response), of(NativeToolReturnPart, response)
    assert "def is_prime" in call.args["code"]
    assert result.content["outcome"] == "OUTCOME_OK" and "sum_of_primes=5117\n" in result.content["output"]
    assert result.content["id"] == call.args["id"]
    assert "5117" in summed

    again, _, _ = ask(ANNOUNCEMENT, history)
    assert again == announced


def test_a_picture_that_code_drew(ask):
    answered, response, history = ask([BinaryContent(TABLE, media_type="text/csv"), PLOT])

    [picture] = of(FilePart, response)
    assert picture.content.media_type == "image/png" and is_picture(picture.content.data)
    assert response.images == [picture.content]
    assert "greenhouse" in answered and "22.0" in answered
    assert "5117" in ask(PRIMES, history)[0]


def test_code_that_fails(ask, page):
    direct = GoogleModel("direct", provider=page.provider)
    agent = Agent(direct, capabilities=[NativeTool(CodeExecutionTool())])
    _, response, _ = ask("1 / 0", agent=agent)
    [result] = of(NativeToolReturnPart, response)
    assert result.content["outcome"] == "OUTCOME_FAILED" and "ZeroDivisionError" in result.content["output"]
