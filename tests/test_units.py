"""Times and amounts of memory as people say them."""

import pytest

from intelligence.units import format_duration, format_memory


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.001, "0.001 s"),
        (0.434, "0.43 s"),
        (0.96, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (54.2, "54 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (2311, "38 min 31 s"),
        (3599.7, "1 h"),
        (8840, "2 h 27 min"),
    ],
)
def test_format_duration(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("gib", "digits", "text"),
    [
        (0.0, 1, "0 MiB"),
        (0.017, 1, "17 MiB"),
        (0.999, 2, "1023 MiB"),
        (1.0, 1, "1.0 GiB"),
        (3.58, 2, "3.58 GiB"),
        (24, 1, "24.0 GiB"),
    ],
)
def test_format_memory(gib: float, digits: int, text: str) -> None:
    assert format_memory(gib, digits) == text
