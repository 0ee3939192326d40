"""browser-use's client for Gemini, and the requests of an agent. No browser is started."""

import asyncio
import json
import os
from urllib.request import Request, urlopen

os.environ["ANONYMIZED_TELEMETRY"] = "false"  # read at import

import pytest
from browser_use import ChatGoogle
from browser_use.agent.views import AgentOutput
from browser_use.llm.messages import AssistantMessage, SystemMessage, UserMessage
from browser_use.tools.service import Tools
from pydantic import BaseModel

from conftest import ANNOUNCEMENT, PRIMES, test_of_the_page  # noqa: F401

HEADING = "browser-use"
SERVER = os.environ["GOOGLE_GEMINI_BASE_URL"]
STEP = {
    "thinking": "The page has the answer.",
    "evaluation_previous_goal": "Success",
    "memory": "5117 was found",
    "next_goal": "Report it",
    "current_plan_item": 0,
    "plan_update": ["report"],
    "action": [
        {"navigate": {"url": "https://example.com/", "new_tab": False}},
        {"done": {"text": "5117", "success": True, "files_to_display": []}},
    ],
}
SCENARIOS = {
    "scenarios": [
        {
            "name": "an object is answered",
            "when": {"input": {"contains": "Extract the person"}},
            "script": [{"text": json.dumps({"name": "Ada", "age": 36})}],
        },
        {
            "name": "a step of an agent",
            "when": {"input": {"contains": "Take the next step"}},
            "script": [{"text": json.dumps(STEP)}],
        },
    ]
}


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(scope="module", autouse=True)
def scenarios():
    urlopen(Request(f"{SERVER}/x/scenarios", json.dumps(SCENARIOS).encode(), method="POST")).close()
    yield
    urlopen(Request(f"{SERVER}/x/scenarios", method="DELETE")).close()


@pytest.fixture(params=[True, False], ids=["schema", "prompt"])
def model(request):
    """Without tools, with the two variables. The schema of an object is sent as such, or in the prompt."""
    return ChatGoogle(model="gemini-3-flash-preview", supports_structured_output=request.param)


def ask(model, *messages, output=None):
    return asyncio.run(model.ainvoke([SystemMessage(content="Be brief."), *messages], output)).completion


def last_request():
    with urlopen(f"{SERVER}/x/journal") as answer:
        return json.load(answer)["entries"][-1]


def test_a_conversation_continues_after_code_ran(page):
    messages = [UserMessage(content=ANNOUNCEMENT)]
    first = ask(page.model, *messages)
    assert "glad to help" in first
    messages += [AssistantMessage(content=first), UserMessage(content=PRIMES)]
    second = ask(page.model, *messages)
    assert "5117" in second
    messages += [AssistantMessage(content=second), UserMessage(content=ANNOUNCEMENT)]
    assert ask(page.model, *messages) == first
    last = last_request()
    assert (last["turn"], last["system_instruction"]) == (3, "Be brief.")


def test_an_answer_has_the_shape_of_a_class(model):
    person = ask(model, UserMessage(content="Extract the person: Ada is 36."), output=Person)
    assert person == Person(name="Ada", age=36)


def test_an_agent_gets_its_actions(model):
    actions = Tools().registry.create_action_model()
    step = ask(model, UserMessage(content="Take the next step."), output=AgentOutput.type_with_custom_actions(actions))
    assert step.next_goal == "Report it"
    assert [action.model_dump(exclude_none=True) for action in step.action] == STEP["action"]
