"""Runs sandbox-image/install-libraries with a lock of small packages, from an index on this machine."""

import contextlib
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FONTS = "matplotlib/mpl-data/fonts/ttf"
# What the installer expects of the real ones: fonts, and packages with a marker for TensorFlow alone.
PACKAGES = {
    "setuptools": ["setuptools/__init__.py"],
    "matplotlib": [f"{FONTS}/DejaVu{name}.ttf" for name in ("Sans", "Sans-Bold", "Serif", "SansMono")],
    "noto-cjk-sans-otc": ["noto_cjk_sans_otc/NotoSansCJK-Regular.ttc"],
    "small": ["small.py"],
    "tensorflow": ["tensorflow/__init__.py"],
}


def wheel(name, files):
    """The file name and the bytes of a wheel."""
    distribution = f"{name.replace('-', '_')}-1.0"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        about = {
            "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        entries = {f"{distribution}.dist-info/{file}": text for file, text in about.items()}
        entries |= dict.fromkeys(files, "x = 1\n")
        record = "".join(f"{path},,\n" for path in [*entries, f"{distribution}.dist-info/RECORD"])
        for path, text in {**entries, f"{distribution}.dist-info/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return f"{distribution}-py3-none-any.whl", content.getvalue()


WHEELS = {name: wheel(name, files) for name, files in PACKAGES.items()}


class Index(BaseHTTPRequestHandler):
    """Counts the downloads. While `stuck` is set, the last package never comes."""

    downloads = Counter()
    stuck = threading.Event()
    waits = threading.Event()
    release = threading.Event()

    def do_GET(self):
        kind, name = self.path.strip("/").split("/")[:2]
        if kind == "simple":
            file, _ = WHEELS[name]
            return self.answer("text/html", f'<a href="/files/{file}">{file}</a>'.encode())
        name, content = next((name, content) for name, (file, content) in WHEELS.items() if file == name_of(self.path))
        self.downloads[name] += 1
        if name == "small" and self.stuck.is_set():
            self.waits.set()
            self.release.wait()
        return self.answer("application/octet-stream", content)

    def answer(self, kind, content):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        if kind != "text/html":
            self.send_header("cache-control", "max-age=365000000, immutable")
        self.end_headers()
        # The client of the download that never came is gone.
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(content)

    def log_message(self, *_):
        pass


def name_of(path):
    return path.rsplit("/", 1)[1]


def lock(wrong=None):
    text = ""
    for name in sorted(PACKAGES):
        digest = hashlib.sha256(WHEELS[name][1]).hexdigest()
        marker = " ; platform_machine == 'aarch64' or platform_machine == 'x86_64'" if name == "tensorflow" else ""
        text += f"{name}==1.0{marker} \\\n    --hash=sha256:{'0' * 64 if name == wrong else digest}\n    # via test\n"
    return text


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="install-") as scratch:
        check(Path(scratch), f"http://127.0.0.1:{server.server_port}/simple")


def check(scratch, index):
    script = scratch / "install-libraries"
    shutil.copy(ROOT / "sandbox-image/install-libraries", script)
    locked = scratch / "requirements.lock"
    # pip may have been told not to keep what it downloads.
    variables = {"PIP_INDEX_URL": index, "PIP_TRUSTED_HOST": "127.0.0.1", "PIP_NO_CACHE_DIR": "1", "PIP_CONFIG_FILE": os.devnull, "NO_PROXY": "*"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "BELLJAR_"))}
    environment = {**inherited, **variables, "BELLJAR_CACHE": str(scratch / "cache")}

    def start(*options):
        return subprocess.Popen(
            ["sh", script, *options], env=environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )

    def install(*options):
        process = start(*options)
        output, _ = process.communicate()
        return process.returncode, output

    def folder_of(*options):
        code, output = install(*options)
        assert code == 0, output
        return Path(output.splitlines()[-1])

    # A package with another content than the lock says.
    locked.write_text(lock(wrong="small"))
    code, output = install()
    assert code != 0 and "DO NOT MATCH THE HASHES" in output, output
    assert not list((scratch / "cache").glob("libraries-*")), "nothing of it stays"

    # Stopped during the last download, and started again.
    locked.write_text(lock())
    shutil.rmtree(scratch / "cache")
    Index.downloads.clear()
    Index.stuck.set()
    process = start("--without", "tensorflow")
    assert Index.waits.wait(120), "the last package was never requested"
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate()
    assert process.returncode != 0
    Index.stuck.clear()
    Index.release.set()
    reduced = folder_of("--without", "tensorflow")
    assert Index.downloads == {"setuptools": 1, "matplotlib": 1, "noto-cjk-sans-otc": 1, "small": 2}, Index.downloads
    packages = reduced / "site-packages"
    assert (packages / "small.py").is_file() and not (packages / "tensorflow").exists()
    assert (packages / FONTS / "../named/arial.ttf").is_file()
    assert not (scratch / "cache/downloads").exists(), "what was kept for the next attempt is removed"

    # TensorFlow is added to what is there; both folders are complete.
    Index.downloads.clear()
    whole = folder_of()
    assert whole != reduced and Index.downloads == {"tensorflow": 1, "setuptools": 1}, Index.downloads
    packages = whole / "site-packages"
    assert (packages / "small.py").samefile(reduced / "site-packages/small.py"), "links take no space"
    assert (packages / "tensorflow/__init__.py").is_file() and (packages / "tensorflow/__pycache__").is_dir()
    assert not (reduced / "site-packages/tensorflow").exists()

    # Nothing is fetched where a folder is complete.
    Index.downloads.clear()
    assert folder_of() == whole and folder_of("--without", "tensorflow") == whole
    assert not Index.downloads
    print("the installer passed", file=sys.stderr)


main()
