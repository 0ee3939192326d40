"""Tests of the stack through the published port and from inside a cell.

    BELLJAR_PROJECT=… BELLJAR_URL=http://127.0.0.1:… BELLJAR_COMPOSE="docker compose …" \
        python3 -m unittest stack
"""

import base64
import json
import os
import pathlib
import shlex
import subprocess
import unittest

from client import Client, docker, eventually, step
from containers import container_id, inspect

SERVER = Client(os.environ["BELLJAR_URL"])
call, interact, run, stream = SERVER.call, SERVER.interact, SERVER.run, SERVER.stream


def kill_9(service):
    """Kills a container's main process from outside, so that the engine does not treat it as a requested stop."""
    main_process = str(inspect(service)["State"]["Pid"])
    image = inspect("server")["Image"]
    docker("run", "--rm", "--pid=host", "--network=none", "--user=0", "--security-opt=apparmor=unconfined",
           "--entrypoint=/bin/bash", image, "-c", f"kill -9 {main_process}")


class Answers(unittest.TestCase):
    def test_code_runs_and_its_output_comes_back(self):
        self.assertEqual(run("print(6 * 7)"), "42\n")

    def test_the_tier_is_namespaced_and_every_layer_is_effective(self):
        status, isolation = call("GET", "/x/isolation")
        self.assertEqual(status, 200)
        self.assertEqual(isolation["tier"], "namespaced")
        ineffective = [layer["name"] for layer in isolation["layers"] if not layer["holds"]]
        # Containers cannot create cgroups before Engine 29; the warden polls cells instead.
        self.assertIn(ineffective, ([], ["cgroup"]))
        self.assertGreaterEqual(len(isolation["layers"]), 5)

    def test_images_are_returned_and_chinese_japanese_korean_and_emoji_are_drawn(self):
        code = """
            import warnings
            warnings.simplefilter("error")  # Matplotlib warns about each missing glyph
            import matplotlib.pyplot as plt
            plt.title("汉字 漢字 ひらがな 한국어 😀")
            plt.savefig("plot.png")
            from PIL import Image, ImageDraw, ImageFont
            ImageDraw.Draw(Image.new("RGB", (160, 160))).text(
                (0, 0), "😀", font=ImageFont.truetype("NotoColorEmoji.ttf", 109), embedded_color=True)
            print("drawn")
        """
        status, interaction = interact(code)
        self.assertEqual(status, 200, interaction)
        self.assertEqual(step(interaction, "code_execution_result")["result"].split("\n")[0], "drawn")
        pictures = [
            base64.b64decode(found)
            for found in _values(interaction, "data")
            if isinstance(found, str) and found.startswith("iVBOR")
        ]
        self.assertTrue(pictures, "no image in the response")
        self.assertTrue(pictures[0].startswith(b"\x89PNG"))

    def test_the_large_libraries_are_installed(self):
        output = run("""
            import os
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
            import tensorflow, geopandas, reportlab, docx, pptx, openpyxl, sklearn
            print(float(tensorflow.reduce_sum(tensorflow.ones((3, 3)))))
        """)
        self.assertEqual(output, "9.0\n")


def _values(node, name):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name:
                yield value
            yield from _values(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from _values(value, name)


class Inside(unittest.TestCase):
    """Attacks on this stack from inside a cell."""

    def test_only_python_and_the_work_directory_are_visible(self):
        output = json.loads(run("""
            import json, os
            def names(folder):
                return sorted(os.listdir(folder)) if os.path.isdir(folder) else None
            everything = [f for top, _, files in os.walk("/") for f in (os.path.join(top, f) for f in files)
                          if not f.startswith(("/usr/local/", "/usr/lib", "/usr/share/", "/usr/bin/"))]
            print(json.dumps({
                "root": names("/"), "run": names("/run"), "opt": names("/opt"), "belljar": names("/opt/belljar"),
                "sys": names("/sys"), "home": names("/home"), "var": names("/var"), "share": names("/usr/share"), "rest": everything,
                "proc": names("/proc"), "environment": sorted(os.environ),
                "programs": [p for p in ("belljar-warden", "belljar") if os.path.exists("/usr/local/bin/" + p)],
            }))
        """))
        self.assertEqual(output["run"], [])
        self.assertEqual(output["opt"], ["belljar"])
        self.assertNotIn("libraries", output["belljar"])
        self.assertNotIn("bin", output["belljar"])
        self.assertEqual(output["share"], ["fonts", "zoneinfo"])
        self.assertIsNone(output["sys"])
        self.assertIsNone(output["home"])
        self.assertEqual(output["var"], [])
        self.assertEqual(output["programs"], [])
        self.assertEqual([p for p in output["proc"] if p.isdigit()], [])
        for file in set(output["rest"]) - {"/sbin"}:  # a dangling link
            self.assertTrue(file.startswith(("/dev/", "/etc/", "/proc/", "/opt/belljar/", "/tmp/")), file)
        self.assertEqual([name for name in output["environment"] if "BELLJAR" in name], [])

    def test_there_is_no_network(self):
        output = json.loads(run("""
            import json, socket
            def error(act):
                try:
                    act()
                except OSError as error:
                    return error.errno
            print(json.dumps([
                error(lambda: socket.socket(socket.AF_INET)),
                error(lambda: socket.socket(socket.AF_INET6)),
                error(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
                error(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
                error(lambda: socket.create_connection(("127.0.0.1", 8080))),
                error(lambda: socket.socket(socket.AF_UNIX).connect("/run/belljar/warden.sock")),
            ]))
        """))
        unsupported, missing = 97, 2
        self.assertEqual(output[:4], [unsupported] * 4)
        self.assertIsNotNone(output[4])
        self.assertEqual(output[5], missing)

    def test_no_other_process_can_be_seen_or_reached(self):
        output = json.loads(run("""
            import json, os
            def there(process):
                try:
                    os.kill(process, 0)
                    return True
                except ProcessLookupError:
                    return False
                except PermissionError:
                    return True
            print(json.dumps({"me": os.getpid(), "parent": os.getppid(),
                              "there": [p for p in range(1, 40000) if there(p)]}))
        """))
        self.assertEqual(output["parent"], 0)  # the parent is outside the namespace
        self.assertEqual(output["there"], [1, output["me"]])

    def test_the_code_has_no_privileges_and_cannot_gain_any(self):
        output = json.loads(run("""
            import ctypes, json, os, socket
            libc = ctypes.CDLL(None, use_errno=True)
            def error(call, *arguments):
                return ctypes.get_errno() if call(*arguments) == -1 else 0
            def refused(act):
                try:
                    act()
                except OSError as error:
                    return error.errno
            print(json.dumps({
                "user": [os.getuid(), os.getgid()], "host": socket.gethostname(),
                "unshare": error(libc.unshare, 0x10000000),
                "mount": error(libc.mount, b"none", b"/tmp", b"tmpfs", 0, None),
                "chroot": error(libc.chroot, b"/tmp"),
                "ptrace": error(libc.ptrace, 16, 1, 0, 0),
                "setuid": error(libc.setuid, 0),
                "write": [refused(lambda at=at: open(at, "w")) for at in
                          ("/x", "/usr/x", "/usr/local/x", "/etc/passwd", "/opt/belljar/runner.py")],
            }))
        """))
        self.assertEqual(output["user"], [1000, 1000])
        self.assertEqual(output["host"], "sandbox")
        for name in ("unshare", "mount", "chroot", "ptrace", "setuid"):
            self.assertEqual(output[name], 1, name)
        for error in output["write"]:
            self.assertIn(error, (13, 30))

    def test_exceeding_memory_or_processes_stops_only_its_own_run(self):
        output = run("""
            try:
                kept = bytearray(64 << 30)
            except MemoryError:
                print("memory refused")
        """)
        self.assertEqual(output, "memory refused\n")
        _, interaction = interact("""
            import os, time
            for _ in range(200):
                if os.fork() == 0:
                    time.sleep(60)
                    os._exit(0)
            time.sleep(20)
        """)
        result = step(interaction, "code_execution_result")["result"]
        self.assertEqual(result, "OSError: stopped, used more than 64 processes\n")
        self.assertEqual(run("print('next')"), "next\n")

    def test_filling_the_container_s_memory_ends_only_its_own_run(self):
        before = inspect("sandbox")["State"]
        status, interaction = interact("""
            import os, time
            for _ in range(8):
                if os.fork() == 0:
                    break
            kept = bytearray(1 << 30)
            for page in range(0, len(kept), 4096):
                kept[page] = 1
            time.sleep(20)
            print("all of it")
        """)
        self.assertEqual(status, 200)
        result = step(interaction, "code_execution_result")
        self.assertTrue(result["is_error"], result)
        self.assertNotIn("all of it\n", result["result"])
        self.assertEqual(run("print('next')"), "next\n")
        self.assertEqual(inspect("sandbox")["State"]["StartedAt"], before["StartedAt"])

    def test_an_endless_run_is_stopped(self):
        status, interaction = interact("import subprocess\nsubprocess.Popen(['sleep', '600'])\nwhile True: pass")
        self.assertEqual(status, 200)
        self.assertIn("TimeoutError", step(interaction, "code_execution_result")["result"])
        output = docker("top", container_id("sandbox"), "-eo", "pid,comm")
        self.assertNotIn("sleep", output)

    def test_one_cell_leaves_nothing_to_another(self):
        run("open('/workspace/left', 'w').write('x'); open('/tmp/left', 'w').write('x'); import builtins; builtins.left = 1")
        output = run("import os, builtins; print(os.path.exists('/workspace/left'), os.path.exists('/tmp/left'), hasattr(builtins, 'left'))")
        self.assertEqual(output, "False False False\n")


class Around(unittest.TestCase):
    """The sandbox's container, as the kernel reports it."""

    def test_its_main_process_has_no_capability_and_a_filter(self):
        text = docker("exec", container_id("sandbox"), "cat", "/proc/1/status")
        status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            self.assertEqual(int(status[kind], 16), 0, kind)
        self.assertEqual(status["NoNewPrivs"].strip(), "1")
        self.assertEqual(status["Seccomp"].strip(), "2")
        self.assertEqual(status["Uid"].split(), ["10002"] * 4)

    def test_it_has_no_interface_but_the_loopback(self):
        text = docker("exec", container_id("sandbox"), "cat", "/proc/1/net/dev")
        names = [line.split(":")[0].strip() for line in text.splitlines() if ":" in line]
        # The kernel creates unused tunnel interfaces in every new network namespace.
        self.assertEqual([n for n in names if n.startswith(("eth", "en", "veth", "wl"))], [])

    def test_unneeded_system_calls_are_refused(self):
        code = (
            "import ctypes, os, socket\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "for call in ((libc.unshare, 0x40000000), (libc.ptrace, 16, 1, 0, 0), (libc.setns, 0, 0)):\n"
            "    assert call[0](*call[1:]) == -1, call\n"
            "try:\n    socket.socket(socket.AF_INET)\n"
            "except OSError as error:\n    print(error.errno)\n"
        )
        output = docker("exec", container_id("sandbox"), "/usr/local/bin/python3", "-I", "-c", code)
        self.assertEqual(output, "97\n")

    def test_its_files_cannot_be_written(self):
        with self.assertRaises(AssertionError) as refused:
            docker("exec", container_id("sandbox"), "touch", "/opt/belljar/x")
        self.assertIn("Read-only file system", str(refused.exception))

    def test_the_oom_killer_selects_cells_first(self):
        code = (
            "import os\n"
            "for p in filter(str.isdigit, os.listdir('/proc')):\n"
            "    status = dict(l.split(':\\t', 1) for l in open(f'/proc/{p}/status').read().splitlines() if ':\\t' in l)\n"
            "    inside = len(status['NSpid'].split()) > 1\n"
            "    print(inside, status['NSpid'].split()[-1], open(f'/proc/{p}/oom_score_adj').read().strip())\n"
        )
        output = docker("exec", container_id("sandbox"), "/usr/local/bin/python3", "-I", "-c", code).split("\n")
        self.assertIn("True 2 1000", output)
        self.assertNotIn("True 2 0", output)
        self.assertNotIn("False 1 1000", output)

    def test_other_users_cannot_open_the_socket(self):
        output = docker("exec", container_id("sandbox"), "stat", "-c", "%a %u %g", "/run/belljar",
                      "/run/belljar/warden.sock")
        self.assertEqual(output.split("\n")[:2], ["770 10001 10001", "660 10002 10001"])


class Recovery(unittest.TestCase):
    """Run in the order of their names; each leaves the stack running."""

    def test_1_a_sandbox_killed_during_a_run_is_restarted(self):
        server = inspect("server")["State"]["StartedAt"]
        run("print('ready')")  # an earlier test may have restarted it; this waits until it is ready
        # The first code of a cell is retried; the second is not, because the cell's state is lost.
        blocks = "```python\nprint('first')\n```\n```python\nimport time\ntime.sleep(25)\nprint('fin' + 'ished')\n```"
        events, calls = [], 0
        for event in stream(blocks):
            if not events:
                interaction = event["interaction"]["id"]
            if event["event_type"] == "step.start" and event["step"]["type"] == "code_execution_call":
                calls += 1
                if calls == 2:
                    kill_9("sandbox")
            events.append(event)
        self.assertEqual(events[-1]["event_type"], "error", events)
        self.assertNotIn("finished", json.dumps(events))
        status, kept = call("GET", f"/v1beta/interactions/{interaction}")
        self.assertEqual((status, kept["status"]), (200, "failed"))
        eventually(lambda: self.assertEqual(run("print('back')"), "back\n"), "the sandbox is back")
        self.assertEqual(inspect("server")["State"]["StartedAt"], server, "the server was restarted")

    def test_2_a_killed_server_keeps_finished_interactions(self):
        _, interaction = interact("print('kept')")
        path = f"/v1beta/interactions/{interaction['id']}"
        kill_9("server")
        self.assertEqual(eventually(lambda: self._steps(path), "the server is back"), interaction["steps"])
        self.assertEqual(run("print('back')"), "back\n")

    def test_3_an_upgrade_keeps_the_data(self):
        _, interaction = interact("print('kept')")
        compose("up", "--detach", "--force-recreate", "--no-build")
        path = f"/v1beta/interactions/{interaction['id']}"
        self.assertEqual(eventually(lambda: self._steps(path), "the server is back"), interaction["steps"])

    def test_4_the_stack_can_be_restarted(self):
        compose("restart")
        eventually(lambda: self.assertEqual(run("print('back')"), "back\n"), "the stack is back")

    def test_5_nothing_is_left_of_the_cells(self):
        """Only the warden, its zygotes and standbys are left, and no zombie."""
        def processes():
            text = docker("top", container_id("sandbox"), "-eo", "pid,stat,comm")
            rows = [line.split(None, 2) for line in text.splitlines()[1:]]
            self.assertEqual([row for row in rows if row[1].startswith("Z")], [])
            # The warden and three zygotes; two processes for each standby, of which a burst leaves more.
            self.assertLessEqual(len(rows), 4 + 2 * (10 + 4 + 1))
        eventually(processes, "no leftover processes")

    def _steps(self, path):
        status, interaction = call("GET", path)
        self.assertEqual(status, 200, interaction)
        return interaction["steps"][1:]  # without the user's input


def compose(*arguments):
    command = [*shlex.split(os.environ["BELLJAR_COMPOSE"]), *arguments]
    root = pathlib.Path(os.environ.get("BELLJAR_CHECKOUT", "."))
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")


if __name__ == "__main__":
    unittest.main()
