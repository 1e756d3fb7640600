"""Times as people say them."""

import pytest

from intelligence.units import format_duration


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
