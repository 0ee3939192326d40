"""Assembles an interaction from the events of a stream, and is strict about their order."""

import copy
import json


def assemble(events):
    """The interaction as a dict, in the form of a whole reply."""
    created, started, *middle, completed = events
    assert created.event_type == "interaction.created", created
    assert created.interaction.status == "in_progress"
    assert started.event_type == "interaction.status_update", started
    assert started.interaction_id == created.interaction.id
    assert completed.event_type == "interaction.completed", completed
    assert completed.interaction.id == created.interaction.id
    ids = [event.event_id for event in [created, started, *middle, completed]]
    assert all(ids) and len(set(ids)) == len(ids), "every event has an id of its own"

    steps = []
    is_open = False
    for event in middle:
        if event.event_type == "interaction.status_update":
            assert not is_open, "a status inside of a step"
        elif event.event_type == "step.start":
            assert not is_open, "a step inside of a step"
            assert event.index == len(steps), "indices count up from 0 without gaps"
            steps.append(_plain(event.step))
            is_open = True
        elif event.event_type == "step.delta":
            assert is_open and event.index == len(steps) - 1
            _grow(steps[-1], _plain(event.delta))
        else:
            assert event.event_type == "step.stop", event
            assert is_open and event.index == len(steps) - 1
            is_open = False
            if "json" in steps[-1]:
                steps[-1]["arguments"] = json.loads(steps[-1].pop("json"))
    assert not is_open, "a step without an end"
    return {**_plain(completed.interaction), "steps": steps}


def canonical(steps):
    """Steps in a canonical form: texts in one piece, no empty members."""
    steps = copy.deepcopy(steps)
    for step in steps:
        for key in ["content", "summary"]:
            pieces, step[key] = step.get(key) or [], []
            for piece in pieces:
                _append(step[key], {name: value for name, value in piece.items() if value is not None})
        for key in ["content", "summary", "signature"]:
            if not step.get(key):
                step.pop(key, None)
    return steps


def _grow(step, delta):
    kind = delta["type"]
    if kind in ("text", "image", "audio", "video", "document"):
        assert step["type"] == "model_output"
        _append(step.setdefault("content", []), delta)
    elif kind == "text_annotation_delta":
        step["content"][-1].setdefault("annotations", []).extend(delta["annotations"])
    elif kind == "thought_summary":
        _append(step.setdefault("summary", []), delta["content"])
    elif kind == "thought_signature":
        step["signature"] = delta["signature"]
    elif kind == "arguments_delta":
        assert step["type"] == "function_call"
        step["json"] = step.get("json", "") + delta["arguments"]
    else:  # a step of the server's own tools comes in one delta, because clients would concatenate several
        assert kind == step["type"]
        assert not step.get("arguments") and "result" not in step, "the payload came twice"
        step.update(delta)


def _append(contents, content):
    if content["type"] == "text" and contents and contents[-1]["type"] == "text":
        contents[-1] = {**contents[-1], **content, "text": contents[-1]["text"] + content["text"]}
    else:
        contents.append(content)


def _plain(value):
    """The members on the wire, without the empty ones that the SDK adds to a step that has only begun."""
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
