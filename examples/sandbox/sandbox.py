"""Runs code in a fresh cell, without a model: a file goes in, text, a picture and a file come out.

The standard library is all that a client needs.
"""

import base64
import json
import os
from pathlib import Path
from urllib.request import Request, urlopen


def run(code: str, files: dict[str, bytes] | None = None, timeout_s: float = 10) -> dict:
    """Outcome, output, pictures and files of a run. Code that fails is no exception: see `outcome` and `stderr`."""
    body = {
        "code": code,
        "files": [{"name": name, "data": base64.b64encode(data).decode()} for name, data in (files or {}).items()],
        "timeout_s": timeout_s,
    }
    url = os.environ.get("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:8080") + "/x/execute"
    with urlopen(Request(url, json.dumps(body).encode(), {"content-type": "application/json"})) as answer:
        return json.loads(answer.read())


if __name__ == "__main__":
    well = run(
        "import pandas as pd\n"
        "table = pd.read_csv('in.csv')\n"
        "print(table.x.sum())\n"
        "table.plot(); import matplotlib.pyplot as plt; plt.show()\n"
        "table.describe().to_csv('out.csv')",
        {"in.csv": b"x\n1\n2\n39\n"},
    )
    print(well["outcome"], well["stdout"].strip())
    Path("plot.png").write_bytes(base64.b64decode(well["images"][0]["data"]))
    print(base64.b64decode(well["files"][0]["data"]).decode().splitlines()[1])

    badly = run("open('/etc/shadow')")
    print(badly["outcome"], badly["stderr"].splitlines()[-1])

    slow = run("while True: pass", timeout_s=1)
    print(slow["outcome"])
