"""Runs a ComfyUI checkout's main.py where torchvision's or torchaudio's compiled parts do not load.

    python launcher.py CHECKOUT [ComfyUI's arguments …]

With a CPU-only torch from another build than torchvision's, `import torchvision` fails because the operators it
describes are missing, and torchaudio cannot load its library. Stable Diffusion models use neither, so the operators
are declared without a body and torchaudio is stood in for by empty modules. The checkout stays as it is.
"""

from __future__ import annotations

import importlib.machinery
import runpy
import sys
import types
from pathlib import Path

SCHEMAS = {"nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"}
SCHEMAS["qnms"] = SCHEMAS["nms"]

declared = None
"""Keeps the declarations alive: torch drops them together with the library object."""


def declare_torchvision_operators() -> None:
    """Declare torchvision's operators where its extension does not load."""
    global declared
    import torch

    try:
        import torchvision  # noqa: F401

        return
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in SCHEMAS.items():
        declared.define(name + schema)


def stand_in_for_torchaudio() -> None:
    """Put empty modules in torchaudio's place where it is absent or does not load."""
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        package = types.ModuleType("torchaudio")
        package.__path__ = []
        functional = types.ModuleType("torchaudio.functional")
        vars(package)["functional"] = functional
        for module in (package, functional):
            module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
            sys.modules[module.__name__] = module


if __name__ == "__main__":
    checkout = Path(sys.argv[1]).resolve()
    declare_torchvision_operators()
    stand_in_for_torchaudio()
    sys.path[0] = str(checkout)
    sys.argv = [str(checkout / "main.py"), *sys.argv[2:]]
    runpy.run_path(sys.argv[0], run_name="__main__")
