"""A namespace of a server: scenarios, failures and the journal of one test."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Union

from belljar._journal import Request, Run, request

Scenario = Mapping[str, Any]
Scenarios = Union[str, "PathLike[str]", Scenario, Sequence[Union[str, "PathLike[str]", Scenario]]]
"""A file or folder, a scenario as in a file, or a list of them."""

# The server and its clients are on one machine.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_SECONDS = 60


class BelljarError(Exception):
    """A request of the test itself was rejected, for example an invalid scenario."""


class Room:
    """One namespace. Apps under test reach it by its `url` alone."""

    def __init__(self, server: str, namespace: str) -> None:
        self.namespace = namespace
        self.url = f"{server}/n/{namespace}"
        """The base URL for the app under test."""
        self._scripted = 0

    @property
    def env(self) -> dict[str, str]:
        """The variables that Google's SDKs read."""
        return {"GOOGLE_GEMINI_BASE_URL": self.url, "GEMINI_API_KEY": "belljar"}

    def script(
        self,
        *,
        when: Mapping[str, Any] | None = None,
        script: Sequence[Mapping[str, Any]],
        name: str | None = None,
        **other: Any,
    ) -> None:
        """Adds a scenario, which is tried before all others. Arguments are the keys of a scenario file."""
        self._scripted += 1
        scenario = {"name": name or f"script {self._scripted} of {self.namespace}", **other}
        if when is not None:
            scenario["when"] = when
        self.add({**scenario, "script": list(script)})

    def add(self, scenarios: Scenarios) -> None:
        """Adds scenarios: files, folders, or scenarios as in a file."""
        for one in [scenarios] if isinstance(scenarios, (str, PathLike, Mapping)) else scenarios:
            if isinstance(one, (str, PathLike)):
                for file in _files(Path(one)):
                    try:
                        self._call("POST", "/x/scenarios", file.read_bytes(), "application/yaml")
                    except BelljarError as error:
                        raise BelljarError(f"{file}: {error}") from None
            else:
                body = one if "scenarios" in one else {"scenarios": [one]}
                self._call("POST", "/x/scenarios", json.dumps(body).encode())

    def fail(self, *, times: int | None = 1, **fault: Any) -> None:
        """Makes the next requests fail: `status`, `retry_after`, `delay`, `drop_after_events`, `quirk`, and
        the other keys of a fault. `times=None` means all requests."""
        if times is not None:
            fault["times"] = times
        self._call("POST", "/x/faults", json.dumps(fault).encode())

    @property
    def requests(self) -> list[Request]:
        """All requests so far, oldest first. Those that `fail` has rejected are not among them."""
        return [request(entry, self._run) for entry in self._call("GET", "/x/journal")["entries"]]

    @property
    def runs(self) -> list[Run]:
        """All code that ran so far, oldest first."""
        return [run for request in self.requests for run in request.runs]

    @property
    def last(self) -> Run:
        """The code that ran last."""
        runs = self.runs
        if not runs:
            raise AssertionError("no code has run")
        return runs[-1]

    def reset(self) -> None:
        """Removes scenarios, failures and the journal."""
        self._call("POST", "/x/reset", b"")

    def _run(self, number: int, run: int) -> Mapping[str, Any]:
        return self._call("GET", f"/x/journal/{number}/runs/{run}")

    def _call(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        headers = {"content-type": kind}
        asked = urllib.request.Request(self.url + path, body, headers, method=method)
        try:
            with _DIRECT.open(asked, timeout=_SECONDS) as answer:
                result: dict[str, Any] = json.load(answer)
                return result
        except urllib.error.HTTPError as error:
            raise BelljarError(_message(error.read())) from None


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for kind in ("*.yaml", "*.yml") for file in path.rglob(kind))
