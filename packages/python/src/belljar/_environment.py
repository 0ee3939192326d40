"""The environment of apps under test."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager

# They would send an SDK elsewhere: a key with higher precedence, and Google's other services.
_ELSEWHERE = ("GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE")
_LOCAL = "127.0.0.1,localhost"


@contextmanager
def environment(variables: Mapping[str, str]) -> Generator[None]:
    """Sets the variables, and removes those that SDKs prefer to them, until the end of the block."""
    others = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    proxy = f"{others},{_LOCAL}" if others else _LOCAL
    new: dict[str, str | None] = {**variables, "NO_PROXY": proxy, "no_proxy": proxy}
    new.update(dict.fromkeys(_ELSEWHERE))
    before = {name: os.environ.get(name) for name in new}
    _apply(new)
    try:
        yield
    finally:
        _apply(before)


def _apply(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
