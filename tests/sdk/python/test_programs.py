"""The programs of Google's page about code execution, with as few changes as a test allows.

https://ai.google.dev/gemini-api/docs/code-execution (2026-11). Differences: the pictures come from
`assets` and not from the network, and `client` uses whole as well as streamed replies.
"""

import base64
import io

import pytest
from PIL import Image

from conftest import ASSETS

# Shown in the picture, which `assets/draw.py` draws.
PEDALS = "4"


def step_types(interaction):
    return [step.type for step in interaction.steps]


def results(interaction):
    return [step for step in interaction.steps if step.type == "code_execution_result"]


@pytest.fixture
def display():
    """A replacement for the notebook's function of this name, which records its calls."""
    shown = []

    def show(picture):
        picture.load()
        shown.append(picture)

    show.shown = shown
    return show


def test_the_sum_of_the_first_50_primes(client, capsys):
    interaction = client.interactions.create(
        model="gemini-3-flash-preview",
        input="What is the sum of the first 50 prime numbers? "
        "Generate and run code for the calculation, and make sure you get all 50.",
        tools=[{"type": "code_execution"}]
    )

    for step in interaction.steps:
        if step.type == "model_output":
            for content_block in step.content:
                if content_block.type == "text":
                    print(content_block.text)
        elif step.type == "code_execution_call":
            print(step.arguments.code)
        elif step.type == "code_execution_result":
            print(step.result)

    printed = capsys.readouterr().out
    assert interaction.status == "completed"
    assert step_types(interaction)[-3:] == ["code_execution_call", "code_execution_result", "model_output"]
    assert "model_output" in step_types(interaction)[:-3], "a text announces the code"
    assert [result.is_error for result in results(interaction)] == [False]
    assert "5117" in results(interaction)[0].result
    assert "5117" in interaction.output_text
    assert results(interaction)[0].result in printed
    assert interaction.steps[-1].content[-1].text in printed


def test_zooming_into_a_picture(client, display, capsys):
    image_path = ASSETS / "instrument.jpeg"
    image_bytes = image_path.read_bytes()

    interaction = client.interactions.create(
        model="gemini-3-flash-preview",
        input=[
            {"type": "image", "data": base64.b64encode(image_bytes).decode("utf-8"), "mime_type": "image/jpeg"},
            {"type": "text", "text": "Zoom into the expression pedals and tell me how many pedals are there?"}
        ],
        tools=[{"type": "code_execution"}]
    )

    for step in interaction.steps:
        if step.type == "model_output":
            for content_block in step.content:
                if content_block.type == "text":
                    print(content_block.text)
                elif content_block.type == "image":
                    # Display generated image
                    display(Image.open(io.BytesIO(base64.b64decode(content_block.data))))
        elif step.type == "code_execution_call":
            print(step.arguments.code)
        elif step.type == "code_execution_result":
            print(step.result)

    assert interaction.status == "completed"
    assert not any(result.is_error for result in results(interaction)), capsys.readouterr().out
    assert len(display.shown) == 1
    assert PEDALS in interaction.output_text
    assert interaction.output_image.mime_type == "image/png"


def test_annotating_a_picture(client, display):
    image_bytes = (ASSETS / "instrument.jpeg").read_bytes()

    interaction = client.interactions.create(
        model="gemini-3-flash-preview",
        input=[
            {"type": "image", "data": base64.b64encode(image_bytes).decode("utf-8"), "mime_type": "image/jpeg"},
            {"type": "text", "text": "Draw an arrow to each of the expression pedals and number them."}
        ],
        tools=[{"type": "code_execution"}]
    )

    for step in interaction.steps:
        if step.type == "model_output":
            for content_block in step.content:
                if content_block.type == "image":
                    display(Image.open(io.BytesIO(base64.b64decode(content_block.data))))

    assert interaction.status == "completed"
    assert not any(result.is_error for result in results(interaction))
    assert [picture.size for picture in display.shown] == [Image.open(io.BytesIO(image_bytes)).size]
    assert PEDALS in interaction.output_text


def test_a_graph_of_a_csv_file(client, display):
    csv_bytes = (ASSETS / "measurements.csv").read_bytes()

    interaction = client.interactions.create(
        model="gemini-3-flash-preview",
        input=[
            {"type": "document", "data": base64.b64encode(csv_bytes).decode("utf-8"), "mime_type": "text/csv"},
            {"type": "text", "text": "Which room is the warmest on average? Plot the temperatures."}
        ],
        tools=[{"type": "code_execution"}]
    )

    for step in interaction.steps:
        if step.type == "model_output":
            for content_block in step.content:
                if content_block.type == "image":
                    display(Image.open(io.BytesIO(base64.b64decode(content_block.data))))

    assert interaction.status == "completed"
    assert [result.is_error for result in results(interaction)] == [False]
    assert len(display.shown) == 1
    assert "greenhouse" in interaction.output_text and "22.0" in interaction.output_text


def test_a_conversation_of_two_turns(client, capsys):
    # First turn
    interaction1 = client.interactions.create(
        model="gemini-3-flash-preview",
        input="I have a math question for you.",
        tools=[{"type": "code_execution"}]
    )
    print(interaction1.steps[-1].content[0].text)

    # Second turn - follow-up with code execution
    interaction2 = client.interactions.create(
        model="gemini-3-flash-preview",
        previous_interaction_id=interaction1.id,
        input="What is the sum of the first 50 prime numbers? "
        "Generate and run code for the calculation, and make sure you get all 50.",
        tools=[{"type": "code_execution"}]
    )

    for step in interaction2.steps:
        if step.type == "model_output":
            for content_block in step.content:
                if content_block.type == "text":
                    print(content_block.text)
        elif step.type == "code_execution_call":
            print(step.arguments.code)
        elif step.type == "code_execution_result":
            print(step.result)

    printed = capsys.readouterr().out
    assert interaction1.output_text and interaction1.output_text in printed
    assert "code_execution_call" not in step_types(interaction1)
    assert interaction2.id != interaction1.id
    assert "5117" in interaction2.output_text and "5117" in printed
