"""A client of the API, for the tests of containers."""

import json
import subprocess
import textwrap
import time
import urllib.error
import urllib.request

BACK_WITHIN_S = 90
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy for this machine


def docker(*arguments):
    """The output of the command. Raises an error if it failed."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"docker {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def body(code, **more):
    """A request to the model `direct` with this code."""
    text = f"```python\n{textwrap.dedent(code)}\n```"
    return {"model": "direct", "input": text, "tools": [{"type": "code_execution"}], **more}


class Client:
    def __init__(self, url):
        self.url = url

    def call(self, method, path, content=None):
        """Status and decoded body, also of errors."""
        try:
            with self._send(method, path, content) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def interact(self, code):
        return self.call("POST", "/v1beta/interactions", body(code))

    def stream(self, code):
        """The events of an interaction, as they arrive."""
        with self._send("POST", "/v1beta/interactions", body(code, stream=True)) as reply:
            for line in reply:
                if line.startswith(b"data: {"):
                    yield json.loads(line.removeprefix(b"data: "))

    def run(self, code):
        """The output of a cell. Raises an error if the run failed."""
        status, interaction = self.interact(code)
        if (status, interaction.get("status")) != (200, "completed"):
            raise AssertionError(f"{status}: {interaction}")
        result = step(interaction, "code_execution_result")
        if result.get("is_error"):
            raise AssertionError(result["result"])
        return result["result"]

    def _send(self, method, path, content):
        data = None if content is None else json.dumps(content).encode()
        headers = {"Content-Type": "application/json"}
        return OPENER.open(urllib.request.Request(self.url + path, data, headers, method=method), timeout=120)


def step(interaction, kind):
    return next(step for step in interaction["steps"] if step["type"] == kind)


def eventually(attempt, what):
    end = time.monotonic() + BACK_WITHIN_S
    while True:
        try:
            return attempt()
        except (AssertionError, OSError) as error:
            if time.monotonic() > end:
                raise AssertionError(f"{what}, not after {BACK_WITHIN_S} s: {error}") from error
            time.sleep(0.2)
