"""Trigger words that a prompt lacks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelligence.config import HOME_VARIABLE
from intelligence.lora.triggers import MAX_CHARACTERS, MAX_WORDS, PromptText, choose_words, safe_phrase
from intelligence.prompt import PromptAnalyzer, parse
from tests.lora.library import lora

OUTFITS = (("mirkwood witch", "green dress"), ("mirkwood witch", "black armor", "helmet"))
PAIR = (("zorblax", "red coat"), ("quixel", "red coat", "goggles"))
SINGLE = (("zorblax",), ("green dress",), ("pointy hat",))


@pytest.mark.parametrize(
    "sets, prompt, missing",
    [
        # one set: what is missing of it
        ((("zorblax", "red coat"),), "a castle", ("zorblax", "red coat")),
        ((("zorblax", "red coat"),), "zorblax on a castle", ("red coat",)),
        ((("zorblax", "red coat"),), "Zorblax, (red coat:1.2)", ()),
        # outfits: the one that is spoken of, else what all share
        (OUTFITS, "mirkwood witch in black armor", ("helmet",)),
        (OUTFITS, "mirkwood witch, black armor, helmet", ()),
        (OUTFITS, "a witch in a green dress", ("mirkwood witch",)),
        (OUTFITS, "mirkwood witch, forest", ()),
        (OUTFITS, "a forest", ("mirkwood witch",)),
        # two subjects in one file, whose sets share an outfit
        (PAIR, "zorblax", ("red coat",)),
        (PAIR, "quixel, goggles", ("red coat",)),
        (PAIR, "a street", ("red coat",)),
        # each word listed by itself
        (SINGLE, "zorblax, forest", ()),
        (SINGLE, "a green dress", ("zorblax",)),
        (SINGLE, "a forest", ("zorblax",)),
        # nothing to add
        ((), "a cat", ()),
        ((("", " , "),), "a cat", ()),
        # written in another way
        ((("mirkwood_witch",),), "mirkwood witch", ()),
        ((("flowers",),), "a flower", ()),
        (((r"miku \(vocaloid\)",),), "miku (vocaloid)", ()),
        ((("miku (vocaloid)",),), r"miku \(vocaloid\)", ()),
        ((("zorb",),), "zorblax", ("zorb",)),
        ((("mr. zorb",),), "a portrait of Mr. Zorb", ()),
        ((("zorblax", "ZORBLAX", "zorblaxs"),), "a cat", ("zorblax",)),
    ],
)  # fmt: skip
def test_choose_words_of_best_set(sets, prompt, missing):
    assert choose_words(lora("x", *sets), PromptText(PromptAnalyzer().analyze(prompt).text)).missing == missing


RUBY = (("ruby rose",), ("black dress",), ("long sleeves",), ("red cape",), ("pantyhose",))
ROBIN = (("goldnr", "blue eyes", "black hair", "pink shirt"), ("beastnr", "horns", "black cape"))
PACK = (("megumin", "brown hair", "witch hat"), ("aqua", "blue hair", "blue skirt"), ("darkness", "blonde hair"))
RIKO = (("riko ichinose", "gym_uniform", "pink_pajamas", "nude", "long hair"),)


@pytest.mark.parametrize(
    "name, sets, prompt, missing",
    [
        # the outfit that the prompt names stays; nothing explicit that it does not ask for
        ("ruby_rose", RUBY, "1girl, ruby rose, red hood, scythe", ()),
        ("riko_v2", RIKO, "riko ichinose, classroom", ("long hair",)),
        ("riko_v2", RIKO, "riko ichinose, nude", ("long hair",)),
        ("riko_v2", RIKO, "riko ichinose, pink pajamas", ("long hair",)),
        ("robin", ROBIN, "nico robin, horns, black cape", ("beastnr",)),
        ("zorblax", (("zorblax", "red coat"),), "zorblax in a blue kimono", ()),
        ("zorblax", (("zorblax", "red coat", "black hair"),), "zorblax, blonde hair", ("red coat",)),
        ("WeddingDress", (("wedding dress",),), "a bride in a white dress", ("wedding dress",)),
        ("splatter", (("spltr", "blood", "gore"),), "a clean kitchen", ("spltr",)),
        ("splatter", (("spltr", "blood", "gore"),), "blood on the wall", ("spltr",)),
        # the characters of a pack that the prompt names, and no other
        ("megumin_aqua_darkness", PACK, "aqua at a lake", ("blue hair", "blue skirt")),
        ("megumin_aqua_darkness", PACK, "aqua and darkness", ("blue hair", "blue skirt", "blonde hair")),
        ("megumin_aqua_darkness", PACK, "a castle", ()),
        ("idols", (("tojo nozomi",), ("ayase eri",), ("yazawa nicolia",)), "a school idol", ()),
        ("idols", (("tojo nozomi",), ("ayase eri",), ("yazawa nicolia",)), "nozomi in a park", ("tojo nozomi",)),
        ("belfast_v2", (("belfast_defolt",), ("belfast_poki",), ("belfast",)), "belfast, maid", ()),
        ("takemi", (("takemi",), ("takemi", "labcoat", "black dress")), "takemi in a park", ()),
        # a word that any picture may have is no trigger beside others
        ("x", (("black eyes",), ("1girl",)), "a cat", ()),
        # no near-doubles
        ("x", (("zorblax", "zorblax style", "ZorblaxStyle"),), "a cat", ("zorblax style",)),
        ("x", (("yae quix", "yaequix"),), "a cat", ("yae quix",)),
        # the word itself, not its parts
        ("x", (("RedZorb",),), "a red zorb", ("RedZorb",)),
        ("x", ((r"zorb \(quix land\)",),), "zorb, quix land", (r"zorb \(quix land\)",)),
        ("x", (("mr. zorb",),), "mr fox. a zorb", ("mr. zorb",)),
        # what the prompt does not want
        ("x", (("zorblax", "helmet"),), "zorblax without her helmet", ()),
        ("x", (("zorblax", "witch hat"),), "zorblax, (hat:0)", ()),
    ],
)  # fmt: skip
def test_choose_words_adds_only_what_prompt_asks_for(name, sets, prompt, missing):
    assert choose_words(lora(name, *sets), PromptText.of(PromptAnalyzer().analyze(prompt))).missing == missing


def test_choose_words_names_what_it_leaves_out():
    text = PromptText.of(PromptAnalyzer().analyze("riko ichinose, reading", "long hair"))
    assert choose_words(lora("x", *RIKO), text).left_out == ("gym_uniform", "pink_pajamas", "nude", "long hair")


def test_choose_words_reads_users_explicit_words(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    (tmp_path / "vocabulary.json").write_text('{"explicit_words": ["spider"], "innocent_words": ["nude"]}')
    model = lora("x", "zorblax", "giant spiders", "nude", "blood moon", "blood")
    assert choose_words(model, PromptText("a cat")).missing == ("zorblax", "nude", "blood moon")
    assert choose_words(model, PromptText("a spider")).missing == ("zorblax", "giant spiders", "nude", "blood moon")


def test_choose_words_ignores_translations():
    """The LoRA was trained on `mirkwood witch`; that the analysis reads `bruja` as witch does not write it there."""
    analysis = PromptAnalyzer().analyze("una bruja de mirkwood en el bosque")
    assert analysis.language == "es"
    assert choose_words(lora("x", "mirkwood witch"), PromptText(analysis.text)).missing == ("mirkwood witch",)


def test_choose_words_caps_long_set():
    assert len(choose_words(lora("x", *(f"word{n}" for n in range(50))), PromptText("a cat")).missing) == MAX_WORDS


@pytest.mark.parametrize(
    "word, expected",
    [
        ("zorblax", "zorblax"),
        (" zorblax,\n red ", "zorblax, red"),
        ("miku (vocaloid)", r"miku \(vocaloid\)"),
        (r"miku \(vocaloid\)", r"miku \(vocaloid\)"),
        ("(zorblax:1.2)", "(zorblax:1.2)"),
        ("((zorblax:1.2))", "((zorblax:1.2))"),
        ("(zorblax:9)", "zorblax"),
        ("(zorblax:0)", "zorblax"),
        ("(zorblax", r"\(zorblax"),
        ("zorblax\\", "zorblax"),
        ("a <lora:evil:9> b", "a b"),
        ("<lora:<lora:a:1>b:1>c", "lora:b:1>c"),
        ("zor\u202eblax\x00", "zor blax"),
        ("x" * (MAX_CHARACTERS + 1), ""),
    ],
)
def test_safe_phrase(word, expected):
    assert safe_phrase(word) == expected


@given(st.text(alphabet=st.sampled_from('ab ,.:;()\\[]{}<>lora:1.2\n"é中\u202e'), max_size=60) | st.text(max_size=60))
def test_safe_phrase_keeps_other_words(word):
    phrase = safe_phrase(word)
    assert safe_phrase(phrase) == phrase
    parsed = parse(f"before, {phrase}, (after:1.3)")
    assert parsed.lora_tags == ()
    assert parsed.segments[0].text.startswith("before, ")
    assert (parsed.segments[-1].text, parsed.segments[-1].weight) == ("after", 1.3)


@given(st.lists(st.lists(st.text(max_size=20), max_size=4), max_size=4), st.text(max_size=60))
def test_choose_words_are_missing_and_unique(sets, prompt):
    written = PromptText(prompt)
    words = choose_words(lora("x", *map(tuple, sets)) if sets else lora("x"), written).missing
    assert len({word.casefold() for word in words}) == len(words)
    assert not any(written.contains(word) for word in words)
