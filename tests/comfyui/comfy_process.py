"""Turns this process into ComfyUI's, without its server: for programs that ask its modules and the pack's host."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import launcher

ROOT = Path(__file__).resolve().parents[2]


def become_comfyui(checkout: str, home: str) -> None:
    """Import ComfyUI from `checkout` and this pack as `pack`, with its data in `home`; only once, before any import."""
    launcher.declare_torchvision_operators()
    launcher.stand_in_for_torchaudio()
    os.environ["INTELLIGENT_GENERATION_HOME"] = home
    sys.argv = ["main.py", "--cpu"]
    sys.path[:0] = [checkout]
    os.chdir(checkout)
    import comfy.options

    comfy.options.enable_args_parsing()
    import utils.extra_config  # noqa: F401  as main.py does: later another `utils` is found

    # As ComfyUI loads a pack: by its path, under a name of its own.
    spec = importlib.util.spec_from_file_location("pack", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec and spec.loader
    sys.modules["pack"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
