"""From a ranking to a set."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelligence.config import LoRAPreferences
from intelligence.lora.candidates import Candidate
from intelligence.lora.combination import newest, select
from intelligence.lora.search.tokens import query
from intelligence.lora.search.traits import Identity, is_style
from intelligence.models import LoRAKind
from tests.lora.library import lora

CHARACTER, STYLE, CONCEPT, EFFECT = LoRAKind.CHARACTER, LoRAKind.STYLE, LoRAKind.CONCEPT, LoRAKind.EFFECT
WITCH = lora("mirkwood_witch", "mirkwood witch", kind=CHARACTER)
SWAMP = lora("swamp_witch", "swamp witch", kind=CHARACTER)
KNIGHT = lora("zorblax_knight", "zorblax knight", kind=CHARACTER)
ANIME = lora("anime_look", "anime look", kind=STYLE)
OIL = lora("oil_paint", "oil paint", kind=STYLE)
GLOW = lora("glow_fx", "glow", kind=EFFECT)
ARMOR = lora("plate_armor", "plate armor", kind=CONCEPT)
SLIDER = lora("age_slider", kind=EFFECT, strength_range=(-3.0, 3.0))
LIMITS = LoRAPreferences(max_loras=3, min_confidence=0.5)


def candidate(model, *words, confidence=0.9):
    return Candidate(model, confidence, frozenset(words))


def chosen_of(prompt, *ranked, named=(), limits=LIMITS):
    chosen, rejected = select(ranked, named, query([prompt]), limits)
    return [item.model.name for item in chosen], {item.model.name: reason.evidence for item, reason in rejected}


@pytest.mark.parametrize(
    "prompt, ranked, chosen, refused",
    [
        # one subject
        ("mirkwood witch", [candidate(WITCH, "mirkwood", "witch"), candidate(SWAMP, "witch")], [WITCH.name], "by"),
        # several, where the prompt names them
        (
            "mirkwood witch and zorblax knight",
            [candidate(WITCH, "mirkwood", "witch"), candidate(KNIGHT, "zorblax", "knight")],
            ["mirkwood_witch", "zorblax_knight"],
            "",
        ),
        # a second character that only its clothes speak for
        (
            "mirkwood witch, plate, river",
            [candidate(WITCH, "mirkwood", "witch"), candidate(KNIGHT, "plate", "river")],
            ["mirkwood_witch"],
            "covered by mirkwood_witch",
        ),
        # a thing beside a character is another subject
        (
            "mirkwood witch in plate armor",
            [candidate(WITCH, "mirkwood", "witch"), candidate(ARMOR, "plate", "armor")],
            ["mirkwood_witch", "plate_armor"],
            "",
        ),
        # one style
        ("anime, oil", [candidate(ANIME, "anime"), candidate(OIL, "oil")], ["anime_look"], "second style beside"),
        # a style beside a subject
        ("anime witch", [candidate(ANIME, "anime"), candidate(SWAMP, "witch")], ["anime_look", "swamp_witch"], ""),
        # not sure enough
        ("glow", [candidate(GLOW, "glow", confidence=0.49)], [], "not sure enough: confidence 0.49, 0.5 is required"),
        # nothing
        ("a cat", [], [], ""),
    ],
)  # fmt: skip
def test_select_takes_allowed_set(prompt, ranked, chosen, refused):
    names, reasons = chosen_of(prompt, *ranked)
    assert names == chosen
    assert refused in " ".join(reasons.values()) if refused else reasons == {}


def test_select_mixes_styles_where_allowed():
    ranked = [candidate(ANIME, "anime"), candidate(OIL, "anime")]
    names, _ = chosen_of("anime", *ranked, limits=replace(LIMITS, allow_style_mixing=True))
    assert names == ["anime_look", "oil_paint"]


def test_select_counts_named_loras_in_limit():
    ranked = [candidate(WITCH, "mirkwood"), candidate(GLOW, "glow")]
    names, refused = chosen_of("mirkwood, glow", *ranked, named=[(ANIME, 0.6)], limits=replace(LIMITS, max_loras=2))
    assert names == ["mirkwood_witch"]
    assert refused == {"glow_fx": "the limit of 2 LoRAs is reached"}


def test_select_treats_named_words_as_covered():
    ranked = [candidate(replace(WITCH, model_id="lora:other", name="other"), "mirkwood", "witch")]
    names, refused = chosen_of("mirkwood witch", *ranked, named=[(replace(WITCH, trigger_sets=()), 1.0)])
    assert names == [] and "covered by mirkwood_witch" in refused["other"]


def test_select_skips_named_loras():
    assert chosen_of("mirkwood", candidate(WITCH, "mirkwood"), named=[(WITCH, 0.1)]) == ([], {})


@pytest.mark.parametrize(
    "named, fits", [([1.7], True), ([2.0], False), ([-3.0], False), ([1.0, 1.0], True), ([1.2, 1.2], False)]
)
def test_select_keeps_room_for_strengths(named, fits):
    models = [lora(f"mine{n}") for n in range(len(named))]
    names, refused = chosen_of("glow", candidate(GLOW, "glow"), named=list(zip(models, named, strict=True)))
    assert (names == ["glow_fx"]) is fits
    assert fits or "leave no room" in refused["glow_fx"]


def test_select_gives_sliders_no_room():
    names, _ = chosen_of("glow", candidate(GLOW, "glow"), named=[(SLIDER, 3.0)])
    assert names == ["glow_fx"]


@pytest.mark.parametrize(
    "one, other, same",
    [
        (lora("witch"), lora("witch_v2"), True),
        (lora("MirkwoodWitch"), lora("mirkwood_witch_xl"), True),
        (lora("mirkwood_witch"), lora("mirkwood_knight"), False),
        (lora("a", sha256="1"), lora("b", sha256="1"), True),
        (lora("a", source_id="5:1"), lora("b", source_id="5:2"), True),
        (lora("witch", source_id="5:1"), lora("witch", source_id="6:2"), False),
        (lora("witch", source_id="5"), lora("witch"), True),
        (lora("witch", source_id=f"{'9' * 9999}:1"), lora("knight", source_id=f"{'9' * 9999}:1"), False),
        (lora("elder_witch", "mirkwood witch"), lora("young_witch", "mirkwood witch"), True),
        (lora("elder", "mirkwood witch", creator="x"), lora("young", "mirkwood witch", creator="x"), True),
        (lora("elder", "mirkwood witch"), lora("young", "mirkwood witch"), False),
        (lora("elder_look", "anime"), lora("young_look", "anime", creator="x"), False),
        (lora("red_dress", "1girl"), lora("blue_dress", "1girl"), False),
        (lora("v1"), lora("v2"), False),
    ],
)
def test_identity_is_version_of(one, other, same):
    assert Identity(one).is_version_of(Identity(other)) is same
    assert Identity(other).is_version_of(Identity(one)) is same


@pytest.mark.parametrize(
    "ranked, first",
    [
        ([("witch_v1", 0.9, None), ("witch_v2", 0.88, None)], "witch_v2"),
        ([("witch_v2", 0.9, None), ("witch_v1", 0.9, None)], "witch_v2"),
        ([("witch_v1", 0.9, None), ("witch_v2", 0.8, None)], "witch_v1"),
        ([("witch_v1.5", 0.9, None), ("witch_v1.10", 0.9, None)], "witch_v1.10"),
        ([("witch", 0.9, None), ("witch_v2", 0.9, None)], "witch_v2"),
        ([("witch-000004", 0.9, None), ("witch-000010", 0.9, None)], "witch-000010"),
        ([("b", 0.9, "5:10"), ("a", 0.9, "5:11")], "a"),
        ([("witch_v1", 0.9, None), ("knight_v2", 0.9, None)], "witch_v1"),
    ],
)
def test_newest_prefers_newer_of_equal_confidence(ranked, first):
    candidates = [
        candidate(lora(name, source_id=source), "word", confidence=confidence) for name, confidence, source in ranked
    ]
    ordered = newest(candidates)
    assert ordered[0].model.name == first
    assert sorted(item.model.name for item in ordered) == sorted(name for name, *_ in ranked)


@pytest.mark.parametrize(
    "model, style",
    [
        (lora("x", kind=STYLE), True),
        (lora("x_style", kind=CHARACTER), False),
        (lora("ghibli_style"), True),
        (lora("x", "in the style of x"), True),
        (lora("stylish"), False),
    ],
)
def test_is_style(model, style):
    assert is_style(model) is style


POOL = [
    WITCH,
    SWAMP,
    KNIGHT,
    ANIME,
    OIL,
    GLOW,
    ARMOR,
    SLIDER,
    replace(WITCH, model_id="lora:w2", name="mirkwood_witch_v2"),
]
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        st.sampled_from(POOL),
        st.floats(0, 1),
        st.frozensets(st.sampled_from(("mirkwood", "witch", "anime", "glow", "plate", "zorblax")), max_size=3),
    ),
    max_size=8,
    unique_by=lambda item: item.model.model_id,
)


@given(
    CANDIDATES,
    st.lists(st.tuples(st.sampled_from(POOL), st.floats(-3, 3)), max_size=3, unique_by=lambda item: item[0].model_id),
    st.integers(0, 4),
    st.floats(0, 1),
    st.booleans(),
)
def test_select_keeps_rules_for_any_candidates(ranked, named, most, sure, mixing):
    ranked = sorted(ranked, key=lambda item: -item.confidence)
    limits = LoRAPreferences(most, sure, mixing)
    chosen, rejected = select(ranked, named, query(["mirkwood witch, anime, glow"]), limits)
    put_in = {model.model_id for model, _ in named}
    ids = [item.model.model_id for item in chosen]
    assert len(chosen) + len(rejected) == len([item for item in ranked if item.model.model_id not in put_in])
    assert not put_in & set(ids) and len(chosen) <= max(0, most - len(named))
    assert all(item.confidence >= sure for item in chosen)
    assert all(reason.evidence for _, reason in rejected)
    models = [item.model for item in chosen]
    assert not any(Identity(one).is_version_of(Identity(other)) for n, one in enumerate(models) for other in models[:n])
    if not mixing:
        assert sum(map(is_style, models)) <= 1
