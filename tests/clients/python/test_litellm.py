"""LiteLLM in OpenAI's format: text and pictures. The format cannot represent code and results."""

import base64

import litellm
import pytest

from conftest import ANNOUNCEMENT, PLOT, PRIMES, TABLE, is_picture, test_of_the_page  # noqa: F401

HEADING = "LiteLLM"


@pytest.fixture
def ask(way, page):
    def ask(messages):
        request = {"model": "gemini/gemini-3-flash-preview", "messages": messages, **page.server}
        request["tools"] = [{"code_execution": {}}]
        if way == "whole":
            return litellm.completion(**request).choices[0].message
        chunks = list(litellm.completion(stream=True, **request))
        assert len(chunks) > 1
        return litellm.stream_chunk_builder(chunks, messages=messages).choices[0].message

    return ask


def user(content):
    return {"role": "user", "content": content}


def test_a_conversation_with_code_in_it(ask):
    messages = [user(ANNOUNCEMENT)]
    first = ask(messages)
    messages += [first, user(PRIMES)]
    second = ask(messages)
    # The scenario takes the number from the output of the code.
    assert "5117" in second.content
    assert "is_prime" not in str(second), "LiteLLM shows code now: the page claims the opposite"

    messages += [second, user(ANNOUNCEMENT)]
    assert ask(messages).content == first.content


def test_a_picture_that_code_drew(ask):
    table = "data:text/csv;base64," + base64.b64encode(TABLE).decode()
    file = {"type": "file", "file": {"file_data": table}}
    answer = ask([user([file, {"type": "text", "text": PLOT}])])

    [picture] = answer.images
    kind, data = picture["image_url"]["url"].split(",")
    assert kind == "data:image/png;base64" and is_picture(base64.b64decode(data))
    assert "greenhouse" in answer.content and "22.0" in answer.content
