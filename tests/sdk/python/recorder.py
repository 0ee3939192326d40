"""Checks that the SDK knows everything that the server sends. The SDKs ignore unknown members, so a
misspelt field would be silently absent for a user. Here it is a failure."""

import base64
import io
import re

import pydantic
from PIL import Image

# Members that the real service sends although the SDK's types do not have them.
UNDECLARED = {
    ("Interaction", "object"),  # on the wire of every interaction, always "interaction"
    ("FunctionCallStep", "signature"),  # needed when steps are sent back
    # Results of a search, which the real service does not return.
    ("GoogleSearchResult", "title"),
    ("GoogleSearchResult", "url"),
    ("GoogleSearchResult", "snippet"),
    # The content of a page, which the real service does not return.
    ("URLContextResult", "title"),
    ("URLContextResult", "text"),
    # Excerpts of documents. The SDK's type of them declares no members, and that of the step not even them; both were seen on the
    # wire of the real service.
    ("FileSearchResultStep", "result"),
    *(("FileSearchResult", name) for name in ["title", "text", "file_search_store", "document_uri", "custom_metadata"]),
    ("Usage", "initial_input_tokens"),  # since google-genai 3; here for 2
}
# Open enums: any model name is valid, and media types come back as they were sent.
OPEN = {"model", "mime_type"}


def check_interaction(interaction):
    if interaction is None:
        return None
    _known(interaction)
    type(interaction).model_validate(interaction.to_dict())  # get() may have constructed it unchecked
    _check_steps(interaction.steps or [], interaction.status)
    return interaction


def check_event(event):
    _known(event)
    if event.event_type != "step.start":  # a step begins without its required payload, which comes in a delta
        type(event).model_validate(event.to_dict(exclude_none=True))
    return event


def _known(value):
    mistakes = unknown(value)
    assert not mistakes, "\n".join(mistakes)


def unknown(value, foreign=None, path=""):
    """Describes the members of a value that the SDK does not know. Steps and contents whose type matches
    `foreign` came from another server and are skipped."""
    where = f"{path or type(value).__name__}: {value!r}"[:500]
    mistakes = []
    if isinstance(value, pydantic.BaseModel):
        name = type(value).__name__
        path = path or name
        if getattr(value, "is_unknown", False):
            kind = value.raw.get("type") if isinstance(value.raw, dict) else None
            if foreign is None or not foreign.match(str(kind)):
                mistakes.append(f"a type that the SDK does not know at {where}")
            return mistakes
        extra = {key for key in value.model_extra or {} if (name, key) not in UNDECLARED}
        if extra:
            mistakes.append(f"members that the SDK does not know, {extra}, at {where}")
        for field in type(value).model_fields:
            if field not in OPEN and field in value.model_fields_set:
                mistakes += unknown(getattr(value, field), foreign, f"{path}.{field}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            mistakes += unknown(item, foreign, f"{path}[{index}]")
    elif type(value).__name__ == "UnrecognizedStr":
        mistakes.append(f"a value outside of its enum at {where}")
    return mistakes


def _check_steps(steps, status):
    """Properties of the steps of every interaction."""
    for step, following in zip(steps, [*steps[1:], None], strict=False):
        if step.type == "code_execution_call":
            assert re.fullmatch("[a-z0-9]{8}", step.id)
            assert step.arguments.language == "python"
            if following is None:
                # It is running, or was interrupted while it ran.
                assert status in ["in_progress", "cancelled", "failed"]
                continue
            assert following.type == "code_execution_result", "a call is followed by its result at once"
            assert following.call_id == step.id
            assert isinstance(following.result, str)
            assert isinstance(following.is_error, bool)
        if step.type == "model_output":
            for content in step.content:
                if content.type == "image":
                    check_picture(content)


def check_picture(content):
    picture = base64.b64decode(content.data, validate=True)
    assert content.mime_type == "image/png"
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    Image.open(io.BytesIO(picture)).load()
