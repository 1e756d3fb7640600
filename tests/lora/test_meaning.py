"""Comparing meaning. What needs the encoder is skipped where it is not installed."""

import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelligence.errors import UnsupportedModelError
from intelligence.lora import LoRARecommender
from intelligence.lora.lora_library import Library
from intelligence.lora.search import embeddings as module
from intelligence.lora.search.embeddings import Embedded, Embeddings, EmbeddingStore, names_of, quantized, texts_of
from intelligence.lora.search.meaning import EVIDENCE, RISING, compare, meaning_model, parts_of, told
from intelligence.lora.search.sentence_encoder import INSTALL, WIDTH, Encoder, encoder, find_weights
from intelligence.models import LoRAKind
from intelligence.prompt import PromptAnalysis, PromptAnalyzer
from tests.lora.library import lora

needs_encoder = pytest.mark.skipif(find_weights() is None, reason=f"the extra `meaning` is not installed ({INSTALL})")

ROOM = lora("pnkr2", title="Pink Room", kind=LoRAKind.CONCEPT, description="A girl's room, all in pink")
SUIT = lora("spacesuit3", "spacesuit", kind=LoRAKind.CONCEPT, title="Space Suit")
INK = lora("mohun_v1", title="Ink Landscapes", kind=LoRAKind.STYLE, description="Chinese brush painting of mountains")
SHELF = [ROOM, SUIT, INK]


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(module, "find_weights", find_weights)


def unit(seed, rows):
    vectors = np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@given(st.lists(st.sampled_from((0, 1, 2, 5)), min_size=1, max_size=6), st.integers(0, 99))
def test_cosines_of_packed_embeddings(counts, seed):
    """Texts and names, whatever a LoRA has of them."""
    parts = [unit(seed + number, count) for number, count in enumerate(counts)]
    packed = Embeddings([Embedded(("n",) * (len(part) - 1), quantized(part)) for part in parts])
    queries = unit(1000 + seed, 3)
    read = [number for number, count in enumerate(counts) if count]
    assert packed.read.tolist() == read
    expected = [parts[number][0] @ queries.T for number in read]
    assert packed.text_cosines(queries) == pytest.approx(np.array(expected).reshape(-1, 3), abs=0.003)
    cosines, owner = packed.name_cosines(np.arange(len(counts)), queries)
    assert owner.tolist() == [number for number, count in enumerate(counts) for _ in range(count - 1)]
    named = [row @ queries.T for part in parts for row in part[1:]]
    assert cosines == pytest.approx(np.array(named).reshape(-1, 3), abs=0.003)


def test_texts_of_reads_names_as_people_say_them():
    full = replace(SUIT, title="Space Suit | sci-fi", tags={"helmet": 9, "visor": 3}, description="For astronauts")
    text, names = texts_of(full)
    assert text == "space suit | sci-fi. helmet, visor. spacesuit. for astronauts"
    assert names == ("space suit", "sci-fi", "spacesuit")
    assert names_of(lora("MagicEffects_v2")) == ("magic effects v",)


def test_parts_of_prompt_leave_out_small_words_and_negations():
    analysis = PromptAnalyzer().analyze("A pink bedroom full of plush toys, without any dolls, seen from the door")
    parts = parts_of(analysis)
    assert "plush toys" in parts and not any("doll" in part for part in parts)
    assert told("plush toys") > told("girl") and told("vestido") == told("dress")


def test_meaning_never_lowers_by_more_closeness():
    """The model rises with every column that may only speak for a LoRA."""
    rng = np.random.default_rng(0)
    rows = rng.uniform(0, 1, (300, len(EVIDENCE))).astype(np.float32)
    rows[:, [EVIDENCE.index("told"), EVIDENCE.index("part_told"), EVIDENCE.index("name_told")]] *= 15
    model = meaning_model()
    for name in RISING:
        more = rows.copy()
        more[:, EVIDENCE.index(name)] += 0.3
        assert (model(more) >= model(rows)).all()


def test_store_without_extra_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "find_weights", lambda: None)
    store = EmbeddingStore(SHELF, tmp_path / "meaning.db")
    assert (store.available, store.ask(), store.build()) == (False, None, 0)
    assert list(tmp_path.iterdir()) == []


def test_encoder_refuses_other_weights(tmp_path, monkeypatch):
    file = tmp_path / "weights.npz"
    file.write_bytes(b"something else")
    with pytest.raises(UnsupportedModelError, match="another version"):
        Encoder(file)
    monkeypatch.setattr(module, "find_weights", lambda: file)
    monkeypatch.setattr(module, "encoder", lambda: Encoder(file))
    store = EmbeddingStore(SHELF, tmp_path / "meaning.db")
    assert store.build() == 0 and "another version" in store.problem and store.ask() is None


@needs_encoder
def test_encoder_reads_languages():
    found = encoder().encode(["space suit", "traje espacial", "marble statue", "", "漢字 \x00 \U0001f600"])
    assert found.shape == (5, WIDTH) and np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-3)
    assert found[0] @ found[1] > 0.8 > 0.4 > found[0] @ found[2]


@needs_encoder
def test_build_embeds_changed_loras_only(tmp_path, installed):
    path, calls = tmp_path / "meaning.db", []
    (tmp_path / "lora-embeddings.db").write_bytes(b"of an earlier encoder")
    assert EmbeddingStore(SHELF, path).build(lambda done, total: calls.append((done, total))) == 3
    assert calls[-1] == (3, 3) and not (tmp_path / "lora-embeddings.db").exists()
    again = EmbeddingStore(SHELF, path)
    assert again.ask() is not None and again.build() == 0
    moved = replace(ROOM, model_id="lora:elsewhere/pnkr2.safetensors")
    changed = replace(SUIT, description="For divers in the deep sea")
    assert EmbeddingStore([moved, changed, INK], path).build() == 1
    assert EmbeddingStore([*SHELF, lora("more")], path).build(cancelled=lambda: True) == 0


@needs_encoder
def test_ask_never_waits_and_builds_in_background(tmp_path, installed):
    encoder()
    many = [lora(f"thing{number}") for number in range(60)]
    store = EmbeddingStore(many, tmp_path / "meaning.db")
    assert store.ask() is None
    thread, end = store._thread, time.monotonic() + 60
    while store.ask() is None and time.monotonic() < end:
        time.sleep(0.05)
    assert store.ask() is not None and store.read_count == 60
    thread.join(60)
    assert not thread.is_alive()


@needs_encoder
def test_store_makes_damaged_database_anew(tmp_path, installed):
    path = tmp_path / "meaning.db"
    path.write_bytes(b"no database" * 1000)
    store = EmbeddingStore(SHELF, path)
    assert (store.build(), store.problem) == (3, "") and store.ask() is not None


@needs_encoder
@pytest.mark.parametrize(
    "prompt, expected, part",
    [
        ("A bedroom in pink, full of plush toys", "pnkr2", None),
        ("una mujer con traje espacial en la luna", "spacesuit3", "traje espacial"),
        ("Mountains drawn with a brush as Chinese painters do", "mohun_v1", None),
    ],
)
def test_compare_finds_meaning_without_shared_words(tmp_path, installed, prompt, expected, part):
    store = EmbeddingStore(SHELF, tmp_path / "meaning.db")
    store.build()
    running, packed = store.ask()
    close = compare(PromptAnalyzer().analyze(prompt), running.encode, packed, np.ones(3, bool), np.empty(0, np.int64))
    best = int(close.values[:, 0].argmax())
    assert SHELF[close.loras[best]].name == expected
    assert part is None or close.pairs[best].part == part


class Folder:
    """A registry that keeps its library's embeddings in a folder."""

    def __init__(self, folder, *models):
        self.revision, self.folder, self.models = 1, folder, list(models)

    def library(self):
        return Library(self.models, self.folder)


class Recommender(LoRARecommender):
    def _library(self):
        self.kept = getattr(self, "kept", None) or self.registry.library()
        return self.kept


@needs_encoder
def test_recommender_offers_by_meaning_and_applies_by_words(tmp_path, installed):
    """AUTO applies the same; what is close in meaning is offered, with the words that are close."""
    others = [lora(f"Zorb{name}", f"zorb {name}", title=f"Zorb {name}") for name in "abcdefghijkl"]
    folder = Folder(tmp_path, *SHELF, *others)
    with_meaning, by_words = Recommender(folder), Recommender(folder, dense_text=False)
    assert with_meaning.build_meaning() == 15
    for prompt in ("una mujer con traje de astronauta camina por la luna", "Zorb a and a space suit", "a bowl of soup"):
        analysis = PromptAnalyzer().analyze(prompt)
        found, plain = (one.choose(analysis, nearest=8) for one in (with_meaning, by_words))
        assert [one.lora_name for one in found.chosen] == [one.lora_name for one in plain.chosen]
        assert {one.lora for one in plain.nearest[:5]} <= {one.lora for one in found.nearest}
    analysis = PromptAnalyzer().analyze("una mujer con traje de astronauta camina por la luna")
    offered = {one.lora_name: one for one in with_meaning.choose(analysis, nearest=8).nearest}
    assert offered["spacesuit3"].reason.message == "lora.meaning_only"
    assert offered["spacesuit3"].reason.arguments["confidence"] > 0.02
    assert "means much the same as" in offered["spacesuit3"].reasoning


@pytest.mark.parametrize(
    "meaning, evidence",
    [
        ({"problem": "no disk"}, "meaning is not compared: no disk"),
        ({"available": False}, f"meaning is not compared: its encoder is not installed ({INSTALL})"),
        ({"is_ready": False}, "meaning is not compared yet: 3 of 1 LoRAs have been read for it"),
        ({}, "meaning compared too"),
    ],
)
def test_meaning_reason_says_whether_meaning_was_compared(meaning, evidence):
    library = Library([lora("x")])
    library._meaning = SimpleNamespace(
        **{"problem": "", "available": True, "is_ready": True, "read_count": 3} | meaning
    )
    assert library.meaning_reason(PromptAnalysis("a dog", tag_style=0.2)).evidence == evidence
    assert library.meaning_reason(PromptAnalysis("1girl, solo", tag_style=0.95)) is None
