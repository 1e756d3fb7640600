"""Bad input that comes with files, through the registry's public functions (the rows of the checklist, by number)."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from intelligence.errors import ModelNotFoundError, UnsupportedModelError
from intelligence.registry import ModelRegistry

Make = Callable[..., Path]

ENTRY = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'

HIDDEN = ENTRY.replace("data_offsets", "data_offset\\u0073")
NEXT = HIDDEN.replace("[0,4]", "[4,8]")


def framed(header: str | bytes, body: bytes = b"", length: int | None = None) -> bytes:
    text = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(text) if length is None else length) + text + body


BAD_FILES = {
    "7 pickle": (pickle.dumps({"a": 1}), "pickle"),
    "7 zipped pickle": (b"PK\x03\x04" + b"\0" * 60, "pickled"),
    "8 no header": (framed("{}", length=0), "header length 0"),
    "8 2^63": (framed("{}", b"\0" * 20, 2**63), "header length"),
    "8 past the end": (framed("{}", length=1000), "header length 1000"),
    "8 lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs"),
    "8 empty": (b"", "empty file"),
    "9 overlap": (framed(f'{{"a":{ENTRY},"b":{ENTRY}}}', b"\0" * 4), "corrupt"),
    "9 hole": (framed('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', b"\0" * 8), "corrupt"),
    "9 truncated": (framed(f'{{"a":{ENTRY}}}', b"\0"), "corrupt: cut off after 63 of 66 bytes; download it again"),
    "9 trailing": (framed(f'{{"a":{ENTRY}}}', b"\0" * 9), "corrupt"),
    "10 twice": (framed(f'{{"a":{ENTRY},"a":{ENTRY}}}', b"\0" * 4), "'a' appears twice"),
    "10 twice, hidden": (framed(f'{{"a":{ENTRY},"a":{HIDDEN}}}', b"\0" * 4), "appears twice"),
    "10 twice, made up for": (framed(f'{{"a":{ENTRY},"a":{ENTRY},"b":{NEXT}}}', b"\0" * 8), "appears twice"),
    "10 attribute": (framed(f'{{"a.__class__.b":{ENTRY}}}', b"\0" * 4), "Python attribute"),
    "11 nested": (framed(b'{"a":' * 200_000), "corrupt"),
}


@pytest.mark.parametrize("content, reason", BAD_FILES.values(), ids=BAD_FILES)
def test_scan_lists_a_bad_file_with_its_reason(
    registry: ModelRegistry, model: Make, tmp_path: Path, content: bytes, reason: str
) -> None:
    root = tmp_path / "loras"
    model(root / "sound.safetensors")
    (root / "bad.safetensors").write_bytes(content)
    problems = registry.scan([root]).problems
    assert list(problems) == [str(root / "bad.safetensors")]
    assert reason in problems[str(root / "bad.safetensors")]
    assert "bad.safetensors" not in problems[str(root / "bad.safetensors")]
    assert [item.name for item in registry.list_models()] == ["sound"]
    assert registry.status().errors == problems


def test_11_scan_reads_no_header_of_90_mb(registry: ModelRegistry, tmp_path: Path) -> None:
    path = tmp_path / "loras" / "huge.safetensors"
    path.parent.mkdir()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 90_000_000) + b'{"a":')
        file.truncate(90_000_100)
    registry.list_models()
    tracemalloc.start()
    problems = registry.scan([path.parent]).problems
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "90 MB" in problems[str(path)]
    assert peak < 2_000_000


SIDECARS = {
    "11 nested": b'{"description":' * 200_000,
    "11 large": b'{"description": "' + b"x" * 5_000_000 + b'"}',
    "12 surrogate": b'{"name": "\\ud800", "description": "\\udfff a", "trainedWords": ["\\ud800 b"]}',
    "12 numbers": json.dumps(
        {"id": 2**70, "modelId": -(2**70), "settings": {"strength": float("nan"), "minStrength": float("inf")}}
    ).encode(),
    "12 NUL": b'{"trainedWords": ["a\\u0000b"], "model": {"name": "\\u0000", "tags": ["a\\u0000"]}}',
}


@pytest.mark.parametrize("content", SIDECARS.values(), ids=SIDECARS)
@pytest.mark.parametrize("suffix", [".civitai.info", ".metadata.json", ".json", ".cm-info.json", ".rgthree-info.json"])
def test_scan_with_a_bad_sidecar(
    registry: ModelRegistry, model: Make, tmp_path: Path, suffix: str, content: bytes
) -> None:
    path = model(tmp_path / "loras" / "a.safetensors")
    path.with_suffix(suffix).write_bytes(content)
    assert registry.scan([path.parent]).problems == {}
    found = registry.get_model("a")
    assert registry.list_models() == [found]
    assert (found.strength, found.strength_range, found.source_id) == (None, None, None)
    found.to_json().encode()
    assert registry.search("a") == [found]


@pytest.mark.parametrize("name", ["../a", "..\\a", "/etc/passwd", "%2e%2e/a", "a\0", "sub/../a.safetensors", ""])
def test_1_get_model_never_takes_a_name_for_a_path(
    registry: ModelRegistry, model: Make, tmp_path: Path, name: str
) -> None:
    model(tmp_path / "a.safetensors")
    model(tmp_path / "loras" / "a.safetensors")
    registry.scan([tmp_path / "loras"])
    for ask in (registry.get_model, registry.preview, registry.verify):
        with pytest.raises(ModelNotFoundError):
            ask(name)


def test_2_scan_skips_a_sidecar_that_links_out_of_the_folder(
    registry: ModelRegistry, model: Make, tmp_path: Path
) -> None:
    path = model(tmp_path / "loras" / "a.safetensors")
    secret = tmp_path / "secret.txt"
    secret.write_text("secret words")
    path.with_suffix(".txt").symlink_to(secret)
    path.with_suffix(".json").symlink_to(tmp_path / "nowhere")
    problems = registry.scan([path.parent]).problems
    assert "link out of" in problems[str(path.with_suffix(".txt"))]
    assert str(path.with_suffix(".json")) in problems
    assert registry.get_model("a").description == ""


def picture(form: str, size: tuple[int, int] = (8, 8), **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("form, kind", [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_14_preview_type_by_content(registry: ModelRegistry, model: Make, tmp_path: Path, form: str, kind: str) -> None:
    path = model(tmp_path / "loras" / "a.safetensors")
    path.with_suffix(".preview.png").write_bytes(picture(form))
    registry.scan([path.parent])
    found = registry.preview("a")
    assert found is not None
    assert (found.data, found.content_type) == (picture(form), kind)


def bomb() -> bytes:
    """A PNG that says it holds 60,000 × 60,000 pixels."""
    sound = picture("PNG")
    head = struct.pack(">II", 60_000, 60_000) + sound[24:29]
    chunk = b"IHDR" + head
    return sound[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + sound[33:]


def text_bomb() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "x" * 200_000_000, zip=True)
    return picture("PNG", pnginfo=info)


NO_PICTURES = {
    "14 svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "not a PNG"),
    "14 html": (lambda: b"<!DOCTYPE html><script>alert(1)</script>", "not a PNG"),
    "15 gif": (lambda: picture("GIF"), "not a PNG"),
    "15 tiff": (lambda: picture("TIFF"), "not a PNG"),
    "15 bomb": (bomb, "unpacks to far more|too large"),
    "15 large": (lambda: picture("PNG", (8000, 8000)), "too large"),
    "15 text bomb": (text_bomb, "broken picture"),
    "15 cut off": (lambda: picture("PNG")[:40], "broken picture|not a PNG"),
    "empty": (lambda: b"", "not a PNG"),
}


@pytest.mark.parametrize("content, reason", NO_PICTURES.values(), ids=NO_PICTURES)
@pytest.mark.parametrize("inside", [False, True], ids=["beside", "inside"])
def test_preview_refuses_other_content(
    registry: ModelRegistry, model: Make, tmp_path: Path, content: Callable[[], bytes], reason: str, inside: bool
) -> None:
    import base64

    data = content()
    thumbnail = "data:image/png;base64," + base64.b64encode(data).decode()
    path = model(tmp_path / "loras" / "a.safetensors", metadata={"modelspec.thumbnail": thumbnail} if inside else None)
    if not inside:
        path.with_suffix(".preview.png").write_bytes(data)
    registry.scan([path.parent])
    with pytest.raises(UnsupportedModelError, match=reason):
        registry.preview("a")


def test_preview_by_thumbnail_in_the_header(registry: ModelRegistry, model: Make, tmp_path: Path) -> None:
    import base64

    thumbnail = "data:image/jpeg;base64," + base64.b64encode(picture("JPEG")).decode()
    model(tmp_path / "loras" / "a.safetensors", metadata={"modelspec.thumbnail": thumbnail})
    model(tmp_path / "loras" / "b.safetensors")
    model(tmp_path / "loras" / "c.safetensors", metadata={"modelspec.thumbnail": "data:image/png;base64,???"})
    (tmp_path / "loras" / "b.svg").write_text("<svg/>")
    registry.scan([tmp_path / "loras"])
    found = registry.preview("a")
    assert found is not None
    assert found.content_type == "image/jpeg"
    assert registry.preview("b") is None
    with pytest.raises(UnsupportedModelError, match="not base64"):
        registry.preview("c")


@pytest.mark.parametrize(
    "text", ["%", "_", '"', "'", "a OR b", "NEAR(a b)", "words:a", "a*", "^a", "-a", "(", "{a}", "\\"]
)
def test_19_search_takes_any_text(registry: ModelRegistry, model: Make, tmp_path: Path, text: str) -> None:
    model(tmp_path / "loras" / "plain.safetensors")
    registry.scan([tmp_path / "loras"])
    assert registry.search(text) == []
    assert registry.search(base_model=text) == registry.search(source=text) == registry.search(tags=[text]) == []
    assert [item.name for item in registry.search("plain")] == ["plain"]
