"""Agent frameworks. Most of them build the history of a conversation themselves, so their requests
differ from those of Google's SDKs. Tested are conversations that continue after code ran, and function calls."""

import asyncio
import json
import os
import uuid
from urllib.request import Request, urlopen

import agents
import pytest
from agno.agent import Agent as AgnoAgent
from agno.db.in_memory import InMemoryDb
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.runners import InMemoryRunner
from haystack.components.agents import Agent as HaystackAgent
from haystack.dataclasses import ChatMessage as HaystackMessage
from haystack.tools import tool as haystack_tool
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage as LlamaMessage
from pydantic import BaseModel
from strands import Agent as StrandsAgent
from strands import tool as strands_tool

from conftest import ANNOUNCEMENT, PRIMES, SKY, WEATHER, test_of_the_page  # noqa: F401

HEADING = "More clients in Python"
SERVER = os.environ["GOOGLE_GEMINI_BASE_URL"]
FAHRENHEIT = "What is the weather in Paris in Fahrenheit?"  # a scenario of the repository: a function, then code
MESSAGE = [{"role": "user", "content": [{"type": "text", "text": ANNOUNCEMENT}]}]
SCENARIOS = WEATHER + """\
  - name: an object is a call of a function
    when: { input: { contains: Extract the person }, tools: [Person] }
    script:
      - function_call: { name: Person, arguments: { name: Ada, age: 36 } }
  - name: an object in pieces is a call of another function
    when: { input: { contains: Extract the person }, tools: [PartialPerson] }
    script:
      - function_call: { name: PartialPerson, arguments: { name: Ada, age: 36 } }
"""
agents.set_tracing_disabled(True)
pytestmark = pytest.mark.filterwarnings("ignore:.*ReadOnly:UserWarning")  # LiteLLM's types, in openai-agents


def get_weather(city: str) -> str:
    """The weather in a city.

    Args:
        city: The name of the city.
    """
    return f"clear over {city}, 21 degrees"


@pytest.fixture
def scenarios():
    def send(method, data=None):
        urlopen(Request(f"{SERVER}/x/scenarios", data, method=method)).close()

    send("POST", SCENARIOS.encode())
    yield
    send("DELETE")


def last_request():
    with urlopen(f"{SERVER}/x/journal") as answer:
        return json.load(answer)["entries"][-1]


def adk(agent, streamed=False):
    runner, session = InMemoryRunner(agent=agent), str(uuid.uuid4())
    mode = RunConfig(streaming_mode=StreamingMode.SSE if streamed else StreamingMode.NONE)

    def ask(text):
        events = asyncio.run(runner.run_debug(text, session_id=session, run_config=mode, quiet=True))
        assert any(event.partial for event in events) == streamed
        parts = [part for event in events if event.content and not event.partial for part in event.content.parts]
        if text == PRIMES:
            [result] = [part.code_execution_result for part in parts if part.code_execution_result]
            assert "sum_of_primes=5117\n" in result.output
        return "".join(part.text or "" for part in parts)

    return ask


def agno(model, streamed=False, **settings):
    agent = AgnoAgent(model=model, db=InMemoryDb(), add_history_to_context=True, telemetry=False, **settings)

    def ask(text):
        if not streamed:
            return agent.run(text).content
        pieces = [event.content for event in agent.run(text, stream=True) if event.event == "RunContent"]
        pieces = [piece for piece in pieces if piece]
        assert len(pieces) > 1
        return "".join(pieces)

    return ask


def dspy(lm):
    messages = []

    def ask(text):
        messages.append({"role": "user", "content": text})
        [answer] = lm(messages=messages)
        messages.append({"role": "assistant", "content": answer})
        return answer

    return ask


def haystack(generator, streamed):
    messages = []

    def ask(text):
        pieces = []
        messages.append(HaystackMessage.from_user(text))
        [reply] = generator.run(messages, streaming_callback=pieces.append if streamed else None)["replies"]
        messages.append(reply)
        assert (len(pieces) > 1) == streamed
        return reply.text

    return ask


def llama_index(llm, streamed):
    messages = []

    def ask(text):
        messages.append(LlamaMessage(role="user", content=text))
        *pieces, answer = llm.stream_chat(messages) if streamed else [llm.chat(messages)]
        assert streamed or not pieces
        messages.append(answer.message)
        return answer.message.content

    return ask


def strands(model):
    agent = StrandsAgent(model=model, callback_handler=None)
    return lambda text: str(agent(text))


CONVERSATIONS = {
    "adk": lambda page, streamed: adk(page.adk, streamed),
    "adk_interactions": lambda page, streamed: adk(page.adk_interactions, streamed),
    "agno": lambda page, streamed: agno(page.agno, streamed),
    "agno_interactions": lambda page, streamed: agno(page.agno_interactions, streamed),
    "haystack": lambda page, streamed: haystack(page.haystack, streamed),
    "llama_index": lambda page, streamed: llama_index(page.llama_index, streamed),
}
IN_ONE_WAY = {
    "dspy": lambda page: dspy(page.dspy),  # streams nothing but its own programs
    "strands": lambda page: strands(page.strands),  # always streams
}


def converse(ask):
    first = ask(ANNOUNCEMENT)
    assert "glad to help" in first
    assert "5117" in ask(PRIMES)
    assert ask(ANNOUNCEMENT) == first
    assert last_request()["turn"] == 3


@pytest.mark.parametrize("client", CONVERSATIONS)
def test_a_conversation_continues_after_code_ran(client, way, page):
    converse(CONVERSATIONS[client](page, way == "streamed"))


@pytest.mark.parametrize("client", IN_ONE_WAY)
def test_a_conversation_continues_in_the_only_mode(client, page):
    converse(IN_ONE_WAY[client](page))


def openai_agents(page):
    agent = agents.Agent(name="a", model=page.openai_agents, tools=[agents.function_tool(get_weather)])
    return agents.Runner.run_sync(agent, SKY).final_output


def openai_agents_streamed(page):
    agent = agents.Agent(name="a", model=page.openai_agents, tools=[agents.function_tool(get_weather)])

    async def run():
        result = agents.Runner.run_streamed(agent, SKY)
        assert len([event async for event in result.stream_events()]) > 1
        return result.final_output

    return asyncio.run(run())


def adk_with_function(agent, streamed=False):
    return adk(agent.clone(update={"name": "f", "tools": [get_weather], "code_executor": None}), streamed)(SKY)


def haystack_agent(page):
    generator = type(page.haystack)(model=page.name)
    agent = HaystackAgent(chat_generator=generator, tools=[haystack_tool(get_weather)])
    return agent.run(messages=[HaystackMessage.from_user(SKY)])["last_message"].text


def llama_index_agent(page):
    llm = type(page.llama_index)(page.name, api_key=page.key, http_options=page.options)

    async def run():
        return str(await FunctionAgent(llm=llm, tools=[get_weather]).run(SKY))

    return asyncio.run(run())


FUNCTIONS = {
    "adk": lambda page: adk_with_function(page.adk),
    "adk, streamed": lambda page: adk_with_function(page.adk, streamed=True),
    "adk_interactions": lambda page: adk_with_function(page.adk_interactions),
    "adk_interactions, streamed": lambda page: adk_with_function(page.adk_interactions, streamed=True),
    "agno": lambda page: agno(page.agno, tools=[get_weather])(SKY),
    "agno, streamed": lambda page: agno(page.agno, streamed=True, tools=[get_weather])(SKY),
    "agno_interactions": lambda page: agno(page.agno_interactions, tools=[get_weather])(SKY),
    "agno_interactions, streamed": lambda page: agno(page.agno_interactions, streamed=True, tools=[get_weather])(SKY),
    "haystack": haystack_agent,
    "llama_index": llama_index_agent,
    "openai_agents": openai_agents,
    "openai_agents, streamed": openai_agents_streamed,
    "strands": lambda page: str(
        StrandsAgent(model=page.strands, callback_handler=None, tools=[strands_tool(get_weather)])(SKY)
    ),
}


@pytest.mark.parametrize("client", FUNCTIONS)
def test_a_function_is_called_and_its_result_arrives(client, page, scenarios):
    answer = FUNCTIONS[client](page)
    assert "The function said" in answer and "clear over Bern, 21 degrees" in answer


BESIDE = {
    "adk_interactions": lambda page: adk(page.adk_interactions.clone(update={"name": "f", "tools": [get_weather]})),
    "agno_interactions": lambda page: agno(page.agno_interactions, tools=[get_weather]),
    "strands": lambda page: StrandsAgent(
        model=page.strands, callback_handler=None, tools=[strands_tool(get_weather)]
    ),
}


@pytest.mark.parametrize("client", BESIDE)
def test_a_function_beside_code(client, page):
    ask = BESIDE[client](page)
    assert "69.8 °F in Paris" in str(ask(FAHRENHEIT))
    assert "glad to help" in str(ask(ANNOUNCEMENT))


def test_smolagents(way, page):
    if way == "whole":
        answer = page.smolagents.generate(MESSAGE).content
    else:
        pieces = [delta.content for delta in page.smolagents.generate_stream(MESSAGE) if delta.content]
        assert len(pieces) > 1
        answer = "".join(pieces)
    assert "glad to help" in answer


class Person(BaseModel):
    name: str
    age: int


def test_an_object_of_instructor(way, page, scenarios):
    question = {
        "model": page.name,
        "messages": [{"role": "user", "content": "Extract the person: Ada is 36."}],
        "response_model": Person,
    }
    if way == "whole":
        person = page.instructor.create(**question)
    else:
        *_, person = page.instructor.create_partial(**question)
    assert (person.name, person.age) == ("Ada", 36)
