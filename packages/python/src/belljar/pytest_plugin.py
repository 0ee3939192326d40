"""The pytest plugin: the fixture `belljar`, its marker and its options.

One server is started when the first test needs it. With pytest-xdist all workers share it. Each test has a
namespace of its own: what it scripts, lets fail or asks for is invisible to the others.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

import pytest
from _pytest.capture import CaptureManager

from belljar._environment import environment
from belljar._programs import program
from belljar._room import Room, Scenarios
from belljar._server import Server

_MARKER = """belljar(scenarios=None, record=None, seed=None): scenarios of a test: a path, a list of paths, or \
scenarios as Python objects; the folder of its recordings; the seed of its server"""
_ROOM = pytest.StashKey[Room]()
# A message may show many scenarios.
_REPORTED_REQUESTS = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("belljar")
    group.addoption(
        "--belljar-record",
        action="store_true",
        help="ask the models of --belljar-config where a test with `record=` has no recording, and record it",
    )
    group.addoption(
        "--belljar-config",
        metavar="FILE",
        help="configuration of the server while recording: its [[model]] tables name the models",
    )
    parser.addini("belljar_scenarios", "folder of scenarios for all tests", type="paths", default=[])
    parser.addini("belljar_config", "default of --belljar-config", default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


@dataclass(frozen=True)
class _Marker:
    scenarios: Scenarios | None = None
    record: str | PathLike[str] | None = None
    seed: int | None = None

    @classmethod
    def of(cls, request: pytest.FixtureRequest) -> _Marker:
        merged: dict[str, Any] = {}
        # From the module to the function: the closest one wins.
        for mark in reversed(list(request.node.iter_markers("belljar"))):
            if mark.args:
                _fail("the marker takes keywords only, such as scenarios=…")
            merged.update(mark.kwargs)
        try:
            return cls(**merged)
        except TypeError:
            known = ", ".join(cls.__dataclass_fields__)
            _fail(f"the marker's keywords are {known}, not {', '.join(merged)}")


def _fail(why: str) -> NoReturn:
    pytest.fail(f"belljar: {why}", pytrace=False)


class Servers:
    """The servers of a session, by their options. Tests with the same options share one."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._servers: dict[tuple[str, ...], Server] = {}
        self._libraries = ""

    def of(self, marker: _Marker) -> Server:
        arguments = tuple(self._arguments(marker))
        if arguments not in self._servers:
            self._libraries = self._libraries or self._install()
            self._servers[arguments] = Server([self._libraries, *arguments], self._folder)
        return self._servers[arguments]

    def close(self) -> None:
        for server in self._servers.values():
            server.close()

    def _arguments(self, marker: _Marker) -> Generator[str]:
        if marker.seed is not None:
            yield f"--seed={marker.seed}"
        if marker.record is None:
            return
        folder = self._config.rootpath / marker.record
        if not self._config.getoption("--belljar-record"):
            if not any(folder.glob("**/*.yaml")):
                _fail(f"no recordings in {folder}: run pytest --belljar-record")
            yield f"--scenarios={folder}"
            return
        config = self._config.getoption("--belljar-config") or self._config.getini("belljar_config")
        if not config:
            _fail("--belljar-record needs --belljar-config, which names the models")
        folder.mkdir(parents=True, exist_ok=True)
        yield from (f"--config={self._config.rootpath / config}", f"--record={folder}", "--record-mode=new")

    def _install(self) -> str:
        """Installs the libraries if none are there, and returns an option for the server. That takes minutes,
        so the progress is shown."""
        found = subprocess.run([program(), "config"], capture_output=True, text=True, check=False)
        if re.search(r"^(libraries|sandbox_socket) ", found.stdout, re.M):
            return "--no-install"
        capture = self._config.pluginmanager.getplugin("capturemanager")
        command = [program(), "libraries", "install", "--without", "tensorflow"]
        shown = capture.global_and_fixture_disabled() if isinstance(capture, CaptureManager) else nullcontext()
        with shown:
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return f"--libraries={done.stdout.strip()}"


@pytest.fixture(scope="session")
def belljar_servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Servers]:
    """The servers of this session."""
    base = tmp_path_factory.getbasetemp()
    is_worker = hasattr(request.config, "workerinput")
    folder = (base.parent if is_worker else base) / "belljar"
    folder.mkdir(exist_ok=True)
    servers = Servers(request.config, folder)
    yield servers
    servers.close()


@pytest.fixture
def belljar(request: pytest.FixtureRequest, belljar_servers: Servers) -> Generator[Room]:
    """A room of the server for this test, to which the variables of Google's SDKs point."""
    marker = _Marker.of(request)
    node: pytest.Item = request.node
    room = belljar_servers.of(marker).room(_namespace(node.nodeid))
    room.reset()
    node.stash[_ROOM] = room
    root = request.config.rootpath
    for path in request.config.getini("belljar_scenarios"):
        room.add(path)
    if marker.scenarios is not None:
        room.add(_below(root, marker.scenarios))
    with environment(room.env):
        yield room
    room.reset()


def _namespace(test: str) -> str:
    """Readable and unique."""
    digest = hashlib.sha256(test.encode()).hexdigest()[:12]
    words = re.sub(r"[^A-Za-z0-9_.-]+", "-", test)[-80:].strip("-.")
    return f"{words}-{digest}"


def _below(root: Path, scenarios: Scenarios) -> Scenarios:
    """Paths are relative to pytest's root."""
    if isinstance(scenarios, (str, PathLike)):
        return root / scenarios
    if isinstance(scenarios, (list, tuple)):
        return [root / one if isinstance(one, (str, PathLike)) else one for one in scenarios]
    return scenarios


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the unmatched requests of a failed test, with a scenario for each."""
    report = yield
    room = item.stash.get(_ROOM, None)
    if report.when == "call" and report.failed and room is not None:
        report.sections.extend(_unmatched(room))
    return report


def _unmatched(room: Room) -> Generator[tuple[str, str]]:
    try:
        missed = [request for request in room.requests if request.is_unmatched]
    except OSError as error:
        yield "belljar", f"the server does not answer: {error}"
        return
    for request in missed[:_REPORTED_REQUESTS]:
        yield f"belljar: request {request.number} was not answered", f"{request.input}\n\n{request.error}"
    if len(missed) > _REPORTED_REQUESTS:
        yield "belljar", f"{len(missed) - _REPORTED_REQUESTS} more requests were not answered"
