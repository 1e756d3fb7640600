"""Hugging Face through its own library, against a server that answers as the hub does."""

from __future__ import annotations

import hashlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest

from intelligence.errors import HubError, InvalidInputError, MissingDependencyError
from intelligence.hubs import HuggingFace, huggingface
from intelligence.hubs.hub_work import Control, HubCancelledError, HubNotFoundError
from intelligence.models import ModelKind, TriggerSet
from intelligence.registry import ModelRegistry

from ..hub_server import Answer, Hub, Source, json_answer

library = pytest.importorskip("huggingface_hub", minversion="2", reason="the extra hubs is not installed")

REPO = "someone/mage-lora"
CARD = {"base_model": "stabilityai/stable-diffusion-xl-base-1.0", "instance_prompt": "mage, robe", "license": "mit"}
COMMIT = "0" * 40
CHILD = """
import sys
from pathlib import Path
from intelligence.hubs import HuggingFace
print("ready", flush=True)
HuggingFace(endpoint=sys.argv[1]).fetch(sys.argv[2], sys.argv[3])
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache in place of the user's own, and no token of theirs."""
    for module in ("constants", "utils._cache_manager"):
        monkeypatch.setattr(f"huggingface_hub.{module}.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "saved-token")
    return tmp_path / "cache"


def hugging(hub: Hub, files: dict[str, bytes], repo: str = REPO, **card: Any) -> str:
    """A repository on `hub`; its address."""
    info = {
        "id": repo,
        "sha": COMMIT,
        "tags": ["lora", "diffusers", "anime"],
        "cardData": card,
        "siblings": [
            {
                "rfilename": name,
                "size": len(content),
                "lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 1},
            }
            for name, content in files.items()
        ],
    }
    hub.says(f"/api/models/{repo}", json_answer(info))
    for name, content in files.items():
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        hub.says(f"/{repo}/resolve/main/{name}", Answer(body=content, headers=headers))
    return hub.url


def elsewhere(hub: Hub, content: bytes, location: str) -> None:
    """The repository's one file lies at another address, as the hub's large ones do."""
    headers = {
        "X-Repo-Commit": COMMIT,
        "X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"',
        "X-Linked-Size": str(len(content)),
        "Location": location,
    }
    hub.says(f"/{REPO}/resolve/main/a.safetensors", Answer(302, headers=headers))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_download(hub: Hub, lora: bytes, tmp_path: Path) -> None:
    url = hugging(hub, {"pytorch_lora_weights.safetensors": lora, "README.md": b"x"}, **CARD)
    found = HuggingFace(endpoint=url).fetch(REPO, tmp_path / "l")
    assert (found.path, found.downloaded) == (tmp_path / "l" / "mage-lora.safetensors", True)
    assert found.path.read_bytes() == lora
    assert names(tmp_path / "l") == ["mage-lora.safetensors"]
    assert (found.facts.base_model, found.facts.tags) == (CARD["base_model"], {"anime": 1})
    assert found.facts.trigger_sets == (TriggerSet(("mage", "robe"), "Hugging Face card"),)
    assert not HuggingFace(endpoint=url).fetch(REPO, tmp_path / "l").downloaded
    assert {authorization for _, authorization in hub.asked} == {None}


def test_progress_and_cancelling(hub: Hub, lora: bytes, tmp_path: Path) -> None:
    url = hugging(hub, {"a.safetensors": lora}, **CARD)
    seen: list[tuple[int, int | None]] = []
    shared = HuggingFace(endpoint=url)
    with pytest.raises(HubCancelledError):
        shared.fetch(
            REPO,
            tmp_path / "l",
            on_progress=lambda *both: seen.append(both),
            cancelled=lambda: bool(seen),
        )
    assert names(tmp_path / "l") == []
    path = shared.fetch(REPO, tmp_path / "l", on_progress=lambda *both: seen.append(both)).path
    assert path.read_bytes() == lora
    assert seen[-1] == (len(lora), len(lora))


def test_cancelled_at_the_last_moment(hub: Hub, lora: bytes, tmp_path: Path) -> None:
    url = hugging(hub, {"a.safetensors": lora}, **CARD)
    folder = tmp_path / "l"
    with pytest.raises(HubCancelledError):
        HuggingFace(endpoint=url).fetch(REPO, folder, cancelled=lambda: any(folder.glob(".download-*/a.safetensors")))
    assert names(folder) == []


def test_progress_over_xet() -> None:
    """The library's own reporter, with bytes that come in before they are written."""
    from huggingface_hub.utils._xet_progress_reporting import XetDownloadProgressReporter

    seen: list[tuple[int, int | None]] = []
    silent = huggingface._progress(Control(lambda *both: seen.append(both)), 100)
    with XetDownloadProgressReporter(reconstruction_desc="x", total=100, log_level=20, tqdm_class=silent) as reporter:
        for received, written in ((60, 0), (100, 30), (100, 100)):
            report = SimpleNamespace(
                total_bytes=100,
                total_bytes_completed=written,
                total_transfer_bytes_completed=received,
                total_bytes_completion_rate=1.0,
                total_transfer_bytes_completion_rate=1.0,
            )
            reporter.update_progress(report)
    assert seen == [(30, 100), (100, 100)]


def test_the_token_goes_to_the_hub_alone(hub: Hub, other_hub: Hub, lora: bytes, tmp_path: Path) -> None:
    url = hugging(hub, {"a.safetensors": lora}, **CARD)
    other_hub.says("/signed", Answer(body=lora))
    # another name of this machine, for the library takes one host with two ports for one
    elsewhere(hub, lora, f"{other_hub.url.replace('127.0.0.1', 'localhost')}/signed?key=1")
    path = HuggingFace(endpoint=url, token="hidden-token").fetch(REPO, tmp_path / "l").path
    assert path.read_bytes() == lora
    assert {authorization for _, authorization in hub.asked} == {"Bearer hidden-token"}
    assert [request.headers.get("authorization") for request in other_hub.requests] == [None]


@pytest.mark.parametrize("location", ["http://169.254.169.254/latest", "file:///etc/passwd", "ftp://x/y"])
def test_fetch_refuses_locations(hub: Hub, lora: bytes, tmp_path: Path, location: str) -> None:
    url = hugging(hub, {"a.safetensors": lora}, **CARD)
    elsewhere(hub, lora, location)
    with pytest.raises(HubError, match="refused"):
        HuggingFace(endpoint=url).fetch(REPO, tmp_path / "l")
    assert names(tmp_path / "l") == []


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_the_token_is_never_shown(
    hub: Hub, tmp_path: Path, status: int, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    hub.says(f"/api/models/{REPO}", Answer(status))
    shared = HuggingFace(endpoint=hub.url, token="hidden-token", sleep=waits.append)
    with caplog.at_level("DEBUG"), pytest.raises(HubError) as error:
        shared.fetch(REPO, tmp_path / "l")
    assert hub.asked[0][1] == "Bearer hidden-token"
    for text in (repr(shared), str(error.value), repr(error.value), caplog.text):
        assert "hidden-token" not in text


def test_busy(hub: Hub, lora: bytes, tmp_path: Path, waits: list[float]) -> None:
    url = hugging(hub, {"a.safetensors": lora}, **CARD)
    (info,) = hub.answers[f"/api/models/{REPO}"]
    (file,) = hub.answers[f"/{REPO}/resolve/main/a.safetensors"]
    hub.says(f"/api/models/{REPO}", Answer(429, headers={"Retry-After": "7"}), info)
    hub.says(f"/{REPO}/resolve/main/a.safetensors", Answer(503), file)
    HuggingFace(endpoint=url, sleep=waits.append).fetch(REPO, tmp_path / "l")
    assert waits == [7, 1]
    waits.clear()
    hub.says(f"/api/models/{REPO}", Answer(503))
    with pytest.raises(HubError, match="503"):
        HuggingFace(endpoint=url, sleep=waits.append).fetch(REPO, tmp_path / "l")
    assert waits == [1, 2, 4, 8, 16, 30]


def test_hub_that_cannot_be_reached_is_given_up_soon(tmp_path: Path, waits: list[float]) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        shared = HuggingFace(endpoint=f"http://127.0.0.1:{held.getsockname()[1]}", sleep=waits.append)
        with pytest.raises(HubError, match="cannot be reached"):
            shared.fetch(REPO, tmp_path / "l")
        assert waits == [1, 2]
        waits.clear()
        with pytest.raises(HubError, match="cannot be reached"):
            shared.search("x")
        assert waits == [1, 2]


@pytest.mark.parametrize(
    "files, filename, error, reason",
    [
        ({"a.safetensors": b"", "b.safetensors": b""}, None, InvalidInputError, "pass filename="),
        ({"a.safetensors": b""}, "b.safetensors", HubError, "it holds a.safetensors"),
        ({"a.bin": b""}, None, HubError, "no .safetensors"),
        ({"a.safetensors": b"<html>no</html>"}, None, HubError, "web page"),
        ({"../x.safetensors": b""}, "../../x.safetensors", HubError, "no file"),
    ],
)
def test_refused(
    hub: Hub, tmp_path: Path, files: dict[str, bytes], filename: str | None, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        HuggingFace(endpoint=hugging(hub, files)).fetch(REPO, tmp_path / "l", filename=filename)
    assert names(tmp_path / "l") == []


@pytest.mark.parametrize("body", [b"something else", b""])
def test_fetch_refuses_another_file(hub: Hub, lora: bytes, tmp_path: Path, body: bytes) -> None:
    url = hugging(hub, {"a.safetensors": lora}, **CARD)
    headers = {"ETag": '"x"', "X-Repo-Commit": COMMIT}
    hub.says(f"/{REPO}/resolve/main/a.safetensors", Answer(body=body, headers=headers))
    with pytest.raises(HubError):
        HuggingFace(endpoint=url).fetch(REPO, tmp_path / "l")
    assert names(tmp_path / "l") == []


@pytest.mark.parametrize("body", [b"[" * 100_000, b"<html>", b"null", b"5"])
def test_fetch_refuses_a_record_that_is_none(hub: Hub, tmp_path: Path, body: bytes) -> None:
    hub.says(f"/api/models/{REPO}", Answer(body=body, headers={"Content-Type": "application/json"}))
    hub.says("/api/models", Answer(body=body, headers={"Content-Type": "application/json"}))
    with pytest.raises(HubError):
        HuggingFace(endpoint=hub.url).fetch(REPO, tmp_path / "l")
    with pytest.raises(HubError):
        HuggingFace(endpoint=hub.url).search("x")


def test_fetch_refuses_repository_names(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        HuggingFace(endpoint=hub.url).fetch("../etc", tmp_path)
    with pytest.raises(HubError, match="no/such"):
        HuggingFace(endpoint=hub.url).fetch("no/such", tmp_path)
    with pytest.raises(InvalidInputError, match="custom_nodes"):
        HuggingFace(endpoint=hub.url).fetch(REPO, tmp_path / "custom_nodes" / "x")


def test_offline(registry: ModelRegistry, hub: Hub, lora: bytes, tmp_path: Path) -> None:
    url = hugging(hub, {"a.safetensors": lora}, **CARD)
    HuggingFace(endpoint=url).fetch(REPO, tmp_path / "l", filename="a.safetensors")
    found = registry.register_from_huggingface(REPO, "a.safetensors", folder=tmp_path / "l", offline=True)
    assert (found.model_id, found.source, found.source_id) == ("lora:a.safetensors", "huggingface", REPO)
    with pytest.raises(HubError, match="not on this machine"):
        registry.register_from_huggingface("someone/other", folder=tmp_path / "l", offline=True)


def test_offline_opens_no_socket(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", opened)
    monkeypatch.setattr(socket, "getaddrinfo", opened)
    shared = HuggingFace(endpoint=hub.url, offline=True)
    with pytest.raises(HubError, match="not on this machine"):
        shared.fetch(REPO, tmp_path / "l")
    with pytest.raises(HubError, match="offline"):
        shared.search("x")


def test_search(hub: Hub) -> None:
    item = {"id": REPO, "tags": ["lora", "anime"], "cardData": CARD, "siblings": []}
    hub.says("/api/models", json_answer([item]))
    page = HuggingFace(endpoint=hub.url).search("mage", base_model="some/base", author="someone", limit=5)
    (found,) = page.models
    assert (found.model_id, found.name, found.source_id, found.source) == (
        f"lora:{REPO}",
        "mage-lora",
        REPO,
        "huggingface",
    )
    assert (found.base_model, found.local_path, page.next_cursor) == (CARD["base_model"], "", None)
    asked = parse_qs(hub.requests[0].path.partition("?")[2])
    assert (asked["search"], asked["author"], asked["limit"]) == (["mage"], ["someone"], ["5"])
    assert asked["filter"] == ["lora", "base_model:some/base"]
    HuggingFace(endpoint=hub.url).search(kind=ModelKind.CHECKPOINT)
    assert parse_qs(hub.requests[1].path.partition("?")[2])["filter"] == ["diffusers", "text-to-image"]


def test_search_of_a_busy_hub(hub: Hub, waits: list[float]) -> None:
    hub.says("/api/models", Answer(429, headers={"Retry-After": "7"}), Answer(503), json_answer([{"id": REPO}]))
    page = HuggingFace(endpoint=hub.url, sleep=waits.append).search("mage", sort="last_modified")
    assert ([model.source_id for model in page.models], waits) == ([REPO], [7, 2])
    asked = parse_qs(hub.requests[0].path.partition("?")[2])
    assert (asked["sort"], asked["full"], asked["cardData"], asked.get("author")) == (
        ["lastModified"],
        ["true"],
        ["true"],
        None,
    )


@pytest.mark.parametrize("answer", [Answer(body=b"<html>"), json_answer({"error": "x"}), json_answer([{"tags": 1}])])
def test_search_refuses_an_answer_that_is_none(hub: Hub, answer: Answer) -> None:
    hub.says("/api/models", answer)
    with pytest.raises(HubError, match="Hugging Face sent what is no record"):
        HuggingFace(endpoint=hub.url).search("x")


@pytest.mark.parametrize("wrong", [{"sort": "best"}, {"limit": 0}, {"limit": 101}])
def test_search_refuses(hub: Hub, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        HuggingFace(endpoint=hub.url).search("x", **wrong)
    assert hub.requests == []


def test_delete_cached(hub: Hub, lora: bytes, cache: Path, tmp_path: Path) -> None:
    """Two repositories of one commit: only the named one goes, and only when it is meant."""
    for repo, content in ((REPO, lora), ("someone/copy", lora + b"")):
        url = hugging(hub, {"a.safetensors": content}, repo, **CARD)
        library.hf_hub_download(repo, "a.safetensors", endpoint=url, cache_dir=cache, token=False)
    shared = HuggingFace(endpoint=hub.url)
    assert sorted((repo.repo_id, repo.size_on_disk) for repo in library.scan_cache_dir().repos) == [
        ("someone/copy", len(lora)),
        (REPO, len(lora)),
    ]
    kept = shared.fetch(REPO, tmp_path / "l").path
    assert kept.is_relative_to(cache)
    assert names(tmp_path / "l") == []
    before = shared.delete_cached(REPO)
    assert (before.freed_bytes, before.kept, before.dry_run) == (len(lora), 1, True)
    assert len(library.scan_cache_dir().repos) == 2
    after = shared.delete_cached(REPO, dry_run=False)
    assert (after.freed_bytes, after.removed, after.kept) == (before.freed_bytes, before.removed, 1)
    assert [repo.repo_id for repo in library.scan_cache_dir().repos] == ["someone/copy"]
    with pytest.raises(HubNotFoundError):
        shared.delete_cached(REPO)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed(hub: Hub, lora: bytes, tmp_path: Path) -> None:
    """Nothing under the final name; the next call starts anew and clears up."""
    url = hugging(hub, {"a.safetensors": lora}, **CARD)
    (file,) = hub.answers[f"/{REPO}/resolve/main/a.safetensors"]
    elsewhere(hub, lora, f"{url}/slow")
    hub.says("/slow", Source(lora, piece=500, pause=0.05))
    command = [sys.executable, "-c", CHILD, url, REPO, str(tmp_path / "l")]
    root = Path(huggingface.__file__).parents[2]
    child = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    while not any(request.path == "/slow" for request in hub.requests) and child.poll() is None:
        time.sleep(0.02)
    time.sleep(0.1)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert all(name.startswith(".download-") for name in names(tmp_path / "l"))
    assert any(request.path == "/slow" for request in hub.requests)
    hub.says(f"/{REPO}/resolve/main/a.safetensors", file)
    assert HuggingFace(endpoint=url).fetch(REPO, tmp_path / "l").path.read_bytes() == lora
    assert names(tmp_path / "l") == ["a.safetensors"]


@pytest.mark.parametrize("missing", ["huggingface_hub", "huggingface_hub.errors"])
def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependencyError, match=r"\[hubs\]"):
        HuggingFace().fetch(REPO, tmp_path / "l")
