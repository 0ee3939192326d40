"""A Jupyter kernel that has imported everything, through its own client: neither fresh nor isolated."""

import json
import os
import sys
import time

from jupyter_client.manager import start_new_kernel

order = json.load(sys.stdin)
environment = dict(os.environ, PYTHONPATH=order["site_packages"])
environment.pop("MPLBACKEND")  # the kernel sets its own backend
manager, client = start_new_kernel(env=environment, extra_arguments=["--log-level=ERROR"])


def once(code):
    began = time.perf_counter()
    asked = client.execute(code)
    while True:
        message = client.get_iopub_msg(timeout=120)
        if message["parent_header"].get("msg_id") != asked:
            continue
        if message["msg_type"] == "error":
            sys.exit("\n".join(message["content"]["traceback"]))
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
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
