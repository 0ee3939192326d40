"""The medians of bars.json, on a logarithmic scale, ours and the peers'. Runs in a cell."""

import json

import matplotlib

matplotlib.rcParams["svg.hashsalt"] = "bench"  # makes the file reproducible
matplotlib.rcParams["svg.fonttype"] = "none"
import matplotlib.pyplot as plt

with open("bars.json") as file:
    bars = sorted(json.load(file), key=lambda bar: bar["ms"], reverse=True)
names = [bar["what"] for bar in bars]
times = [bar["ms"] for bar in bars]
colours = ["#2a78b5" if bar["ours"] else "#b0b0b0" for bar in bars]

figure, axes = plt.subplots(figsize=(10, 0.6 + 0.32 * len(bars)))
drawn = axes.barh(names, times, color=colours)
axes.bar_label(drawn, labels=[f" {ms:.3g}" for ms in times])
axes.set_xscale("log")
axes.set_xlim(right=max(times) * 3)
axes.set_xlabel("milliseconds, median; blue: fresh and jailed, grey: the others")
axes.spines[["top", "right"]].set_visible(False)
figure.savefig("bench.svg", metadata={"Date": None}, bbox_inches="tight")
