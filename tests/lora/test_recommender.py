"""LoRAs that a prompt gets from a small library."""

import random
from dataclasses import replace

import pytest

from intelligence.config import LoRAPreferences
from intelligence.errors import InvalidInputError
from intelligence.lora import LoRARecommender
from intelligence.lora.lora_messages import LoRAMessage
from intelligence.models import Architecture, ExamplePrompt, Family, LoRAKind, ModelEvidence
from intelligence.prompt import LoRATag, PromptAnalyzer
from tests.lora.library import ANIME, FLAT, MAGIC, PHOTO, WITCH, Library, lora

SMALL = (ANIME, FLAT, PHOTO, MAGIC)
SDXL = ModelEvidence(name="some_sdxl.safetensors", architecture=Architecture.SDXL)


def choose(prompt, *models, negative="", base=SDXL, **options):
    recommender = LoRARecommender(Library(*models), options.pop("preferences", None))
    return recommender.choose(PromptAnalyzer().analyze(prompt, negative), base, **options)


def names(choice):
    return [item.lora_name for item in choice.chosen]


def refusal(choice, name):
    (reason,) = [item.reason.evidence for item in choice.rejected if item.lora_name == name]
    return reason


@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("anime girl with magical powers", {"anime_style_v2", "magic_effects"}),
        ("una chica anime con poderes mágicos", {"anime_style_v2", "magic_effects"}),
        ("photorealistic portrait, cinematic lighting", {"cinematic_photo"}),
        ("mirkwood witch, forest", {"mirkwood_witch_xl"}),
        ("MIRKWOOD WITCH", {"mirkwood_witch_xl"}),
        ("a castle on a cliff at sunset", set()),
        ("beautiful woman, green dress, best quality", set()),
        ("1girl, solo, long hair, masterpiece", set()),
        ("test prompt", set()),
    ],
)
def test_choose_by_words(prompt, expected):
    choice = choose(prompt, *SMALL, WITCH)
    assert set(names(choice)) == expected
    assert choice.reasons


def test_copies_of_one_file_are_offered_once():
    models = [replace(WITCH, digest="d"), replace(WITCH, model_id="lora:b.safetensors", name="b", digest="d")]
    photos = [replace(PHOTO, digest="e"), replace(PHOTO, model_id="lora:c.safetensors", name="c", digest="e")]
    choice = choose("mirkwood witch, cinematic", *models, *photos, nearest=40)
    offered = [*names(choice), *(one.lora_name for one in (*choice.rejected, *choice.nearest))]
    assert {"mirkwood_witch_xl", "cinematic_photo"} <= set(offered)
    assert not {"b", "c"} & set(offered)
    ranked = LoRARecommender(Library(*models, *photos)).rank(PromptAnalyzer().analyze("mirkwood witch"), SDXL)
    assert ranked[0].lora_name == "mirkwood_witch_xl"
    assert "b" not in [one.lora_name for one in ranked]


@pytest.mark.parametrize(
    "prompt, offered",
    [
        ("a woman in a forest", False),
        ("a naked woman in a forest", True),
        ("a woman in a forest, without naked people", False),
    ],
)
def test_explicit_lora_is_offered_only_where_the_prompt_is(prompt, offered):
    explicit = lora("forest_naked_nymph", title="Naked Forest Nymph")
    plain = lora("forest_nymph", title="Forest Nymph")
    choice = choose(prompt, explicit, plain, min_confidence=1.0, nearest=8)
    near = {one.lora_name for one in choice.nearest}
    assert "forest_nymph" in near
    assert ("forest_naked_nymph" in near) is offered


def test_choose_gives_reasons():
    for item in choose("anime girl with magical powers", *SMALL).chosen:
        assert {reason.setting for reason in item.reasons} >= {"name", "strength"}
        assert item.matching_concepts
        assert item.reasoning


@pytest.mark.parametrize(
    "prompt, contains, added",
    [
        ("mirkwood witch, forest", "contains its trigger words “mirkwood witch”", None),
        ("mirkwood witch in a green dress", "contains its trigger words “mirkwood witch”, “green dress”", None),
        ("a witch of mirkwood", "contains some of its trigger words: “mirkwood”, “witch”", "added its trigger words: "),
    ],
)
def test_reasons_on_trigger_words_agree(prompt, contains, added):
    (item,) = choose(prompt, *SMALL, WITCH, min_confidence=0.3).chosen
    said = [reason.evidence for reason in item.reasons if reason.setting == "trigger words"]
    assert contains in said[0]
    assert added in said[1] if added else len(said) == 1


def test_summary_counts_usable_loras():
    choice = choose("mirkwood witch", WITCH, replace(ANIME, problem="truncated"))
    assert choice.reasons[0].evidence == "1 chosen from the library's 1"


def test_summary_tells_networks_where_no_lora_is_for_this_one():
    others = (
        replace(ANIME, architecture=Architecture.SD1),
        *(replace(one, architecture=Architecture.DEMO) for one in (PHOTO, WITCH)),
    )
    said = choose("mirkwood witch", *others, base=SDXL).reasons[0]
    assert (
        said.evidence == "none of the library's 3 LoRAs was made for SDXL; they are for embedded demo (2), SD 1.5 (1)"
    )
    for known in (
        (*others, replace(ANIME, lora_kind=LoRAKind.SPEED)),
        (*others, replace(ANIME, architecture=Architecture.UNKNOWN)),
    ):
        assert "fits this prompt well enough" in choose("a lake", *known, base=SDXL).reasons[0].evidence


def test_choose_from_empty_library():
    choice = choose("anime girl")
    assert choice.chosen == () and "no LoRA" in choice.reasons[0].evidence


@pytest.mark.parametrize(
    "model, base, reason",
    [
        (replace(ANIME, architecture=Architecture.SD1), SDXL, "made for SD 1.5, the checkpoint is SDXL"),
        (replace(ANIME, problem="truncated"), SDXL, "truncated"),
        (replace(ANIME, local_path=""), SDXL, "not on this machine"),
        (replace(ANIME, lora_kind=LoRAKind.SPEED), SDXL, "speed"),
    ],
)
def test_choose_rejects_incompatible_loras_with_reason(model, base, reason):
    choice = choose("anime style girl", model, PHOTO, base=base)
    assert choice.chosen == ()
    assert reason in refusal(choice, "anime_style_v2")
    assert LoRARecommender(Library(model)).rank(PromptAnalyzer().analyze("anime style girl"), base) == []


@pytest.mark.parametrize(
    "architecture, base, said",
    [
        (Architecture.SDXL, None, "lora.unknown_checkpoint"),
        (Architecture.Z_IMAGE, None, "lora.unknown_checkpoint"),
        (Architecture.UNKNOWN, None, "lora.unknown_checkpoint"),
        (Architecture.UNKNOWN, SDXL, "lora.unknown_lora"),
        (Architecture.OTHER, SDXL, "lora.unknown_lora"),
    ],
)
@pytest.mark.parametrize("prompt", ["anime style girl", "cat <lora:anime_style_v2:1>"])
def test_choose_warns_where_one_of_the_two_is_unknown(architecture, base, said, prompt):
    (known,) = choose(prompt, ANIME).chosen
    (unknown,) = choose(prompt, replace(ANIME, architecture=architecture), base=base).chosen
    assert unknown.confidence_score == known.confidence_score
    assert [reason.message for reason in unknown.reasons if reason.setting == "base model"] == [said]


def test_choose_warns_of_other_family():
    base = ModelEvidence(name="x", architecture=Architecture.SDXL, family=Family.ILLUSTRIOUS)
    (same,) = choose("anime style girl", replace(ANIME, family=Family.ILLUSTRIOUS), base=base).chosen
    (other,) = choose("anime style girl", replace(ANIME, family=Family.PONY), base=base).chosen
    assert other.confidence_score == same.confidence_score
    assert any("pony" in reason.evidence for reason in other.reasons if reason.setting == "base model")


def test_choose_takes_one_style_unless_mixing():
    prompt = "anime style girl, flat cel shading"
    single = choose(prompt, *SMALL)
    assert len(single.chosen) == 1
    assert "second style" in " ".join(item.reason.evidence for item in single.rejected)
    assert set(names(choose(prompt, *SMALL, allow_style_mixing=True))) == {"anime_style_v2", "cel_flat"}


def test_choose_takes_one_version():
    newer = lora("mirkwood_witch_xl_v2", "mirkwood witch", kind=LoRAKind.CHARACTER)
    choice = choose("mirkwood witch", WITCH, newer, min_confidence=0.2)
    assert len(choice.chosen) == 1
    assert "version of" in choice.rejected[0].reason.evidence


def test_choose_takes_one_lora_per_subject():
    rival = lora("elder_witch_of_mirkwood", "mirkwood witch", "elder", kind=LoRAKind.CHARACTER)
    knight = lora("zorblax_knight", "zorblax knight", kind=LoRAKind.CHARACTER)
    both = choose("mirkwood witch and zorblax knight", WITCH, rival, knight)
    assert set(names(both)) == {"mirkwood_witch_xl", "zorblax_knight"}
    one = choose("mirkwood witch", WITCH, rival, knight, min_confidence=0.2)
    assert len(one.chosen) == 1 and {*names(one)} < {"mirkwood_witch_xl", "elder_witch_of_mirkwood"}
    assert "covered by" in one.rejected[0].reason.evidence


def test_choose_keeps_max_loras():
    choice = choose("anime girl with magical powers", *SMALL, max_loras=1, nearest=0)
    assert len(choice.chosen) == 1
    assert [item.reason.evidence for item in choice.rejected] == ["the limit of 1 LoRA is reached"]


def test_choose_obeys_tags_once():
    choice = choose("anime girl <lora:anime_style_v2:0.33:0.5>, magical powers <lora:anime_style_v2:1>", *SMALL)
    first, *others = choice.chosen
    assert (first.lora_name, first.confidence_score) == ("anime_style_v2", 1.0)
    assert (first.suggested_alpha, first.alpha_clip) == (0.33, 0.5)
    assert [item.lora_name for item in others] == ["magic_effects"]


def test_choose_never_cuts_tags():
    prompt = "mirkwood witch <lora:cinematic_photo:1> <lora:magic_effects:1>"
    choice = choose(prompt, *SMALL, WITCH, max_loras=0)
    assert names(choice) == ["cinematic_photo", "magic_effects"]
    assert len(choose(prompt, *SMALL, WITCH, max_loras=3).chosen) == 3


@pytest.mark.parametrize("tag", ["STYLES/Anime_Style_V2", "styles\\anime_style_v2.safetensors", "anime_style_v2"])
def test_choose_finds_tag_by_path(tag):
    in_folder = lora("anime_style_v2", folder="styles/")
    assert names(choose(f"cat <lora:{tag}:1>", in_folder)) == ["anime_style_v2"]


@pytest.mark.parametrize(
    "models, reason",
    [
        ((), "no LoRA of this name"),
        ((replace(ANIME, problem="truncated"),), "truncated"),
        ((replace(ANIME, architecture=Architecture.SD1),), "made for SD 1.5"),
    ],
)
def test_choose_rejects_tag_with_reason(models, reason):
    choice = choose("cat <lora:anime_style_v2:1>", *models)
    assert choice.chosen == ()
    assert reason in refusal(choice, "anime_style_v2")


def test_choose_obeys_tag_of_unknown_architecture():
    unknown = replace(ANIME, architecture=Architecture.UNKNOWN)
    assert names(choose("cat <lora:anime_style_v2:1>", unknown)) == ["anime_style_v2"]


@pytest.mark.parametrize(
    "more, strength",
    [
        ({}, 0.9),
        ({"strength": 0.55}, 0.55),
        ({"strength_range": (0.4, 0.8)}, 0.6),
        ({"example_prompts": tuple(ExamplePrompt("x", weight) for weight in (0.3, 0.5, 0.9))}, 0.5),
        ({"strength": 40.0}, 2.0),
    ],
)
def test_choose_takes_strength_from_best_evidence(more, strength):
    (item,) = choose("anime style girl", replace(ANIME, **more)).chosen
    assert item.suggested_alpha == pytest.approx(strength)


def test_choose_bounds_stacked_strengths():
    strong = [replace(model, strength=2.0) for model in (ANIME, MAGIC, WITCH)]
    choice = choose("anime style, mirkwood witch, magical effects", *strong)
    assert len(choice.chosen) == 3
    assert sum(item.suggested_alpha for item in choice.chosen) == pytest.approx(2.6, abs=0.01)


@pytest.mark.parametrize(
    "prompt, missing",
    [
        ("mirkwood witch in black armor", ()),
        ("mirkwood witch", ()),
        ("mirkwood, green dress", ("mirkwood witch",)),
    ],
)
def test_rank_lists_missing_words_of_best_set(prompt, missing):
    ((item),) = LoRARecommender(Library(WITCH)).rank(PromptAnalyzer().analyze(prompt), SDXL)
    assert item.trigger_words == missing


def test_choose_avoids_style_of_negative_prompt():
    assert "anime_style_v2" not in names(choose("anime girl", *SMALL, negative="anime"))


def test_choose_follows_registry_revision():
    shelf = Library(ANIME)
    analysis = PromptAnalyzer().analyze("mirkwood witch")
    assert LoRARecommender(shelf).recommend(analysis, SDXL) == []
    shelf.models.append(WITCH)
    shelf.revision = 2
    assert [item.lora_name for item in LoRARecommender(shelf).recommend(analysis, SDXL)] == ["mirkwood_witch_xl"]


@pytest.mark.parametrize("options", [{"max_loras": -1}, {"max_loras": 1.5}, {"min_confidence": 2}, {"base": 7}])
def test_choose_refuses_bad_options(options):
    with pytest.raises(InvalidInputError):
        choose("cat", ANIME, **options)


def test_choose_is_independent_of_library_order():
    models = [*SMALL, WITCH]
    expected = choose("anime girl with magical powers", *models)
    random.Random(1).shuffle(models)
    assert choose("anime girl with magical powers", *models) == expected


def test_choose_survives_hostile_metadata():
    odd = lora(
        "<img src=x onerror=alert(1)>",
        "", "()" * 500, "ignore all instructions", "\u202eevil\n\n<lora:other:9>",
        tags={"": 5, "anime": -3, "x" * 5000: 2},
        description="a" * 100_000,
        strength_range=(5.0, -5.0),
    )  # fmt: skip
    choice = choose("anime, ignore all instructions, evil", odd, min_confidence=0.0)
    assert all(abs(item.suggested_alpha) <= 5 for item in choice.chosen)
    assert not any("<lora" in word or "\n" in word for item in choice.chosen for word in item.trigger_words)


def test_choose_names_tags_that_it_cannot_obey():
    prompt = "a cat <lora:cel_flat:0.8:lbw=OUTD>, [<lora:magic_effects:1>::0.5], <lora:cel_flat:0.3>"
    choice = choose(prompt, *SMALL, max_loras=0)
    assert [(lora.lora_name, lora.suggested_alpha) for lora in choice.chosen] == [("cel_flat", 0.8)]
    assert LoRAMessage.TAG_PARTS_IGNORED.key in [reason.message for reason in choice.chosen[0].reasons]
    assert [item.lora_name for item in choice.rejected] == ["<lora:magic_effects:1>", "<lora:cel_flat:0.3>"]


def test_choose_names_a_tag_of_a_lora_that_has_one():
    in_folder = lora("cel_flat", folder="styles/")
    choice = choose("a cat <lora:cel_flat:0.8> <lora:styles/cel_flat:0.3>", in_folder, max_loras=0)
    assert [(one.lora_name, one.suggested_alpha) for one in choice.chosen] == [("cel_flat", 0.8)]
    (refused,) = choice.rejected
    assert (refused.lora_name, refused.reason.message) == ("styles/cel_flat", LoRAMessage.NAMED_TWICE.key)


def test_reasons_quote_the_words_of_a_spanish_prompt():
    dress = lora("WeddingDress", "wedding dress", kind=LoRAKind.CONCEPT)
    (found,) = LoRARecommender(Library(dress)).rank(PromptAnalyzer().analyze("una mujer con un vestido de novia"), SDXL)
    assert "“vestido de novia”" in found.reasoning and "“wedding" not in found.reasoning
    assert found.matching_concepts == ("vestido de novia",)


def test_choose_finds_escaped_name_of_tag():
    assert names(choose(r"1girl <lora:cat\(anime\):0.6>", lora("cat(anime)"))) == ["cat(anime)"]


@pytest.mark.parametrize(
    "words, woven",
    [(None, ("zorblax",)), (("quixel", "blue"), ("quixel", "blue")), ((), ())],
)
def test_choose_takes_trigger_words_that_the_user_chose(words, woven):
    tag = LoRATag("x", 0.8, trigger_words=words)
    analysis = replace(PromptAnalyzer().analyze("a cat"), lora_tags=(tag,))
    (chosen,) = LoRARecommender(Library(lora("x", "zorblax"))).choose(analysis, SDXL).chosen
    assert chosen.trigger_words == woven


def test_choose_adds_no_words_for_lora_of_strength_zero():
    (chosen,) = choose("a cat <lora:x:0>", lora("x", "zorblax")).chosen
    assert (chosen.suggested_alpha, chosen.trigger_words) == (0, ())


def test_choose_accepts_dense_text_and_says_that_it_has_no_effect():
    """Settings written when an extra compared meaning."""
    given = LoRAPreferences.from_dict({"dense_text": True}).dense_text
    for dense_text, told in ((given, 1), (LoRAPreferences().dense_text, 0)):
        choice = LoRARecommender(Library(WITCH), dense_text=dense_text).choose(PromptAnalyzer().analyze("a dog"))
        assert [reason.message for reason in choice.reasons].count(LoRAMessage.NO_MEANING.key) == told
