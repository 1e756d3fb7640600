"""Slips of spelling: which word was meant, and which words are no slips."""

import pytest

from intelligence.prompt import ConceptCategory, PromptAnalyzer
from intelligence.prompt.words import Spelling

SPELLING = Spelling({"knight", "raccoon", "portrait", "ambulance", "sandwich", "stork", "winter"})


@pytest.mark.parametrize(
    "word, right",
    [
        ("knigth", "knight"),
        ("kinght", "knight"),
        ("racoon", "raccoon"),
        ("portait", "portrait"),
        ("sandwhich", "sandwich"),
        ("ambulence", "ambulance"),
        ("knights", None),
        ("stark", None),
        ("wanter", None),
        ("night", None),
        ("portray", None),
        ("zorblax", None),
        ("", None),
        ("porträit", None),
        ("x" * 10_000, None),
    ],
)
def test_meant_corrects_one_slip(word, right):
    assert SPELLING.meant(word) == right


@pytest.mark.parametrize("word", ["action", "copper", "border", "staring"])
def test_concepts_keep_words_spelled_right(word):
    concepts = PromptAnalyzer().analyze(f"{word}, cat").concepts
    assert word in {phrase for phrases in concepts.values() for phrase in phrases}


def test_concepts_correct_misspelt_word():
    assert PromptAnalyzer().analyze("two knigths").concepts == {ConceptCategory.CHARACTER: ("two knight",)}
