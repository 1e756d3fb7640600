"""Each row of the tables of rules applies to the example that it gives."""

import pytest

from intelligence.prompt import PromptAnalyzer, intent
from intelligence.prompt import sentence_rules as rules

ANALYZER = PromptAnalyzer()
PLACE_TABLES = ("TURNS_ASIDE", "WORD_EFFECTS", "GIVES_WAY", "MODIFIES", "MODIFIES_SPANISH", "SEEN_AS")


def rows(module, *tables):
    return [
        pytest.param(table, number, row.example, id=f"{table}-{row.example}")
        for table in tables
        for number, row in enumerate(getattr(module, table))
    ]


def subjects(monkeypatch, table, number, condition, name_of, prompt):
    """Names of what row `number` of `table` applies to when `prompt` is analyzed; earlier rows may decide before it."""
    found = []

    def recorded(subject):
        held = condition(subject)
        if held:
            found.append(name_of(subject))
        return held

    for module in (rules, intent):
        if known := getattr(module, table, None):
            field = "evidence" if hasattr(known[number], "evidence") else "condition"
            row = known[number]._replace(**{field: recorded})
            monkeypatch.setattr(module, table, (*known[:number], row, *known[number + 1 :]))
    ANALYZER.analyze(prompt)
    return found


def plain(example):
    return example.replace("[", "").replace("]", "")


def marked(example):
    return example.split("[")[1].split("]")[0].split()[0]


@pytest.mark.parametrize("table, number, example", rows(rules, *PLACE_TABLES))
def test_rule_for_places_applies_to_marked_word(monkeypatch, table, number, example):
    condition = getattr(rules, table)[number].condition
    found = subjects(monkeypatch, table, number, condition, lambda at: at.word, plain(example))
    assert marked(example) in found


@pytest.mark.parametrize("table, number, example", rows(intent, "MENTION_WEIGHTS"))
def test_weight_applies_to_marked_mention(monkeypatch, table, number, example):
    condition = getattr(intent, table)[number].condition
    found = subjects(monkeypatch, table, number, condition, lambda mention: mention.meaning.phrase, plain(example))
    assert marked(example) in found


@pytest.mark.parametrize("table, number, example", rows(intent, "VOTE_RULES", "VIEW_RULES"))
def test_rule_for_scenes_applies_to_example(monkeypatch, table, number, example):
    evidence = getattr(intent, table)[number].evidence
    assert subjects(monkeypatch, table, number, evidence, lambda scene: True, example)
