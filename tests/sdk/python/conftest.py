"""What the tests share: a client of the installed SDK, asked whole and streamed, and ears for surprises."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from google import genai

from recorder import check_event, check_interaction
from streams import assemble, canonical

ASSETS = Path(__file__).parent.parent / "assets"
# Steps that the client wrote: `get` shows them, the answer to `create` does not.
INPUTS = ["user_input", "function_result"]


def pytest_report_header():
    return f"google-genai {genai.__version__}, {os.environ.get('GOOGLE_GEMINI_BASE_URL')}"


def pytest_sessionstart():
    # Without it the SDK would go to Google.
    if not os.environ.get("GOOGLE_GEMINI_BASE_URL") or not os.environ.get("GEMINI_API_KEY"):
        pytest.exit("GOOGLE_GEMINI_BASE_URL and GEMINI_API_KEY say which server to test", 2)


@pytest.fixture(autouse=True)
def recorder(plain, monkeypatch):
    """Looks at everything that any client of this process receives."""
    resource = type(plain.interactions)

    def listen(method):
        def listening(self, *args, **kwargs):
            answer = method(self, *args, **kwargs)
            if kwargs.get("stream"):
                return (check_event(event) for event in answer)
            return check_interaction(answer)

        return listening

    for name in ["create", "get"]:
        monkeypatch.setattr(resource, name, listen(getattr(resource, name)))


@pytest.fixture
def plain():
    """The client as everyone makes it: nothing set but two environment variables."""
    client = genai.Client()
    return client


@pytest.fixture(params=["whole", "streamed"])
def client(request, plain):
    """The same, asked once for whole answers and once for streamed ones."""
    return plain if request.param == "whole" else StreamingClient(plain)


class StreamingClient:
    """A client whose `create` streams, and gives back the interaction that the stream told."""

    def __init__(self, client):
        self.client = client
        self.interactions = self

    def create(self, **request):
        told = assemble(self.client.interactions.create(stream=True, **request))
        if told["id"]:  # a stream of store=False has no id, and nothing to compare with
            stored = self.client.interactions.get(told["id"])
            kept = [step.to_dict() for step in stored.steps if step.type not in INPUTS]
            assert canonical(told["steps"]) == canonical(kept)
            assert told["status"] == stored.status
            # google-genai 2 keeps what it does not know in one of the two, and loses it in the other.
            told["usage"].pop("initial_input_tokens", None)
            kept = stored.usage.to_dict()
            kept.pop("initial_input_tokens", None)
            assert told["usage"] == kept
        return check_interaction(genai.interactions.Interaction.model_validate(told))

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
