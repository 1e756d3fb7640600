"""LoRAs that a person named outside the prompt."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from intelligence import InvalidInputError, LoRAPreferences, OperationMode
from intelligence.config import OnUnconfirmed
from intelligence.generation.choice_requests import (
    ChoiceBasis,
    LoRARequest,
    choice_report,
    named_loras,
    parse_selection,
)
from intelligence.generation.planner import Planner
from intelligence.generation.problem_messages import ProblemMessage
from intelligence.generation.stages import PromptRecommendations
from intelligence.learning import LearningEngine
from intelligence.models import Architecture, Family, ModelEvidence
from intelligence.prompt import LoRATag
from intelligence.records import Message, Reason, Source
from intelligence.registry import ModelRegistry

from ..lora.library import ANIME, MAGIC, PHOTO

SDXL = ModelEvidence(architecture=Architecture.SDXL)


@pytest.fixture(scope="module")
def planner(tmp_path_factory: pytest.TempPathFactory) -> Planner:
    folder: Path = tmp_path_factory.mktemp("library")
    registry = ModelRegistry(folder / "registry.db")
    for model in (ANIME, MAGIC, PHOTO):
        registry.register_model(model)
    return Planner(registry, LearningEngine(folder / "learning.db"))


@pytest.mark.parametrize(
    ("mode", "selection", "on_unconfirmed", "unconfirmed", "suggest_only"),
    [
        ("AUTO", "", "error", False, False),
        ("AUTO", "", "suggest_only", False, False),
        ("ASSISTED", "", "error", True, False),
        ("ASSISTED", " \n", "use_suggestions", True, False),
        ("ASSISTED", "", "suggest_only", True, True),
        ("ASSISTED", "[]", "suggest_only", False, False),
        ("MANUAL", "", "error", False, False),
    ],
)
def test_lora_request_from_text(
    mode: str, selection: str, on_unconfirmed: str, unconfirmed: bool, suggest_only: bool
) -> None:
    request = LoRARequest.from_text(mode, selection, on_unconfirmed)
    assert (request.unconfirmed, request.suggest_only) == (unconfirmed, suggest_only)


@pytest.mark.parametrize(
    ("texts", "match"),
    [
        (("auto!", "", "error"), "mode must be one of AUTO, ASSISTED, MANUAL"),
        (("AUTO", "", "maybe"), "on_unconfirmed must be one of error"),
        (("AUTO", "nonsense", "error"), "`selection` must be JSON"),
    ],
)
def test_lora_request_from_bad_text(texts: tuple[str, str, str], match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        LoRARequest.from_text(*texts)


BASIS = ChoiceBasis("a red fox", "a.safetensors", "sdxl")


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        (ChoiceBasis.of(" a red\nfox ", ModelEvidence("a.safetensors", family=Family.SDXL)), ()),
        (replace(BASIS, prompt="a fox"), ("prompt",)),
        (replace(BASIS, checkpoint="b.safetensors"), ("checkpoint",)),
        (replace(BASIS, checkpoint=""), ()),
        (replace(BASIS, family=""), ("family",)),
    ],
)
def test_choice_basis_names_what_changed(now: ChoiceBasis, changed: tuple[str, ...]) -> None:
    told = json.dumps({"loras": ["magic_effects"], "chosen_for": asdict(BASIS)})
    request = LoRARequest.from_text("ASSISTED", told, "error")
    assert request.selection == (LoRATag("magic_effects"),)
    assert request.chosen_for is not None and request.chosen_for.changed(now) == changed


def test_stale_selection_is_applied_and_told(planner: Planner) -> None:
    request = LoRARequest(selection=(LoRATag("magic_effects", 0.7),), chosen_for=ChoiceBasis("a red fox"))
    stale = planner.recommend(planner.analyze("a lake"), SDXL, request)
    fresh = planner.recommend(planner.analyze("a red fox"), SDXL, request)
    assert choice_report(stale)["stale"] == ["prompt"]
    assert choice_report(fresh)["stale"] == []
    assert [lora.suggested_alpha for lora in (*stale.suggested_loras, *fresh.suggested_loras)] == [0.7, 0.7]


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (("ASSISTED", "", "error"), ProblemMessage.UNCONFIRMED),
        (("ASSISTED", "", "use_suggestions"), None),
        (("AUTO", '["not_here"]', "use_suggestions"), None),
        (("AUTO", "[]", "error"), None),
    ],
)
def test_lora_request_problem(planner: Planner, texts: tuple[str, str, str], problem: str | None) -> None:
    assert planner.problem(LoRARequest.from_text(*texts)) == problem


def test_lora_request_problem_names_loras_that_are_not_here(planner: Planner) -> None:
    problem = planner.problem(LoRARequest.from_text("AUTO", '["not_here"]', "error"))
    assert problem is not None and "not_here" in problem and "Remove them from `selection`" in problem


def test_lora_request_problem_reads_no_library_without_names(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Planner, "unusable_loras", None)
    for selection in ("", "[]"):
        assert planner.problem(LoRARequest.from_text("AUTO", selection, "error")) is None


def applied(
    request: LoRARequest, planner: Planner, prompt: str = "anime girl, glowing magic"
) -> list[dict[str, float]]:
    """Each variation's LoRAs and their strengths."""
    return [
        {lora.lora_name: lora.suggested_alpha for lora in variant.suggested_loras}
        for variant in planner.recommend_variants(request, planner.analyze(prompt), SDXL)
    ]


def test_lora_request_recommends_from_the_library(planner: Planner) -> None:
    (chosen,) = applied(LoRARequest(preferences=LoRAPreferences(min_confidence=0.3)), planner)
    assert set(chosen) == {"anime_style_v2", "magic_effects"}


def test_lora_request_applies_selection_and_stack_only(planner: Planner) -> None:
    stack = (LoRATag("cinematic_photo", 0.4),)
    for mode in OperationMode:
        request = LoRARequest(mode, (LoRATag("magic_effects", 0.7),), stack=stack)
        assert applied(request, planner) == [{"cinematic_photo": 0.4, "magic_effects": 0.7}]
    assert applied(LoRARequest(OperationMode.MANUAL, stack=stack), planner) == [{"cinematic_photo": 0.4}]
    assert applied(LoRARequest(selection=()), planner) == [{}]


def test_lora_request_variations_differ_and_keep_the_stack(planner: Planner) -> None:
    stack = (LoRATag("cinematic_photo", 0.4),)
    sets = applied(LoRARequest(stack=stack, preferences=LoRAPreferences(min_confidence=0.3), variations=4), planner)
    assert len({frozenset(names) for names in sets}) == len(sets) > 2
    assert all(names["cinematic_photo"] == 0.4 for names in sets)


def test_lora_request_suggests_one_set_only(planner: Planner) -> None:
    request = LoRARequest(OperationMode.ASSISTED, on_unconfirmed=OnUnconfirmed.SUGGEST_ONLY, variations=4)
    assert len(applied(request, planner)) == 1


def test_lora_request_offers_what_one_selection_adds(planner: Planner) -> None:
    """The nearest LoRA's entry, put into `selection`, applies it as it was offered."""
    request = LoRARequest(preferences=LoRAPreferences(min_confidence=1.0))
    (chosen,) = planner.recommend_variants(request, planner.analyze("anime girl with magical powers"), SDXL)
    report = json.loads(json.dumps(choice_report(chosen)))
    assert report["suggestions"] == [] and report["nearest"]
    entries = [
        {name: near[name] for name in ("lora", "strength", "strength_clip", "trigger_words")}
        for near in report["nearest"]
    ]
    confirmed = LoRARequest.from_text("AUTO", json.dumps(entries), "error")
    (added,) = planner.recommend_variants(confirmed, planner.analyze("anime girl with magical powers"), SDXL)
    assert [lora.lora_name for lora in added.suggested_loras] == [near["name"] for near in report["nearest"]]
    assert [lora.suggested_alpha for lora in added.suggested_loras] == [near["strength"] for near in report["nearest"]]
    assert PromptRecommendations.from_dict(chosen.to_dict()).nearest == chosen.nearest


def test_lora_request_notes_lead_the_reasons(planner: Planner) -> None:
    class Note(Message):
        BUSY = "still reading"

    note = Reason.of("library", Source.DEFAULT, Note.BUSY)
    for variant in planner.recommend_variants(LoRARequest(variations=2), planner.analyze("a cat"), SDXL, [note]):
        assert variant.reasons[0] == note


def test_choice_report_is_json(planner: Planner) -> None:
    request = LoRARequest(selection=(LoRATag("magic_effects", 0.7), LoRATag("not_here")))
    (chosen,) = planner.recommend_variants(request, planner.analyze("a cat"), SDXL)
    report = json.loads(json.dumps(choice_report(chosen)))
    (suggestion,) = report["suggestions"]
    assert (suggestion["name"], suggestion["strength"], suggestion["strength_clip"]) == ("magic_effects", 0.7, 0.7)
    assert [item["name"] for item in report["rejected"]] == ["not_here"]
    assert "magic_effects" in report["text"][0]
    assert (suggestion["trigger_words"], suggestion["trigger_sets"]) == (["magical effects"], [["magical effects"]])


def test_selection_sets_trigger_words(planner: Planner) -> None:
    request = LoRARequest(selection=(LoRATag("magic_effects", 0.7, trigger_words=("sparks",)),))
    assert planner.recommend(planner.analyze("a cat"), SDXL, request).prompt == "a cat, sparks"


def test_recommend_names_refused_tags_in_every_mode(planner: Planner) -> None:
    analysis = planner.analyze("a cat [<lora:magic_effects:1>::0.5]")
    for mode in OperationMode:
        found = planner.recommend(analysis, SDXL, LoRARequest(mode, selection=()))
        assert [item.lora_name for item in found.rejected] == ["<lora:magic_effects:1>"]
        assert "<lora:magic_effects:1>" in choice_report(found)["text"][0] and "lora" not in found.prompt


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", None),
        (" \n", None),
        ("[]", []),
        ('["a"]', [LoRATag("a")]),
        ('[{"lora": "a", "strength": -0.5}]', [LoRATag("a", -0.5)]),
        ('[{"lora": "a", "strength": null}, {"lora": "b", "strength_clip": 0}]', [LoRATag("a"), LoRATag("b", 1.0, 0)]),
        ('[["a", 0.5, 0.25]]', [LoRATag("a", 0.5, 0.25)]),
        ('[{"lora": "a", "trigger_words": ["red coat"]}]', [LoRATag("a", trigger_words=("red coat",))]),
        ('[{"lora": "a", "trigger_words": []}]', [LoRATag("a", trigger_words=())]),
    ],
)
def test_parse_selection(text: str, named: list[LoRATag] | None) -> None:
    assert parse_selection(text) == named


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "nonsense",
        "[1]",
        '[{"name": "a"}]',
        '[{"lora": "a", "strength": "1"}]',
        '[{"lora": "a", "strength": NaN}]',
        '[{"lora": "a", "strength": 1e9}]',
        '[{"lora": "a", "strength": true}]',
        '[{"lora": "a", "trigger_words": "red coat"}]',
        '[{"lora": "a", "trigger_words": [1]}]',
        "[" * 100_000,
        "null",
    ],
)
def test_parse_selection_refuses(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_selection(text)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (["a"], [LoRATag("a")]),
        ({"a": 0.5}, [LoRATag("a", 0.5)]),
        ([("a.safetensors", 0.5, 0.4)], [LoRATag("a.safetensors", 0.5, 0.4)]),
        ([], []),
    ],
)
def test_named_loras(value: object, named: list[LoRATag]) -> None:
    assert named_loras(value) == named


@pytest.mark.parametrize("value", ["a", 7, [None], {"a": "b"}])
def test_named_loras_refuses(value: object) -> None:
    with pytest.raises(InvalidInputError):
        named_loras(value)
