"""The pictures that a user already has: read, counted, used, forgotten; nothing is changed where they lie."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from intelligence import InvalidInputError
from intelligence.config import HistorySettings
from intelligence.history import CheckpointUse, PairUse, PastPicture, PictureHistory
from intelligence.history.history_reading import ReadingPace
from intelligence.history.own_use import NamedModels, own_examples
from intelligence.history.past_pictures import Fate, Mark, marked
from intelligence.models import ExamplePrompt, ModelMetadata
from intelligence.pictures.picture_info import OWN_PROGRAM, UsedLoRA
from tests.benchmarks.history import hostile, texts, write

pytestmark = pytest.mark.unit

FOX = ModelMetadata("lora:animals/Fox.safetensors", "Fox")
SNOW = ModelMetadata("lora:snow.safetensors", "snow")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "output"
    made.mkdir()
    return made


@pytest.fixture
def history(tmp_path: Path) -> PictureHistory:
    return PictureHistory(tmp_path / "data" / "history.db")


def picture(path: Path, prompt: str = "a fox", kind: str = "a1111", seed: int = 1, age: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    loras = [("animals/Fox.safetensors" if kind == "comfyui" else "Fox", 0.7), ("snow", 0.4)]
    write(path, texts(kind, prompt, loras, seed, random.Random(0)), 1.7e9 - age)
    return path


@pytest.mark.parametrize("kind", ["comfyui", "a1111", "swarmui", "fooocus", "invokeai"])
def test_read_pictures_of_every_program(history: PictureHistory, folder: Path, kind: str) -> None:
    picture(folder / "one.png", kind=kind)
    history.switch(True, [folder])
    assert history.read().told == 1
    (found,) = history.pictures([FOX, SNOW])
    assert found.prompt == "a fox"
    assert {*found.loras} == {UsedLoRA(FOX.model_id, 0.7), UsedLoRA(SNOW.model_id, 0.4)}
    assert found.settings["seed"] == 1


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".PNG"])
def test_read_pictures_of_every_format(history: PictureHistory, folder: Path, suffix: str) -> None:
    picture(folder / f"one{suffix.lower()}").rename(folder / f"one{suffix}")
    history.switch(True, [folder])
    assert history.read().told == 1


def test_read_is_refused_and_nothing_is_used_until_switched_on(history: PictureHistory, folder: Path) -> None:
    picture(folder / "one.png")
    with pytest.raises(InvalidInputError, match="history on"):
        history.read([folder])
    assert not history.store.path.exists()
    assert (history.on, history.revision, history.pictures(), history.status().asked) == (False, 0, [], False)


def test_switched_off_keeps_what_was_read_and_uses_none_of_it(history: PictureHistory, folder: Path) -> None:
    picture(folder / "one.png")
    history.switch(True, [folder])
    history.read()
    history.switch(False)
    assert (history.revision, history.examples([FOX]), history.status().told) == (0, {}, 1)
    history.switch(True)
    assert list(history.examples([FOX])) == [FOX.model_id]


def test_configuration_counts_before_the_switch(tmp_path: Path, folder: Path) -> None:
    never = PictureHistory(tmp_path / "history.db", HistorySettings(read=False))
    with pytest.raises(InvalidInputError, match=r"config\.json"):
        never.switch(True)
    always = PictureHistory(tmp_path / "history.db", HistorySettings(read=True, folders=(str(folder),)))
    picture(folder / "one.png")
    assert always.read().told == 1
    assert always.status().asked


def test_switch_refuses_what_is_no_folder(history: PictureHistory, folder: Path) -> None:
    for bad in ("output", folder / "nowhere", picture(folder / "one.png")):
        with pytest.raises(InvalidInputError, match="no folder"):
            history.switch(True, [bad])
    assert not history.on


def test_read_again_reads_new_and_changed_pictures_alone(history: PictureHistory, folder: Path) -> None:
    picture(folder / "one.png")
    picture(folder / "two.png", seed=2, age=60)
    history.switch(True, [folder])
    assert history.read().read == 2
    assert (history.read().read, history.read().unchanged) == (0, 2)
    picture(folder / "two.png", prompt="a cat", seed=3, age=30)
    picture(folder / "sub" / "three.png", seed=4, age=90)
    assert history.read().read == 2
    assert [found.prompt for found in history.pictures()] == ["a fox", "a cat", "a fox"]


def test_read_leaves_the_folder_as_it_is(history: PictureHistory, folder: Path) -> None:
    picture(folder / "one.png")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*")}
    history.switch(True, [folder])
    history.read()
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*")} == before


def test_read_skips_hostile_pictures_with_a_count(history: PictureHistory, folder: Path) -> None:
    picture(folder / "good.png")
    for number in range(12):
        hostile(folder / f"bad{number}.png", random.Random(number))
    write(folder / "silent.png", {}, 1.7e9)
    deep = {"prompt": "[" * 100_000, "parameters": '{"sui_image_params": {"loras": {"a": 1}, "loraweights": 3}}'}
    write(folder / "deep.png", deep, 1.7e9)
    huge = {"parameters": "x" * 900_000 + "\nSteps: 20, Sampler: euler, Seed: 1" + ", a: b" * 9000}
    write(folder / "huge.png", huge, 1.7e9)
    (folder / "link.png").symlink_to(folder / "good.png")
    (folder / "loop").symlink_to(folder)
    history.switch(True, [folder])
    found = history.read()
    assert (found.read, found.told, found.skipped) == (16, 1, 12)
    assert (history.status().told, history.status().silent, history.status().skipped) == (1, 3, 12)


def test_cancelled_reading_goes_on_where_it_stopped(history: PictureHistory, folder: Path) -> None:
    for number in range(5):
        picture(folder / f"{number}.png", seed=number, age=number)
    history.switch(True, [folder])
    seen: list[int] = []
    stopped = history.read(on_progress=lambda done, _: seen.append(done), cancelled=lambda: len(seen) >= 2)
    assert (stopped.read, stopped.cancelled, history.status().read_at) == (2, True, None)
    assert (history.read().read, history.status().told) == (3, 5)


def test_moved_picture_keeps_its_record(history: PictureHistory, folder: Path) -> None:
    old = picture(folder / "one.png")
    history.switch(True, [folder])
    history.read()
    (folder / "Favourites").mkdir()
    old.rename(folder / "Favourites" / "best.png")
    report = history.read()
    assert (report.moved, report.read, report.gone) == (1, 0, 0)
    (found,) = history.pictures()
    assert (found.marks, found.signal) == ((Mark.FAVOURITE,), 1.0)


def test_removed_picture_speaks_only_where_another_try_stayed(history: PictureHistory, folder: Path) -> None:
    for number in range(3):
        picture(folder / f"{number}.png", seed=number, age=5000 * number)
    picture(folder / "alone.png", prompt="a cat", seed=9)
    history.switch(True, [folder])
    history.read()
    (folder / "1.png").unlink()
    (folder / "alone.png").unlink()
    assert history.read().gone == 2
    by_seed = {found.settings["seed"]: found for found in history.pictures()}
    assert by_seed[1].marks == (Mark.REMOVED,)
    assert by_seed[1].signal < 0
    assert (by_seed[9].fate, by_seed[9].marks) == (Fate.GONE, ())


def test_folder_that_cannot_be_read_keeps_its_pictures(history: PictureHistory, folder: Path) -> None:
    picture(folder / "one.png")
    history.switch(True, [folder])
    history.read()
    folder.rename(folder.with_name("away"))
    report = history.read()
    assert (report.gone, list(report.problems)) == (0, [str(folder)])
    assert [found.fate for found in history.pictures()] == [Fate.THERE]


def test_folder_that_is_no_longer_named_is_forgotten(history: PictureHistory, folder: Path) -> None:
    picture(folder / "a" / "one.png")
    picture(folder / "b" / "two.png", prompt="a cat")
    history.switch(True, [folder / "a", folder / "b"])
    history.read()
    history.switch(True, [folder / "b"])
    history.read()
    assert [found.prompt for found in history.pictures()] == ["a cat"]


def test_forget_leaves_no_word_behind(history: PictureHistory, folder: Path) -> None:
    picture(folder / "one.png", prompt="an unmistakable walrus")
    picture(folder / "two.png", prompt="a fox")
    history.switch(True, [folder])
    history.read()
    assert history.forget("an unmistakable walrus") == 1
    history.close()
    stored = b"".join(path.read_bytes() for path in history.store.path.parent.iterdir())
    assert b"walrus" not in stored
    assert b"a fox" in stored
    assert history.forget() == 1
    assert history.pictures() == []
    assert (folder / "one.png").exists()


def test_pictures_without_their_prompts(history: PictureHistory, folder: Path) -> None:
    picture(folder / "one.png", prompt="an unmistakable walrus")
    history.switch(True, [folder])
    history.read()
    history.read(pace=ReadingPace(keep_prompts=False))
    (found,) = history.pictures([FOX])
    assert (found.prompt, found.negative_prompt, found.loras[0]) == ("", "", UsedLoRA(FOX.model_id, 0.7))
    assert history.examples([FOX])[FOX.model_id][0].weight == 0.7
    history.read()
    assert history.pictures()[0].prompt == "an unmistakable walrus"


def test_damaged_store_counts_as_empty_and_is_made_anew(history: PictureHistory, folder: Path) -> None:
    picture(folder / "one.png")
    history.switch(True, [folder])
    history.read()
    history.close()
    history.store.path.write_bytes(b"no database at all" * 100)
    assert (history.on, history.revision, history.pictures()) == (False, 0, [])
    history.switch(True, [folder])
    assert history.read().told == 1


def test_two_processes_read_one_folder(history: PictureHistory, folder: Path) -> None:
    for number in range(3):
        picture(folder / f"{number}.png", seed=number, age=number)
    other = PictureHistory(history.store.path)
    history.switch(True, [folder])
    history.read()
    other.read()
    assert len(history.pictures()) == len(other.pictures()) == 3


def past(seed: int, made_at: float, path: str = "out/x.png", **changes: object) -> PastPicture:
    settings = {"seed": seed, "width": 512, "height": 512, **changes}
    return PastPicture(path, "A1111", "a fox", settings=settings, made_at=made_at, prompt_key="fox")


def test_marked_tries_with_other_seeds() -> None:
    tries = [past(1, 0), past(2, 60), past(3, 120), past(4, 90_000), past(4, 91_000, width=1024, height=1024)]
    found = [each.marks for each in marked(tries)]
    assert found == [(Mark.REROLLED,), (Mark.REROLLED,), (Mark.LAST,), (Mark.UPSCALED,), ()]


def test_marked_changed_settings_are_no_reroll() -> None:
    assert [each.marks for each in marked([past(1, 0), past(2, 60, cfg=4)])] == [(), ()]


@pytest.mark.parametrize(
    "name", ["Fox", "fox.safetensors", "animals/Fox.safetensors", "animals\\Fox", "old/name", "name"]
)
def test_named_models(name: str) -> None:
    models = NamedModels([FOX, SNOW], {"lora:old/name.safetensors": FOX.model_id})
    assert models.id_of(name) == FOX.model_id


def test_named_models_of_one_name() -> None:
    other = ModelMetadata("lora:other/fox.safetensors", "fox")
    models = NamedModels([FOX, other])
    assert (models.id_of("fox"), models.id_of("other/fox")) == (None, other.model_id)


def test_own_examples_without_removed_ones_and_the_packs_own() -> None:
    base = PastPicture("x.png", "A1111", "a fox", loras=(UsedLoRA("Fox", 0.7),), made_at=1.0)
    some = [
        base,
        replace(base, path="again.png", made_at=5.0),
        replace(base, prompt="liked", signal=1.0),
        replace(base, prompt="removed", marks=(Mark.REMOVED,)),
        replace(base, prompt="chosen by the pack", program=OWN_PROGRAM),
        replace(base, prompt="off", loras=(UsedLoRA("Fox", 0.0),)),
        replace(base, prompt="two", loras=(UsedLoRA("Fox", 0.5), UsedLoRA("unknown", 1.0))),
    ]
    assert own_examples(some, NamedModels([FOX]))[FOX.model_id] == (
        ExamplePrompt("liked", 0.7, False, own=True),
        ExamplePrompt("a fox", 0.7, False, own=True),
        ExamplePrompt("two", 0.5, True, own=True),
    )


def test_use(history: PictureHistory, folder: Path) -> None:
    for number in range(2):
        picture(folder / f"{number}.png", seed=number, age=number)
    history.switch(True, [folder])
    history.read()
    used = history.use([FOX])
    assert (used.loras, used.unknown_loras, used.pairs) == ({FOX.model_id: 2}, {"snow": 2}, ())
    settings = {"steps": 25, "cfg": 6.5, "width": 832, "height": 1216, "sampler": "DPM++ 2M", "size": "832x1216"}
    assert used.checkpoints == history.checkpoints() == (CheckpointUse("base", 2, settings),)
    assert history.use([FOX, SNOW]).pairs == (PairUse((FOX.model_id, SNOW.model_id), 2),)


def test_copied_database_of_another_machine_is_read(history: PictureHistory, folder: Path, tmp_path: Path) -> None:
    picture(folder / "one.png")
    history.switch(True, [folder])
    history.read()
    history.close()
    shutil.copy(history.store.path, tmp_path / "copy.db")
    assert len(PictureHistory(tmp_path / "copy.db").pictures()) == 1


def test_prompts_are_stored_once(history: PictureHistory, folder: Path) -> None:
    for number in range(4):
        picture(folder / f"{number}.png", seed=number, age=number)
    history.switch(True, [folder])
    history.read()
    history.close()
    with sqlite3.connect(history.store.path) as db:
        assert db.execute("SELECT count(*) FROM texts WHERE text = 'a fox'").fetchone() == (1,)


def test_date_before_1970(history: PictureHistory, folder: Path) -> None:
    os.utime(picture(folder / "one.png"), (-5, -5))
    history.switch(True, [folder])
    history.read()
    assert history.pictures()[0].made_at == -5
    assert json.dumps(history.pictures()[0].to_dict())
