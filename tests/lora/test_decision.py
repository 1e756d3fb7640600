"""The yes or no for each LoRA, made of trained numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

import intelligence.lora.search.decision as decision_module
from intelligence.config import LoRAPreferences
from intelligence.lora import LoRARecommender
from intelligence.lora.search.decision import decision, decision_from, knowledge, trees_from
from intelligence.lora.search.index import KINDS
from intelligence.lora.search.knowledge import PhraseCounts
from intelligence.lora.search.misreadings import most_probable
from intelligence.lora.search.naming import NameSource
from intelligence.lora.search.naming_evidence import EVIDENCE
from intelligence.models import Architecture, LoRAKind, ModelEvidence
from intelligence.prompt import PromptAnalyzer
from tests.lora.library import Library, lora

SDXL = ModelEvidence(name="some_sdxl.safetensors", architecture=Architecture.SDXL)


def test_trees_walk_to_their_leaves():
    stump = [[0, 1.5, 1, 2], [-1.0], [2.0]]
    deep = [[1, 0.0, 1, 2], [10.0], [0, 5.0, 3, 4], [20.0], [30.0]]
    trees = trees_from([stump, deep])
    rows = np.array([[1.5, 0.0], [1.6, 0.1], [9.0, 0.1]], np.float32)
    assert trees(rows).tolist() == [9.0, 22.0, 32.0]


def test_decision_is_of_the_evidence_that_is_collected():
    path = Path(decision_module.__file__).with_name("decision.json")
    assert json.loads(path.read_text(encoding="utf-8"))["about"]["evidence"] == list(EVIDENCE)
    assert path.stat().st_size < 300_000


def test_decision_tells_probabilities():
    sums = decision().trees(np.random.default_rng(1).normal(0, 5, (50, len(EVIDENCE))).astype(np.float32))
    rising = np.linspace(-20, 20, 200, dtype=np.float32)
    for tag_style in (0.0, 0.5, 1.0):
        told = decision().probability(sums, tag_style)
        assert told.shape == (50,) and ((told >= 0) & (told <= 1)).all()
        assert (np.diff(decision().probability(rising, tag_style)) >= 0).all()


def test_decision_reads_counts_of_phrases():
    data = {
        "told": [[0.0, 1.0]] * 2,
        "true": [[0.0, 1.0]] * 2,
        "series": ["starharbor"],
        "phrases": {"cab": "zorbla vex"},
    }
    read = decision_from({**data, "trees": [[[1.0]]]})
    assert read.phrases == dict.fromkeys(("zorbla", "vex"), PhraseCounts(0.5, 0.0, 0.25))
    assert knowledge().phrases["masterpiece"].pages > knowledge().phrases["marble"].pages > 0


def evidence_row(**values):
    row = np.zeros((1, len(EVIDENCE)), np.float32)
    for name, value in values.items():
        row[0, EVIDENCE.index(name)] = value
    return row


OF_TAGS = {"source": NameSource.TAG, "style_word": 1, "named_tag": 9, "kind": KINDS.index(LoRAKind.CHARACTER)}


@pytest.mark.parametrize(
    "values, most",
    [
        (OF_TAGS, 0.0),
        (OF_TAGS | {"style_word": 0}, 1.0),
        (OF_TAGS | {"strong": 1}, 1.0),
        (OF_TAGS | {"kind": KINDS.index(LoRAKind.STYLE)}, 1.0),
    ],
)
def test_most_probable_limits_misreadings(values, most):
    assert most_probable(evidence_row(**values)).tolist() == pytest.approx([most])


CAPTAIN = lora("zorbla_v2", "zorbla vex", title="Zorbla Vex | Star Harbor", kind=LoRAKind.CHARACTER)
SISTER = lora("mirna_v1", "mirna vex", title="Mirna Vex | Star Harbor", kind=LoRAKind.CHARACTER)
ARMOR = lora("glass_armor", "glassplate armor", title="Glassplate Armor", kind=LoRAKind.CONCEPT)
INK = lora("tessel", "tesselink style", title="Tesselink Style", kind=LoRAKind.STYLE)
OTHERS = [lora(f"crowd_{n}", f"subject{'abcdefghij'[n % 10]}{n}", kind=LoRAKind.CHARACTER) for n in range(60)]
COMPANY = [CAPTAIN, SISTER, ARMOR, INK]


@pytest.mark.parametrize("crowd", [[], OTHERS], ids=["4 LoRAs", "64 LoRAs"])
@pytest.mark.parametrize(
    "prompt, expected",
    [
        ("1girl, zorbla vex, blue hair, harbor, night, masterpiece", {"zorbla_v2"}),
        ("A portrait of Zorbla Vex drinking coffee on a rainy terrace", {"zorbla_v2"}),
        ("Retrato de Zorbla Vex en una playa al atardecer", {"zorbla_v2"}),
        ("Zorbla Vex and Mirna Vex argue on a rooftop", {"zorbla_v2", "mirna_v1"}),
        ("Zorbla Vex wearing glassplate armor walks through the rain", {"zorbla_v2", "glass_armor"}),
        ("A lighthouse in a storm, in the style of Tesselink", {"tessel"}),
        ("A bowl of soup on a wooden table", set()),
        ("A harbor at night without Zorbla Vex", set()),
        ("Somebody else from Star Harbor stands at the pier", set()),
    ],
)
def test_choose_what_is_asked_for(crowd, prompt, expected):
    recommender = LoRARecommender(Library(*COMPANY, *crowd))
    chosen = recommender.choose(PromptAnalyzer().analyze(prompt), SDXL).chosen
    assert {one.lora_name for one in chosen} == expected


def test_choose_names_the_nearest_that_it_leaves():
    recommender, analysis = LoRARecommender(Library(*COMPANY)), PromptAnalyzer().analyze("Vex at sea")
    strict = recommender.choose(analysis, SDXL, min_confidence=1.0)
    assert strict.chosen == () and len(strict.rejected) == 2
    assert all(0.05 < one.reason.weight < 1 for one in strict.rejected)
    assert len(recommender.choose(analysis, SDXL, min_confidence=1.0, nearest=1).rejected) == 1
    assert any("`min_confidence`" in reason.evidence for reason in strict.reasons)


def test_choose_offers_the_nearest_ready_to_be_added():
    recommender, analysis = LoRARecommender(Library(*COMPANY)), PromptAnalyzer().analyze("Zorbla Vex at sea")
    applied = recommender.choose(analysis, SDXL)
    (chosen,) = applied.chosen
    (offered, *others) = recommender.choose(analysis, SDXL, min_confidence=1.0).nearest
    assert [one.lora for one in others] == [one.lora for one in applied.nearest]
    assert (offered.lora, offered.confidence_score) == ("zorbla_v2.safetensors", chosen.confidence_score)
    assert (offered.strength, offered.trigger_words) == (chosen.suggested_alpha, chosen.trigger_words)
    assert offered.reason.message == "lora.not_confident" and offered.reasoning
    assert recommender.choose(analysis, SDXL, max_loras=0).nearest == ()


def test_choose_suggests_the_first_however_unsure():
    recommender, analysis = LoRARecommender(Library(*COMPANY)), PromptAnalyzer().analyze("Somebody from Star Harbor")
    usual, many = (recommender.choose(analysis, SDXL, nearest=count) for count in (3, 8))
    assert usual.nearest == () and len(many.nearest) > 1
    told = [one.confidence_score for one in many.nearest]
    assert told == sorted(told, reverse=True) and 0 < told[0] < 0.05


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[2].glob("example_workflows/*.json")), ids=lambda p: p.stem
)
def test_templates_ask_for_the_default_confidence(path):
    nodes = json.loads(path.read_text(encoding="utf-8"))["nodes"]
    asked = [node["widgets_values"][4] for node in nodes if node["type"] == "LoRARecommend"]
    assert set(asked) <= {LoRAPreferences.min_confidence}
