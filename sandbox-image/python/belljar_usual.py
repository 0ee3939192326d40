"""Runs some typical code: its imports, caches and compiled parts are then ready when a cell's own code
arrives, and `belljar_pages` observes which memory it writes to.
"""

import os
import sys

import belljar_display
import belljar_hidden
import runner

#: The module that is required, and the code. It must not start a thread, because forking a process with
#: threads is unsound, or warn, because some warnings are given only once.
USUAL = [
    (
        "sys",
        """
import collections, datetime, functools, itertools, json, math, os, random, re, statistics, time
print(1)
words = re.findall(r"\\w+", "the quick brown fox " * 50)
print(collections.Counter(words).most_common(3), sorted(set(words)), sum(map(len, words)))
print(json.dumps({"numbers": [math.sqrt(n) for n in range(100)]}, indent=1)[:50])
print(datetime.date(2024, 2, 29), statistics.mean(random.random() for _ in range(100)))
class Point:
    def __init__(self, x, y): self.x, self.y = x, y
    def __repr__(self): return f"Point({self.x:.2f}, {self.y!r})"
print([Point(n, str(n)) for n in range(5)])
with open("usual.txt", "w") as file: file.write("text\\n" * 100)
with open("usual.txt") as file: print(len(file.read()))
os.remove("usual.txt")
try: {}["key"]
except KeyError as error: print(repr(error))
def primes(n):
    sieve = [True] * n
    for i in range(2, int(n**0.5) + 1):
        if sieve[i]: sieve[i * i :: i] = [False] * len(range(i * i, n, i))
    return [i for i in range(2, n) if sieve[i]]
print(len(primes(50_000)))
""",
    ),
    ("sys", "def fail():\n    raise ValueError('usual')\nfail()\n"),
    (
        "numpy",
        """
import numpy as np
a = np.random.default_rng(1).normal(size=(100, 100))
print(a.mean(), a.std(axis=0)[:3], np.linalg.solve(a, a[0])[:3], (a @ a.T)[0, :3])
print(np.linspace(0, 1, 5), np.sort(a, axis=None)[:3], np.where(a > 0, a, 0).sum())
np.random.seed(1); print(np.random.rand(3), np.array([[1, 2], [3, 4]]))
""",
    ),
    (
        "pandas",
        """
import numpy as np, pandas as pd
frame = pd.DataFrame({"a": range(90), "b": np.arange(90) / 7, "c": list("xyz") * 30})
print(frame.describe(), frame.head(), frame.groupby("c").mean(), frame.dtypes, sep="\\n")
print(frame[frame.a > 5].sort_values("b", ascending=False).iloc[0])
""",
    ),
    (
        "matplotlib.figure",
        """
import matplotlib.pyplot as plt, numpy as np
x = np.linspace(0, 10, 200)
plt.figure(figsize=(8, 5))
plt.plot(x, np.sin(x), label="sine"); plt.scatter(x[::20], np.cos(x[::20]), label="cosine")
plt.title("Title"); plt.xlabel("x"); plt.ylabel("y"); plt.legend(); plt.grid(True); plt.tight_layout()
""",
    ),
    ("PIL.Image", "from PIL import Image\nprint(Image.new('RGB', (64, 64), 'red').resize((9, 9)))\n"),
]
#: Code of libraries that do start threads, for a temporary fork.
IN_A_FORK = [
    (
        "tensorflow",
        """
import tensorflow as tf
a = tf.constant([[1.0, 2.0], [3.0, 4.0]])
print(tf.matmul(a, a), tf.reduce_sum(a), (a + 1).numpy())
""",
    ),
]


def act_all() -> None:
    """Called in a temporary fork."""
    belljar_hidden.prepare()
    for module, code in USUAL + IN_A_FORK:
        act(module, code)


def act(module: str, code: str) -> None:
    """Runs the code and discards its output and figures."""
    if module not in sys.modules:
        return
    kept = [(stream, os.dup(stream)) for stream in (1, 2)]
    nowhere, home, send = os.open("/dev/null", os.O_WRONLY), os.getcwd(), belljar_display.send
    for stream, _ in kept:
        os.dup2(nowhere, stream)
    belljar_display.send = lambda picture: None
    os.chdir(os.environ["TMPDIR"])
    try:
        runner.run(code, runner.FILE, {"__name__": "__main__"})
        runner.finish()
    finally:
        os.chdir(home)
        belljar_display.send = send
        for stream, old in kept:
            os.dup2(old, stream)
            os.close(old)
        os.close(nowhere)
        close_fonts()


def close_fonts() -> None:
    """Clears Matplotlib's font cache. Otherwise each fork would do so after the fonts' files are closed,
    which causes warnings."""
    fonts = sys.modules.get("matplotlib.font_manager")
    if fonts is not None:
        fonts._get_font.cache_clear()
