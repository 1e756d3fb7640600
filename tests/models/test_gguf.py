"""Headers of GGUF files, sound and hostile."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intelligence.errors import UnsupportedModelError
from intelligence.memory import COMFYUI, MemoryManager, Resources
from intelligence.memory.model_files import read_model_file
from intelligence.models import Family, identify_family
from intelligence.models.architecture import identify_architecture
from intelligence.models.gguf import read_gguf_header
from intelligence.models.header_facts import evidence_of_file
from intelligence.models.headers import Header
from intelligence.models.kinds import ModelKind
from tests.models.published_files import PUBLISHED, checkpoint

Shapes = dict[str, tuple[int, ...]]
U32, I32, F32, BOOL, TEXT, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def array(kind: int, values: list[bytes]) -> bytes:
    return struct.pack("<IQ", kind, len(values)) + b"".join(values)


def gguf(shapes: Shapes, *entries: bytes, version: int = 3, tensors: int | None = None) -> bytes:
    """A file with these tensors, whose values are missing."""
    count = len(shapes) if tensors is None else tensors
    parts = [b"GGUF", struct.pack("<IQQ", version, count, len(entries)), *entries]
    for name, shape in shapes.items():
        sides = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        parts.append(text(name) + sides + struct.pack("<IQ", 2, 0))
    return b"".join(parts)


def read(folder: Path, data: bytes) -> Header:
    path = folder / "model.gguf"
    path.write_bytes(data)
    return read_gguf_header(path)


NAME = entry("general.architecture", TEXT, text("flux"))
ALL_KINDS = (
    entry("number", U32, struct.pack("<I", 7)),
    entry("share", F32, struct.pack("<f", 0.5)),
    entry("flag", BOOL, b"\1"),
    entry("large", U64, struct.pack("<Q", 2**40)),
    entry("words", ARRAY, array(TEXT, [text("one"), text("two")])),
    entry("scores", ARRAY, array(F32, [struct.pack("<f", 1.0)] * 100)),
)


def test_read_gguf_header_reads_texts_and_shapes(tmp_path: Path) -> None:
    title = entry("general.name", TEXT, text("Z-Image Turbo"))
    found = read(tmp_path, gguf({"a.weight": (6, 4), "b": (3,)}, NAME, *ALL_KINDS, title))
    assert found.shapes == {"a.weight": (6, 4), "b": (3,)}
    assert found.metadata == {
        "general.architecture": "flux",
        "general.name": "Z-Image Turbo",
        "modelspec.title": "Z-Image Turbo",
    }


@pytest.mark.parametrize(("stated", "shape"), [((2, 3, 4), (2, 3, 4)), ((2, 3), (6, 4)), ((-6, -4), (6, 4))])
def test_read_gguf_header_takes_the_shape_of_before(
    tmp_path: Path, stated: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    sides = array(I32, [struct.pack("<i", side) for side in stated])
    found = read(tmp_path, gguf({"a": (6, 4)}, entry("comfy.gguf.orig_shape.a", ARRAY, sides)))
    assert found.shapes == {"a": shape}


@pytest.mark.parametrize("name", PUBLISHED)
def test_identify_architecture_of_gguf(tmp_path: Path, name: str) -> None:
    model = PUBLISHED[name]
    titled = entry("general.name", TEXT, text(model.declared)) if model.declared else NAME
    found = identify_architecture(read(tmp_path, gguf(checkpoint(model, ""), titled)), ModelKind.CHECKPOINT)
    assert found.value == model.architecture, found


def test_family_of_gguf_is_read_in_its_own_name(tmp_path: Path) -> None:
    model = next(model for name, model in PUBLISHED.items() if model.architecture == "z_image")
    path = tmp_path / "q5.GGUF"
    path.write_bytes(gguf(checkpoint(model, ""), entry("general.name", TEXT, text("Z-Image Base"))))
    assert identify_family(evidence_of_file(path)).family is Family.Z_IMAGE


def write_with_the_package(path: Path, shapes: Shapes, architecture: str) -> int:
    """Write the file that the `gguf` package makes of these tensors in Q4_0, with holes in place of the values. Returns
    its size in bytes."""
    package = pytest.importorskip("gguf", reason="gguf is not installed")
    quantised = package.GGMLQuantizationType.Q4_0
    writer = package.GGUFWriter(path, architecture)
    writer.add_quantization_version(package.GGML_QUANT_VERSION)
    writer.add_file_type(package.LlamaFileType.MOSTLY_Q4_0)
    for name, shape in shapes.items():
        packed = package.quant_shape_to_byte_shape(shape, quantised)
        size = math.prod(packed)
        writer.add_tensor_info(name, packed, np.dtype(np.uint8), size, raw_dtype=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    size = path.stat().st_size + sum(math.prod(shape) for shape in shapes.values()) * 18 // 32
    os.truncate(path, size)
    return size


@pytest.mark.parametrize(("name", "architecture"), [("flux", "flux"), ("z_image", "lumina2"), ("wan_14b", "wan")])
def test_gguf_of_the_package_is_told_and_planned(tmp_path: Path, name: str, architecture: str) -> None:
    """As ComfyUI-GGUF's converter writes it: from the file to its family and a memory plan."""
    model, path = PUBLISHED[name], tmp_path / f"{name}-Q4_0.gguf"
    shapes = {key: shape for key, shape in checkpoint(model, "").items() if len(shape) > 1 and shape[-1] % 32 == 0}
    size = write_with_the_package(path, shapes, architecture)
    assert read_gguf_header(path).shapes == shapes
    assert evidence_of_file(path).architecture == model.architecture
    found = read_model_file(path)
    assert found is not None
    assert (found.numbers, found.weights_gb) == ("GGUF", size / 2**30)
    details = {"architecture": model.architecture, "host": COMFYUI, "weights_gb": {"unet": found.weights_gb}}
    plan = MemoryManager().plan(
        1024, 1024, resources=Resources("cuda", "Test", 12, 12, 64, 48, backend="cuda"), **details
    )
    assert plan.fits
    assert plan.predicted_peak_gb > 0


HOSTILE = {
    "another format": (b"GGML" + bytes(40), "does not begin"),
    "empty": (b"", "cut off"),
    "old version": (gguf({}, version=1), "version 1"),
    "big endian": (gguf({}, version=3 << 24), "version"),
    "tensors without end": (gguf({}, tensors=2**60), "tensors"),
    "missing tensors": (gguf({"a": (2,)}, tensors=2), "cut off"),
    "entries without end": (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "entries"),
    "text without end": (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63), "larger than"),
    "long text": (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**25), "cut off"),
    "array without end": (gguf({}, entry("a", ARRAY, struct.pack("<IQ", U64, 2**61))), "larger than"),
    "texts without end": (gguf({}, entry("a", ARRAY, struct.pack("<IQ", TEXT, 2**61))), "larger than"),
    "array of arrays": (gguf({}, entry("a", ARRAY, array(ARRAY, []))), "unknown type 9"),
    "unknown type": (gguf({}, entry("a", 99, b"")), "unknown type 99"),
    "many dimensions": (gguf({"a": (1,) * 9}), "9 dimensions"),
    "the same tensor twice": (gguf({"a": (2,)}, tensors=2) + gguf({"a": (2,)})[24:], "twice"),
    "no UTF-8": (gguf({}, entry("a", TEXT, struct.pack("<Q", 2) + b"\xff\xfe")), "utf-8"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_read_gguf_header_refuses(tmp_path: Path, case: str) -> None:
    data, reason = HOSTILE[case]
    with pytest.raises(UnsupportedModelError, match=f"^model.gguf: corrupt GGUF file: .*{reason}"):
        read(tmp_path, data)


def test_read_gguf_header_refuses_every_cut(tmp_path: Path) -> None:
    whole = gguf({"a.weight": (6, 4)}, NAME, *ALL_KINDS)
    for size in range(len(whole)):
        with pytest.raises(UnsupportedModelError):
            read(tmp_path, whole[:size])


@settings(max_examples=200, deadline=None)
@given(place=st.integers(4, 400), junk=st.binary(min_size=1, max_size=12))
def test_read_gguf_header_raises_nothing_else(tmp_path_factory: Any, place: int, junk: bytes) -> None:
    whole = gguf({"a.weight": (6, 4), "b.weight": (2, 2)}, NAME, *ALL_KINDS)
    damaged = whole[:place] + junk + whole[place + len(junk) :]
    try:
        found = read(tmp_path_factory.getbasetemp(), damaged)
    except UnsupportedModelError:
        return
    assert all(isinstance(side, int) for shape in found.shapes.values() for side in shape)


def test_read_gguf_header_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="cannot be read"):
        read_gguf_header(tmp_path / "none.gguf")
