"""Users' JSON files in the data folder: what is read, and how a broken one is described."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from intelligence import InvalidInputError, OllamaConfig
from intelligence.config import ServerSettings
from intelligence.validation import read_user_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def test_missing_file_is_none(path: Path) -> None:
    assert read_user_file(path, ServerSettings) is None


def test_file_below_a_file_is_missing(path: Path) -> None:
    path.write_text("{}")
    assert read_user_file(path / "config.json", ServerSettings) is None


def test_config_is_read_again_when_it_changes(path: Path) -> None:
    path.write_text("{}", encoding="utf-8-sig")
    assert read_user_file(path, ServerSettings) == ServerSettings()
    path.write_text(
        json.dumps({"ollama": {"model": "llama3"}, "allowed_hosts": ["studio"], "hash_megabytes_per_second": 0})
    )
    expected = ServerSettings(OllamaConfig(model="llama3"), ("studio",), 0.0)
    assert read_user_file(path, ServerSettings) == expected
    assert read_user_file(path, ServerSettings) is read_user_file(path, ServerSettings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
        ("[" * 99_999, "not JSON"),
        ("[]", "the whole must be a dictionary or an instance of ServerSettings, got []"),
        ('{"allowed_host": ["a"]}', "allowed_host is unknown; did you mean 'allowed_hosts'?"),
        ('{"ollama": {"modl": "a"}}', "ollama.modl is unknown; did you mean 'model'?"),
        ('{"ollama": {"base_url": "ftp://a"}}', "ollama.base_url must match pattern '^https?://', got 'ftp://a'"),
        ('{"allowed_hosts": "a"}', "allowed_hosts must be a valid tuple, got 'a'"),
        ('{"allowed_hosts": [3]}', "allowed_hosts.0 must be a valid string, got 3"),
        ('{"hash_megabytes_per_second": -1}', "hash_megabytes_per_second must be greater than or equal to 0, got -1"),
        ('{"hash_megabytes_per_second": "30"}', "hash_megabytes_per_second must be a valid number, got '30'"),
    ],
)
def test_broken_config_names_file_place_and_remedy(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        read_user_file(path, ServerSettings)
    assert str(caught.value).startswith(f"{path}: {said}")
    assert str(caught.value).endswith("correct the file, or move it away to use the defaults")


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_user_file(tmp_path, ServerSettings)
