"""`Preferences`: what follows from ratings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intelligence.learning import LearningEngine, Preferences
from intelligence.learning.preferences import RatedImage


def seen(rating, loras=("a",), concepts=("cat",), weight=1.0):
    return RatedImage(tuple(loras), frozenset(concepts), rating, weight)


def advantage(images, concepts=("cat",), lora="a"):
    return Preferences(images).for_prompt(concepts)[lora].advantage


def test_preferences_empty_without_ratings():
    assert dict(Preferences().for_prompt(["cat"])) == {}
    assert len(Preferences()) == 0


def test_advantage_of_one_rating_is_small():
    preference = Preferences([seen(5)]).for_prompt(["cat"])["a"]
    assert 0.05 < preference.advantage < 0.3
    assert preference.stars == 5
    assert preference.count == 1


@pytest.mark.parametrize(("rating", "sign"), [(1, -1), (2, -1), (3, 0), (4, 1), (5, 1)])
def test_advantage_has_sign_of_rating(rating, sign):
    value = advantage([seen(rating)])
    assert (value > 0) - (value < 0) == sign


def test_advantage_grows_with_ratings():
    values = [advantage([seen(5)] * count) for count in (1, 2, 5, 20, 200)]
    assert values == sorted(values)
    assert values[0] < 0.3 < 0.8 < values[-1] <= 1


def test_advantage_weighs_similar_prompts_more():
    images = [seen(5, concepts=["cat", "night"]), seen(1, concepts=["car", "street"])]
    assert advantage(images, ["cat", "night"]) > 0 > advantage(images, ["car", "street"])
    assert advantage(images, ["boat"]) == 0
    assert advantage([seen(5)], ["cat"]) > advantage([seen(5)], ["boat"]) > 0


def test_concepts_compared_without_case():
    assert advantage([seen(5, concepts=["Cat"])], [" cat "]) == advantage([seen(5)])


def test_advantage_shared_by_loras_of_image():
    alone, shared = advantage([seen(5)]), advantage([seen(5, ["a", "b"])])
    assert 0 < shared < alone
    assert advantage([seen(5, ["a", "a"])]) == alone


def test_evidence_names_mean_and_count():
    images = [seen(5), seen(4), seen(4), seen(2, ["b"])]
    assert Preferences(images).for_prompt([])["a"].stars == pytest.approx(13 / 3)


@given(
    st.lists(
        st.builds(
            seen,
            st.integers(1, 5),
            st.lists(st.sampled_from("abc"), min_size=1, max_size=3),
            st.lists(st.sampled_from(["cat", "dog", "sea"]), max_size=3),
            st.floats(0.01, 1),
        ),
        max_size=20,
    ),
    st.lists(st.sampled_from(["cat", "dog", "sea"]), max_size=3),
)
def test_advantage_bounded_and_deterministic(images, concepts):
    first = Preferences(images).for_prompt(concepts)
    assert first == Preferences(images).for_prompt(concepts)
    assert all(-1 < preference.advantage < 1 for preference in first.values())
    assert set(first) == {lora for observation in images for lora in observation.loras}


@pytest.fixture
def engine(tmp_path):
    engine = LearningEngine(tmp_path / "learning.db")
    engine.record_generation("g", ["g-0", "g-1"], {}, loras=["a"], concepts=["cat"])
    engine.record_generation("plain", ["plain-0"], {}, concepts=["cat"])
    yield engine
    engine.close()


def test_generation_rating_counts_once(engine):
    engine.record_feedback("g", 5)
    preference = engine.preferences().for_prompt(["cat"])["a"]
    assert preference.count == 2
    assert preference.advantage == pytest.approx(advantage([seen(5)]))


def test_image_rating_before_generation_rating(engine):
    engine.record_feedback("g", 5)
    engine.record_feedback("g-1", 1)
    preference = engine.preferences().for_prompt(["cat"])["a"]
    assert preference.stars == 3
    assert preference.advantage == pytest.approx(advantage([seen(5, weight=0.5), seen(1)]))


def test_image_without_loras_counts_for_none(engine):
    engine.record_feedback("plain", 5)
    assert len(engine.preferences()) == 0


def test_removed_rating_is_forgotten(engine):
    engine.record_feedback("g-0", 1)
    engine.remove_feedback("g-0")
    assert dict(engine.preferences().for_prompt(["cat"])) == {}


def test_liked_strengths_of_well_rated_images():
    """Each counts by how far above the middle it was rated; what was rated before strengths were kept says nothing."""
    loras = ("a", "b")
    images = [
        RatedImage(loras, frozenset(), 5, 1.0, (0.4, 0.9)),
        RatedImage(loras, frozenset(), 4, 0.5, (0.6, 1.0)),
        RatedImage(loras, frozenset(), 3, 1.0, (2.0, 2.0)),
        RatedImage(loras, frozenset(), 1, 1.0, (2.0, 2.0)),
        RatedImage(loras, frozenset(), 5),
    ]
    found = Preferences(images).for_prompt(())
    assert found["a"].liked_strengths == ((0.4, 1.0), (0.6, 0.25))
    assert found["b"].liked_strengths == ((0.9, 1.0), (1.0, 0.25))


def test_ratings_follow_moved_lora() -> None:
    seen = [RatedImage(("lora:old",), frozenset({"cat"}), 5), RatedImage(("lora:new", "lora:b"), frozenset(), 4)]
    found = Preferences(seen, {"lora:old": "lora:new"}).for_prompt(["cat"])
    assert found.keys() == {"lora:new", "lora:b"}
    assert found["lora:new"].count == 2
