"""`config.json` of the data folder, as Python and the terminal read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intelligence import HubError, InvalidInputError, LoRAPreferences, PipelineConfig
from intelligence.config import CONFIG_FILE, HOME_VARIABLE, Hub, user_settings
from intelligence.hubs import CivitAI, HuggingFace
from intelligence.models.kinds import ModelKind

pytestmark = pytest.mark.unit


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    return tmp_path / CONFIG_FILE


def test_confidence_where_none_is_given(config: Path) -> None:
    assert PipelineConfig().lora_preferences == LoRAPreferences()
    config.write_text(json.dumps({"min_confidence": 0.7}))
    assert PipelineConfig().lora_preferences.min_confidence == 0.7
    assert PipelineConfig(lora_preferences=LoRAPreferences(2)).lora_preferences == LoRAPreferences(2)


def test_hub_that_is_switched_off_is_not_asked(config: Path) -> None:
    config.write_text(json.dumps({"hubs": []}))
    with pytest.raises(HubError, match="CivitAI is not asked: it is switched off"):
        CivitAI().search("fox", kind=ModelKind.LORA)
    with pytest.raises(HubError, match="Hugging Face is not asked: it is switched off"):
        HuggingFace().search("fox", kind=ModelKind.LORA)


@pytest.mark.parametrize(
    ("content", "said"),
    [({"hubs": ["civit"]}, "hubs"), ({"min_confidence": 2}, "min_confidence"), ({"min_confidenc": 1}, "did you mean")],
)
def test_mistake_is_named_with_its_file(config: Path, content: dict[str, object], said: str) -> None:
    config.write_text(json.dumps(content))
    with pytest.raises(InvalidInputError, match=said) as error:
        user_settings()
    assert str(config) in str(error.value)
    assert set(Hub) == {"civitai", "huggingface"}
