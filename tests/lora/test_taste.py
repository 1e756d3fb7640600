"""Changes that ratings make in the choice of LoRAs, and the reasons that say so."""

import pytest

from intelligence.config import LoRAPreferences
from intelligence.learning import Preferences
from intelligence.learning.preferences import PictureRating, UsedLoRA, traits_of
from intelligence.lora import LoRARecommender
from intelligence.lora.lora_messages import LoRAMessage
from intelligence.models import Architecture, LoRAKind, ModelEvidence
from intelligence.prompt import PromptAnalyzer
from intelligence.records import Source
from tests.lora.library import ANIME, FLAT, MAGIC, PHOTO, WITCH, Library, lora

SDXL = ModelEvidence(name="some_sdxl.safetensors", architecture=Architecture.SDXL)
ALL = Library(ANIME, FLAT, PHOTO, MAGIC, WITCH)
PROMPTS = ("anime style girl", "anime girl in a forest", "cinematic photo of a street", "a castle on a cliff")
ANALYZER = PromptAnalyzer()


def rated(prompt, stars, *models, confidence=0.9, strength=None):
    used = tuple(UsedLoRA(model.model_id, strength, confidence) for model in models)
    return PictureRating(traits_of(ANALYZER.analyze(prompt)), used, stars)


def choose(prompt, *pictures, **options):
    recommender = LoRARecommender(ALL, Preferences(pictures) if pictures else None)
    return recommender.choose(ANALYZER.analyze(prompt), SDXL, **options)


def confidence_of(prompt, model):
    found = LoRARecommender(ALL).rank(ANALYZER.analyze(prompt), SDXL)
    return next(one.confidence_score for one in found if one.lora_name == model.name)


def names(choice):
    return [one.lora_name for one in choice.chosen]


def learned(one, setting="ratings"):
    return [reason for reason in one.reasons if (reason.setting, reason.source) == (setting, Source.LEARNED)]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_no_ratings_change_nothing(prompt):
    analysis = ANALYZER.analyze(prompt)
    plain, empty = LoRARecommender(ALL), LoRARecommender(ALL, Preferences())
    assert empty.choose(analysis, SDXL) == plain.choose(analysis, SDXL)
    assert empty.rank(analysis, SDXL) == plain.rank(analysis, SDXL)


def test_disliked_lora_is_left_out_with_its_stars():
    pictures = [rated("anime style girl", 1, ANIME)] * 3 + [rated("anime style girl", 4)] * 2
    before, after = choose("anime style girl"), choose("anime style girl", *pictures)
    assert ANIME.name in names(before)
    assert ANIME.name not in names(after)
    (reason,) = [one.reason for one in after.rejected if one.lora_name == ANIME.name]
    assert (reason.setting, reason.source) == ("lora", Source.LEARNED)
    assert reason.arguments["stars"] == "1, 1, 1"


def test_ratings_ask_nothing_where_no_lora_is_near():
    assert names(choose("a bowl of lentil soup", rated("anime style girl", 5, ANIME))) == []


def test_liking_is_what_ratings_add():
    analysis = ANALYZER.analyze("anime style girl")
    asked = [ANIME.model_id, PHOTO.model_id, "lora:not_here"]
    assert set(LoRARecommender(ALL).liking(analysis, asked).values()) == {0.0}
    liking = LoRARecommender(ALL, Preferences([rated("anime style girl", 1, ANIME)])).liking(analysis, asked)
    assert liking.keys() == {ANIME.model_id, PHOTO.model_id}
    assert liking[ANIME.model_id] < -0.01
    assert abs(liking[PHOTO.model_id]) < abs(liking[ANIME.model_id]) / 2


def test_one_bad_star_is_no_proof():
    choice = choose("anime style girl", rated("anime style girl", 1, ANIME))
    (one,) = [one for one in choice.chosen if one.lora_name == ANIME.name]
    assert one.confidence_score < one.relevance
    assert [reason.message for reason in learned(one)] == [LoRAMessage.RATED.key]


@pytest.mark.parametrize(("stars", "applied"), [((4, 4, 1), True), ((1, 1, 1), False), ((4, 1, 1, 1, 1), False)])
def test_bad_star_after_good_ones_drops_nothing_and_several_do(stars, applied):
    prompt = "anime style girl"
    confidence = confidence_of(prompt, ANIME)
    pictures = [rated(prompt, 3)]
    for each in stars:
        pictures += [rated(prompt, each, ANIME, confidence=confidence), rated(prompt, 3)]
    assert (ANIME.name in names(choose(prompt, *pictures))) is applied


def test_liked_lora_below_the_threshold_is_taken():
    prompt = "a castle on a cliff, glowing"
    confidence = confidence_of(prompt, MAGIC)
    assert confidence < LoRAPreferences.min_confidence
    pictures = [rated(prompt, 5, MAGIC, confidence=confidence)] * 3 + [rated(prompt, 3)] * 2
    choice = choose(prompt, *pictures)
    assert MAGIC.name in names(choice)
    assert MAGIC.name not in names(choose(prompt))


def test_liked_lora_is_not_taken_on_prompts_of_others():
    pictures = [rated("mirkwood witch", 5, WITCH)] * 12
    assert WITCH.name not in names(choose("cinematic photo of a street", *pictures))


def test_ratings_flip_what_fits_equally_and_back():
    twins = [lora(f"cel_{name}", f"zorblax {name}", kind=LoRAKind.STYLE) for name in ("one", "two")]
    analysis = ANALYZER.analyze("a girl, zorblax one, zorblax two")
    before = LoRARecommender(Library(*twins)).choose(analysis, SDXL)
    (first,) = [one.lora_name for one in before.chosen]
    other = next(twin for twin in twins if twin.name != first)
    pictures = [rated("a girl, zorblax one, zorblax two", 5, other)] * 6
    pictures += [rated("a girl, zorblax one, zorblax two", 2, *(twin for twin in twins if twin is not other))] * 6
    after = LoRARecommender(Library(*twins), Preferences(pictures)).choose(analysis, SDXL)
    assert names(after) == [other.name]
    assert learned(after.chosen[0])
    assert LoRARecommender(Library(*twins), Preferences(pictures[:0])).choose(analysis, SDXL) == before


def test_reasons_tell_stars_by_style():
    prompts = {"anime style girl": (5, 5, 4), "photorealistic portrait, anime style": (1,)}
    pictures = [rated(prompt, stars, ANIME) for prompt, given in prompts.items() for stars in given]
    choice = choose("anime style girl", *pictures)
    (one,) = [one for one in choice.chosen if one.lora_name == ANIME.name]
    told = {reason.arguments["style"]: reason.arguments["stars"] for reason in learned(one)}
    styles = [ANALYZER.analyze(prompt).intent.artistic_style.value for prompt in prompts]
    assert told == dict(zip(styles, ("5, 5, 4", "1"), strict=True))


def test_reason_names_the_loras_alike():
    choice = choose("flat cel shading girl", *[rated("flat cel shading girl", 5, ANIME)] * 4)
    (one,) = [one for one in choice.chosen if one.lora_name == FLAT.name]
    (reason,) = learned(one)
    assert reason.message == LoRAMessage.RATED_ALIKE.key
    assert (reason.arguments["loras"], reason.arguments["stars"]) == (ANIME.name, "5, 5, 5, 5")


def test_style_that_the_prompt_rules_out_stays_out():
    analysis = ANALYZER.analyze("a girl, flat cel shading", "anime")
    pictures = Preferences([rated("a girl, flat cel shading", 5, ANIME)] * 12)
    chosen = LoRARecommender(ALL, pictures).choose(analysis, SDXL).chosen
    assert ANIME.name not in [one.lora_name for one in chosen]


@pytest.mark.parametrize(
    ("pictures", "strength", "message"),
    [
        ([(5, 0.4), (4, 0.4)], 0.4, LoRAMessage.LIKED_STRENGTH),
        ([(1, 0.9)] * 4 + [(4, None)], 0.65, LoRAMessage.DISLIKED_STRENGTH),
        ([(1, 0.9)], 0.9, None),
        ([(5, 0.9)] * 5, 0.9, None),
    ],
)
def test_strength_follows_stars(pictures, strength, message):
    seen = [rated("anime style girl", stars, *[ANIME] * (at is not None), strength=at) for stars, at in pictures]
    found = LoRARecommender(ALL, Preferences(seen)).rank(ANALYZER.analyze("anime style girl"), SDXL)
    (one,) = [one for one in found if one.lora_name == ANIME.name]
    assert one.suggested_alpha == pytest.approx(strength, abs=0.06)
    assert [reason.message for reason in learned(one, "strength") if "stars" in reason.arguments] == (
        [message.key] if message else []
    )
