"""A hub on this machine that behaves as the real ones do: records, redirects to a CDN, parts of files, and refusals."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What the hub says at one path: status, body, headers; `short` promises more bytes than it sends."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    short: int = 0
    chunked: bool = False
    """Without a length."""


@dataclass
class Source:
    """A file that is sent in parts to whoever asks for them, and breaks off where it is told to."""

    content: bytes
    etag: str = ""
    """Quoted, as it goes over the wire."""
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    """Bytes after which the next requests are broken off."""
    piece: int = 65536
    pause: float = 0.0
    """Seconds between pieces."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """With its query."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


@dataclass
class Hub:
    """Path → answers, the last one repeated; and what was asked of it."""

    url: str = ""
    answers: dict[str, list[Answer | Source | Callable[[Request], Answer]]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)

    def says(self, path: str, *answers: Answer | Source | Callable[[Request], Answer]) -> None:
        self.answers[path] = list(answers)

    @property
    def asked(self) -> list[tuple[str, str | None]]:
        """(path without its query, Authorization) of every request."""
        return [(item.path.partition("?")[0], item.headers.get("authorization")) for item in self.requests]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        self.hub.requests.append(request)
        left = self.hub.answers.get(self.path.partition("?")[0], [Answer(404)])
        chosen = left.pop(0) if len(left) > 1 else left[0]
        self.close_connection = True
        if isinstance(chosen, Source):
            self._send_source(chosen)
        else:
            self._send(chosen if isinstance(chosen, Answer) else chosen(request))

    do_GET = do_HEAD = do_POST = _answer

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(answer.body) + answer.short))
        self.end_headers()
        if self.command == "HEAD":
            return
        if not answer.chunked:
            self.wfile.write(answer.body)
            return
        for start in range(0, len(answer.body), 65536):
            piece = answer.body[start : start + 65536]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if not answer.short:
            self.wfile.write(b"0\r\n\r\n")

    def _send_source(self, source: Source) -> None:
        start, size = 0, len(source.content)
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if match and source.ranges and self.headers.get("If-Range", source.etag) == source.etag:
            start = int(match[1])
        if start >= size:
            self._send(Answer(416, headers={"Content-Range": f"bytes */{size}"}))
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if source.etag:
            self.send_header("ETag", source.etag)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        end = min(size, start + source.cuts.pop(0)) if source.cuts else size
        for first in range(start, end, source.piece):
            self.wfile.write(source.content[first : min(end, first + source.piece)])
            if source.pause:
                time.sleep(source.pause)

    def end_headers(self) -> None:
        self.send_header("Connection", "close")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub, as long as the block runs."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def json_answer(data: Any, **headers: str) -> Answer:
    return Answer(body=json.dumps(data).encode(), headers={"Content-Type": "application/json", **headers})


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
        "allowCommercialUse": "{Image}",
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
                        "hashes": {"SHA256": hashlib.sha256(content).hexdigest().upper(), "AutoV3": "0123456789AB"},
                        "downloadUrl": f"{url}/download/71",
                        **file,
                    },
                ],
            },
            {"id": 70, "baseModel": "SD 1.5", "files": [{"name": "old.safetensors", "type": "Model"}]},
        ],
    }


def ready(hub: Hub, content: bytes, *answers: Answer | Source, **file: Any) -> str:
    """Model 7 with `content` as its file, or these answers in its place; the API's address."""
    hub.says("/models/7", json_answer(record(hub.url, content, **file)))
    hub.says("/download/71", *(answers or (Answer(body=content),)))
    return hub.url


def version_record(number: int, sha256: str, **more: Any) -> dict[str, Any]:
    """A model version as `/model-versions/by-hash` returns it."""
    return {
        "id": 1000 + number,
        "modelId": number,
        "name": "v1",
        "baseModel": "Pony",
        "trainedWords": [f"word{number}"],
        "model": {"name": f"Model {number}", "type": "LORA", "nsfw": False, "poi": False},
        "images": [],
        "files": [
            {"name": "training.zip", "type": "Training Data", "hashes": {"SHA256": "0" * 64}},
            {
                "name": f"model{number}.safetensors",
                "type": "Model",
                "sizeKB": 1.0,
                "hashes": {"SHA256": sha256.upper(), "AutoV2": sha256[:10].upper(), "AutoV3": sha256[10:22].upper()},
            },
        ],
        **more,
    }


def by_hash(known: dict[str, dict[str, Any]]) -> Callable[[Request], Answer]:
    """`POST /model-versions/by-hash` over SHA-256 (lower case) → version record."""

    def answer(request: Request) -> Answer:
        asked = json.loads(request.body)
        if request.method != "POST" or not isinstance(asked, list) or len(asked) > 100:
            return Answer(400)
        return json_answer([known[text.lower()] for text in asked if text.lower() in known])

    return answer
