"""Finds ComfyUI on this machine, and the Python that runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PACK = Path(__file__).resolve().parents[2]
NEEDED = ("aiohttp", "alembic", "av", "comfyui_frontend_package", "safetensors", "sqlalchemy", "torch", "torchsde")
"""Modules that tell an environment made for ComfyUI from any other."""


class Unavailable(Exception):
    """ComfyUI cannot be run here; the text is the reason a test is skipped."""


@dataclass(frozen=True)
class Installation:
    """A checkout of ComfyUI and the Python that can run it."""

    path: Path
    python: Path


def checkout() -> Path:
    """The ComfyUI to test against: COMFYUI_PATH, the one this pack lies in, or the one of comfy-cli."""
    if named := os.environ.get("COMFYUI_PATH"):
        return _checked(Path(named).expanduser(), "COMFYUI_PATH")
    for place in (PACK.parents[1], Path.home() / "comfy" / "ComfyUI"):
        if _is_checkout(place):
            return place
    raise Unavailable("no ComfyUI found: set COMFYUI_PATH to a checkout")


def old_checkout() -> Path:
    """The oldest supported ComfyUI: COMFYUI_OLD_PATH, or ~/comfy080/ComfyUI."""
    named = os.environ.get("COMFYUI_OLD_PATH", "~/comfy080/ComfyUI")
    return _checked(Path(named).expanduser(), "COMFYUI_OLD_PATH")


def newest_frontend() -> Path:
    """The static folder of the newest frontend tested: COMFYUI_FRONTEND_PATH, or the one that `make test` fetches."""
    named = os.environ.get("COMFYUI_FRONTEND_PATH")
    path = Path(named).expanduser() if named else PACK / ".venv" / "frontend" / "comfyui_frontend_package" / "static"
    if not (path / "index.html").is_file():
        raise Unavailable(f"no frontend in {path}: set COMFYUI_FRONTEND_PATH to the static folder of one")
    return path


def own_python(path: Path) -> Path | None:
    """The Python of COMFYUI_PYTHON, or of the checkout's own environment."""
    if named := os.environ.get("COMFYUI_PYTHON"):
        return Path(named).expanduser()
    names = ("bin/python", "Scripts/python.exe")
    found = (path / environment / name for environment in (".venv", "venv") for name in names)
    return next((python for python in found if python.is_file()), None)


def installation(path: Path) -> Installation:
    """The Python for a checkout: its own, else this one where ComfyUI's requirements are installed."""
    python = own_python(path) or Path(sys.executable)
    if missing := _missing(python):
        raise Unavailable(f"{python} cannot run ComfyUI: it lacks {', '.join(missing)} (see COMFYUI_PYTHON)")
    return Installation(path, python)


def _is_checkout(path: Path) -> bool:
    return (path / "main.py").is_file() and (path / "comfyui_version.py").is_file()


def _checked(path: Path, variable: str) -> Path:
    if not _is_checkout(path):
        raise Unavailable(f"{path} is no ComfyUI checkout: set {variable} to one")
    return path


def _missing(python: Path) -> list[str]:
    code = "import sys, importlib.util as u; print(*[m for m in sys.argv[1:] if u.find_spec(m) is None])"
    try:
        asked = subprocess.run([python, "-c", code, *NEEDED], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"{python} does not run: {error}") from error
    return asked.stdout.split()
