"""Starts servers. Processes that share a folder share a server.

A server's standard input is a named pipe that all its users hold open. It stops when the last user has
closed it, even if that user was killed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import subprocess
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from belljar._programs import program
from belljar._room import BelljarError, Room, Scenarios

_READY = "belljar listening on "


class Server:
    """A server of this process and of those that use the same folder. Ends with its last user."""

    def __init__(self, arguments: Sequence[str] = (), folder: Path | None = None) -> None:
        self._own = None if folder else tempfile.TemporaryDirectory(prefix="belljar-")
        self._folder = folder or Path(self._own.name if self._own else "")
        name = hashlib.sha256("\0".join(arguments).encode()).hexdigest()[:16]
        self._pipe = self._folder / f"{name}.pipe"
        self._state = self._folder / f"{name}.json"
        self.log = self._folder / f"{name}.log"
        self._process: subprocess.Popen[str] | None = None
        with open(self._folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._alive = self._join()
            if self._alive is None:
                self._alive = self._start(arguments)
            self.url = str(json.loads(self._state.read_text())["url"])

    def room(self, namespace: str | None = None) -> Room:
        """A namespace of this server, by default a new one."""
        return Room(self.url, namespace or secrets.token_hex(8))

    def close(self) -> None:
        """Leaves the server, which ends with its last user."""
        if self._alive is not None:
            os.close(self._alive)
            self._alive = None
            # Another user may keep it alive. If there is none, it is gone when this returns.
            if self._process is not None and self._own is not None:
                self._process.wait()
        if self._own is not None:
            self._own.cleanup()

    def _join(self) -> int | None:
        """The open pipe of a running server."""
        try:
            return os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None  # no pipe, or nothing reads from it

    def _start(self, arguments: Sequence[str]) -> int:
        self._pipe.unlink(missing_ok=True)
        os.mkfifo(self._pipe, 0o600)
        # With both ends open, neither `open` below waits for the other.
        both = os.open(self._pipe, os.O_RDWR | os.O_CLOEXEC)
        try:
            command = [program(), "serve", "--listen", "127.0.0.1:0", "--ephemeral", "--control"]
            with open(self._pipe, "rb", buffering=0) as stdin, open(self.log, "wb") as log:
                self._process = subprocess.Popen(
                    [*command, "--exit-with-stdin", *arguments],
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    # Ctrl-C is for the tests, which end the server after them.
                    start_new_session=True,
                )
            alive = os.open(self._pipe, os.O_WRONLY | os.O_CLOEXEC)
        finally:
            os.close(both)
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line.startswith(_READY):
            os.close(alive)
            self._process.wait()
            raise BelljarError(f"the server did not start:\n{self.log.read_text(errors='replace').strip()}")
        self._state.write_text(json.dumps({"url": line.removeprefix(_READY).strip()}))
        return alive


@contextmanager
def start(scenarios: Scenarios = (), *, arguments: Sequence[str] = ()) -> Generator[Room]:
    """A room of a new server, which ends with the block. `arguments` are options of `belljar serve`."""
    server = Server(arguments)
    try:
        room = server.room()
        room.add(scenarios)
        yield room
    finally:
        server.close()
