"""google-genai in the mode of Vertex AI, as programs configure it: each way leads to the server of `belljar exec`."""

import asyncio
import os

import pytest
from google import genai
from google.genai import errors, types

MODEL = "gemini-3-flash-preview"
PRIMES = "What is the sum of the first 50 prime numbers?"
CODE = types.GenerateContentConfig(tools=[types.Tool(code_execution=types.ToolCodeExecution())])
KEY = os.environ["GOOGLE_API_KEY"]
URL = os.environ["GOOGLE_VERTEX_BASE_URL"]
PLACE = {"project": "p", "location": "l"}
VERTEX = {"GOOGLE_GENAI_USE_VERTEXAI": "true"}
COLLECTION = {
    "base_url": f"{URL}/v1beta1/projects/p/locations/global",
    "base_url_resource_scope": "COLLECTION",
    "headers": {"x-goog-api-key": KEY},
}


@pytest.mark.parametrize(
    ("variables", "arguments", "is_vertex"),
    [
        ({}, {}, False),
        ({"GOOGLE_GENAI_USE_VERTEXAI": "false"}, {}, False),
        ({}, {"vertexai": False}, False),
        (VERTEX, {}, True),
        ({"GOOGLE_GENAI_USE_ENTERPRISE": "true"}, {}, True),
        ({}, {"vertexai": True}, True),
        ({}, {"vertexai": True, "api_key": KEY}, True),
        ({}, {"vertexai": True, **PLACE}, True),
        (VERTEX, PLACE, True),
        ({}, {"vertexai": True, "api_key": KEY, **PLACE}, True),
        ({}, {"vertexai": True, **PLACE, "http_options": {"base_url": URL}}, True),
        ({}, {"vertexai": True, **PLACE, "http_options": {"api_version": "v1"}}, True),
        ({}, {"vertexai": True, "http_options": COLLECTION}, True),
    ],
)
def test_every_way_to_configure_a_client_leads_here(monkeypatch, variables, arguments, is_vertex):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with genai.Client(**arguments) as client:
        response = client.models.generate_content(model=MODEL, contents=PRIMES, config=CODE)
    assert "5117" in response.text
    assert (response.create_time is not None) == is_vertex
    traffic = types.TrafficType.ON_DEMAND if is_vertex else None
    assert response.usage_metadata.traffic_type == traffic


def test_a_client_that_sends_no_model_gets_an_explanation():
    """With a base URL and half of a place, the SDK sends `POST /`."""
    with genai.Client(vertexai=True, project="p") as client:
        with pytest.raises(errors.ClientError, match="GOOGLE_CLOUD_PROJECT") as raised:
            client.models.generate_content(model=MODEL, contents=PRIMES)
        assert raised.value.code == 400
        with pytest.raises(errors.ClientError, match="GOOGLE_CLOUD_PROJECT"):
            list(client.models.generate_content_stream(model=MODEL, contents=PRIMES))


@pytest.fixture(params=["express", "project"])
def client(request):
    arguments = {"api_key": KEY} if request.param == "express" else PLACE
    with genai.Client(vertexai=True, **arguments) as client:
        yield client


def test_a_stream_counts_at_its_end(client):
    chunks = list(client.models.generate_content_stream(model=MODEL, contents=PRIMES, config=CODE))
    assert len(chunks) > 2
    assert "5117" in "".join(chunk.text or "" for chunk in chunks)
    assert all(chunk.usage_metadata.traffic_type == types.TrafficType.ON_DEMAND for chunk in chunks)
    counts = [chunk.usage_metadata.total_token_count for chunk in chunks]
    assert counts[:-1] == [None] * (len(chunks) - 1) and counts[-1] > 0
    assert len({chunk.create_time for chunk in chunks}) == 1


def test_a_chat_goes_on(client):
    chat = client.chats.create(model=MODEL, config=CODE)
    first = chat.send_message("I have a math question for you.")
    assert "5117" in chat.send_message(PRIMES).text
    assert chat.send_message("I have a math question for you.").text == first.text


def test_without_a_thread(client):
    async def ask():
        return await client.aio.models.generate_content(model=MODEL, contents=PRIMES, config=CODE)

    assert "5117" in asyncio.run(ask()).text


def test_labels_and_other_fields_of_vertex(client):
    config = CODE.model_copy(
        update={
            "labels": {"team": "a"},
            "safety_settings": [
                types.SafetySetting(
                    category="HARM_CATEGORY_HARASSMENT", threshold="BLOCK_NONE", method="SEVERITY"
                )
            ],
        }
    )
    assert "5117" in client.models.generate_content(model=MODEL, contents=PRIMES, config=config).text


def test_tokens_are_counted_and_computed(client):
    config = types.CountTokensConfig(system_instruction="Be brief.", generation_config={"temperature": 0.5})
    assert client.models.count_tokens(model=MODEL, contents="hello", config=config).total_tokens == 5
    computed = client.models.compute_tokens(model=MODEL, contents="hello")
    [tokens] = computed.tokens_info
    assert tokens.role == "user" and tokens.tokens == [b"hell", b"o"]
    assert len(tokens.token_ids) == 2


def test_models_are_listed_over_pages_and_found(client):
    listed = [model.name for model in client.models.list(config={"page_size": 2})]
    assert f"publishers/google/models/{MODEL}" in listed and len(set(listed)) == len(listed) > 2
    assert list(client.models.list(config={"query_base": False})) == []
    model = client.models.get(model=MODEL)
    assert model.name == f"publishers/google/models/{MODEL}" and model.version


@pytest.mark.parametrize("model", ["text-embedding-005", "gemini-embedding-001", "gemini-embedding-2"])
@pytest.mark.parametrize("size", [None, 128])
def test_embeddings(client, model, size):
    def embed(contents):
        config = types.EmbedContentConfig(output_dimensionality=size, task_type="RETRIEVAL_QUERY")
        return client.models.embed_content(model=model, contents=contents, config=config).embeddings

    [one] = embed("a red house")
    assert len(one.values) == (size or (768 if model.startswith("text") else 3072))
    assert one.statistics is None or one.statistics.token_count == 3
    [again] = embed(["a red house"])
    assert again.values == one.values
    # The SDK makes one request of a list for this model, and the server one vector.
    merged = model == "gemini-embedding-2"
    assert len(embed(["a red house", "a blue car"])) == (1 if merged else 2)


def test_embeddings_of_the_gemini_api():
    with genai.Client(vertexai=False) as client:
        contents = [types.Content(parts=[types.Part(text=text)]) for text in ("a red house", "red houses", "xyz")]
        for model in ("gemini-embedding-001", "gemini-embedding-2"):
            response = client.models.embed_content(model=model, contents=contents)
            first, near, far = (embedding.values for embedding in response.embeddings)
            assert abs(sum(value * value for value in first) - 1) < 1e-5
            product = [sum(a * b for a, b in zip(first, other, strict=True)) for other in (near, far)]
            assert product[0] > product[1] + 0.2


def test_interactions(client):
    tools = [{"type": "code_execution"}]
    interaction = client.interactions.create(model=MODEL, input=PRIMES, tools=tools)
    assert "5117" in interaction.output_text
    assert client.interactions.get(interaction.id).status == "completed"
    events = list(client.interactions.create(model=MODEL, input=PRIMES, tools=tools, stream=True))
    assert events[-1].event_type == "interaction.completed"
    client.interactions.delete(interaction.id)


def test_errors_are_those_of_vertex():
    with genai.Client(vertexai=True, api_key="wrong") as client:
        with pytest.raises(errors.ClientError) as raised:
            client.models.generate_content(model=MODEL, contents=PRIMES)
        assert (raised.value.code, raised.value.status) == (401, "UNAUTHENTICATED")
        with pytest.raises(errors.ClientError) as raised:
            list(client.models.generate_content_stream(model=MODEL, contents=PRIMES))
        assert raised.value.code == 401


@pytest.mark.parametrize("place", [{}, PLACE])
def test_cached_contents(place):
    with genai.Client(vertexai=True, **place) as client:
        config = types.CreateCachedContentConfig(contents=PRIMES, tools=CODE.tools, ttl="300s", display_name="d")
        cached = client.caches.create(model=MODEL, config=config)
        assert cached.name.startswith("projects/p/locations/l/cachedContents/" if place else "cachedContents/")
        found = client.caches.get(name=cached.name)
        assert (found.display_name, found.model) == ("d", cached.model)
        uses = types.GenerateContentConfig(cached_content=cached.name)
        response = client.models.generate_content(model=MODEL, contents=PRIMES, config=uses)
        assert response.usage_metadata.cached_content_token_count == cached.usage_metadata.total_token_count
        both = types.GenerateContentConfig(cached_content=cached.name, tools=CODE.tools)
        with pytest.raises(errors.ClientError, match="should not be set in the request"):
            client.models.generate_content(model=MODEL, contents=PRIMES, config=both)
        assert client.caches.update(name=cached.name, config={"ttl": "600s"}).expire_time > cached.expire_time
        client.caches.delete(name=cached.name)
        with pytest.raises(errors.ClientError) as gone:
            client.caches.get(name=cached.name)
        assert gone.value.code == 404
