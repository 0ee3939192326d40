"""The containers as the engine reports them: no privileges, no capabilities, no network, limits on all resources.

The containers only have to exist. `mutations` checks that removing any line of the hardening makes one of these
tests fail.

    BELLJAR_PROJECT=… python3 -m unittest containers
"""

import json
import os
import pathlib
import re
import unittest

from client import docker

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = os.environ["BELLJAR_PROJECT"]


def container_id(service):
    labels = (f"com.docker.compose.project={PROJECT}", f"com.docker.compose.service={service}")
    filters = [part for label in labels for part in ("--filter", f"label={label}")]
    found = docker("ps", "--all", "--quiet", "--no-trunc", *filters).split()
    assert len(found) == 1, f"{service}: {len(found)} containers"
    return found[0]


def inspect(service):
    return json.loads(docker("inspect", container_id(service)))[0]


class Hardened:
    """Tests for both containers."""

    service: str
    user: str
    mounts: dict  # path, and whether it is writable

    @classmethod
    def setUpClass(cls):
        cls.container = inspect(cls.service)
        cls.host = cls.container["HostConfig"]

    def test_it_runs_as_an_unprivileged_user(self):
        self.assertEqual(self.container["Config"]["User"], self.user)

    def test_it_has_no_capability(self):
        self.assertEqual(self.host["CapDrop"], ["ALL"])
        self.assertFalse(self.host["CapAdd"])

    def test_it_is_not_privileged_and_cannot_become_so(self):
        self.assertFalse(self.host["Privileged"])
        # Compose 1 and 2 spell it differently.
        options = [option.replace("=", ":") for option in self.host["SecurityOpt"] or []]
        self.assertIn("no-new-privileges:true", options)

    def test_it_shares_no_namespace_with_the_host(self):
        for kind in ("PidMode", "UTSMode", "UsernsMode", "IpcMode"):
            self.assertNotIn(self.host.get(kind), ("host", "shareable"), kind)

    def test_it_has_no_device(self):
        self.assertFalse(self.host["Devices"])
        self.assertFalse(self.host.get("DeviceRequests"))

    def test_its_files_are_read_only(self):
        self.assertTrue(self.host["ReadonlyRootfs"])

    def test_writable_folders_are_limited_and_noexec(self):
        options = (self.host["Tmpfs"] or {}).get("/tmp", "").split(",")
        self.assertIn("noexec", options)
        self.assertTrue(any(option.startswith("size=") for option in options))
        self.assertEqual(list(self.host["Tmpfs"]), ["/tmp"])

    def test_it_has_no_other_mounts(self):
        mounts = {mount["Destination"]: mount["RW"] for mount in self.container["Mounts"]}
        self.assertEqual(mounts, self.mounts)

    def test_its_memory_is_limited(self):
        self.assertGreater(self.host["Memory"], 0)

    def test_its_processes_are_limited(self):
        self.assertGreater(self.host["PidsLimit"] or 0, 0)

    def test_it_is_restarted(self):
        self.assertEqual(self.host["RestartPolicy"]["Name"], "unless-stopped")


class Sandbox(Hardened, unittest.TestCase):
    service = "sandbox"
    user = "10002:10001"
    mounts = {"/run/belljar": True}

    def test_it_has_no_network(self):
        self.assertEqual(self.host["NetworkMode"], "none")
        self.assertEqual(list(self.container["NetworkSettings"]["Networks"] or ["none"]), ["none"])
        self.assertFalse(self.host["PortBindings"])

    def test_it_has_our_seccomp_profile(self):
        ours = json.loads((ROOT / "sandbox-image/seccomp/container.json").read_text())
        self.assertEqual(ours["defaultAction"], "SCMP_ACT_ERRNO")
        options = [option for option in self.host["SecurityOpt"] if option.startswith("seccomp")]
        self.assertEqual(len(options), 1)
        self.assertEqual(json.loads(options[0].removeprefix("seccomp=")), ours)

    def test_its_processors_are_limited(self):
        self.assertGreater(self.host["NanoCpus"], 0)

    def test_its_socket_is_on_a_tmpfs_and_open_to_both_users(self):
        name = self.container["Mounts"][0]["Name"]
        volume = json.loads(docker("volume", "inspect", name))[0]
        options = volume["Options"] or {}
        self.assertEqual(options.get("type"), "tmpfs")
        flags = options["o"].split(",")
        for flag in ("mode=0770", "uid=10001", "gid=10001", "size=64k"):
            self.assertIn(flag, flags)


class Server(Hardened, unittest.TestCase):
    service = "server"
    user = "10001:10001"
    mounts = {
        "/etc/belljar/belljar.toml": False,
        "/etc/belljar/scenarios": False,
        "/run/belljar": False,
        "/var/lib/belljar": True,
    }

    def test_it_is_reached_from_this_machine_only(self):
        bindings = [binding for port in self.host["PortBindings"].values() for binding in port]
        self.assertEqual([binding["HostIp"] for binding in bindings], ["127.0.0.1"])

    def test_it_has_the_default_seccomp_profile(self):
        self.assertFalse([o for o in self.host["SecurityOpt"] if "unconfined" in o])


class Networks(unittest.TestCase):
    def test_the_models_network_is_internal(self):
        network = json.loads(docker("network", "inspect", f"{PROJECT}_models"))[0]
        self.assertTrue(network["Internal"])


class Settings(unittest.TestCase):
    def test_each_is_documented_with_its_default(self):
        file = (ROOT / "docker-compose.yml").read_text()
        # Former names are passed on, but not documented.
        file = re.sub(r"# Former names[^\n]*\n(?: +\w+: \$\{\w+:-\}\n)+", "", file)
        uses = re.findall(r"\$\{(\w+):-([^}]*)\}", file)
        self.assertEqual(len(uses), file.count("${"), "each has a default")
        used = dict(uses)
        self.assertEqual(len(used), len(set(uses)), "with the same default everywhere")
        explained = (ROOT / ".env.example").read_text()
        self.assertEqual(dict(re.findall(r"^(\w+)=(.*)$", explained, re.M)), used)


if __name__ == "__main__":
    unittest.main()
