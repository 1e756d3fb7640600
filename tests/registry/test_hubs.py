from __future__ import annotations

import hashlib
import json
import math
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from intelligence.errors import HubError, InvalidInputError
from intelligence.registry import Architecture, Family, LoRAKind, ModelKind, ModelRegistry, TriggerSet, huggingface
from intelligence.registry import downloads as downloads_module
from intelligence.registry.civitai import metadata_from_record, safe_file_name

pytest.importorskip("httpx", reason="the extra hubs is not installed")


@dataclass
class Answer:
    """What the hub says at one path: status, body, headers; `short` promises more bytes than it sends."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    short: int = 0


@dataclass
class Hub:
    """A hub on this machine: path → answers, the last one repeated; and what was asked of it."""

    url: str = ""
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, Authorization)."""

    def says(self, path: str, *answers: Answer) -> None:
        self.answers[path] = list(answers)


def serve() -> tuple[Hub, ThreadingHTTPServer]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            hub.asked.append((path, self.headers.get("Authorization")))
            left = hub.answers.get(path, [Answer(404)])
            answer = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body) + answer.short))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(answer.body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return hub, server


@pytest.fixture
def hub() -> Iterator[Hub]:
    made, server = serve()
    yield made
    server.shutdown()
    server.server_close()


other_hub = hub


@pytest.fixture
def lora(tmp_path: Path, model: Callable[..., Path]) -> bytes:
    return model(tmp_path / "made" / "made.safetensors").read_bytes()


def record(url: str, content: bytes, **file: Any) -> dict[str, Any]:
    """A `/models/7` record as CivitAI returns it, cut to what is read."""
    return {
        "id": 7,
        "name": "Fern",
        "type": "LORA",
        "tags": ["character"],
        "description": "<p>A mage. Strength 0.7</p>",
        "creator": {"username": "someone"},
        "allowNoCredit": False,
        "modelVersions": [
            {
                "id": 71,
                "baseModel": "Illustrious",
                "trainedWords": ["fern, purple hair"],
                "images": [{"meta": {"prompt": "fern", "resources": [{"type": "lora", "weight": 0.6}]}}],
                "files": [
                    {"name": "vae.zip", "type": "Archive", "primary": True},
                    {
                        "name": "fern.safetensors",
                        "type": "Model",
                        "sizeKB": len(content) / 1024,
                        "hashes": {"SHA256": hashlib.sha256(content).hexdigest().upper()},
                        "downloadUrl": f"{url}/download/71",
                        **file,
                    },
                ],
            },
            {"id": 70, "baseModel": "SD 1.5", "files": [{"name": "old.safetensors", "type": "Model"}]},
        ],
    }


def ready(hub: Hub, content: bytes, *answers: Answer, **file: Any) -> str:
    hub.says("/models/7", Answer(body=json.dumps(record(hub.url, content, **file)).encode()))
    hub.says("/download/71", *(answers or (Answer(body=content),)))
    return hub.url


def test_the_record_alone() -> None:
    found = metadata_from_record(record("https://civitai.com", b"x" * 2048))
    assert (found.model_id, found.name, found.kind, found.source) == (
        "lora:fern.safetensors",
        "fern",
        ModelKind.LORA,
        "civitai",
    )
    assert (found.architecture, found.family, found.lora_kind) == (
        Architecture.SDXL,
        Family.ILLUSTRIOUS,
        LoRAKind.CHARACTER,
    )
    assert (found.strength, found.creator, found.license_notes) == (0.7, "someone", "credit required")
    assert found.trigger_sets == (TriggerSet(("fern", "purple hair"), "civitai"),)
    assert (found.size_bytes, found.source_id, found.example_prompts[0].weight) == (2048, "7:71", 0.6)
    older = metadata_from_record(record("", b""), version=70)
    assert (older.name, older.architecture, older.family) == ("old", Architecture.SD1, Family.SD15)


@pytest.mark.parametrize("data", [None, [], {}, {"type": "LORA"}, {"type": "Wildcards", "modelVersions": [{"id": 1}]}])
def test_records_that_are_none(data: Any) -> None:
    with pytest.raises(HubError):
        metadata_from_record(data)


@pytest.mark.parametrize(
    "name, safe",
    [
        ("a b-c (1).safetensors", "a b-c (1).safetensors"),
        ("../../etc/x.safetensors", "x.safetensors"),
        ("C:\\x\\y.SAFETENSORS", "y.safetensors"),
        ("a\0b:c*.safetensors", "ab_c_.safetensors"),
        ("/etc/passwd", None),
        ("x.py", None),
        ("x.ckpt", None),
        (".safetensors", None),
        ("..", None),
        (None, None),
    ],
)
def test_remote_file_names(name: Any, safe: str | None) -> None:
    if safe is None:
        with pytest.raises(HubError):
            safe_file_name(name)
    else:
        assert safe_file_name(name) == safe


def test_download_and_register(registry: ModelRegistry, hub: Hub, lora: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "loras"
    found = registry.register_from_civitai(7, folder=folder, base_url=ready(hub, lora))
    assert (folder / "fern.safetensors").read_bytes() == lora
    assert [path.name for path in folder.iterdir()] == ["fern.safetensors"]
    assert (found.model_id, found.source, found.source_id) == ("lora:fern.safetensors", "civitai", "7:71")
    assert (found.family, found.rank, found.local_path) == (Family.ILLUSTRIOUS, 4, str(folder / "fern.safetensors"))
    assert registry.get_model("fern") == found
    assert registry.register_from_civitai(7, folder=folder, base_url=hub.url) == found
    assert [path for path, _ in hub.asked].count("/download/71") == 1


def test_a_later_scan_keeps_what_the_hub_said(registry: ModelRegistry, hub: Hub, lora: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "loras" / "mages"
    registry.register_from_civitai(7, folder=folder, base_url=ready(hub, lora))
    registry.scan([tmp_path / "loras"])
    os.utime(folder / "fern.safetensors", ns=(1, 1))
    registry.scan([tmp_path / "loras"])
    found = registry.get_model("mages/fern.safetensors")
    assert (found.source, found.family) == ("civitai", Family.ILLUSTRIOUS)


SHORT = Answer(body=b"\0" * 10, short=1000)

REFUSED = [
    (
        "html",
        Answer(body=b"<html>log in</html>", headers={"Content-Type": "text/html; charset=utf-8"}),
        {},
        "text/html",
    ),
    ("unlabelled html", Answer(body=b"<html>log in</html>"), {"hashes": {}}, "web page"),
    ("short", SHORT, {}, "RemoteProtocolError"),
    ("hash", Answer(body=b"something else"), {}, "SHA-256"),
    ("no model", Answer(body=b"something else"), {"hashes": {}}, "no model"),
    ("401", Answer(401), {}, "without a token"),
    ("403", Answer(403), {}, "forbidden"),
    ("404", Answer(404), {}, "not found"),
    ("500", Answer(500), {}, "answered 500"),
    ("429", Answer(429, headers={"Retry-After": "0"}), {}, "too many requests"),
    ("file scheme", Answer(302, headers={"Location": "file:///etc/passwd"}), {}, "refused"),
    ("endless", Answer(302, headers={"Location": "/download/71"}), {}, "answered 302"),
    ("traversal", Answer(), {"name": "../../evil.py"}, "never downloaded"),
    ("no link", Answer(), {"downloadUrl": "ftp://x/y"}, "names no download"),
]


@pytest.mark.parametrize("answer, file, reason", [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_nothing_is_left_behind(
    registry: ModelRegistry, hub: Hub, lora: bytes, tmp_path: Path, answer: Answer, file: dict[str, Any], reason: str
) -> None:
    folder = tmp_path / "loras"
    with pytest.raises(HubError, match=reason):
        registry.register_from_civitai(7, folder=folder, base_url=ready(hub, lora, answer, **file))
    assert not folder.exists() or list(folder.iterdir()) == []
    assert registry.list_models() == []


@pytest.mark.parametrize(
    "answer", [Answer(404), Answer(body=b"[" * 100_000), Answer(body=b"null"), Answer(302, headers={"Location": "/x"})]
)
def test_bad_records(registry: ModelRegistry, hub: Hub, tmp_path: Path, answer: Answer) -> None:
    hub.says("/models/7", answer)
    with pytest.raises(HubError):
        registry.register_from_civitai(7, folder=tmp_path / "loras", base_url=hub.url)


def test_patience_when_asked_for(
    registry: ModelRegistry, hub: Hub, lora: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(downloads_module.time, "sleep", waits.append)
    answers = Answer(429, headers={"Retry-After": "7"}), Answer(503), Answer(429, headers={"Retry-After": "9999"})
    registry.register_from_civitai(7, folder=tmp_path / "l", base_url=ready(hub, lora, *answers, Answer(body=lora)))
    assert waits == [7, 2, downloads_module.MAX_WAIT_SECONDS]


def test_the_token_stays_with_its_host(
    registry: ModelRegistry, hub: Hub, other_hub: Hub, lora: bytes, tmp_path: Path
) -> None:
    elsewhere = Answer(307, headers={"Location": f"{other_hub.url}/signed?key=1"})
    other_hub.says("/signed", Answer(body=lora))
    registry.register_from_civitai(7, folder=tmp_path / "l", token="secret", base_url=ready(hub, lora, elsewhere))
    assert ("/download/71", "Bearer secret") in hub.asked
    assert other_hub.asked == [("/signed", None)]


def test_a_record_cannot_send_the_token_elsewhere(
    registry: ModelRegistry, hub: Hub, other_hub: Hub, lora: bytes, tmp_path: Path
) -> None:
    other_hub.says("/take", Answer(body=lora))
    url = ready(hub, lora, downloadUrl=f"{other_hub.url}/take")
    registry.register_from_civitai(7, folder=tmp_path / "l", token="secret", base_url=url)
    assert other_hub.asked == [("/take", None)]


@pytest.mark.parametrize(
    "location, allowed",
    [
        ("https://cdn.example.com/x", True),
        ("/relative", True),
        ("http://cdn.example.com/x", False),
        ("https://169.254.169.254/latest", False),
        ("https://127.0.0.1/x", False),
        ("https://[::1]/x", False),
        ("https://localhost/x", False),
        ("ftp://cdn.example.com/x", False),
    ],
)
def test_where_a_redirect_may_lead(location: str, allowed: bool) -> None:
    if allowed:
        assert downloads_module._redirected("https://civitai.com/a", location).startswith("https://")
    else:
        with pytest.raises(HubError, match="refused"):
            downloads_module._redirected("https://civitai.com/a", location)


def test_another_file_of_that_name_stays(registry: ModelRegistry, hub: Hub, lora: bytes, tmp_path: Path) -> None:
    (tmp_path / "fern.safetensors").write_text("mine")
    with pytest.raises(HubError, match="already exists"):
        registry.register_from_civitai(7, folder=tmp_path, base_url=ready(hub, lora))
    assert (tmp_path / "fern.safetensors").read_text() == "mine"


@pytest.mark.parametrize("model_id", [0, -1, True, "7"])
def test_model_numbers(registry: ModelRegistry, model_id: Any) -> None:
    with pytest.raises(InvalidInputError):
        registry.register_from_civitai(model_id)


def test_cleanup_frees_only_what_was_downloaded(
    registry: ModelRegistry, hub: Hub, lora: bytes, tmp_path: Path, model: Callable[..., Path]
) -> None:
    folder = tmp_path / "loras"
    mine = model(folder / "mine.safetensors")
    for name in ("a", "b", "c"):
        registry.register_from_civitai(7, folder=folder, base_url=ready(hub, lora, name=f"{name}.safetensors"))
    registry.scan([folder])
    registry.get_model("a")
    assert [Path(path).name for path in registry.cleanup_cache(keep_recent=1).removed] == [
        "b.safetensors",
        "c.safetensors",
    ]
    assert (folder / "b.safetensors").exists()
    (folder / "c.safetensors").write_bytes(mine.read_bytes() + b" ")
    report = registry.cleanup_cache(max_size_gb=len(lora) / 1024**3, dry_run=False)
    assert (report.removed, report.freed_bytes, report.kept) == ((str(folder / "b.safetensors"),), len(lora), 1)
    assert sorted(path.name for path in folder.iterdir()) == ["a.safetensors", "c.safetensors", "mine.safetensors"]
    assert [item.name for item in registry.list_models()] == ["a", "c", "mine"]
    assert registry.cleanup_cache(keep_recent=1, dry_run=False).removed == ()


@pytest.mark.parametrize("limits", [{"keep_recent": -1}, {"max_size_gb": -1}, {"max_size_gb": math.nan}])
def test_cleanup_refuses(registry: ModelRegistry, limits: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        registry.cleanup_cache(**limits)


def hugging(hub: Hub, files: dict[str, bytes], **card: Any) -> str:
    """A repository `someone/mage-lora` on `hub`."""
    commit = "0" * 40
    info = {
        "id": "someone/mage-lora",
        "sha": commit,
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
    hub.says(
        "/api/models/someone/mage-lora",
        Answer(body=json.dumps(info).encode(), headers={"Content-Type": "application/json"}),
    )
    for name, content in files.items():
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": commit}
        hub.says(f"/someone/mage-lora/resolve/main/{name}", Answer(body=content, headers=headers))
    return hub.url


CARD = {"base_model": "stabilityai/stable-diffusion-xl-base-1.0", "instance_prompt": "mage, robe", "license": "mit"}


def test_hugging_face(hub: Hub, lora: bytes, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    url = hugging(hub, {"pytorch_lora_weights.safetensors": lora, "README.md": b"x"}, **CARD)
    found = huggingface.fetch("someone/mage-lora", None, tmp_path / "l", endpoint=url)
    assert (found.path, found.downloaded) == (tmp_path / "l" / "mage-lora.safetensors", True)
    assert found.path.read_bytes() == lora
    assert [path.name for path in found.path.parent.iterdir()] == ["mage-lora.safetensors"]
    assert (found.partial.base_model, found.partial.tags) == (CARD["base_model"], {"anime": 1})
    assert found.partial.trigger_sets == (TriggerSet(("mage", "robe"), "Hugging Face card"),)
    assert not huggingface.fetch("someone/mage-lora", None, tmp_path / "l", endpoint=url).downloaded


def test_hugging_face_offline(registry: ModelRegistry, hub: Hub, lora: bytes, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    url = hugging(hub, {"a.safetensors": lora}, **CARD)
    huggingface.fetch("someone/mage-lora", "a.safetensors", tmp_path / "l", endpoint=url)
    found = registry.register_from_huggingface(
        "someone/mage-lora", "a.safetensors", folder=tmp_path / "l", offline=True
    )
    assert (found.model_id, found.source, found.source_id) == ("lora:a.safetensors", "huggingface", "someone/mage-lora")
    with pytest.raises(HubError, match="not on this machine"):
        registry.register_from_huggingface("someone/other", folder=tmp_path / "l", offline=True)


@pytest.mark.parametrize(
    "files, filename, error, reason",
    [
        ({"a.safetensors": b"", "b.safetensors": b""}, None, InvalidInputError, "pass filename="),
        ({"a.safetensors": b""}, "b.safetensors", HubError, "it holds a.safetensors"),
        ({"a.bin": b""}, None, HubError, "no .safetensors"),
        ({"a.safetensors": b"<html>no</html>"}, None, HubError, "web page"),
    ],
)
def test_hugging_face_refuses(
    hub: Hub, tmp_path: Path, files: dict[str, bytes], filename: str | None, error: type[Exception], reason: str
) -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(error, match=reason):
        huggingface.fetch("someone/mage-lora", filename, tmp_path / "l", endpoint=hugging(hub, files))
    assert not (tmp_path / "l").exists() or list((tmp_path / "l").iterdir()) == []


def test_hugging_face_names(hub: Hub, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    with pytest.raises(InvalidInputError):
        huggingface.fetch("../etc", None, tmp_path, endpoint=hub.url)
    with pytest.raises(HubError, match="no/such"):
        huggingface.fetch("no/such", None, tmp_path, endpoint=hub.url)
