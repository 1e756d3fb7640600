"""LoRAs of what a prompt does not want stay away; the whole sweep is `tests.benchmarks.negation`."""

import pytest

from tests.benchmarks.negation import IDIOMS, NEGATED, Chooser, pairs

EVERY = 5
"""Distance of the made prompts that are tried here."""
MOST_MISSED = 0.2
"""Share of the same prompts without the negation whose thing is not sure enough to be applied."""


@pytest.fixture(scope="module")
def chooser():
    return Chooser()


@pytest.mark.parametrize("part", NEGATED)
def test_choose_leaves_alone_what_is_negated(chooser, part):
    made = list(pairs(part))[::EVERY]
    assert [negated for negated, _, thing in made if chooser.applies(negated, thing)] == []
    missed = [wanted for _, wanted, thing in made if not chooser.applies(wanted, thing)]
    assert len(missed) <= MOST_MISSED * len(made), missed


def test_choose_finds_what_only_seems_negated(chooser):
    made = [(text.format(**things[0]._asdict()), things[0]) for things, text in IDIOMS]
    assert len([text for text, thing in made if not chooser.applies(text, thing)]) <= 2
