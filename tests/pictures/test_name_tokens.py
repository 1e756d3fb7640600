"""Tokens in names of pictures."""

from __future__ import annotations

from datetime import datetime

import pytest

from intelligence.pictures.name_tokens import filled

NOW = datetime(2026, 3, 7, 4, 5, 6)
VALUES = {"seed": 0, "model": "a/b:c", "loras": "x" * 300, "cfg": "../..", "none": "", "cjk": "狐" * 300}


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("plain", "plain"),
        ("sub/%seed%_%model%", "sub/0_a_b_c"),
        ("%date:yyyy-MM-dd%/%date:yy.M.d h-m-s%", "2026-03-07/26.3.7 4-5-6"),
        ("%date:hhmmss%", "040506"),
        ("%year%-%nobody%-100%", "%year%-%nobody%-100%"),
        ("%loras%", "x" * 80),
        ("%cfg%/x", "_/x"),
        ("%none%", "image"),
        ("%none%.png", "image.png"),
        ("%none%/x.png", "image/x.png"),
        ("..%none%/%none%..webp", "image/image.webp"),
        ("/out/../%none%.PNG", "/out/../image.PNG"),
        ("%none%-%seed%.png", "-0.png"),
    ],
)
def test_filled(pattern: str, name: str) -> None:
    assert filled(pattern, VALUES, NOW) == name


@pytest.mark.parametrize("pattern", ["%cjk%.png", "%cjk%-%cjk%_%seed%-3.png", f"%cjk%{'y' * 200}-1.webp"])
def test_filled_shortens_values_and_keeps_the_rest(pattern: str) -> None:
    name = filled(f"sub/%cjk%%cjk%/{pattern}", VALUES, NOW)
    _, folder, file = name.split("/")
    assert 200 < len(folder.encode()) < 255 and 200 < len(file.encode()) < 250
    assert file.startswith("狐") and file.endswith(pattern.replace("%seed%", "0").rpartition("%")[2])
    assert "\ufffd" not in name


def test_filled_leaves_names_without_tokens() -> None:
    assert filled(f"{'狐' * 90}/.png", VALUES, NOW) == f"{'狐' * 90}/.png"
