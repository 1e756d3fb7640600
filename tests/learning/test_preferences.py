"""`Preferences`: rated pictures as observations."""

import pytest

from intelligence.learning import LearningEngine, Preferences
from intelligence.learning.observations import RATING_NOISE, Applied, LoRATraits, PromptTraits
from intelligence.learning.preferences import PictureRating, UsedLoRA, picture_rating, prompt_traits

CAT = prompt_traits("a cat", "anime", "animal", 0.2, ["Cat "])
DATA = {
    "plan": {
        "recommendations": {
            "prompt_analysis": {
                "prompt": "a cat",
                "intent": {"artistic_style": "anime", "content_type": "unspecified"},
                "tag_style": 0.9,
            },
            "suggested_loras": [
                {"lora_metadata": {"model_id": "lora:a"}, "confidence_score": 0.8, "relevance": 0.6},
                {"lora_metadata": {"model_id": "lora:b"}, "confidence_score": 0.7},
                {"lora_metadata": {"model_id": "lora:c"}, "confidence_score": 1.0, "named": True},
            ],
        }
    }
}


@pytest.fixture
def engine(tmp_path):
    engine = LearningEngine(tmp_path / "learning.db")
    engine.record_generation("g", ["g-0", "g-1"], {}, loras=["a"], concepts=["cat"])
    engine.record_generation("plain", ["plain-0"], {}, concepts=["cat"])
    yield engine
    engine.close()


def read(engine):
    """Return the stars, and the noise as a multiple of that of a rating of one picture."""
    return [(one.stars, round(one.noise / RATING_NOISE, 3)) for one in engine.preferences().observations]


def test_generation_rating_counts_once(engine):
    engine.record_feedback("g", 5)
    assert read(engine) == [(5, 1.0)]


def test_generation_rating_stands_for_images_without_one(engine):
    engine.record_feedback("g", 5)
    engine.record_feedback("g-1", 1)
    assert read(engine) == [(5, 1.414), (1, 1.0)]
    engine.record_feedback("g-0", 2)
    assert read(engine) == [(1, 1.0), (2, 1.0)]


def test_picture_without_loras_is_an_observation(engine):
    engine.record_feedback("plain", 5)
    (one,) = engine.preferences().observations
    assert one.picture.loras == ()


def test_removed_rating_is_no_observation(engine):
    engine.record_feedback("g-0", 1)
    engine.remove_feedback("g-0")
    assert read(engine) == []


def test_preferences_are_remembered_until_a_rating(engine):
    engine.record_feedback("g", 5)
    first = engine.preferences()
    assert engine.preferences() is first
    assert engine.preferences({"a": "b"}) is not first
    engine.record_feedback("g", 4)
    assert engine.preferences({"a": "b"}).observations[0].stars == 4


def test_preferences_hold_the_newest_ratings(engine):
    for number in range(300):
        engine.record_generation(f"n{number}", [f"n{number}-0"], {}, loras=["a"])
        engine.record_feedback(f"n{number}", 1 + (number >= 290))
    assert [one.stars for one in engine.preferences().observations] == [1] * 246 + [2] * 10


def test_picture_rating_reads_a_stored_generation():
    found = picture_rating(DATA, ["lora:a", "lora:b", "lora:c"], ["Cat"], [0.5, 0.6, 0.7], 4)
    assert found == PictureRating(
        PromptTraits("a cat", "anime", "", True, frozenset({"cat"})),
        (UsedLoRA("lora:a", 0.5, 0.6), UsedLoRA("lora:b", 0.6, 0.7), UsedLoRA("lora:c", 0.7, 0.3)),
        4,
    )


def test_picture_rating_of_an_unknown_record():
    found = picture_rating({}, ["lora:a"], ["b", "a"], [], 2)
    assert found == PictureRating(PromptTraits(("a", "b"), concepts=frozenset("ab")), (UsedLoRA("lora:a"),), 2)


def test_ratings_follow_a_moved_lora():
    rated = PictureRating(CAT, (UsedLoRA("lora:old"), UsedLoRA("lora:b")), 5)
    (one,) = Preferences([rated], {"lora:old": "lora:new"}).observations
    assert [used.lora for used in one.picture.loras] == ["lora:new", "lora:b"]


def test_lora_counts_once_in_a_picture():
    twice, once = (Preferences([PictureRating(CAT, (UsedLoRA("a"),) * count, 5)]) for count in (2, 1))
    models = [preferences.model(lambda lora: LoRATraits(), 1) for preferences in (twice, once)]
    first, second = (model.utilities(CAT, [Applied.judged("a", 0.5)]).shift[0] for model in models)
    assert first == second > 0


def test_ratings_follow_a_file_to_its_new_name():
    def data(lora, digest):
        one = {"lora_metadata": {"model_id": lora, "digest": digest}, "relevance": 0.6}
        return {"plan": {"recommendations": {"suggested_loras": [one]}}}

    before, after = data("lora:a", "of one"), data("lora:a", "of two")
    pictures = [picture_rating(each, ["lora:a"], [], [0.8], 5) for each in (before, after)]
    names = {"of one": "lora:b", "of two": "lora:a"}
    assert [one.picture(names).loras[0].lora for one in pictures] == ["lora:b", "lora:a"]
    assert [one.picture({}).loras[0].lora for one in pictures] == ["lora:a", "lora:a"]
    assert pictures[0].picture({"lora:a": "lora:c"}).loras[0].lora == "lora:c"
