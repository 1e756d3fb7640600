"""Taste without a star: by what became of pictures that the user made before."""

from intelligence.generation.past_taste import MAX_PAST, past_observations
from intelligence.history import PastPicture
from intelligence.learning import Preferences
from intelligence.learning.observations import Applied, LoRATraits, Observation, Picture, PromptTraits
from intelligence.lora import LoRARecommender
from intelligence.lora.lora_messages import LoRAMessage
from intelligence.pictures.picture_info import UsedLoRA
from intelligence.prompt import PromptAnalyzer
from tests.lora.library import ANIME, FLAT, Library


def past(signal, lora=ANIME, number=0):
    return PastPicture(
        f"{number}.png", "comfyui", loras=(UsedLoRA(lora.model_id),), prompt_key=str(number), signal=signal
    )


def utilities(pictures, ratings=()):
    preferences = Preferences().after((*past_observations(pictures), *ratings))
    model = preferences.model(lambda lora: LoRATraits(), 1)
    return model.utilities(PromptTraits("new"), [Applied.judged(ANIME.model_id, 0.5)]).shift[0]


def test_signs_of_liking_move_a_lora():
    kept, removed = (utilities([past(signal, number=n) for n in range(5)]) for signal in (1.0, -0.7))
    assert kept > 0 > removed


def test_pictures_without_a_sign_tell_nothing():
    assert past_observations([past(0.0)]) == ()


def test_newest_pictures_count():
    assert len(past_observations([past(1.0, number=n) for n in range(200)])) == MAX_PAST


def test_a_star_counts_more_than_a_sign():
    used = (Applied.judged(ANIME.model_id, 0.9),)
    star = Observation(1.0, Picture(PromptTraits("other"), used))
    assert utilities([past(1.0)], [star]) < 0


def test_reason_tells_what_became_of_pictures():
    observations = past_observations([past(1.0, number=n) for n in range(3)] + [past(-0.7, number=9)])
    recommender = LoRARecommender(Library(ANIME, FLAT), Preferences().after(observations))
    found = recommender.rank(PromptAnalyzer().analyze("anime style girl"))
    (one,) = [one for one in found if one.lora_name == ANIME.name]
    (reason,) = [reason for reason in one.reasons if reason.message == LoRAMessage.PAST.key]
    assert reason.arguments == {"liked": 3, "disliked": 1}
