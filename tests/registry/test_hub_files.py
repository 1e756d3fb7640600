"""What comes from hubs in the registry: registered under the ids of a scan, freed again, never anything else."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intelligence.errors import HubError, InvalidInputError
from intelligence.hubs import CivitAI
from intelligence.models import Family
from intelligence.registry import ModelRegistry
from tests.tools.told_answers import assert_is_answer

from ..hub_server import Answer, Hub, ready

pytest.importorskip("httpx2", reason="the extra hubs is not installed")


def test_register_from_civitai(registry: ModelRegistry, hub: Hub, lora: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "loras"
    found = registry.register_from_civitai(7, folder=folder, base_url=ready(hub, lora))
    assert_is_answer("get", found.to_dict())
    assert (folder / "fern.safetensors").read_bytes() == lora
    assert [path.name for path in folder.iterdir()] == ["fern.safetensors"]
    assert (found.model_id, found.source, found.source_id) == ("lora:fern.safetensors", "civitai", "7:71")
    assert (found.family, found.rank, found.local_path) == (Family.ILLUSTRIOUS, 4, str(folder / "fern.safetensors"))
    assert registry.get_model("fern") == found
    assert registry.register_from_civitai(7, folder=folder, base_url=hub.url) == found
    assert [path for path, _ in hub.asked].count("/download/71") == 1


def test_scan_keeps_the_hubs_facts(registry: ModelRegistry, hub: Hub, lora: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "loras" / "mages"
    registry.register_from_civitai(7, folder=folder, base_url=ready(hub, lora))
    registry.scan([tmp_path / "loras"])
    os.utime(folder / "fern.safetensors", ns=(1, 1))
    registry.scan([tmp_path / "loras"])
    found = registry.get_model("mages/fern.safetensors")
    assert (found.source, found.family) == ("civitai", Family.ILLUSTRIOUS)


def test_failed_download_registers_nothing(registry: ModelRegistry, hub: Hub, lora: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "loras"
    with pytest.raises(HubError, match="SHA-256"):
        registry.register_from_civitai(7, folder=folder, base_url=ready(hub, lora, Answer(body=b"something else")))
    with pytest.raises(InvalidInputError, match="custom_nodes"):
        registry.register_from_civitai(7, folder=tmp_path / "custom_nodes" / "x", base_url=ready(hub, lora))
    assert list(folder.iterdir()) == []
    assert registry.list_models() == []


@pytest.mark.parametrize(
    "answer", [Answer(404), Answer(body=b"[" * 100_000), Answer(body=b"null"), Answer(302, headers={"Location": "/x"})]
)
def test_register_from_civitai_refuses_bad_records(
    registry: ModelRegistry, hub: Hub, tmp_path: Path, answer: Answer
) -> None:
    hub.says("/models/7", answer)
    with pytest.raises(HubError):
        registry.register_from_civitai(7, folder=tmp_path / "loras", base_url=hub.url)


@pytest.mark.parametrize("model_id", [0, -1, True, "7"])
def test_register_from_civitai_refuses_model_ids(registry: ModelRegistry, model_id: Any) -> None:
    with pytest.raises(InvalidInputError):
        registry.register_from_civitai(model_id)


@pytest.mark.parametrize(
    "reference, call",
    [
        ("civitai:7@71", ("register_from_civitai", 7, {"version": 71})),
        ("civitai.com/api/download/models/71", ("register_from_civitai", 7, {"version": 71})),
        ("owner/repo/a.safetensors", ("register_from_huggingface", "owner/repo", "a.safetensors", {})),
    ],
)
def test_register_from_reference(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch, reference: str, call: tuple[Any, ...]
) -> None:
    calls: list[tuple[Any, ...]] = []
    for name in ("register_from_civitai", "register_from_huggingface"):

        def record(*values: Any, name: str = name, version: int | None = None, **_: Any) -> None:
            calls.append((name, *values, {"version": version} if version else {}))

        monkeypatch.setattr(registry, name, record)
    monkeypatch.setattr(CivitAI, "version_model", lambda self, version: {71: 7}[version])
    registry.register_from_reference(reference)
    assert calls == [call]


def test_cleanup_cache_removes_only_downloads(
    registry: ModelRegistry, hub: Hub, lora: bytes, tmp_path: Path, model: Callable[..., Path]
) -> None:
    folder = tmp_path / "loras"
    mine = model(folder / "mine.safetensors")
    for name in ("a", "b", "c"):
        registry.register_from_civitai(7, folder=folder, base_url=ready(hub, lora, name=f"{name}.safetensors"))
    registry.scan([folder])
    registry.get_model("a")
    assert [Path(path).name for path in registry.cleanup_cache(keep_recent=1).removed] == [
        "b.safetensors",
        "c.safetensors",
    ]
    assert (folder / "b.safetensors").exists()
    (folder / "c.safetensors").write_bytes(mine.read_bytes() + b" ")
    report = registry.cleanup_cache(max_size_gb=len(lora) / 1024**3, dry_run=False)
    assert (report.removed, report.freed_bytes, report.kept) == ((str(folder / "b.safetensors"),), len(lora), 1)
    assert sorted(path.name for path in folder.iterdir()) == ["a.safetensors", "c.safetensors", "mine.safetensors"]
    assert [item.name for item in registry.list_models()] == ["a", "c", "mine"]
    assert registry.cleanup_cache(keep_recent=1, dry_run=False).removed == ()


@pytest.mark.parametrize("limits", [{"keep_recent": -1}, {"max_size_gb": -1}, {"max_size_gb": math.nan}])
def test_cleanup_cache_refuses(registry: ModelRegistry, limits: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        registry.cleanup_cache(**limits)
