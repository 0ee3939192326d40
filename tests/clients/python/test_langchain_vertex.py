"""LangChain's client in the mode of Vertex AI, with an API key and with a project."""

import functools
import operator

import pytest
from google.oauth2.credentials import Credentials

from conftest import ANNOUNCEMENT, PRIMES, test_of_the_page  # noqa: F401

HEADING = "LangChain with Vertex AI"


@pytest.fixture(params=["key", "project"])
def coder(request, page):
    if request.param == "key":
        return page.coder
    place = {"project": "p", "location": "l", "credentials": Credentials(token="anything")}
    server = {name: value for name, value in page.server.items() if name != "api_key"}
    model = page.ChatGoogleGenerativeAI(model="gemini-3-flash-preview", **server, **place)
    return model.bind_tools([{"code_execution": {}}])


def test_a_conversation_with_code_in_it(coder, way):
    def ask(messages):
        if way == "whole":
            return coder.invoke(messages)
        chunks = list(coder.stream(messages))
        assert len(chunks) > 1
        return functools.reduce(operator.add, chunks)

    messages = [("human", ANNOUNCEMENT)]
    first = ask(messages)
    messages += [first, ("human", PRIMES)]
    second = ask(messages)
    assert "5117" in second.text
    [result] = [block for block in second.content_blocks if block["type"] == "server_tool_result"]
    assert "sum_of_primes=5117\n" in result["output"]
    messages += [second, ("human", ANNOUNCEMENT)]
    assert ask(messages).text == first.text


def test_texts_that_share_words_are_near(page):
    documents = page.embeddings.embed_documents(["red houses on the hill", "quarterly revenue grew"])
    question = page.embeddings.embed_query("Where is the red house?")
    near, far = (sum(a * b for a, b in zip(question, document, strict=True)) for document in documents)
    assert near > far + 0.2
