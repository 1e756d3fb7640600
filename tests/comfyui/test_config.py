"""`config.json` of the data folder, as the routes read it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import Refused
from .server import Server


@pytest.fixture
def config(server: Server) -> Iterator[Path]:
    path = server.home / "config.json"
    path.parent.mkdir(exist_ok=True)
    yield path
    path.unlink(missing_ok=True)


def answer(server: Server, host: str) -> tuple[int, str]:
    """(status, body) of the library route, asked under a host name."""
    request = urllib.request.Request(server.url + "/intelligent_generation/library", headers={"Host": host})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_routes_answer_under_allowed_host(server: Server, config: Path) -> None:
    config.write_text(json.dumps({"allowed_hosts": ["studio.example"]}))
    assert answer(server, "studio.example")[0] == 200
    assert answer(server, "other.example")[0] == 403


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ('{"allowed_host": []}', "allowed_host is unknown; did you mean 'allowed_hosts'?"),
        ('{"ollama": 3}', "ollama must be"),
    ],
)
def test_routes_answer_broken_config_with_its_problem(server: Server, config: Path, text: str, said: str) -> None:
    config.write_text(text)
    status, body = answer(server, "studio.example")
    assert status == 400
    assert json.loads(body)["error"].startswith(f"{config.parent.name}/{config.name}: {said}")


@pytest.mark.parametrize(
    ("text", "said"), [("{", "not JSON"), ("[]", "the whole must be"), ('"x"', "the whole must be")]
)
def test_routes_answer_broken_vocabulary_with_its_problem(server: Server, text: str, said: str) -> None:
    path = server.home / "vocabulary.json"
    path.write_text(text)
    try:
        for send in (server.client.get, lambda route: server.client.post(route, {"never_add": ["gore"]})):
            with pytest.raises(Refused) as refused:
                send("/intelligent_generation/settings")
            assert refused.value.status == 400
            assert refused.value.body["error"].startswith(f"{path.parent.name}/{path.name}: {said}")
        assert path.read_text() == text
    finally:
        path.unlink()
