"""Twelve pictures of the benchmark `metadata_readers`, by every reader that is here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from intelligence.pictures.embedded_texts import read_texts
from tests.benchmarks.metadata_readers import FORMATS, READERS, Case, cases, present, wrong

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Case]]:
    made = list(cases(tmp_path_factory.mktemp("pictures"), every=16))
    assert len(made) == 12 and {case.path.suffix for case in made} == {*FORMATS}
    yield made


@pytest.mark.parametrize("reader", READERS)
def test_reader_agrees_with_the_plan(pictures: list[Case], reader: str) -> None:
    if not present(reader):
        pytest.skip(f"{reader} is not installed")
    if reader == "sd_prompt_reader":
        pictures = [case for case in pictures if not swapped_is_no_utf16(case)]
        assert len(pictures) == 11
    assert {case.path.name: wrong(case, reader) for case in pictures} == {case.path.name: [] for case in pictures}


def swapped_is_no_utf16(case: Case) -> bool:
    """sd-prompt-reader 1.3.5 gives up on EXIF that is no UTF-16 in the wrong byte order, A1111's own too."""
    if case.path.suffix == ".png":
        return False
    try:
        read_texts(case.path)["parameters"].encode("utf-16-be").decode("utf-16-le")
    except UnicodeDecodeError:
        return True
    return False
