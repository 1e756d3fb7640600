from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelligence.errors import UnsupportedModelError
from intelligence.models.headers import MAX_HEADER_BYTES, Header, read_header

ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
FOUR = b"\0" * 4


def framed(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def zipped(name: str) -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        archive.writestr(name, b"x")
    return file.getvalue()


def twice(key: str) -> bytes:
    entry = json.dumps(ENTRY)
    return f'{{"{key}":{entry},"{key}":{entry}}}'.encode()


BAD = {
    "empty": (b"", "empty file"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git-lfs pointer"),
    "pickle": (pickle.dumps({"a": 1}, protocol=2), "pickle"),
    "zipped pickle": (b"PK\x03\x04" + b"\0" * 60, "pickled PyTorch archive"),
    "html": (b"<!DOCTYPE html><html></html>", "web page"),
    "login page": (b"<html><head><title>Sign in</title></head></html>", "log in: set an API token"),
    "page with a mark": (
        b"\xef\xbb\xbf\n<!-- x --><html><title>Not Found</title>",
        "web page, not a model .'Not Found'",
    ),
    "unauthorized": (
        b'{"error":"Unauthorized","message":"The creator of this asset requires you to be logged in"}',
        "server's answer, not a model .'Unauthorized: The creator of this asset .* logged in'.; the hub wants you",
    ),
    "other answer": (b'{"detail": "Too many requests"}', "'Too many requests'.; the download has failed"),
    "plain answer": (b"Access denied", "a text, not a model .'Access denied'.; the hub wants you to log in"),
    "zip": (zipped("sub/fern.safetensors"), "a zip archive that holds sub/fern.safetensors"),
    "pickled zip": (zipped("archive/data.pkl"), "a pickled PyTorch archive"),
    "rar": (b"Rar!\x1a\x07\0" + b"\0" * 40, "compressed archive"),
    "gguf": (b"GGUF\x03\0\0\0" + b"\0" * 40, "rename it to .gguf"),
    "three bytes": (b"a\0c", "truncated"),
    "short text": (b"Not Found", "a text, not a model"),
    "page without a title": (b"<html><body><h1>\n403 Forbidden</h1></body></html>", "log in"),
    "length 0": (framed({}, length=0), "header length 0"),
    "length 2^63": (framed({}, b"\0" * 20, length=2**63), "header length"),
    "length past the end": (framed({}, length=1000), "header length 1000"),
    "overlap": (framed({"a": ENTRY, "b": ENTRY}, FOUR), "corrupt"),
    "hole": (framed({"a": {**ENTRY, "data_offsets": [4, 8]}}, FOUR * 2), "corrupt"),
    "truncated": (framed({"a": ENTRY}, b"\0"), "corrupt"),
    "trailing bytes": (framed({"a": ENTRY}, FOUR * 2), "corrupt"),
    "negative offset": (framed({"a": {**ENTRY, "data_offsets": [-4, 0]}}, FOUR), "corrupt"),
    "shape against size": (framed({"a": {**ENTRY, "shape": [9]}}, FOUR), "corrupt"),
    "duplicate key": (framed(twice("a"), FOUR), "'a' appears twice"),
    "dunder": (framed({"a.__class__.b": ENTRY}, FOUR), "names a Python attribute"),
    "deep": (framed(b'{"a":' * 200_000), "corrupt"),
    "metadata not text": (framed({"__metadata__": {"a": 1}}), "corrupt"),
    "not an object": (framed([]), "corrupt"),
    "not utf-8": (framed(b'{"\xff": 1}'), "corrupt"),
}


@pytest.mark.parametrize("content, reason", BAD.values(), ids=BAD)
def test_read_header_refuses_bad_files_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(UnsupportedModelError, match=reason) as caught:
        read_header(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("bad.safetensors: ")


def test_read_header_refuses_a_huge_header_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 90_000_000) + b'{"a":')
        file.truncate(90_000_100)
    tracemalloc.start()
    with pytest.raises(UnsupportedModelError, match="header of 90 MB"):
        read_header(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000 < MAX_HEADER_BYTES


def test_read_header_of_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(UnsupportedModelError, match="cannot be read"):
            read_header(path)


def test_read_header_of_a_sound_file(tmp_path: Path, model: Callable[..., Path]) -> None:
    path = model(tmp_path / "a.safetensors", {"x.alpha": (), "x.lora_down.weight": (4, 8)}, {"ss_network_dim": "4"})
    found = read_header(path)
    assert found == Header({"ss_network_dim": "4"}, {"x.alpha": (), "x.lora_down.weight": (4, 8)}, 2.0, found.digest)


def test_read_header_digest_is_of_the_content(tmp_path: Path, model: Callable[..., Path]) -> None:
    shapes = {"x.lora_down.weight": (64, 4096)}
    path = model(tmp_path / "a.safetensors", shapes)
    same = path.with_name("b.safetensors")
    same.write_bytes(path.read_bytes())
    os.utime(same, ns=(1, 1))
    digest = read_header(path).digest
    assert read_header(same).digest == digest
    for place in (-1, 8 + 200):
        other = bytearray(path.read_bytes())
        other[place] ^= 1
        same.write_bytes(other)
        assert read_header(same).digest != digest
    assert read_header(model(same, shapes, {"ss_network_dim": "4"})).digest != digest


@pytest.mark.parametrize(
    "dtype, data", [("BF16", b"\x00\x41"), ("F32", struct.pack("<f", 8)), ("F64", struct.pack("<d", 8))]
)
def test_read_header_alpha_of_every_type(tmp_path: Path, raw: Callable[..., Path], dtype: str, data: bytes) -> None:
    header = {"x.alpha": {"dtype": dtype, "shape": [], "data_offsets": [0, len(data)]}}
    assert read_header(raw(tmp_path / "a.safetensors", header, data)).alpha == 8


@given(content=st.binary(max_size=200), length=st.none() | st.integers(0, 300))
def test_read_header_reads_or_refuses_any_bytes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, length: int | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(content if length is None else struct.pack("<Q", length) + content)
    try:
        assert isinstance(read_header(path), Header)
    except UnsupportedModelError as error:
        assert "\n" not in str(error)
