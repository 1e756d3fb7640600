"""The lists of the vocabulary, and a user's file on top of them."""

import json

import pytest

from intelligence.config import HOME_VARIABLE
from intelligence.errors import InvalidInputError
from intelligence.prompt import ArtisticStyle, ConceptCategory, PromptAnalyzer
from intelligence.prompt.vocabulary import LISTS, read_lists


def test_user_vocabulary_extends_lists(tmp_path, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    path = tmp_path / "vocabulary.json"
    own = PromptAnalyzer()
    assert own.analyze("zorblax girl").intent.artistic_style is ArtisticStyle.UNSPECIFIED
    path.write_text(json.dumps({"styles": {"anime": {"words": ["zorblax"]}}, "spanish": {"zorblo": "castle"}}))
    assert own.analyze("zorblax girl").intent.artistic_style is ArtisticStyle.ANIME
    assert own.analyze("oil painting of a girl").intent.artistic_style is ArtisticStyle.PAINTING
    assert own.analyze("un zorblo").concepts == {ConceptCategory.SETTING: ("castle",)}
    path.write_text(json.dumps({"styles": {"drawing": {"words": ["zorblax"]}}, "families": {"zorbl": {"zorb_9": 1}}}))
    analysis = own.analyze("zorblax girl, zorb_9")
    assert analysis.intent.artistic_style is ArtisticStyle.DRAWING
    assert analysis.quality_family == "zorbl"


def test_user_vocabulary_may_have_every_part(tmp_path):
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps(read_lists()), encoding="utf-8-sig")
    assert PromptAnalyzer(vocabulary_path=path).analyze("a cat").intent == PromptAnalyzer().analyze("a cat").intent


@pytest.mark.parametrize("path", sorted(LISTS.rglob("*.txt")), ids=lambda path: path.relative_to(LISTS).as_posix())
def test_vocabulary_list_is_sorted_without_doubles(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    phrases = [line.split(" = ")[0] for line in lines]
    assert phrases == sorted(set(phrases))
    assert all(line and line == line.strip() for line in lines)


@pytest.mark.parametrize(
    "text, where",
    [
        ("{", "not JSON"),
        ("[" * 99_999, "not JSON"),
        ("[]", "the whole"),
        ('{"styles": 3}', "styles"),
        ('{"style": {}}', "style"),
        ('{"styles": {"nonsense": {"words": ["a"]}}}', "styles.nonsense"),
        ('{"styles": {"anime": ["a"]}}', "styles.anime"),
        ('{"styles": {"anime": {"words": "a"}}}', "styles.anime.words"),
        ('{"content": {"animal": [7]}}', "content.animal.0"),
        ('{"families": {"pony": {"score_9": "high"}}}', "families.pony.score_9"),
        ('{"function_words": {"de": ["der"]}}', "function_words.de"),
        ('{"spanish": ["gata"]}', "spanish"),
    ],
)
def test_user_vocabulary_error_names_place(tmp_path, text, where):
    path = tmp_path / "vocabulary.json"
    path.write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        PromptAnalyzer(vocabulary_path=path).analyze("cat")
    assert str(caught.value).startswith(f"{path}: {where}")


def test_user_vocabulary_error_names_unreadable_path(tmp_path):
    with pytest.raises(InvalidInputError, match="cannot be read"):
        PromptAnalyzer(vocabulary_path=tmp_path).analyze("cat")
