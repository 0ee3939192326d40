"""LiteLLM in the mode of Vertex AI, with the credentials file of the server."""

import litellm

from conftest import ANNOUNCEMENT, PRIMES, test_of_the_page  # noqa: F401

HEADING = "LiteLLM with Vertex AI"
MODEL = "vertex_ai/gemini-3-flash-preview"


def test_a_conversation_with_code_in_it(page, way):
    def ask(messages):
        request = {"model": MODEL, "messages": messages, "tools": [{"code_execution": {}}], **page.server}
        if way == "whole":
            return litellm.completion(**request).choices[0].message
        chunks = list(litellm.completion(stream=True, **request))
        assert len(chunks) > 1
        return litellm.stream_chunk_builder(chunks, messages=messages).choices[0].message

    messages = [{"role": "user", "content": ANNOUNCEMENT}]
    messages += [ask(messages), {"role": "user", "content": PRIMES}]
    assert "5117" in ask(messages).content


def test_embeddings(page):
    embedded = litellm.embedding(model="vertex_ai/text-embedding-005", input=["a red house", "b"], **page.server)
    assert [len(item["embedding"]) for item in embedded.data] == [768, 768]
    assert embedded.usage.prompt_tokens == 4
