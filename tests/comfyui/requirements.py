"""Prints what has to be installed here so that the ComfyUI found can be run by this Python.

    python -m tests.comfyui.requirements > file

One requirement a line; nothing when there is no ComfyUI, or when it has an environment of its own. torch and its
companions are left out: torch comes first, as the build that fits the machine, and torchvision is installed with
`--no-deps` in the release that fits torch. torchaudio is not needed (see launcher.py).
"""

from __future__ import annotations

import re

from .locate import Unavailable, checkout, own_python

LEFT_OUT = {"torch", "torchvision", "torchaudio"}


def requirements() -> list[str]:
    """Requirement lines of the ComfyUI found, without torch, torchvision and torchaudio."""
    try:
        path = checkout()
    except Unavailable:
        return []
    if own_python(path):
        return []
    lines = (line.split("#")[0].strip() for line in (path / "requirements.txt").read_text().splitlines())
    return [line for line in lines if line and re.split(r"[^\w.-]", line)[0].lower() not in LEFT_OUT]


if __name__ == "__main__":
    for line in requirements():
        print(line)
