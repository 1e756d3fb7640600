"""Twelve pictures of the benchmark `metadata_readers`, by every reader that is here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from intelligence.pictures.embedded_texts import PARAMETERS, read_texts, save_options
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
    assert {case.path.name: wrong(case, reader) for case in pictures} == {case.path.name: [] for case in pictures}


MODEL_TAG = 0x0110
SETTINGS = "Steps: 20, Sampler: DPM++ 2M, CFG scale: 6.5, Seed: 7, Size: 64x96, Model: 竜.v2"


@pytest.mark.parametrize("suffix", [".webp", ".jpg"])
@pytest.mark.parametrize(("prompt", "repeated"), [("a red fox", False), ("竜と虎", True), ("Übergröße", True)])
def test_text_that_is_no_utf16_when_swapped_is_swarmuis_record_too(
    tmp_path: Path, suffix: str, prompt: str, repeated: bool
) -> None:
    text = f"{prompt}\nNegative prompt: blurry\n{SETTINGS if repeated else SETTINGS.replace('竜', 'dragon')}"
    path = tmp_path / f"picture{suffix}"
    options, left_out = save_options({".webp": "WEBP", ".jpg": "JPEG"}[suffix], {PARAMETERS: text}, ())
    Image.new("RGB", (8, 8)).save(path, **options)
    record = Image.open(path).getexif().get(MODEL_TAG)
    assert (record is not None, left_out) == (repeated, [])
    assert read_texts(path)[PARAMETERS] == text
    if record is not None:
        assert json.loads(record)["sui_image_params"] == {
            "prompt": prompt,
            "negativeprompt": "blurry",
            "model": "竜.v2",
            "comfyuisampler": "DPM++ 2M",
            "seed": 7,
            "steps": 20,
            "cfgscale": 6.5,
            "width": 64,
            "height": 96,
        }


def test_record_of_swarmui_gives_way_first_in_a_jpeg() -> None:
    texts = {PARAMETERS: f"{'Ü' * 12_000}\n{SETTINGS}", "prompt": "{}"}
    assert save_options("JPEG", texts, ("prompt",))[1] == ["sui_image_params"]
