"""A new session of PyPI's llm-sandbox for each piece of code, from its start to the result."""

import json
import sys
import time

from llm_sandbox import SandboxSession

image = sys.argv[1]
order = json.load(sys.stdin)


def once(code):
    began = time.perf_counter()
    # Skips the upgrade of pip in each new container, which needs the network.
    with SandboxSession(lang="python", image=image, keep_template=True, skip_environment_setup=True) as session:
        result = session.run(code)
        took = time.perf_counter() - began  # closing the session takes ten seconds, which are not counted
    if result.exit_code != 0:
        sys.exit(result.stderr)
    return took


results = {}
for task in order["tasks"]:
    times = [once(task["code"]) for _ in range(task["discarded"] + task["count"])]
    results[task["name"]] = times[task["discarded"]:]
json.dump(results, sys.stdout)
