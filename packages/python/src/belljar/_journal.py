"""What a server's journal says about requests and runs."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Missed:
    """A condition that does not hold."""

    condition: str
    wanted: str
    got: str


@dataclass(frozen=True)
class NearMiss:
    """A scenario that almost matched a request."""

    scenario: str
    missed: tuple[Missed, ...]


@dataclass(frozen=True)
class FunctionCall:
    """A call that the client was asked to make."""

    name: str
    arguments: Any


class Image(bytes):
    """The bytes of a picture, which code showed or saved."""

    mime_type: str

    def __new__(cls, data: bytes, mime_type: str) -> Image:
        image = super().__new__(cls, data)
        image.mime_type = mime_type
        return image


class File(bytes):
    """The bytes of a file that code wrote."""

    name: str

    def __new__(cls, data: bytes, name: str) -> File:
        file = super().__new__(cls, data)
        file.name = name
        return file


@dataclass(frozen=True)
class Run:
    """Code that ran. Pictures, files and long texts are fetched from the server when they are read."""

    outcome: str
    """`ok`, `failed` or `deadline_exceeded`."""
    wall_ms: float
    _summary: Json = field(repr=False)
    _fetch: Callable[[], Json] = field(repr=False)

    @property
    def code(self) -> str:
        return self._text("code")

    @property
    def stdout(self) -> str:
        return self._text("stdout")

    @property
    def stderr(self) -> str:
        """With the traceback."""
        return self._text("stderr")

    @cached_property
    def images(self) -> list[Image]:
        """In the order in which the code showed or saved them."""
        if not self._summary["pictures"]:
            return []
        return [Image(base64.b64decode(image["data"]), image["mime_type"]) for image in self._whole["images"]]

    @cached_property
    def files(self) -> dict[str, File]:
        """The files that the code wrote to its work directory, by name: at most 4 MiB a run."""
        if not self._summary["files"]:
            return {}
        files = self._whole["files"]
        return {file["name"]: File(base64.b64decode(file["data"]), file["name"]) for file in files}

    @cached_property
    def _whole(self) -> Json:
        return self._fetch()

    def _text(self, name: str) -> str:
        source = self._whole if self._summary["is_cut"] else self._summary
        return str(source[name])


@dataclass(frozen=True)
class Request:
    """A request to a model."""

    number: int
    model: str
    input: str
    """The newest text of the user."""
    tools: list[str]
    turn: int
    scenario: str | None
    """The scenario that answered."""
    status: str | None
    """Of the interaction: `completed`, `requires_action`, …"""
    error: str | None
    """Why the request was rejected or failed."""
    text: str
    """Of the answer."""
    runs: list[Run]
    function_calls: list[FunctionCall]
    near_misses: list[NearMiss]
    """If no scenario matched: the nearest ones."""
    warnings: list[str]
    entry: Json = field(repr=False)
    """All that the journal has."""

    @property
    def is_unmatched(self) -> bool:
        """Whether no scenario answered it, although one was wanted."""
        return self.scenario is None and self.error is not None


def request(entry: Json, fetch: Callable[[int, int], Json]) -> Request:
    """From an entry of the journal. `fetch` gets a run by its request and number."""
    number = int(entry["number"])

    def run(at: int, summary: Json) -> Run:
        return Run(summary["outcome"], summary["wall_ms"], summary, lambda: fetch(number, at))

    def near_miss(near: Json) -> NearMiss:
        return NearMiss(near["scenario"], tuple(Missed(**missed) for missed in near["missed"]))

    return Request(
        number=number,
        model=entry["model"],
        input=entry["input"],
        tools=list(entry["tools"]),
        turn=entry["turn"],
        scenario=entry["scenario"],
        status=entry["status"],
        error=entry["error"],
        text=entry["text"],
        runs=[run(at, summary) for at, summary in enumerate(entry["runs"], 1)],
        function_calls=[FunctionCall(call["name"], call["arguments"]) for call in entry["function_calls"]],
        near_misses=[near_miss(near) for near in entry["near_misses"]],
        warnings=list(entry["warnings"]),
        entry=entry,
    )
