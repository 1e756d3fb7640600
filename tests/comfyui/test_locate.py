"""Finding ComfyUI, and saying why there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from . import locate, requirements


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something that looks like a checkout, named by COMFYUI_PATH."""
    (tmp_path / "main.py").touch()
    (tmp_path / "comfyui_version.py").touch()
    (tmp_path / "requirements.txt").write_text(
        "torch\ntorchsde\ntorchvision\naiohttp>=3.11.8\n\n# more:\nkornia>=0.7.1\n"
    )
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    monkeypatch.delenv("COMFYUI_PYTHON", raising=False)
    return tmp_path


def test_checkout_prefers_named_path(checkout: Path) -> None:
    assert locate.checkout() == checkout


def test_checkout_names_wrong_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    with pytest.raises(locate.Unavailable, match=r"no ComfyUI checkout: set COMFYUI_PATH"):
        locate.checkout()


def test_own_python_prefers_the_checkouts(checkout: Path) -> None:
    assert locate.own_python(checkout) is None
    python = checkout / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    assert locate.own_python(checkout) == python


def test_installation_names_missing_modules(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate, "NEEDED", ("json", "no_such_module"))
    with pytest.raises(locate.Unavailable, match="lacks no_such_module"):
        locate.installation(checkout)


def test_requirements_leave_out_torch(checkout: Path) -> None:
    assert requirements.requirements() == ["torchsde", "aiohttp>=3.11.8", "kornia>=0.7.1"]


def test_requirements_are_empty_for_own_environment(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_PYTHON", sys.executable)
    assert requirements.requirements() == []
