"""The image `belljar`, server and sandbox in one container, with the default options of `docker run`.

    BELLJAR_IMAGE=belljar python3 -m unittest single
"""

import json
import os
import pathlib
import re
import subprocess
import threading
import time
import unittest

from client import Client, docker, eventually

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE = os.environ["BELLJAR_IMAGE"]
DEPLOYMENT = (ROOT / "deploy/README.md").read_text()
# What docker waits for before it kills a container that it stops.
STOP_WITHIN_S = 10


def start(test, *options):
    """A container whose server is ready, and its client. It is removed at the end of the test."""
    container = docker("run", "--detach", "--publish", "127.0.0.1::8080", *options, IMAGE).strip()
    (test.addClassCleanup if isinstance(test, type) else test.addCleanup)(
        docker, "rm", "--force", "--volumes", container
    )

    def healthy():
        state = inspect(container)["State"]
        health = state["Health"]["Status"]
        if (state["Status"], health) != ("running", "healthy"):
            raise AssertionError(f"{state['Status']}, {health}: {logs(container)}")

    eventually(healthy, "the server is ready")
    port = docker("port", container, "8080/tcp").split(":")[-1].strip()
    return container, Client(f"http://127.0.0.1:{port}")


def inspect(container):
    return json.loads(docker("inspect", container))[0]


def logs(container):
    done = subprocess.run(["docker", "logs", "--tail", "20", container], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def volumes():
    return set(docker("volume", "ls", "--quiet").split())


class DefaultOptions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.container, cls.client = start(cls)

    def test_the_request_of_the_readme_is_answered(self):
        command = re.search(r"^curl -X POST .*?\n  }'$", (ROOT / "README.md").read_text(), re.M | re.S)[0]
        self.assertIn("http://127.0.0.1:8080", command)
        command = command.replace("http://127.0.0.1:8080", self.client.url)
        environment = {**os.environ, "NO_PROXY": "*"}
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, env=environment)
        answer = json.loads(done.stdout)
        self.assertEqual(answer["status"], "completed", answer)
        self.assertIn("5117", answer["steps"][-1]["content"][0]["text"])

    def test_the_tier_is_landlocked(self):
        _, isolation = self.client.call("GET", "/x/isolation")
        self.assertEqual(isolation["tier"], "landlocked")
        ineffective = {layer["name"] for layer in isolation["layers"] if not layer["holds"]}
        self.assertEqual(ineffective, {"namespaces", "cgroup"}, isolation)

    def test_code_cannot_reach_the_server_its_data_or_a_network(self):
        output = self.client.run("""
            import json, os, socket
            def error(act):
                try:
                    act()
                except OSError as error:
                    return type(error).__name__
            print(json.dumps({
                "user": os.getuid() > 50_000,
                "files": [error(lambda at=at: os.listdir(at)) for at in
                          ("/var/lib/belljar", "/etc/belljar", "/opt/belljar/bin", "/root", "/proc/1")],
                "network": error(lambda: socket.create_connection(("127.0.0.1", 8080))),
                "kill": error(lambda: os.kill(1, 9)),
            }))
        """)
        wanted = {"user": True, "files": ["PermissionError"] * 5, "network": "OSError", "kill": "PermissionError"}
        self.assertEqual(json.loads(output), wanted)

    def test_a_killed_warden_is_replaced_and_leaves_no_zombie(self):
        kill = (
            "import os, pathlib, signal\n"
            "found = [p for p in pathlib.Path('/proc').glob('[0-9]*')\n"
            "         if (p / 'cmdline').read_bytes().split(b'\\0')[0].endswith(b'belljar-warden')\n"
            "         and b'\\0serve\\0' in (p / 'cmdline').read_bytes()]\n"
            "for p in found: os.kill(int(p.name), signal.SIGKILL)\n"
            "print(len(found))"
        )
        killed = docker("exec", self.container, "/usr/local/bin/python3", "-I", "-c", kill)
        self.assertEqual(killed, "1\n")
        eventually(lambda: self.assertEqual(self.client.run("print('back')"), "back\n"), "the sandbox is back")

        def zombies():
            rows = docker("top", self.container, "-eo", "pid,stat,comm").splitlines()[1:]
            self.assertEqual([row for row in rows if row.split()[1].startswith("Z")], [])

        eventually(zombies, "no zombie is left")


class Stop(unittest.TestCase):
    def test_a_container_that_runs_code_ends_in_time_and_leaves_nothing(self):
        before = volumes()
        container, client = start(self)
        code = "import time\nprint('began', flush=True)\ntime.sleep(25)"
        began = threading.Event()

        def stream():
            try:
                for event in client.stream(code):
                    if event["event_type"] == "step.start" and event["step"]["type"] == "code_execution_call":
                        began.set()
            except OSError:
                pass  # the connection ends with the server

        running = threading.Thread(target=stream)
        running.start()
        self.assertTrue(began.wait(30), "the code runs")
        start_of_stop = time.monotonic()
        docker("stop", "--time", "60", container)
        self.assertLess(time.monotonic() - start_of_stop, STOP_WITHIN_S)
        self.assertEqual(inspect(container)["State"]["ExitCode"], 0, logs(container))
        running.join()
        docker("rm", container)
        self.assertEqual(volumes(), before)


class OtherOptions(unittest.TestCase):
    def test_an_ordinary_user_without_namespaces_is_told_what_is_missing(self):
        container = docker("run", "--detach", "--user", "10001:10001", IMAGE).strip()
        self.addCleanup(docker, "rm", "--force", "--volumes", container)
        self.assertNotEqual(docker("wait", container).strip(), "0")
        self.assertIn("the warden lacks CAP_SETUID and CAP_SETGID", logs(container))

    def test_an_ordinary_user_with_namespaces_has_the_stronger_tier(self):
        options = re.search(r"docker run [^`\n]*(--user 10001[^`\n]*) belljar`", DEPLOYMENT)[1].split()
        container, client = start(self, *options)
        _, isolation = client.call("GET", "/x/isolation")
        self.assertEqual(isolation["tier"], "namespaced", isolation)
        self.assertEqual(client.run("print(6 * 7)"), "42\n")
        users = docker("top", container, "-eo", "pid,uid").splitlines()[1:]
        self.assertEqual([row for row in users if row.split()[1] == "0"], [])


if __name__ == "__main__":
    unittest.main()
