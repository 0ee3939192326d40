"""An agent with one function: the model asks for the price, and answers with it."""

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI

PRICES = {"bread": 4.2, "cheese": 11.0}


@tool
def price(article: str) -> float:
    """The price of an article in euros."""
    return PRICES[article]


def ask(question: str) -> str:
    model = ChatGoogleGenerativeAI(model="gemini-2.5-flash").bind_tools([price])
    messages = [HumanMessage(question)]
    answer = model.invoke(messages)
    while answer.tool_calls:
        messages.append(answer)
        for call in answer.tool_calls:
            messages.append(ToolMessage(str(price.invoke(call["args"])), tool_call_id=call["id"], name=call["name"]))
        answer = model.invoke(messages)
    return answer.text
