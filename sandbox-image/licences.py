"""Prints the licence of each library in a folder of packages, from the library's metadata."""

import sys
from importlib.metadata import distributions


def licence(about):
    for name in ("License-Expression", "License"):
        text = (about.get(name) or "").strip()
        if text and "\n" not in text:  # some contain the whole licence text
            return text
    classifiers = about.get_all("Classifier") or []
    names = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License ::")]
    return ", ".join(names) or "see its own files"


for found in sorted(distributions(path=[sys.argv[1]]), key=lambda d: d.metadata["Name"].lower()):
    print(f"{found.metadata['Name']} {found.version}: {licence(found.metadata)}")
