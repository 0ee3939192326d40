"""A Jupyter kernel that has imported everything, by way of its own client: neither fresh nor jailed."""

import json
import os
import sys
import time

from jupyter_client.manager import start_new_kernel

order = json.load(sys.stdin)
environment = dict(os.environ, PYTHONPATH=order["site_packages"])
environment.pop("MPLBACKEND")  # a kernel has one of its own
manager, client = start_new_kernel(env=environment, extra_arguments=["--log-level=ERROR"])


def once(code):
    began = time.perf_counter()
    asked = client.execute(code)
    while True:
        said = client.get_iopub_msg(timeout=120)
        if said["parent_header"].get("msg_id") != asked:
            continue
        if said["msg_type"] == "error":
            sys.exit("\n".join(said["content"]["traceback"]))
        if said["msg_type"] == "status" and said["content"]["execution_state"] == "idle":
            break
    while client.get_shell_msg(timeout=120)["parent_header"].get("msg_id") != asked:
        pass
    return time.perf_counter() - began


try:
    once(order["imports"])
    results = {}
    for task in order["tasks"]:
        times = [once(task["code"]) for _ in range(task["discarded"] + task["count"])]
        results[task["name"]] = times[task["discarded"]:]
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
json.dump(results, sys.stdout)
