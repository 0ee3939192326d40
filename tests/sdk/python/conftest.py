"""Shared by the tests: a client of the installed SDK, with whole and streamed replies, and checks of all that it receives."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from google import genai

from recorder import check_event, check_interaction
from streams import assemble, canonical

ASSETS = Path(__file__).parent.parent / "assets"
# Steps that the client wrote: `get` shows them, the reply to `create` does not.
INPUTS = ["user_input", "function_result"]


def pytest_report_header():
    return f"google-genai {genai.__version__}, {os.environ.get('GOOGLE_GEMINI_BASE_URL')}"


def pytest_sessionstart():
    # Without it the SDK would use Google's server.
    if not os.environ.get("GOOGLE_GEMINI_BASE_URL") or not os.environ.get("GEMINI_API_KEY"):
        pytest.exit("GOOGLE_GEMINI_BASE_URL and GEMINI_API_KEY must name the server to test", 2)


@pytest.fixture(autouse=True)
def recorder(plain, monkeypatch):
    """Checks everything that a client of this process receives."""
    resource = type(plain.interactions)

    def watch(method):
        def watching(self, *args, **kwargs):
            answer = method(self, *args, **kwargs)
            if kwargs.get("stream"):
                return (check_event(event) for event in answer)
            return check_interaction(answer)

        return watching

    for name in ["create", "get"]:
        monkeypatch.setattr(resource, name, watch(getattr(resource, name)))


@pytest.fixture
def plain():
    """The client as users make it: configured by two environment variables only."""
    client = genai.Client()
    return client


@pytest.fixture(params=["whole", "streamed"])
def client(request, plain):
    """The same, once with whole and once with streamed replies."""
    return plain if request.param == "whole" else StreamingClient(plain)


class StreamingClient:
    """A client whose `create` streams, and returns the interaction assembled from the stream."""

    def __init__(self, client):
        self.client = client
        self.interactions = self

    def create(self, **request):
        streamed = assemble(self.client.interactions.create(stream=True, **request))
        if streamed["id"]:  # a stream of store=False has no id, and nothing to compare with
            stored = self.client.interactions.get(streamed["id"])
            kept = [step.to_dict() for step in stored.steps if step.type not in INPUTS]
            assert canonical(streamed["steps"]) == canonical(kept)
            assert streamed["status"] == stored.status
            # google-genai 2 keeps unknown fields in one of the two, and loses them in the other.
            streamed["usage"].pop("initial_input_tokens", None)
            kept = stored.usage.to_dict()
            kept.pop("initial_input_tokens", None)
            assert streamed["usage"] == kept
        return check_interaction(genai.interactions.Interaction.model_validate(streamed))

    def get(self, *args, **kwargs):
        return self.client.interactions.get(*args, **kwargs)


@pytest.fixture
def refused():
    """`with refused("NotFoundError") as refusal`: the SDK raises just this class.

    By name, for the classes have no public one: they moved between 2.x and 3.x.
    """

    @contextmanager
    def expect(class_name):
        refusal = {}
        with pytest.raises(Exception) as caught:
            yield refusal
        assert type(caught.value).__name__ == class_name, caught.value
        refusal.update(caught.value.body["error"])
        assert refusal["message"] and isinstance(refusal["code"], str)

    return expect
