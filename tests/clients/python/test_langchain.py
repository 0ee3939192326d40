"""LangChain's client, over generateContent: each request sends the whole conversation."""

import base64
import functools
import operator

import pytest

from conftest import ANNOUNCEMENT, PLOT, PRIMES, TABLE, is_picture, test_of_the_page  # noqa: F401

HEADING = "LangChain"


@pytest.fixture
def ask(way, page):
    def streamed(messages):
        chunks = list(page.coder.stream(messages))
        assert len(chunks) > 1
        return functools.reduce(operator.add, chunks)

    return page.coder.invoke if way == "whole" else streamed


def blocks(message, kind):
    return [block for block in message.content_blocks if block["type"] == kind]


def test_a_conversation_with_code_in_it(ask):
    messages = [("human", ANNOUNCEMENT)]
    first = ask(messages)
    assert first.text and not blocks(first, "server_tool_call")

    messages += [first, ("human", PRIMES)]
    second = ask(messages)
    [call], [result] = blocks(second, "server_tool_call"), blocks(second, "server_tool_result")
    assert "def is_prime" in call["args"]["code"]
    assert result["status"] == "success" and "sum_of_primes=5117\n" in result["output"]
    assert "5117" in second.text
    counted = second.usage_metadata
    assert counted["total_tokens"] == counted["input_tokens"] + counted["output_tokens"] > 0

    messages += [second, ("human", ANNOUNCEMENT)]
    assert ask(messages).text == first.text


def test_a_picture_that_code_drew(ask):
    table = {"type": "file", "base64": base64.b64encode(TABLE).decode(), "mime_type": "text/csv"}
    messages = [("human", [table, {"type": "text", "text": PLOT}])]
    answer = ask(messages)

    [picture] = blocks(answer, "image")
    assert is_picture(base64.b64decode(picture["base64"]))
    assert "greenhouse" in answer.text and "22.0" in answer.text
    messages += [answer, ("human", PRIMES)]
    assert "5117" in ask(messages).text


def test_code_that_fails(page, way):
    direct = page.model.model_copy(update={"model": "direct"}).bind_tools([{"code_execution": {}}])
    answers = [direct.invoke("1 / 0")] if way == "whole" else list(direct.stream("1 / 0"))
    results = [result for answer in answers for result in blocks(answer, "server_tool_result")]
    assert [result["extras"]["outcome"] for result in results] == [2]
    assert "ZeroDivisionError" in results[0]["output"]
