"""Whether the console is quick with 10 000 interactions: crowd.py URL DATA_FOLDER

The server at URL keeps its data in this folder, and has no interaction yet.
"""

import json
import re
import sqlite3
import statistics
import sys
import time
import urllib.request

URL, DATA = sys.argv[1:]
HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}))
MANY = 10_000
#: A debug build on a busy machine; pages take some milliseconds otherwise.
MAX_SECONDS = 1.0


def get(path):
    began = time.perf_counter()
    with HTTP.open(URL + path, timeout=30) as answer:
        page = answer.read().decode()
    return page, time.perf_counter() - began


def quick(path):
    """The page, which comes quickly as a rule."""
    pages, times = zip(*(get(path) for _ in range(5)), strict=True)
    print(f"{path}: {1000 * statistics.median(times):.0f} ms, {len(pages[0])} bytes")
    assert statistics.median(times) < MAX_SECONDS, f"{path}: {times}"
    return pages[0]


request = urllib.request.Request(
    URL + "/v1beta/interactions",
    json.dumps({"model": "direct", "input": "print('the first of many')", "tools": [{"type": "code_execution"}]}).encode(),
    {"content-type": "application/json"},
)
with HTTP.open(request, timeout=60) as answer:
    first = json.load(answer)["id"]

database = sqlite3.connect(f"{DATA}/belljar.sqlite", timeout=30)
with database:
    columns = [row[1] for row in database.execute("PRAGMA table_info(interactions)")]
    others = ", ".join(name for name in columns if name not in ("number", "id"))
    numbers = f"WITH RECURSIVE more(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM more WHERE n < {MANY})"
    database.execute(
        f"{numbers} INSERT INTO interactions (number, id, {others}) SELECT n, id || n, {others} FROM more, interactions WHERE number = 1"
    )
    columns = ", ".join(row[1] for row in database.execute("PRAGMA table_info(events)") if row[1] != "interaction")
    database.execute(f"{numbers} INSERT INTO events (interaction, {columns}) SELECT n, {columns} FROM more, events WHERE interaction = 1")
database.close()

page = quick("/console")
assert page.count("<tr>") == 51, page.count("<tr>")
before = re.search(r'name="before" value="([0-9]+)"', page)[1]
assert before == str(MANY - 49), before
assert quick(f"/console?before={before}").count("<tr>") == 51
assert f"/interactions/{first}\"" in quick("/console?before=2")
assert quick("/console?q=FIRST+of&status=completed").count("<tr>") == 51
assert "No interaction matches." in quick("/console?q=nothing+has+this")
assert f"/interactions/{first}\"" in quick(f"/console?q={first}")
