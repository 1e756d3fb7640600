"""Forged inputs and the readers that take them, for `tests/test_fuzz.py` and the benchmark `fuzz`.

A target takes bytes and either reads them or refuses them with one of the pack's errors; what it reads survives JSON.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

from hypothesis import strategies as st
from PIL import Image

from intelligence.errors import IntelligentGenerationError
from intelligence.generation.choice_requests import ChoiceBasis, parse_selection
from intelligence.generation.picture_graph import picture_graph
from intelligence.generation.picture_history import picture_of, picture_record
from intelligence.generation.stages import Generation
from intelligence.models import ModelKind
from intelligence.pictures.embedded_texts import save_options
from intelligence.prompt import PromptAnalyzer
from intelligence.registry.describe import describe
from intelligence.registry.previews import read_preview
from intelligence.registry.sidecars import JSON_FORMATS
from intelligence.registry.walk import FoundFile

FIXTURES = Path(__file__).parents[1] / "fixtures" / "v0.1.0"
ANALYZER = PromptAnalyzer()

Target = Callable[[bytes, Path], None]
"""Reads bytes; the folder is for files."""


def prompt(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "surrogateescape")
    analysis = ANALYZER.analyze(text, text[::-1])
    assert type(analysis).from_json(analysis.to_json()) == analysis


def selection(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "replace")
    parse_selection(text)
    ChoiceBasis.from_text(text)


def safetensors(data: bytes, folder: Path) -> None:
    _described(folder, {"x.safetensors": data})


def gguf(data: bytes, folder: Path) -> None:
    _described(folder, {"x.gguf": data}, ModelKind.CHECKPOINT)


def sidecars(data: bytes, folder: Path) -> None:
    """The first byte says of which program."""
    suffix = tuple(JSON_FORMATS)[data[0] % len(JSON_FORMATS)] if data else ".json"
    _described(folder, {"x.safetensors": LORA, f"x{suffix}": data[1:], "x.txt": data[1:200]})


def picture(data: bytes, folder: Path) -> None:
    """The first byte says of which kind the file calls itself."""
    path = folder / f"x{('.png', '.webp', '.jpg')[data[0] % 3 if data else 0]}"
    path.write_bytes(data[1:])
    record = picture_record(path)
    if record is not None:
        Generation.from_dict(record).to_json()
    info = picture_of(path, record)
    json.dumps([info.to_dict(), picture_graph(info)], allow_nan=False)


def picture_text(data: bytes, folder: Path) -> None:
    """Metadata of a sound picture: the first byte says under which name."""
    name = ("parameters", "prompt", "workflow", "intelligent_generation", "invokeai_metadata", "sui_image_params")
    text = data[1:].decode("utf-8", "replace").replace("\0", "")
    file = BytesIO()
    added, _ = save_options("PNG", {name[data[0] % len(name) if data else 0]: text}, ())
    Image.new("RGB", (1, 1)).save(file, "PNG", **added)
    picture(b"\0" + file.getvalue(), folder)


def preview(data: bytes, folder: Path) -> None:
    path = folder / "x.png"
    path.write_bytes(data)
    read_preview(_record(folder, path))


def _record(folder: Path, path: Path) -> object:
    from intelligence.models import ModelMetadata

    return ModelMetadata("lora:x", "x", local_path=str(folder / "x.safetensors"), preview_path=str(path))


def _described(folder: Path, files: dict[str, bytes], kind: ModelKind = ModelKind.LORA) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    model, *beside = files
    found = {name[1:]: str(folder / name) for name in beside}
    stamp = (len(files[model]), 0)
    file = FoundFile(f"{kind.value}:{model}", kind, str(folder), str(folder / model), stamp, found)
    record = describe(file)
    assert type(record).from_json(record.to_json()) == record


def _safetensors(names: Sequence[str], metadata: dict[str, str]) -> bytes:
    entries = {
        name: {"dtype": "F16", "shape": [4, 4], "data_offsets": [32 * place, 32 * (place + 1)]}
        for place, name in enumerate(names)
    }
    header = json.dumps({"__metadata__": metadata, **entries}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(32 * len(names))


LORA = _safetensors(
    [f"lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_{side}.weight" for side in ("down", "up")],
    {"ss_tag_frequency": '{"a": {"fern": 3}}', "modelspec.title": "Fern", "ss_network_dim": "4"},
)
CIVITAI = json.dumps(
    {"id": 71, "modelId": 7, "name": "v1", "baseModel": "Pony", "trainedWords": ["fern, coat"], "model": {"name": "F"}}
).encode()
A1111 = (
    b"a fox <lora:fern:0.8>\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 64x64"
)
OWN = json.dumps(json.loads((FIXTURES / "saved.png.json").read_text(encoding="utf-8"))).encode()
GRAPH = (FIXTURES / "Auto text to image (API).json").read_bytes()
SELECTION = b'{"loras": [{"lora": "fern", "strength": 0.8, "trigger_words": ["a"]}], "chosen_for": {"prompt": "x"}}'
PROMPTS = (
    b"(fern:1.2), [coat|robe], <lora:x:0.8>, a girl without hat, BREAK, embedding:y",
    "una niña sin sombrero".encode(),
)
GGUF = b"".join(
    (
        b"GGUF",
        struct.pack("<IQQ", 3, 1, 1),
        struct.pack("<Q20sI", 20, b"general.architecture", 8),
        struct.pack("<Q4s", 4, b"flux"),
        struct.pack("<Q6sIQQIQ", 6, b"x.bias", 2, 4, 4, 0, 0),
        bytes(96),
    )
)

TARGETS: dict[str, tuple[Target, tuple[bytes, ...]]] = {
    "prompt": (prompt, PROMPTS),
    "selection": (selection, (SELECTION, b"[]", b'["fern"]')),
    "safetensors": (safetensors, (LORA,)),
    "gguf": (gguf, (GGUF,)),
    "sidecars": (sidecars, tuple(bytes([number]) + CIVITAI for number in range(len(JSON_FORMATS)))),
    "picture": (
        picture,
        tuple(
            b"\0\1\2"[n : n + 1] + (FIXTURES / name).read_bytes()
            for n, name in enumerate(("saved.png", "saved.webp", "saved.jpg"))
        ),
    ),
    "picture_text": (picture_text, (b"\0" + A1111, b"\1" + GRAPH, b"\3" + OWN)),
    "preview": (preview, tuple((FIXTURES / name).read_bytes() for name in ("saved.png", "saved.webp", "saved.jpg"))),
}
"""Name → target, and sound inputs that are damaged."""

PIECES = (
    b"\0",
    b"\xff" * 8,
    b"{" * 3000,
    b"[" * 3000,
    b'"',
    b"\\ud800",
    b"1e999",
    b"NaN",
    b"-1",
    b"\x7f\xff\xff\xff",
    b"((((",
    b"9" * 400,
)


def inputs(name: str) -> st.SearchStrategy[bytes]:
    """Return damaged copies of a target's sound inputs, and noise."""
    _, sound = TARGETS[name]
    piece = st.one_of(st.sampled_from(PIECES), st.binary(max_size=40), st.sampled_from(sound).map(lambda one: one[:60]))
    edit = st.tuples(st.floats(0, 1), st.integers(0, 64), piece)
    damaged = st.builds(_damaged, st.sampled_from(sound), st.lists(edit, max_size=4))
    return st.one_of(damaged, damaged, damaged, st.binary(max_size=400))


def _damaged(sound: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for place, removed, added in edits:
        start = int(place * len(sound))
        sound = sound[:start] + added + sound[start + removed :]
    return sound


def read_or_refuse(name: str, data: bytes, folder: Path) -> bool:
    """Return True where the target took the bytes; any error but the pack's own goes up."""
    try:
        TARGETS[name][0](data, folder)
    except IntelligentGenerationError:
        return False
    return True
