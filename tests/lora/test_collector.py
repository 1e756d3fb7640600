"""Objects that the pack's tables give the garbage collector: each full collection holds up a server that walks them."""

from __future__ import annotations

import subprocess
import sys

MAX_OBJECTS = 45_000
"""Of vocabulary, networks, knowledge and code together; with an object for each of their entries, 125,000."""

PROGRAM = """
import gc
before = len(gc.get_objects())
from intelligence.lora.search.decision import knowledge
from intelligence.models.networks import match_network
from intelligence.prompt import PromptAnalyzer
PromptAnalyzer().analyze("an ottre in the rain")
match_network({"lora_unet_x": (4, 4)}, ["lora_unet_x"])
knowledge()
for _ in range(3):
    gc.collect()
print(len(gc.get_objects()) - before)
"""


def test_tables_are_few_objects() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < MAX_OBJECTS
