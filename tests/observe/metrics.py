"""Reads /metrics with the strict parser of Prometheus' own client: metrics.py URL"""

import re
import sys
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1] + "/metrics", timeout=10) as answer:
    kind = answer.headers["content-type"]
    text = answer.read().decode()
assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8", kind

families = {family.name: family for family in text_string_to_metric_families(text)}
assert len(families) >= 40, sorted(families)
for name, family in families.items():
    assert re.fullmatch(r"(belljar|process)_[a-z_]+", name), name
    assert family.documentation, name
    assert family.samples, name
    assert not name.endswith("_total"), f"{name}: the parser adds the ending of counters"
    # Base units, and the unit at the end of the name.
    assert family.unit in ("", "seconds", "bytes"), f"{name}: {family.unit}"
    assert not family.unit or name.endswith(f"_{family.unit}"), f"{name}: {family.unit}"
    assert not re.search(r"_(ms|milliseconds|kib|mib|percent)\b", name), name
    for sample in family.samples:
        for label, value in sample.labels.items():
            assert re.fullmatch(r"[a-z]+", label), f"{name}: {label}"
            assert value and len(value) < 100, f"{name}: {label}={value}"
print(f"{len(families)} metrics, {sum(len(family.samples) for family in families.values())} series")
