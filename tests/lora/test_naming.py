"""Phrases that name a LoRA, and slips in them."""

import numpy as np
import pytest

from intelligence.lora.search import ranker
from intelligence.lora.search.knowledge import Knowledge, PhraseCounts, Shown, shown_by
from intelligence.lora.search.naming import NameSource, naming_phrases, title_pieces
from intelligence.lora.search.naming_evidence import MIN_RIVALS, NAMING, PARTS, Matches, evidence
from intelligence.lora.search.ranker import STANDING
from intelligence.lora.search.spelling import corrected
from intelligence.lora.search.tokens import MARKS, prompt_query, root
from intelligence.models import LoRAKind
from intelligence.prompt import PromptAnalyzer
from tests.lora.library import lora

ANALYZER = PromptAnalyzer()


@pytest.mark.parametrize(
    "title, pieces",
    [
        ("Zorbla Vex (Star Harbor) | 3 outfits", ["Zorbla Vex", "Star Harbor", "3 outfits"]),
        ("Zorbla Vex ゾルブラ / Star Harbor", ["Zorbla Vex", "ゾルブラ", "Star Harbor"]),
        ("【Concept】Glass-armor", ["Concept", "Glass-armor"]),
        ("Star Harbor - Zorbla", ["Star Harbor", "Zorbla"]),
        ("Zorbla LoRA", ["Zorbla lora"]),
        ("", []),
    ],
)
def test_title_pieces(title, pieces):
    assert title_pieces(title) == pieces


def phrases(source, *words, title="", name="x", **more):
    model = lora(name, *words, title=title, **more)
    return [" ".join(phrase) for found, phrase in naming_phrases(model) if found is source]


@pytest.mark.parametrize(
    "source, words, title, expected",
    [
        (NameSource.FIRST_PIECE, (), "Zorbla Vex | Star Harbor", ["zorbla vex", "vex zorbla"]),
        (NameSource.FIRST_PIECE, ("zorbla",), "Star Harbor - Zorbla", ["zorbla"]),
        (NameSource.OTHER_PIECE, (), "Zorbla | Tidefall", ["tidefall"]),
        (NameSource.FIRST_PIECE, (), "玻璃甲 Glassplate armor", ["玻璃甲", "glassplate armor", "armor glassplate"]),
        (NameSource.FIRST_TRIGGER, ("zorbla1, smile",), "", ["zorbla1 smile", "smile zorbla1"]),
        (NameSource.FIRST_TRIGGER, (r"zorbla \(star harbor\)",), "", ["zorbla star harbor", "zorbla"]),
        (NameSource.OTHER_TRIGGER, ("zorbla", "red cape of tide"), "", ["red cape of tide"]),
        (NameSource.FIRST_PIECE, (), "Beautiful girl", []),
    ],
)
def test_naming_phrases(source, words, title, expected):
    assert phrases(source, *words, title=title) == expected


def test_naming_phrases_of_looks_may_be_common():
    assert phrases(NameSource.FIRST_TRIGGER, "anime style", kind=LoRAKind.STYLE) == ["anime style", "anime"]


@pytest.mark.parametrize(
    "name, trigger, prompt, found",
    [
        ("zorblavex", "zorblavex", "1girl, zorblavux, smile", "zorblavex"),
        ("zorblavex", "zorblavex", "1girl, zorblvaex, smile", "zorblavex"),
        ("zorblavex", "zorblavex", "1girl, zorbavex, smile", "zorblavex"),
        ("closeta", "closeta", "a closet full of coats", None),
        ("zorblavex", "zorblavex", "1girl, sorblavex, smile", None),
    ],
)
def test_corrected_mends_slips_in_names_only(name, trigger, prompt, found):
    index = ranker.build_index([lora(name, trigger)])
    query = corrected(prompt_query(ANALYZER.analyze(prompt)), index)
    assert query.corrected == ({found} if found else frozenset())
    assert (found in query.tokens) is bool(found) and (not found or query.written[found] != found)


def told(prompt, *models, fitting=None):
    """Name of each LoRA → what names it, by `NAMING` and `PARTS`."""
    index = ranker.build_index(models)
    fitting = np.ones(len(models), bool) if fitting is None else fitting
    query = prompt_query(ANALYZER.analyze(prompt))
    matches = Matches(query, index, fitting, Knowledge(ranker.background(), frozenset({"starharbor"})))
    everyone = np.arange(len(models))
    rows = np.concatenate((matches.evidence_of(everyone), matches.partial(everyone)), axis=1)
    return {
        m.name: dict(zip((*NAMING, *PARTS), row, strict=True)) for m, row in zip(models, rows.tolist(), strict=True)
    }


ZORBLA = lora("zorbla_v2", "zorbla vex", title="Zorbla Vex | Star Harbor", kind=LoRAKind.CHARACTER)
TIDE = lora("tide", "zorbla vex of tides", kind=LoRAKind.CHARACTER)


def test_evidence_is_the_same_in_any_company():
    alone = told("a portrait of Zorbla Vex at sea", ZORBLA)["zorbla_v2"]
    others = [lora(f"other {n}", f"thing{n}") for n in range(30)]
    assert told("a portrait of Zorbla Vex at sea", ZORBLA, *others)["zorbla_v2"] == alone
    assert alone["named_first_piece"] == alone["named_first_trigger"] > 10 and alone["capital"] == 1


def test_evidence_knows_longer_names_of_others():
    assert told("zorbla vex of tides", ZORBLA, TIDE)["zorbla_v2"]["covered"] == 1
    assert told("zorbla vex of tides", ZORBLA, TIDE)["tide"]["covered"] == 0
    assert told("zorbla vex of tides", ZORBLA, TIDE, fitting=np.array([True, False]))["zorbla_v2"]["covered"] == 0


def test_evidence_of_what_is_negated_is_none():
    assert told("a harbor without Zorbla Vex", ZORBLA)["zorbla_v2"]["strong"] == 0


def test_evidence_of_series_and_parts():
    series = told("somebody of Star Harbor", ZORBLA)["zorbla_v2"]
    assert series["named_other_piece"] > 0 and series["series"] == 1 and series["strong"] == 0
    assert series["other_words"] == 0
    part = told("Zorbla dancing", ZORBLA)["zorbla_v2"]
    assert 0.3 < part["strong_share"] < 0.9 and part["strong_words"] == 1


@pytest.mark.parametrize(
    "word, shown",
    [
        ("steampunk", Shown.LOOK),
        ("gown", Shown.GARMENT),
        ("staircase", Shown.ACCESSORY),
        ("piano", Shown.THING),
        ("castle", Shown.PLACE),
        ("wolf", Shown.ANIMAL),
        ("samurai", Shown.PERSON),
    ],
)
def test_vocabulary_tells_what_a_word_shows(word, shown):
    assert shown_by()[word] is shown and "zorbla" not in shown_by()


@pytest.mark.parametrize(
    "prompt, look, shown, modifies",
    [
        ("a steampunk piano in the fog", True, Shown.LOOK, True),
        ("a piano, steampunk", True, Shown.LOOK, False),
        ("a staircase of brass", False, Shown.ACCESSORY, False),
    ],
)
def test_evidence_tells_what_a_name_shows(prompt, look, shown, modifies):
    model = lora("x", "steampunk" if look else "staircase", kind=LoRAKind.STYLE)
    found = told(prompt, model)["x"]
    assert (found["named_look"] > 0, found["shown"], found["modifies"]) == (look, shown, modifies)


@pytest.mark.parametrize(
    "prompt, of, mark",
    [
        ("Tesselink of small birds above a harbor", 1, ""),
        ("Tesselink! said both of them", 0, "!"),
        ("Tesselink: a harbor", 0, ":"),
        ("a harbor by Tesselink.", 0, "."),
        ("a harbor by Tesselink", 0, ""),
        ("tesselink, a harbor!", 0, ""),
        ("tesselink harbor!", 0, ""),
    ],
)
def test_evidence_tells_what_follows_a_name(prompt, of, mark):
    found = told(prompt, lora("x", "tesselink", kind=LoRAKind.STYLE))["x"]
    assert (found["of"], found["mark"]) == (of, MARKS.index(mark) + 1 if mark else 0)


@pytest.mark.parametrize("words", [("dancer", "dancing", "dance"), ("runner", "running"), ("kiss", "kissing")])
def test_root_of_relatives(words):
    assert len({root(word) for word in words}) == 1


def test_evidence_among_other_loras_is_theirs():
    index = ranker.build_index([ZORBLA, TIDE])
    query = prompt_query(ANALYZER.analyze("zorbla vex of tides"))
    matches = Matches(query, index, np.array([True, False]), Knowledge(ranker.background()))
    assert (matches.named.tolist(), matches.among(np.array([False, True])).named.tolist()) == ([0], [1])


def test_evidence_tells_how_usual_a_name_is():
    index = ranker.build_index([ZORBLA])
    query = prompt_query(ANALYZER.analyze("a portrait of Zorbla Vex at sea"))
    counts = PhraseCounts(2.0, 0.5, 1.0)
    matches = Matches(query, index, np.ones(1, bool), Knowledge({}, phrases={"zorblavex": counts}))
    (row,) = matches.evidence_of(np.arange(1)).tolist()
    assert PhraseCounts(*(row[NAMING.index(name)] for name in PhraseCounts._fields)) == counts


@pytest.mark.parametrize("size, standing", [(MIN_RIVALS - 1, False), (MIN_RIVALS, True)])
def test_standing_counts_among_many_only(size, standing):
    models = [ZORBLA, *(lora(f"other {n}", f"thing{n}") for n in range(size - 1))]
    index, analysis = ranker.build_index(models), ANALYZER.analyze("1girl, zorbla vex, smile")
    query, fitting = prompt_query(analysis), np.ones(size, bool)
    ranked = ranker.rank(postings := index.match_query(query), 1.0, fitting)
    matches = Matches(query, index, fitting, Knowledge(ranker.background()))
    first, last = evidence(matches, postings, ranked, np.array([0, size - 1]), 1.0)[:, -len(STANDING) :].tolist()
    assert (first != last) is standing and (first[0] > 0.5) is standing


def test_keys_follow_the_prompt():
    query = prompt_query(ANALYZER.analyze("blue hair, a red coat"))
    assert list(query.keys)[:3] == ["blue", "bluehair", "hair"] and query.keys["bluehair"] is False
