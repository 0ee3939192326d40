"""Makes replacements for the files that Google's tests send: with the same names and types, but without their
content.

stand_ins.py FOLDER_OF_TESTS
"""

import re
import sys
from pathlib import Path

from PIL import Image

tests = Path(sys.argv[1])
data = tests / "data"
data.mkdir(exist_ok=True)
named = {name for file in tests.rglob("*.py") for name in re.findall(r"[\w-]+\.(?:png|jpe?g|pdf|mp4|m4a|wav|txt|gif)\b", file.read_text())}
for name in named:
    if name.endswith(("png", "jpg", "jpeg", "gif")):
        Image.new("RGB", (64, 48), "teal").save(data / name)
    else:
        (data / name).write_bytes(b"A stand-in.\n")
