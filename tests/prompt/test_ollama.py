"""The Ollama client against a local HTTP server that answers well, badly, late, or not at all."""

import json
import os
import sys

import pytest

from intelligence.config import OllamaConfig
from intelligence.prompt import ArtisticStyle, ConceptCategory, PromptAnalyzer
from intelligence.prompt.ollama import MAX_CONCEPTS
from intelligence.prompt.ollama_client import MAX_ANSWER_BYTES, MAX_PROMPT_CHARACTERS
from tests.prompt.ollama_server import server

pytest.importorskip("ollama", reason="the ollama client is not installed (extra `ollama`)")

GOOD = {
    "artistic_style": "painting",
    "content_type": "landscape",
    "setting": ["quiet harbour", "cat"],
    "lighting": ["evening light"],
}


def test_enrich_only_adds():
    rules = PromptAnalyzer().analyze("cat by the water")
    with server(json.dumps(GOOD)) as (config, requests):
        analysis = PromptAnalyzer(config).analyze("cat by the water")
    assert analysis.concepts[ConceptCategory.SETTING] == ("quiet harbour",)
    assert analysis.concepts[ConceptCategory.LIGHTING] == ("evening light",)
    for category, phrases in rules.concepts.items():
        assert set(phrases) <= set(analysis.concepts[category])
    assert analysis.intent.artistic_style is ArtisticStyle.PAINTING
    assert analysis.intent.content_type is rules.intent.content_type
    assert analysis.analyzer == "rules + ollama:m"
    assert analysis.notes == ()
    ((path, body),) = requests
    assert path == "/api/chat"
    assert (body["think"], body["keep_alive"], body["stream"]) == (False, 0, False)
    assert body["options"]["temperature"] == 0
    assert body["options"]["num_predict"] > 0
    assert body["format"]["type"] == "object"


@pytest.mark.parametrize(
    "answer, note",
    [
        ({"content": "I think it is a cat"}, "schema"),
        ({"content": '{"artistic_style": "nonsense"}'}, "schema"),
        ({"content": '{"setting": "not a list"}'}, "schema"),
        ({"content": json.dumps(GOOD), "done_reason": "length"}, "cut off"),
        ({"status": 404, "raw": b'{"error": "model not found"}'}, "not there"),
        ({"status": 500, "raw": b"{}"}, "status 500"),
        ({"status": 302, "headers": [("Location", "http://127.0.0.1:9/")], "raw": b""}, "status 302"),
        ({"status": 401, "raw": b"who are you?"}, "status 401"),
        ({"content": json.dumps(GOOD)[:-9]}, "schema"),
        ({"content": json.dumps(GOOD), "missing": 9}, "cannot be reached"),
        ({"content": " " * MAX_ANSWER_BYTES}, "cannot be reached"),
        ({"content": "[" * 100_000}, "schema"),
        ({"content": ""}, "schema"),
        ({"raw": b""}, "did not answer like Ollama"),
        ({"raw": b"\xff\xfe"}, "did not answer like Ollama"),
        ({"raw": b"<html>"}, "did not answer like Ollama"),
        ({"raw": b"[]"}, "did not answer like Ollama"),
        ({"delay": 2.0}, "within 0.5 s"),
        ({"content": json.dumps(GOOD), "trickle": 0.05}, "within 0.5 s"),
    ],
)
def test_enrich_bad_answer_keeps_rules_with_note(answer, note):
    rules = PromptAnalyzer().analyze("anime cat, forest")
    with server(**answer) as (config, _):
        analysis = PromptAnalyzer(config).analyze("anime cat, forest")
    assert (analysis.concepts, analysis.intent, analysis.analyzer) == (rules.concepts, rules.intent, "rules")
    (found,) = analysis.notes
    assert "Ollama was left out" in found and note in found


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://", "http://[", "http://127.0.0.1:99999"])
def test_enrich_absent_server_keeps_rules_with_note(address):
    analysis = PromptAnalyzer(OllamaConfig(base_url=address, timeout_seconds=2)).analyze("anime cat")
    assert "Ollama was left out" in analysis.notes[0]


def test_enrich_bounds_and_cleans_additions():
    flood = {"content": [f"thing {i}" for i in range(500)], "style": ["x" * 500, "a\x00b\n c"]}
    with server(json.dumps(flood)) as (config, _):
        analysis = PromptAnalyzer(config).analyze("cat")
    things = [phrase for phrase in analysis.concepts[ConceptCategory.CONTENT] if phrase.startswith("thing")]
    assert len(things) == MAX_CONCEPTS
    assert analysis.concepts[ConceptCategory.STYLE] == ("a b c",)


def test_enrich_adds_nothing_that_is_negated():
    with server(json.dumps(GOOD)) as (config, _):
        analysis = PromptAnalyzer(config).analyze("a cat, but no quiet harbour, in evening light")
    assert "quiet harbour" not in analysis.concepts.get(ConceptCategory.SETTING, ())


def test_enrich_follows_no_redirect():
    with server(json.dumps(GOOD)) as (other, elsewhere):
        there = [("Location", f"{other.base_url}/api/chat")]
        with server(status=307, headers=there, raw=b"") as (config, requests):
            analysis = PromptAnalyzer(config).analyze("cat")
    assert len(requests) == 1 and elsewhere == []
    assert "status 307" in analysis.notes[0]


def test_enrich_without_client_keeps_rules(monkeypatch):
    monkeypatch.setitem(sys.modules, "ollama", None)
    analysis = PromptAnalyzer(OllamaConfig()).analyze("anime cat")
    assert "pip install" in analysis.notes[0]
    assert analysis.intent == PromptAnalyzer().analyze("anime cat").intent


def test_enrich_cuts_long_prompt():
    with server(json.dumps(GOOD)) as (config, requests):
        PromptAnalyzer(config).analyze("<lora:x:1> " + "cat, " * 9_000)
    ((_, body),) = requests
    sent = body["messages"][1]["content"]
    assert len(sent) == MAX_PROMPT_CHARACTERS and sent.startswith("cat, ")


LIVE = os.environ.get("INTELLIGENT_GENERATION_TEST_OLLAMA")


@pytest.mark.skipif(
    not LIVE, reason="set INTELLIGENT_GENERATION_TEST_OLLAMA to a model that Ollama has on this machine"
)
def test_enrich_with_real_ollama_only_adds():
    prompt = "portrait of a woman in the style of Vermeer, pearl earring, light from the left"
    rules = PromptAnalyzer().analyze(prompt)
    analysis = PromptAnalyzer(OllamaConfig(model=LIVE, timeout_seconds=300)).analyze(prompt)
    assert analysis.notes == () and analysis.analyzer == f"rules + ollama:{LIVE}"
    assert all(set(phrases) <= set(analysis.concepts[category]) for category, phrases in rules.concepts.items())
