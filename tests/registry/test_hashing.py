from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from intelligence.errors import InvalidInputError, ModelNotFoundError
from intelligence.models import ModelKind
from intelligence.registry import ModelRegistry
from intelligence.registry.hashing import CHUNK_BYTES, hash_file

Make = Callable[..., Path]


def told(path: Path) -> tuple[str, str]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return hashlib.sha256(data).hexdigest(), hashlib.sha256(data[8 + length :]).hexdigest()[:12]


@pytest.fixture
def loras(tmp_path: Path, model: Make) -> Path:
    root = tmp_path / "loras"
    for number in range(1, 4):
        model(root / f"m{number}.safetensors", {"a.lora_down.weight": (4, 100 * number)})
    return root


@pytest.mark.parametrize("columns", [0, 8, CHUNK_BYTES // 8, CHUNK_BYTES // 2 + 1])
def test_hash_file_gives_sha256_and_autov3(tmp_path: Path, model: Make, columns: int) -> None:
    path = model(tmp_path / "a.safetensors", {"a.lora_down.weight": (4, columns)}, {"note": "x" * (CHUNK_BYTES // 3)})
    assert hash_file(path) == told(path)


def test_hash_file_with_header_longer_than_a_chunk(tmp_path: Path, model: Make) -> None:
    path = model(tmp_path / "a.safetensors", metadata={"note": "x" * (2 * CHUNK_BYTES + 5)})
    assert hash_file(path) == told(path)


def test_hash_models_hashes_every_file_once(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    assert registry.status().unhashed == 3
    revision, steps = registry.revision, []
    report = registry.hash_models(lambda done, total: steps.append((done, total)))
    assert (report.hashed, report.remaining, report.problems, report.cancelled) == (3, 0, {}, False)
    assert report.bytes_read == sum(path.stat().st_size for path in loras.iterdir())
    assert steps == [(1, 3), (2, 3), (3, 3)]
    for path in loras.iterdir():
        found = registry.get_model(path.stem)
        assert (found.sha256, found.autov3) == told(path)
        assert found.autov2 == told(path)[0][:10]
    assert registry.revision == revision
    assert registry.hash_models().hashed == 0


def test_hash_models_skips_known_hashes(registry: ModelRegistry, loras: Path) -> None:
    (loras / "m1.sha256").write_text("ab" * 32)
    registry.scan([loras])
    assert registry.hash_models().hashed == 2
    assert registry.get_model("m1").sha256 == "ab" * 32
    wrong = registry.verify()
    assert list(wrong) == ["lora:m1.safetensors"]
    assert "SHA-256" in wrong["lora:m1.safetensors"]
    assert told(loras / "m1.safetensors")[0] in wrong["lora:m1.safetensors"]
    assert registry.verify("m2") == {}


def test_cancelled_hash_models_is_resumed(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    done: list[int] = []
    report = registry.hash_models(lambda number, _: done.append(number), cancelled=lambda: len(done) == 2)
    assert (report.hashed, report.remaining, report.cancelled) == (2, 1, True)
    report = registry.hash_models()
    assert (report.hashed, report.remaining, report.cancelled) == (1, 0, False)


def test_hash_models_hashes_a_changed_file_again(registry: ModelRegistry, loras: Path, model: Make) -> None:
    registry.scan([loras])
    registry.hash_models()
    os.utime(loras / "m2.safetensors", ns=(1, 1))
    model(loras / "m1.safetensors", {"a.lora_down.weight": (4, 7)})
    registry.scan([loras])
    assert registry.get_model("m1").sha256 is None
    assert registry.get_model("m2").sha256 == told(loras / "m2.safetensors")[0], "another date is no other file"
    assert registry.hash_models().hashed == 1
    assert registry.get_model("m1").sha256 == told(loras / "m1.safetensors")[0]


def test_hash_models_skips_a_file_changed_since_the_scan(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    os.utime(loras / "m1.safetensors", ns=(1, 1))
    (loras / "m2.safetensors").unlink()
    report = registry.hash_models()
    assert (report.hashed, report.remaining) == (1, 2)
    assert "changed" in report.problems[str(loras / "m1.safetensors")]
    assert "cannot be read" in report.problems[str(loras / "m2.safetensors")]


def test_hashes_survive_a_new_sidecar(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    registry.hash_models()
    (loras / "m1.json").write_text('{"activation text": "word"}')
    assert registry.scan([loras]).changed == 1
    assert registry.get_model("m1").sha256 == told(loras / "m1.safetensors")[0]


def test_hash_models_of_some_kinds(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    assert registry.hash_models(kinds=[ModelKind.CHECKPOINT]).hashed == 0


def test_hash_models_bounds_the_reading_rate(
    registry: ModelRegistry, loras: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.scan([loras])
    sizes = sorted(path.stat().st_size for path in loras.iterdir())
    slept: list[float] = []
    monkeypatch.setattr("intelligence.registry.hashing.time.sleep", slept.append)
    registry.hash_models(max_bytes_per_second=sizes[0] / 1000)
    assert slept == pytest.approx([1000 * size / sizes[0] for size in sizes], rel=0.02)


def test_verify_names_faults(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    registry.hash_models()
    assert registry.verify() == {}
    path = loras / "m1.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    (loras / "m2.safetensors").write_bytes(b"")
    (loras / "m3.safetensors").unlink()
    wrong = registry.verify()
    assert "AutoV3" in wrong["lora:m1.safetensors"]
    assert wrong["lora:m2.safetensors"].startswith("empty file")
    assert "cannot be read" in wrong["lora:m3.safetensors"]
    with pytest.raises(ModelNotFoundError):
        registry.verify("nobody")


@pytest.mark.parametrize("rate", [0, -1, float("nan"), "fast"])
def test_hash_models_refuses_rates(registry: ModelRegistry, rate: object) -> None:
    with pytest.raises(InvalidInputError):
        registry.hash_models(max_bytes_per_second=rate)  # type: ignore[arg-type]
