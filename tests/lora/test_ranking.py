"""The index of a library, what is kept of it, and the trained order."""

import random
from dataclasses import replace

import numpy as np
import pytest

from intelligence.lora import LoRARecommender
from intelligence.lora.lora_library import INDEX_FILE, MIN_KEPT_SIZE, Library
from intelligence.lora.search import building, ranker
from intelligence.lora.search.documents import EXAMPLES, read_document
from intelligence.lora.search.features import CONTEXT_FEATURES, FEATURES, context_features, features, postings_of
from intelligence.lora.search.index import arrays_of, load, save
from intelligence.lora.search.tokens import digest, prompt_query
from intelligence.models import Architecture, ExamplePrompt, ModelEvidence, TriggerSet
from intelligence.prompt import PromptAnalyzer
from intelligence.registry import ModelRegistry
from tests.lora import library as shelf
from tests.lora.library import lora

SDXL = ModelEvidence(name="some_sdxl.safetensors", architecture=Architecture.SDXL)
ANALYZER = PromptAnalyzer()


def syllables(number):
    """A word that no other number has."""
    return "".join(f"{'bdfgklmnpr'[int(digit)]}{'aeiou'[int(digit) % 5]}" for digit in f"{number:04d}")


def crowd(count):
    """LoRAs of subjects that differ, with everyday example prompts that do not."""
    rng = random.Random(count)
    everyday = ["1girl", "solo", "forest", "smile", "long hair", "dress", "castle", "night", "rain", "sword"]
    return [
        lora(
            f"{syllables(number)}_v{number % 3}",
            syllables(number),
            creator=f"maker {number % 7}",
            example_prompts=tuple(
                ExamplePrompt(", ".join(["masterpiece", syllables(number), *rng.sample(everyday, 5)])) for _ in range(3)
            ),
        )
        for number in range(count)
    ]


def ranked(models, prompt, base=SDXL, top_k=5):
    return [
        (item.lora_name, item.confidence_score)
        for item in LoRARecommender(shelf.Library(*models)).rank(ANALYZER.analyze(prompt), base, top_k)
    ]


@pytest.mark.parametrize("size", [5, 50, 700])
def test_rank_puts_subject_first_at_any_size(size):
    models = crowd(size)
    for number in range(0, size, max(1, size // 5)):
        (first, sure), *others = ranked(models, f"masterpiece, 1girl, {syllables(number)}, castle, night")
        assert first == models[number].name
        assert sure > 0.7 and all(confidence < 0.5 for _, confidence in others)


@pytest.mark.parametrize("size", [5, 50, 700])
def test_rank_is_unsure_where_nothing_fits(size):
    models = crowd(size)
    for prompt in ("masterpiece, 1girl, castle, night, rain", "a red bicycle leans on a wall", "zzz"):
        assert all(confidence < 0.5 for _, confidence in ranked(models, prompt))


@pytest.mark.parametrize(
    "name, prompt",
    [
        ("NiceNature_v2", "1girl, nicenature, smile"),
        ("nicenature", "1girl, nice nature, smile"),
        ("nice-nature", "1girl, NiceNature, smile"),
        ("Nice Nature", "1girl, nice_nature, (smile:1.2)"),
    ],
)
def test_rank_matches_names_however_spelled(name, prompt):
    (first, sure), *_ = ranked([*crowd(20), lora(name, "nicenature")], prompt)
    assert first == name and sure > 0.6


def test_features_discount_creators_usual_words():
    prompts = (ExamplePrompt("zorbl lighting, 1girl, smile"), ExamplePrompt("zorbl lighting, 1boy, night"))
    same = [lora(f"work_{n}", creator="one", example_prompts=prompts) for n in range(5)]
    single = lora("other", creator="two", example_prompts=prompts)
    index = ranker.build_index([*same, single])
    analysis = ANALYZER.analyze("zorbl lighting, 1girl")
    postings = index.match_query(prompt_query(analysis))
    everyone = np.arange(index.size)
    told = features(postings_of(postings, everyone))[:, FEATURES.index("creator_coverage")]
    assert told[5] > 2 * told[:5].max()


def said_beside(prompt, models, allowed=None):
    """LoRA → what the prompt says beside it, by name."""
    index = ranker.build_index(models)
    everyone = np.arange(index.size)
    postings = index.match_query(prompt_query(ANALYZER.analyze(prompt)))
    told = context_features(postings_of(postings, everyone), allowed)
    return {
        model.name: dict(zip(CONTEXT_FEATURES, row, strict=True))
        for model, row in zip(models, told.tolist(), strict=True)
    }


SISTERS = [lora("els", "elsira of zorbland"), lora("ann", "annika of zorbland"), lora("hat", "red hat")]


def test_context_features_of_related_loras():
    told = said_beside("1girl, annika of zorbland, smile", SISTERS)
    assert told["ann"]["left"] == told["ann"]["rarest_left"] == 0
    assert told["ann"]["called"] == told["ann"]["piece"] == 1
    assert told["els"]["left"] == pytest.approx(1 - told["els"]["called"], abs=1e-6)
    assert 0.2 < told["els"]["piece"] < 0.8, "annika stands in the very piece that calls her sister"
    assert told["els"]["rarest_left"] > 0.3
    assert told["els"]["piece_at"] == pytest.approx(np.log1p(1) / 3) and told["els"]["piece_share"] < 0.5
    assert told["hat"]["called"] == 0 and told["hat"]["left"] == told["hat"]["piece_share"] == 1


def test_context_features_count_allowed_loras_only():
    told = said_beside("annika of zorbland, red hat", SISTERS, np.array([True, False, False]))
    assert told["els"]["left"] == 0 and told["els"]["piece"] == 1


@pytest.mark.parametrize("prompt", ["zzz", ", ,", "…"])
def test_context_features_of_unknown_words_are_finite(prompt):
    assert all(np.isfinite(list(row.values())).all() for row in said_beside(prompt, SISTERS).values())


def test_match_query_uses_phrase_for_unknown_words():
    told = said_beside("1girl, Nice Nature", [lora("nicenature"), lora("other", "thing")])
    assert told["nicenature"]["piece"] == 1 and told["nicenature"]["left"] == 0


def test_documents_count_training_captions_as_examples():
    trained = lora("mystery", tags={"zorblax armor": 40, "1girl": 60, "forest": 3})
    (first, sure), *_ = ranked([*crowd(20), trained], "1girl, zorblax armor, night")
    assert first == "mystery" and sure > 0.5
    index = ranker.build_index([trained])
    (number,) = index.find(digest(["zorblaxarmor"]))
    assert 0.5 < index.posting_columns[index.starts[number], EXAMPLES] / 255 < 0.7


def test_rank_probabilities_never_rise():
    index = ranker.build_index(crowd(300))
    analysis = ANALYZER.analyze(f"masterpiece, {syllables(3)}, {syllables(8)}, castle, dress")
    found = ranker.rank(index.match_query(prompt_query(analysis)), analysis.tag_style)
    assert len(found.loras) == len(set(found.loras.tolist())) == ranker.SECOND_PASS
    assert (np.diff(found.probabilities) <= 0).all()
    assert (found.probabilities >= 0).all() and (found.probabilities <= 1).all()


def test_load_returns_saved_index(tmp_path):
    index = ranker.build_index(crowd(30))
    path = tmp_path / "index.npz"
    save(index, path, "mark")
    loaded = load(path, "mark")
    assert loaded is not None
    assert equal(loaded, index)
    assert load(path, "another") is None


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 not a zip", b"\x93NUMPY"])
def test_load_ignores_broken_or_missing_file(tmp_path, content):
    path = tmp_path / INDEX_FILE
    if content is not None:
        path.write_bytes(content)
    assert load(path, "mark") is None


def equal(one, other):
    arrays = arrays_of(other)
    return all(np.array_equal(value, arrays[name]) for name, value in arrays_of(one).items())


def test_library_keeps_large_index_and_reads_new_loras(tmp_path):
    models = crowd(MIN_KEPT_SIZE + 10)
    first = Library(models, tmp_path)
    written = (tmp_path / INDEX_FILE).read_bytes()
    assert equal(Library(models, tmp_path).index, first.index)
    renamed = [replace(models[0], trigger_sets=(TriggerSet(("another",), "test"),)), *models[1:]]
    for before in (None, first):
        changed = Library(renamed, tmp_path, before)
        assert changed.index.find(digest(["another"]))[0] >= 0
        assert equal(changed.index, Library(renamed).index)
    assert first.index.find(digest(["another"]))[0] < 0
    assert (tmp_path / INDEX_FILE).read_bytes() == written
    Library(models[10:], tmp_path)
    assert (tmp_path / INDEX_FILE).read_bytes() != written


def odd_edit(models, rng, number):
    """`models` with one of them added, removed, changed, moved or renamed."""
    place = rng.randrange(len(models))
    old = models[place]
    words = [word for item in old.trigger_sets for word in item.words]
    new = {
        "add": lora(f"new {number}", f"new{number}", *words, creator=old.creator),
        "change": replace(old, tags={"1girl": number, f"tag {number}": 3}, creator=rng.choice([None, "maker 1", "x"])),
        "forget": replace(old, example_prompts=(), trigger_sets=()),
        "move": replace(old, model_id=f"lora:folder {number}/{old.name}.safetensors"),
        "rename": replace(old, model_id=f"lora:{number}.safetensors", name=f"{syllables(number)} of {old.name}"),
        "remove": None,
    }
    edit = rng.choice(list(new))
    kept = models if edit == "add" else [*models[:place], *models[place + 1 :]]
    return [*kept, new[edit]] if new[edit] else kept


@pytest.mark.parametrize("seed", range(5))
def test_build_grown_index_equals_new_index(seed, tmp_path):
    """Whatever was done to the library, at whatever time it was asked in between, and through a file."""
    rng = random.Random(seed)
    models, library = crowd(60), None
    for number in range(40):
        for _ in range(rng.choice((0, 1, 1, 5))):
            models = odd_edit(models, rng, rng.randrange(1000) if rng.random() < 0.5 else number)
        rng.shuffle(models)
        library = Library(models, before=library)
        if rng.random() < 0.3:
            save(library.index, tmp_path / INDEX_FILE, "mark")
            library.index = load(tmp_path / INDEX_FILE, "mark")
    assert equal(library.index, Library(models).index)
    assert Library([], before=library).index.size == 0
    assert equal(Library(models, before=Library([])).index, library.index)


def test_library_keeps_no_small_index(tmp_path):
    Library(crowd(5), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_library_works_in_unwritable_folder(tmp_path):
    assert Library(crowd(MIN_KEPT_SIZE), tmp_path / "no such folder").index.size == MIN_KEPT_SIZE


def test_recommender_keeps_index_in_registry_folder(tmp_path):
    registry = ModelRegistry(tmp_path / "registry.db")
    for model in crowd(MIN_KEPT_SIZE):
        registry.register_model(model)
    analysis = ANALYZER.analyze(f"1girl, {syllables(7)}, night")
    (best,) = LoRARecommender(registry).recommend(analysis, SDXL)
    assert best.lora_name == f"{syllables(7)}_v1"
    assert (tmp_path / INDEX_FILE).exists()
    registry.close()


def test_library_reads_changed_records_only(tmp_path, monkeypatch):
    registry = ModelRegistry(tmp_path / "registry.db")
    for model in crowd(20):
        registry.register_model(model)
    before = Library(registry.list_models())
    read = []
    monkeypatch.setattr(building, "read_document", lambda model: read.append(model.name) or read_document(model))
    assert equal(Library(registry.list_models(), before=before).index, before.index)
    registry.update_model(crowd(20)[3].model_id, description="a description")
    registry.register_model(lora("one more"))
    registry.delete_model(crowd(20)[5].model_id)
    after = Library(registry.list_models(), before=before)
    assert sorted(read) == sorted([crowd(20)[3].name, "one more"])
    assert equal(after.index, Library(registry.list_models()).index)
    registry.close()


def test_build_index_of_no_models():
    assert ranker.build_index([]).size == 0


def test_rank_is_unsure_of_common_words_alone():
    photo = lora("cinematic_photo", "cinematic photo", example_prompts=(ExamplePrompt("a photo of a man, rain", 0.8),))
    assert all(confidence < 0.1 for _, confidence in ranked([photo], "a bowl of soup"))
    assert ranked([photo], "a cinematic photo of a bowl")[0][0] == "cinematic_photo"
