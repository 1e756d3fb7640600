"""Tokens in names of pictures."""

from __future__ import annotations

from datetime import datetime

import pytest

from intelligence.pictures.name_tokens import filled

NOW = datetime(2026, 3, 7, 4, 5, 6)
VALUES = {"seed": 0, "model": "a/b:c", "loras": "x" * 300, "cfg": "../.."}


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
    ],
)
def test_filled(pattern: str, name: str) -> None:
    assert filled(pattern, VALUES, NOW) == name
