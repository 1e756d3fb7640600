from __future__ import annotations

import copy
import json
import os
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from intelligence.errors import InvalidInputError, ModelNotFoundError, StorageError
from intelligence.models import Architecture, Family, LoRAKind, ModelKind, ModelMetadata, ModelSummary, TriggerSet
from intelligence.registry import ModelRegistry
from intelligence.registry.listing import Listing
from intelligence.registry.model_rows import summary_of
from intelligence.registry.schema import MIGRATIONS

Make = Callable[..., Path]


@pytest.fixture
def loras(tmp_path: Path, model: Make) -> Path:
    """Four LoRAs, one of them with sidecars, and what must never be offered."""
    root = tmp_path / "loras"
    model(root / "plain.safetensors")
    model(root / "sub" / "Fern_v2.safetensors", metadata={"modelspec.trigger_phrase": "fern", "ss_network_alpha": "8"})
    (root / "sub" / "Fern_v2.civitai.info").write_text(
        json.dumps(
            {
                "id": 2,
                "modelId": 1,
                "baseModel": "Pony",
                "trainedWords": ["fern, coat"],
                "model": {"name": "Fern", "tags": ["character"]},
            }
        )
    )
    (root / "sub" / "Fern_v2.preview.png").write_bytes(b"png")
    model(root / "100%_real.safetensors", metadata={"modelspec.tags": "style, watercolor"})
    model(
        root / "old.safetensors",
        {"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight": (4, 768)},
    )
    (root / "evil.pt").write_bytes(pickle.dumps({"a": 1}))
    (root / "evil.safetensors").write_bytes(pickle.dumps({"a": 1}))
    (root / "note.md").write_text("nothing")
    return root


def test_scan_finds_everything_at_first(registry: ModelRegistry, loras: Path) -> None:
    steps: list[tuple[int, int]] = []
    report = registry.scan([loras], lambda done, total: steps.append((done, total)))
    assert (report.added, report.changed, report.removed, report.unchanged) == (6, 0, 0, 0)
    assert steps == [(number, 6) for number in range(1, 7)]
    assert {Path(path).name for path in report.problems} == {"evil.pt", "evil.safetensors"}
    assert "never opened" in report.problems[str(loras / "evil.pt")]
    assert [item.name for item in registry.list_models(ModelKind.LORA)] == ["100%_real", "Fern_v2", "old", "plain"]
    assert len(registry.list_models(with_problems=True)) == 6


def test_scan_joins_header_and_sidecars(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    fern = registry.get_model("sub/Fern_v2.safetensors")
    assert fern.model_id == "lora:sub/Fern_v2.safetensors"
    assert (fern.architecture, fern.family, fern.lora_kind) == (Architecture.SDXL, Family.PONY, LoRAKind.CHARACTER)
    assert (fern.lora_type, fern.rank, fern.alpha, fern.base_model, fern.title) == ("lora", 4, 8, "Pony", "Fern")
    assert [item.words for item in fern.trigger_sets] == [("fern", "coat"), ("fern",)]
    assert fern.preview_path == str(loras / "sub" / "Fern_v2.preview.png")
    assert fern.findings["family"].source.startswith("civitai")
    assert registry.get_model("plain").alpha == 2
    assert registry.get_model("old").architecture is Architecture.SD1


@pytest.mark.parametrize(
    "name", ["lora:sub/Fern_v2.safetensors", "sub\\Fern_v2.safetensors", "sub/Fern_v2", "Fern_v2", "fern_V2"]
)
def test_get_model_by_names(registry: ModelRegistry, loras: Path, name: str) -> None:
    registry.scan([loras])
    assert registry.get_model(name).name == "Fern_v2"


def test_get_model_suggests_similar_names(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    with pytest.raises(ModelNotFoundError, match="similar: Fern_v2"):
        registry.get_model("Fern_v3")


def test_scan_reads_only_changed_files(registry: ModelRegistry, loras: Path, model: Make) -> None:
    registry.scan([loras])
    revision = registry.revision
    report = registry.scan([loras])
    assert (report.added, report.changed, report.removed, report.unchanged) == (0, 0, 0, 6)
    assert len(report.problems) == 2
    assert registry.revision == revision

    (loras / "plain.json").write_text('{"activation text": "plain jane"}')
    os.utime(loras / "old.safetensors", ns=(1, 1))
    (loras / "100%_real.safetensors").unlink()
    model(loras / "new.safetensors")
    report = registry.scan([loras])
    assert (report.added, report.changed, report.removed, report.unchanged) == (1, 2, 1, 3)
    assert registry.revision > revision
    assert registry.get_model("plain").trigger_sets == (TriggerSet(("plain jane",), "user notes (.json)"),)
    assert "100%_real" not in [item.name for item in registry.list_models()]


def test_scan_that_raises_keeps_files_read(registry: ModelRegistry, loras: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        registry.scan([loras], stop)
    assert len(registry.list_models(with_problems=True)) == 5
    report = registry.scan([loras])
    assert (report.added, report.unchanged) == (1, 5)


def test_cancelled_scan_is_resumed(registry: ModelRegistry, loras: Path) -> None:
    seen: list[int] = []
    report = registry.scan([loras], lambda done, total: seen.append(done), cancelled=lambda: len(seen) == 2)
    assert (report.added, report.cancelled) == (2, True)
    assert len(registry.list_models(with_problems=True)) == 2
    report = registry.scan([loras])
    assert (report.added, report.unchanged, report.cancelled) == (4, 2, False)


def test_scan_lists_files_while_it_runs(registry: ModelRegistry, loras: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intelligence.registry.scan.BATCH_SECONDS", 0)
    listed, states = [], []

    def look(done: int, total: int) -> None:
        listed.append(len(registry.list_models(with_problems=True)))
        states.append(registry.status())

    registry.scan([loras], look)
    assert listed == [0, 1, 2, 3, 4, 5]
    assert [(state.scanning, state.done, state.total) for state in states] == [(True, done, 6) for done in range(1, 7)]
    after = registry.status()
    assert (after.scanning, after.done, after.total, after.revision) == (False, 0, 0, registry.revision)
    assert after.counts == {"checkpoint": 0, "lora": 4, "vae": 0, "embedding": 0, "upscaler": 0}
    assert (after.with_problems, after.absent, after.unhashed) == (2, 0, 4)
    assert {Path(path).name for path in after.errors} == {"evil.pt", "evil.safetensors"}
    (loras / "plain.safetensors").unlink()
    registry.scan([loras])
    assert (registry.status().counts["lora"], registry.status().absent) == (3, 1)


def test_newer_describe_version_reads_files_again(
    registry: ModelRegistry, loras: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.scan([loras])
    for module in ("scan", "row_writes"):
        monkeypatch.setattr(f"intelligence.registry.{module}.DESCRIBE_VERSION", 1_000)
    assert registry.scan([loras]).changed == 6
    assert registry.scan([loras]).unchanged == 6


def test_list_models_gives_whole_records(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    listed = next(item for item in registry.list_models() if item.name == "Fern_v2")
    whole = registry.get_model("Fern_v2")
    assert type(whole) is ModelMetadata
    assert listed == whole
    assert whole == listed
    assert listed != registry.get_model("plain")
    assert listed.to_dict() == whole.to_dict()
    assert ModelMetadata.from_json(listed.to_json()) == whole
    assert replace(listed, strength=2.0) == replace(whole, strength=2.0)
    assert pickle.loads(pickle.dumps(listed)) == copy.deepcopy(listed) == whole


def test_read_models_keeps_order(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    summaries = registry.summaries(with_problems=True)
    assert list(registry.read_models(summaries)) == registry.list_models(with_problems=True)
    (plain,) = (item for item in summaries if item.name == "plain")
    registry.delete_model(plain.model_id)
    (left,) = registry.read_models([plain])
    assert (left.architecture, left.rank, left.tags) == (Architecture.SDXL, None, {})


def test_summary_version_differs_only_for_changed_records(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    before = {item.model_id: item.version for item in registry.summaries()}
    registry.update_model("lora:plain.safetensors", description="a description")
    after = {item.model_id: item.version for item in registry.summaries()}
    assert {model_id for model_id in after if after[model_id] != before[model_id]} == {"lora:plain.safetensors"}


def test_database_of_first_version_is_migrated(registry: ModelRegistry, loras: Path, tmp_path: Path) -> None:
    registry.scan([loras])
    record = replace(registry.get_model("Fern_v2"), model_id="lora:old.safetensors", name="old", description="ancient")
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as db:
        db.executescript(MIGRATIONS[0])
        db.execute(
            """INSERT INTO models (model_id, kind, name, source, base, tags, words, usable, present, local_path, record,
               edits) VALUES (?, 'lora', 'old', 'local', '|pony|', '|character|', 'old ancient', 1, 1, ?, ?, ?)""",
            (record.model_id, record.local_path, record.to_json(), '{"strength": 0.3}'),
        )
        db.execute("PRAGMA user_version = 1")
    db.close()
    old = ModelRegistry(path)
    assert old.get_model("old") == record
    assert old.search("ancient", tags=["character"], base_model="Pony") == old.list_models() == [record]
    assert (old.scan([loras]).added, old.get_model("old").description) == (5, "")
    assert old.get_model("old").strength == 0.3


def test_scan_does_not_read_a_returned_file_again(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    loras.rename(loras.with_name("unplugged"))
    report = registry.scan([loras])
    assert (report.removed, report.problems[str(loras)]) == (6, "no such folder")
    assert registry.list_models() == []
    loras.with_name("unplugged").rename(loras)
    steps: list[int] = []
    report = registry.scan([loras], lambda done, total: steps.append(done))
    assert (report.added, steps) == (6, [])
    assert len(registry.list_models()) == 4


def test_scan_follows_links_and_ends_loops(registry: ModelRegistry, tmp_path: Path, model: Make) -> None:
    root = tmp_path / "loras"
    model(root / "a" / "in.safetensors")
    outside = model(tmp_path / "outside" / "out.sft")
    (root / "file_out.safetensors").symlink_to(outside)
    (root / "folder_out").symlink_to(outside.parent)
    (tmp_path / "outside" / "back").symlink_to(root / "folder_out")
    (root / "a" / "loop").symlink_to(root)
    (root / "above").symlink_to(tmp_path)
    (root / "self.safetensors").symlink_to(root / "self.safetensors")
    (root / "alias.safetensors").symlink_to(root / "a" / "in.safetensors")
    report = registry.scan([root])
    assert {item.model_id for item in registry.list_models()} == {
        "lora:a/in.safetensors",
        "lora:above/outside/out.sft",
        "lora:alias.safetensors",
        "lora:file_out.safetensors",
        "lora:folder_out/out.sft",
    }
    reasons = {str(Path(path).relative_to(root)): reason for path, reason in report.problems.items()}
    assert all("link back" in reasons.pop(loop) for loop in ("a/loop", "folder_out/back", "above/loras"))
    assert all("self.safetensors" in path or "link back" in reason for path, reason in reasons.items())
    assert registry.scan([root]).unchanged == 5


def test_scan_of_folders_that_all_link_to_each_other_ends(registry: ModelRegistry, tmp_path: Path, model: Make) -> None:
    root = tmp_path / "loras"
    names = [f"f{number}" for number in range(12)]
    for name in names:
        model(root / name / f"{name}.safetensors")
    for name in names:
        for other in names:
            if other != name:
                (root / name / other).symlink_to(root / other)
    registry.scan([root])
    ids = {item.model_id for item in registry.list_models()}
    assert {f"lora:{name}/{name}.safetensors" for name in names} <= ids


def test_scan_reads_sidecars_where_a_link_leads(registry: ModelRegistry, tmp_path: Path, model: Make) -> None:
    shared = model(tmp_path / "shared" / "fern.safetensors")
    shared.with_suffix(".json").write_text('{"activation text": "fern girl"}')
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / "mine.safetensors").symlink_to(shared)
    (tmp_path / "loras" / "mine.txt").write_text("strength: 0.6")
    registry.scan([tmp_path / "loras"])
    found = registry.get_model("mine")
    assert (found.trigger_sets[0].words, found.strength) == (("fern girl",), 0.6)


def test_scan_first_of_two_roots_wins(registry: ModelRegistry, tmp_path: Path, model: Make) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    model(one / "same.safetensors", metadata={"modelspec.title": "one"})
    model(two / "same.safetensors", metadata={"modelspec.title": "two"})
    model(two / "other.safetensors")
    assert registry.scan([one, two]).added == 2
    assert registry.get_model("same").title == "one"
    assert registry.scan([one]).removed == 0
    assert registry.get_model("other").name == "other"
    assert registry.scan([two]).changed == 1
    assert registry.get_model("same").title == "two"


def test_scan_folders_by_kind(registry: ModelRegistry, tmp_path: Path, model: Make) -> None:
    key = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
    model(tmp_path / "checkpoints" / "noobai.safetensors", {key: (64, 2048), "v_pred": (0,)})
    model(tmp_path / "loras" / "noobai.safetensors")
    model(tmp_path / "loras" / "whole.safetensors", {key: (64, 2048)})
    report = registry.scan({"checkpoint": [tmp_path / "checkpoints"], ModelKind.LORA: [tmp_path / "loras"]})
    assert list(report.problems.values()) == ["holds no LoRA weights"]
    assert registry.get_model("noobai").kind is ModelKind.LORA
    checkpoint = registry.get_model("checkpoint:noobai.safetensors")
    assert (checkpoint.family, checkpoint.findings["prediction"].value) == (Family.NOOBAI_VPRED, "v_prediction")


@pytest.mark.parametrize("folders", ["loras", Path("loras"), {"LoRA!": []}, {"lora": "loras"}])
def test_scan_refuses_folders(registry: ModelRegistry, folders: object) -> None:
    with pytest.raises(InvalidInputError):
        registry.scan(folders)  # type: ignore[arg-type]


def test_scan_lists_a_name_that_is_no_utf8_as_problem(registry: ModelRegistry, tmp_path: Path, model: Make) -> None:
    root = tmp_path / "loras"
    path = model(root / "a.safetensors")
    try:
        path.rename(root / os.fsdecode(b"b\xff.safetensors"))
    except OSError:
        pytest.skip("this file system takes valid names only")
    assert "not valid UTF-8" in next(iter(registry.scan([root]).problems.values()))


@pytest.mark.parametrize(
    "query, expected",
    [
        ({"text": "fern coat"}, ["Fern_v2"]),
        ({"text": "FERN"}, ["Fern_v2"]),
        ({"text": "100%_"}, ["100%_real"]),
        ({"text": "%"}, ["100%_real"]),
        ({"text": "'; DROP TABLE models; --"}, []),
        ({"text": '" OR 1=1'}, []),
        ({"text": "\ud800\0"}, []),
        ({"tags": ["Watercolor"]}, ["100%_real"]),
        ({"tags": ["water"]}, []),
        ({"tags": ["style", "watercolor"]}, ["100%_real"]),
        ({"base_model": "pony"}, ["Fern_v2"]),
        ({"base_model": "sd1"}, ["old"]),
        ({"base_model": "%"}, []),
        ({"kind": ModelKind.VAE}, []),
        ({"source": "civitai"}, []),
        ({"limit": 1}, ["100%_real"]),
        ({}, ["100%_real", "Fern_v2", "old", "plain"]),
    ],
)
def test_search(registry: ModelRegistry, loras: Path, query: dict[str, object], expected: list[str]) -> None:
    registry.scan([loras])
    assert [item.name for item in registry.search(**query)] == expected  # type: ignore[arg-type]
    assert len(registry.list_models(with_problems=True)) == 6


@pytest.mark.parametrize("query", [{"sort": "name; DROP TABLE models"}, {"limit": 0}])
def test_search_refuses(registry: ModelRegistry, query: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        registry.search(**query)  # type: ignore[arg-type]


def test_register_update_delete(registry: ModelRegistry) -> None:
    start = registry.revision
    registry.register_model(ModelMetadata(model_id="lora:a.safetensors", name="a"))
    assert registry.update_model("lora:a.safetensors", family="pony", strength=0.5).family is Family.PONY
    assert registry.get_model("a").strength == 0.5
    registry.delete_model("lora:a.safetensors")
    assert registry.revision == start + 3
    assert registry.list_models() == []
    with pytest.raises(ModelNotFoundError):
        registry.delete_model("lora:a.safetensors")
    with pytest.raises(ModelNotFoundError):
        registry.update_model("lora:a.safetensors", family="pony")


@pytest.mark.parametrize("changes", [{"schema": 2}, {"no_such": 1}, {"strength": "strong"}, {"family": "cats"}])
def test_update_refuses(registry: ModelRegistry, changes: dict[str, object]) -> None:
    registry.register_model(ModelMetadata(model_id="lora:a.safetensors", name="a"))
    with pytest.raises(InvalidInputError):
        registry.update_model("lora:a.safetensors", **changes)
    assert registry.get_model("a") == ModelMetadata(model_id="lora:a.safetensors", name="a")


def test_scan_keeps_the_users_changes(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    registry.update_model("lora:plain.safetensors", family=Family.ILLUSTRIOUS)
    assert registry.scan([loras]).unchanged == 6
    os.utime(loras / "plain.safetensors", ns=(1, 1))
    assert registry.scan([loras]).changed == 1
    assert registry.get_model("plain").family is Family.ILLUSTRIOUS


def test_delete_model_leaves_the_file_for_the_next_scan(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    registry.delete_model("lora:plain.safetensors")
    assert (loras / "plain.safetensors").exists()
    assert registry.scan([loras]).added == 1


def test_summaries_are_cached_per_revision(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    first, again = registry.summaries(), registry.summaries()
    assert all(one is other for one, other in zip(first, again, strict=True))
    other = ModelRegistry(registry.store.path)
    other.register_model(ModelMetadata(model_id="lora:z.safetensors", name="z"))
    assert registry.get_model("z").name == "z"


def test_scan_changes_no_file_of_the_library(registry: ModelRegistry, loras: Path) -> None:
    def tree() -> list[tuple[str, int, int]]:
        return sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in loras.rglob("*"))

    before = tree()
    registry.scan([loras])
    assert tree() == before


def test_library_is_read_into_memory_where_its_database_cannot_be_used(
    tmp_path: Path, model: Callable[..., Path]
) -> None:
    (tmp_path / "file").write_text("")
    model(tmp_path / "loras" / "fern.safetensors")
    registry = ModelRegistry(tmp_path / "file" / "registry.db")
    registry.scan([tmp_path / "loras"])
    assert [one.name for one in registry.list_models()] == ["fern"]
    assert "INTELLIGENT_GENERATION_HOME" in str(registry.store.database.problem)


def test_damaged_database_is_set_aside(tmp_path: Path, model: Callable[..., Path]) -> None:
    path, content = tmp_path / "registry.db", b"no database at all, but long enough to be one" * 30
    path.write_bytes(content)
    model(tmp_path / "loras" / "fern.safetensors")
    registry = ModelRegistry(path)
    assert registry.list_models() == []
    registry.scan([tmp_path / "loras"])
    assert [one.name for one in registry.list_models()] == ["fern"]
    assert [each.read_bytes() for each in tmp_path.glob("registry.db.damaged-*")] == [content]


def test_newer_database_is_not_changed(tmp_path: Path, model: Callable[..., Path]) -> None:
    path = tmp_path / "registry.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    before = path.read_bytes()
    model(tmp_path / "loras" / "fern.safetensors")
    registry = ModelRegistry(path)
    registry.scan([tmp_path / "loras"])
    assert [one.name for one in registry.list_models()] == ["fern"]
    assert "newer version" in str(registry.store.database.problem)
    assert path.read_bytes() == before


def test_failed_migration_leaves_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from intelligence.registry import model_store

    path, before = tmp_path / "registry.db", len(model_store.MIGRATIONS)
    old = ModelRegistry(path)
    old.register_model(ModelMetadata(model_id="lora:a.safetensors", name="a"))
    old.close()
    monkeypatch.setattr(
        model_store, "MIGRATIONS", (*model_store.MIGRATIONS, "ALTER TABLE models ADD COLUMN extra TEXT; oops;")
    )
    with pytest.raises(StorageError):
        ModelRegistry(path).list_models()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (before,)
        assert "extra" not in [row[1] for row in db.execute("PRAGMA table_info(models)")]
    db.close()
    monkeypatch.setattr(
        model_store, "MIGRATIONS", (*model_store.MIGRATIONS[:before], "ALTER TABLE models ADD COLUMN extra TEXT;")
    )
    assert ModelRegistry(path).get_model("a").name == "a"
    with sqlite3.connect(f"{path}.v{before}.backup") as backup:
        assert backup.execute("SELECT name FROM models").fetchall() == [("a",)]
    backup.close()


def test_threads_share_one_registry(registry: ModelRegistry, loras: Path) -> None:
    def work(number: int) -> None:
        for step in range(5):
            registry.register_model(ModelMetadata(model_id=f"lora:{number}-{step}.safetensors", name="x"))
            registry.scan([loras])
            registry.list_models()
            registry.search("fern")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert len(registry.list_models()) == 4 + 20


def test_processes_share_one_database(tmp_path: Path) -> None:
    code = (
        "import sys; from intelligence import ModelMetadata, ModelRegistry\n"
        "registry = ModelRegistry(sys.argv[1])\n"
        "for step in range(10):\n"
        "    registry.register_model(ModelMetadata(model_id=f'lora:{sys.argv[2]}-{step}', name='x'))\n"
    )
    path = tmp_path / "registry.db"
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), str(number)]) for number in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    registry = ModelRegistry(path)
    assert len(registry.list_models()) == 30
    assert registry.revision == 30


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, threading, intelligence.registry\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'pydantic', 'httpx2', 'huggingface_hub', 'numpy', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)), threading.active_count())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[] 1"


def test_vanished_folder_is_left_out_at_once(registry: ModelRegistry, loras: Path, tmp_path: Path, model: Make) -> None:
    other = model(tmp_path / "other" / "stays.safetensors").parent
    registry.scan([loras, other])
    loras.rename(loras.with_name("unplugged"))
    registry.leave_out_vanished()
    assert [item.name for item in registry.list_models()] == ["stays"]
    revision = registry.revision
    registry.leave_out_vanished()
    assert registry.revision == revision
    loras.with_name("unplugged").rename(loras)
    assert registry.scan([loras, other]).added == 6


@pytest.mark.parametrize(
    "damage", ["{oops", '{"trigger_sets": 5}', '{"kind": "hologram"}', "[]", '{"findings": {"a": 1}}']
)
def test_damaged_row_breaks_no_list(registry: ModelRegistry, loras: Path, damage: str) -> None:
    registry.scan([loras])
    before = registry.list_models()
    registry.close()
    with sqlite3.connect(registry.store.path) as db:
        row = "(SELECT id FROM models WHERE name = 'plain')"
        db.execute(f"UPDATE details SET record = ?, edits = ? WHERE id = {row}", (damage, "{oops"))
    db.close()
    assert [item.name for item in registry.list_models()] == [item.name for item in before]
    assert [item.name for item in registry.search()] == ["100%_real", "Fern_v2", "old"]
    with pytest.raises(ModelNotFoundError):
        registry.get_model("plain")
    registry.hash_models()
    assert registry.scan([loras]).changed == 1
    assert registry.get_model("plain").architecture is Architecture.SDXL


def test_row_of_a_newer_version_breaks_no_list(registry: ModelRegistry, loras: Path) -> None:
    registry.scan([loras])
    registry.close()
    with sqlite3.connect(registry.store.path) as db:
        db.execute("UPDATE models SET architecture = 'sd9' WHERE name = 'plain'")
    db.close()
    assert [item.name for item in registry.list_models()] == ["100%_real", "Fern_v2", "old"]
    registry.scan([loras])
    assert registry.get_model("plain").architecture is Architecture.SDXL


def test_get_model_in_any_unicode_form(registry: ModelRegistry, tmp_path: Path, model: Make) -> None:
    model(tmp_path / "loras" / "Cafe\u0301.sft")
    registry.scan([tmp_path / "loras"])
    for name in ("Caf\u00e9", "caf\u00c9.sft", "lora:Cafe\u0301.sft"):
        assert registry.get_model(name).model_id == "lora:Cafe\u0301.sft"


SIMILAR = [("watercolr_v2", "watercolor_v2"), ("Wartercolour_v2", "watercolor_v2"), ("loras/inkk.safetensors", "ink")]


@pytest.mark.parametrize("asked, found", [*SIMILAR, ("qqqq", ""), ("", ""), ("\u00e9\n\ud800" * 900, "")])
def test_similar_names_among_many(asked: str, found: str) -> None:
    many = [from_columns(f"{word}_{number}") for word in ("sketch", "oil", "robot") for number in range(700)]
    listing = Listing(1, [*many, from_columns("watercolor_v2"), from_columns("ink")])
    names = listing.similar_names(asked)
    assert names[:1] == [found] if found else names == []


def from_columns(name: str) -> ModelSummary:
    columns = (f"lora:{name}.safetensors", name, "lora", "", "local", "sdxl", "sdxl", None, "style", *(None,) * 2)
    made = summary_of((*columns, "", 0, None, 1))
    assert made is not None
    return made
