"""Files from a hub that is slow, broken, busy or hostile: whole and checked under their name, or not there."""

from __future__ import annotations

import hashlib
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from intelligence.errors import HubError, InvalidInputError
from intelligence.hubs import downloads, hub_http
from intelligence.hubs.downloads import Download, download_file, writable
from intelligence.hubs.hub_http import check_address, fetch_json, redirect_target
from intelligence.hubs.hub_work import RETRY_SECONDS, Control, HubCancelledError, UnreachableError
from intelligence.models.sanitize import safe_file_name

from ..hub_server import Answer, Hub, Request, Source

pytest.importorskip("httpx2", reason="the extra hubs is not installed")

ETAG = '"one"'
CHILD = """
import sys
import filelock, httpx2, platformdirs
from pathlib import Path
from intelligence.hubs.downloads import Download, download_file
url, sha256, folder = sys.argv[1:]
print("ready", flush=True)
download_file(Download(url, "big.safetensors", sha256), Path(folder))
print("done", flush=True)
"""


@pytest.fixture
def waits() -> list[float]:
    """The waits that `control` was asked for."""
    return []


@pytest.fixture
def control(waits: list[float]) -> Control:
    return Control(sleep=waits.append, now=lambda: 1_000_000.0)


@pytest.fixture
def content(tmp_path: Path, model: Callable[..., Path]) -> bytes:
    return model(tmp_path / "made" / "made.safetensors", {"a.lora_up.weight": (300, 1000)}).read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "loras"


def asks(hub: Hub, content: bytes, *answers: Answer | Source, **more: Any) -> Download:
    hub.says("/f", *answers)
    return Download(f"{hub.url}/f", "big.safetensors", **{"sha256": hashlib.sha256(content).hexdigest(), **more})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_progress(hub: Hub, content: bytes, folder: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = download_file(asks(hub, content, Source(content)), folder, Control(lambda *bytes_: seen.append(bytes_)))
    assert path.read_bytes() == content
    assert names(folder) == ["big.safetensors"]
    assert seen[0] == (0, len(content))
    assert seen[-1] == (len(content), len(content))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize("chunked", [False, True])
def test_download_without_size_and_hash(
    hub: Hub, content: bytes, folder: Path, control: Control, chunked: bool
) -> None:
    download = asks(hub, content, Answer(body=content, chunked=chunked), sha256=None)
    assert download_file(download, folder, control).read_bytes() == content


REFUSED = [
    ("html", Answer(body=b"<html>", headers={"Content-Type": "text/html; charset=utf-8"}), {}, "text/html", 0),
    ("json", Answer(body=b"{}", headers={"Content-Type": "application/json"}), {}, "application/json", 0),
    ("unlabelled html", Answer(body=b"<html>log in</html>"), {"sha256": None}, "web page", 0),
    ("zipped", Answer(body=b"x", headers={"Content-Encoding": "gzip"}), {}, "compressed", 0),
    ("short", Answer(body=b"\0" * 10, short=1000), {}, "RemoteProtocolError", 6),
    ("short chunks", Answer(body=b"\0" * 10, short=1, chunked=True), {}, "RemoteProtocolError", 6),
    ("hash", Answer(body=b"something else"), {}, "SHA-256", 0),
    ("no model", Answer(body=b"something else"), {"sha256": None}, "no model", 0),
    ("larger, and says so", Answer(body=b"\0" * 3_000_000), {"size": 1000}, "3000000 bytes, but 1000", 0),
    ("larger, and hides it", Answer(body=b"\0" * 3_000_000, chunked=True), {"size": 1000}, "larger than", 0),
    ("no space", Answer(short=2**59), {}, "are free", 0),
    ("401", Answer(401), {}, "without a valid token", 0),
    ("403", Answer(403), {}, "forbidden", 0),
    ("404", Answer(404), {}, "not found", 0),
    ("500", Answer(500), {}, "answered 500", 6),
    ("429", Answer(429), {}, "too many requests", 6),
    ("long wait", Answer(429, headers={"Retry-After": "3600"}), {}, "asks to wait 3600 seconds", 0),
    ("part unasked", Answer(206, b"x", {"Content-Range": "bytes 0-0/1"}), {}, "another part", 6),
    ("to a file", Answer(302, headers={"Location": "file:///etc/passwd"}), {}, "refused", 0),
    ("to the cloud's keys", Answer(302, headers={"Location": "http://169.254.169.254/latest"}), {}, "refused", 0),
    ("to the same, mapped", Answer(302, headers={"Location": "http://[::ffff:169.254.169.254]/"}), {}, "refused", 0),
    ("to the same, in one number", Answer(302, headers={"Location": "http://2852039166/"}), {}, "refused", 0),
    ("to nowhere", Answer(302, headers={"Location": "http://["}), {}, "no address", 0),
    ("endless", Answer(302, headers={"Location": "/f"}), {}, "answered 302", 0),
]


@pytest.mark.parametrize("case", [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_failed_download_leaves_nothing(
    hub: Hub,
    content: bytes,
    folder: Path,
    control: Control,
    waits: list[float],
    case: tuple[Answer, dict[str, Any], str, int],
) -> None:
    answer, more, reason, tries = case
    with pytest.raises(HubError, match=reason):
        download_file(asks(hub, content, answer, **more), folder, control)
    assert names(folder) == []
    assert waits == list(RETRY_SECONDS)[:tries]


@pytest.fixture
def nowhere() -> str:
    """An address of this machine at which nothing answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_hub_that_cannot_be_reached_is_given_up_soon(nowhere: str, control: Control, waits: list[float]) -> None:
    with pytest.raises(UnreachableError, match="cannot be reached"):
        fetch_json(f"{nowhere}/models", control)
    assert waits == [1.0, 2.0]


def test_download_waits_longer_for_its_hub(nowhere: str, folder: Path, control: Control, waits: list[float]) -> None:
    """Its connection broke; what was received is there."""
    with pytest.raises(UnreachableError):
        download_file(Download(f"{nowhere}/f", "big.safetensors"), folder, control)
    assert waits == list(RETRY_SECONDS)


@pytest.mark.parametrize(
    "retry_after, wait",
    [
        (None, 1.0),
        ("7", 7.0),
        ("0", 0.0),
        (formatdate(1_000_040, usegmt=True), 40.0),
        (formatdate(10, usegmt=True), 0.0),
        ("soon", 1.0),
        ("-5", 1.0),
        ("٣", 1.0),
    ],
)
def test_retry_after(hub: Hub, content: bytes, folder: Path, retry_after: str | None, wait: float) -> None:
    waits: list[float] = []
    assert hub_http.retry_after_seconds(retry_after, 1_000_000.0) == (None if wait == 1.0 else wait)
    if retry_after is None or retry_after.isascii():
        busy = Answer(429, headers={"Retry-After": retry_after} if retry_after else {})
        download = asks(hub, content, busy, Answer(503), Source(content))
        download_file(download, folder, Control(sleep=waits.append, now=lambda: 1_000_000.0))
        assert waits == [*([wait] if wait else []), 2.0]


def test_download_resumes_after_a_broken_connection(hub: Hub, content: bytes, folder: Path, control: Control) -> None:
    download = asks(hub, content, Source(content, ETAG, cuts=[200_000, 100_000]))
    assert download_file(download, folder, control).read_bytes() == content
    assert names(folder) == ["big.safetensors"]
    starts = [request.headers.get("range") for request in hub.requests]
    assert starts[0] is None
    assert all(request.headers["if-range"] == ETAG for request in hub.requests[1:])
    assert [int(str(start)[6:-1]) for start in starts[1:]] == [200_000, 300_000]


def stopped(download: Download, folder: Path, after: int) -> None:
    """Fetch until so many bytes have come."""
    done = [0]

    def cancelled() -> bool:
        return done[0] >= after

    with pytest.raises(HubCancelledError):
        download_file(download, folder, Control(lambda now, _: done.__setitem__(0, now), cancelled))


def test_download_is_resumed_by_a_later_call(hub: Hub, content: bytes, folder: Path) -> None:
    download = asks(hub, content, Source(content, ETAG))
    stopped(download, folder, 100_000)
    assert not (folder / "big.safetensors").exists()
    seen: list[int] = []
    assert download_file(download, folder, Control(lambda done, _: seen.append(done))).read_bytes() == content
    assert seen[0] >= 100_000
    assert hub.requests[-1].headers["range"] == f"bytes={seen[0]}-"
    assert names(folder) == ["big.safetensors"]


@pytest.mark.parametrize(
    "first, then",
    [
        ({"etag": ""}, {}),
        ({"etag": 'W/"weak"'}, {}),
        ({"etag": ETAG}, {"etag": '"two"'}),
        ({"etag": ETAG}, {"ranges": False}),
    ],
    ids=["no ETag", "weak ETag", "another ETag", "no ranges"],
)
def test_download_starts_again_for_another_file(
    hub: Hub, content: bytes, folder: Path, first: dict[str, Any], then: dict[str, Any]
) -> None:
    stopped(asks(hub, content, Source(b"\xff" * len(content), **first)), folder, 100_000)
    download = asks(hub, content, Source(content, **{**first, **then}))
    assert download_file(download, folder).read_bytes() == content
    assert names(folder) == ["big.safetensors"]


@pytest.mark.parametrize(
    "part",
    [
        Answer(206, b"\0" * 10, {"Content-Range": "bytes 0-9/10", "ETag": ETAG}),
        Answer(206, b"\0" * 10, {"Content-Range": "nonsense", "ETag": ETAG}),
        Answer(206, b"\0" * 10, {"ETag": ETAG}),
        Answer(206, b"\0" * 10, {"Content-Range": "bytes 100000-100009/999999999", "ETag": ETAG}),
        Answer(416),
    ],
)
def test_download_refuses_a_wrong_part(hub: Hub, content: bytes, folder: Path, control: Control, part: Answer) -> None:
    stopped(asks(hub, content, Source(content, ETAG)), folder, 100_000)
    download = asks(hub, content, part, Source(content, ETAG))
    assert download_file(download, folder, control).read_bytes() == content


def test_download_refuses_a_part_of_another_file(
    hub: Hub, content: bytes, folder: Path, control: Control, waits: list[float]
) -> None:
    """A server that ignores If-Range: the ETag beside the part tells."""

    def rest(request: Request) -> Answer:
        start, size = int(request.headers["range"][6:-1]), len(content)
        return Answer(206, b"x" * (size - start), {"Content-Range": f"bytes {start}-{size - 1}/{size}", "ETag": '"2"'})

    stopped(asks(hub, content, Source(content, ETAG)), folder, 100_000)
    download = asks(hub, content)
    hub.says("/f", rest, Source(content, '"2"'))
    assert download_file(download, folder, control).read_bytes() == content
    assert waits == [1.0]


def test_download_with_a_wrong_hash_starts_again(hub: Hub, content: bytes, folder: Path) -> None:
    download = asks(hub, content, Source(content, ETAG))
    stopped(download, folder, 100_000)
    (part,) = folder.glob("*.part")
    part.write_bytes(b"\xff" * part.stat().st_size)
    assert download_file(download, folder).read_bytes() == content


@pytest.mark.parametrize("notes", [b"", b"[" * 4000, b'{"etag": 5}', b'{"etag": "x", "total": 1}', b"\xff" * 9000])
def test_damaged_notes_start_the_download_again(hub: Hub, content: bytes, folder: Path, notes: bytes) -> None:
    download = asks(hub, content, Source(content, ETAG))
    stopped(download, folder, 100_000)
    next(folder.glob("*.json")).write_bytes(notes)
    assert download_file(download, folder).read_bytes() == content
    assert "range" not in hub.requests[-1].headers


def test_download_cancelled_while_waiting(hub: Hub, content: bytes, folder: Path) -> None:
    waits: list[float] = []
    control = Control(cancelled=lambda: len(waits) >= 3, sleep=waits.append)
    with pytest.raises(HubCancelledError):
        download_file(asks(hub, content, Answer(429, headers={"Retry-After": "60"})), folder, control)
    assert waits == [0.5, 0.5, 0.5]
    assert len(hub.requests) == 1


def test_download_follows_redirects_without_the_token(
    hub: Hub, other_hub: Hub, content: bytes, folder: Path, control: Control
) -> None:
    """The usual way: the API's host redirects to a signed address; each try asks for a new one."""
    other_hub.says("/signed", Source(content, ETAG, cuts=[100_000]))
    away = Answer(307, headers={"Location": f"{other_hub.url}/signed?key=1"})
    download = asks(hub, content, away, token="secret")
    assert download_file(download, folder, control).read_bytes() == content
    assert [authorization for _, authorization in hub.asked] == ["Bearer secret"] * 2
    assert [authorization for _, authorization in other_hub.asked] == [None] * 2
    assert other_hub.requests[1].headers["range"] == "bytes=100000-"


def test_download_token_goes_to_its_origin_only(hub: Hub, other_hub: Hub, content: bytes, folder: Path) -> None:
    other_hub.says("/there", Answer(302, headers={"Location": f"{hub.url}/home"}))
    hub.says("/home", Source(content))
    away = Answer(302, headers={"Location": f"{other_hub.url}/there"})
    download_file(asks(hub, content, away, token="secret"), folder)
    assert other_hub.asked == [("/there", None)]


@pytest.mark.parametrize("answer", [Answer(401), Answer(500), Answer(body=b"x"), Answer(302), Answer(short=9)])
def test_the_token_is_never_shown(
    hub: Hub, content: bytes, folder: Path, control: Control, answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    download = asks(hub, content, answer, token="hidden-token")
    with caplog.at_level("DEBUG"), pytest.raises(HubError) as error:
        download_file(download, folder, control)
    assert hub.asked[0] == ("/f", "Bearer hidden-token")
    for text in (repr(download), str(error.value), repr(error.value), caplog.text):
        assert "hidden-token" not in text


@pytest.mark.parametrize("token", ["a\nb", "a b", "ключ", "", 5])
def test_checked_token_refuses(token: Any) -> None:
    with pytest.raises(InvalidInputError) as error:
        hub_http.checked_token(token)
    assert repr(token) not in str(error.value)


REMOTE_NAMES = [
    ("a b-c (1).safetensors", "a b-c (1).safetensors"),
    ("../../etc/x.safetensors", "x.safetensors"),
    ("/etc/x.safetensors", "x.safetensors"),
    ("C:\\x\\y.SAFETENSORS", "y.safetensors"),
    ("..\\..\\x.safetensors", "x.safetensors"),
    ("a\0b:c*.safetensors", "ab_c_.safetensors"),
    ("NUL.safetensors", "_NUL.safetensors"),
    ("com1.x.safetensors", "_com1.x.safetensors"),
    ("é" * 300 + ".safetensors", "é" * 100 + ".safetensors"),
    ("x.safetensors.py", None),
    ("x.safetensors\0.py", None),
    ("x.py", None),
    ("x.js", None),
    ("x.ckpt", None),
    (".safetensors", None),
    ("..", None),
    ("/etc/passwd", None),
    (None, None),
    (5, None),
]


@pytest.mark.parametrize("name, safe", REMOTE_NAMES)
def test_safe_file_name(name: Any, safe: str | None) -> None:
    if safe is None:
        with pytest.raises(HubError):
            safe_file_name(name)
    else:
        assert safe_file_name(name) == safe
        assert safe_file_name(safe) == safe


@pytest.mark.parametrize("name", ["../x.safetensors", "/x.safetensors", "x.py", "a\0.safetensors", ""])
def test_download_refuses_an_unsafe_name(hub: Hub, content: bytes, folder: Path, name: str) -> None:
    with pytest.raises(HubError):
        download_file(Download(f"{hub.url}/f", name), folder)
    assert (hub.requests, names(folder.parent)) == ([], ["made"])


@pytest.mark.parametrize("inner", ["custom_nodes", "custom_nodes/pack", "Custom_Nodes/x", "custom_nodes/x/.."])
def test_download_refuses_custom_nodes(hub: Hub, content: bytes, tmp_path: Path, inner: str) -> None:
    with pytest.raises(InvalidInputError, match="custom_nodes"):
        download_file(asks(hub, content, Source(content)), tmp_path / inner)
    assert hub.requests == []


def test_download_refuses_a_link_into_custom_nodes(hub: Hub, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "custom_nodes" / "pack").mkdir(parents=True)
    (tmp_path / "loras").symlink_to(tmp_path / "custom_nodes" / "pack")
    with pytest.raises(InvalidInputError, match="custom_nodes"):
        download_file(asks(hub, content, Source(content)), tmp_path / "loras" / "sub")
    assert names(tmp_path / "custom_nodes" / "pack") == []


def test_download_refuses_a_folder_that_is_no_path(hub: Hub, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HubError, match="cannot write"):
        download_file(asks(hub, content, Source(content)), tmp_path / "file" / "x")
    with pytest.raises(InvalidInputError):
        download_file(asks(hub, content, Source(content)), tmp_path / "a\0b")


def test_download_keeps_another_file_of_that_name(hub: Hub, content: bytes, folder: Path) -> None:
    folder.mkdir()
    (folder / "big.safetensors").write_text("mine")
    with pytest.raises(HubError, match="already exists"):
        download_file(asks(hub, content, Source(content)), folder)
    assert ((folder / "big.safetensors").read_text(), hub.requests) == ("mine", [])


def test_download_keeps_a_file_that_appears_meanwhile(hub: Hub, content: bytes, folder: Path) -> None:
    def appears(done: int, _: int | None) -> None:
        if done == len(content):
            (folder / "big.safetensors").write_text("mine")

    with pytest.raises(HubError, match="already exists"):
        download_file(asks(hub, content, Source(content)), folder, Control(appears))
    assert names(folder) == ["big.safetensors"]
    assert (folder / "big.safetensors").read_text() == "mine"


PUBLIC = {"civitai.com": "104.18.22.206", "cdn.example.com": "93.184.215.14", "sly.example.com": "127.0.0.1"}


@pytest.mark.parametrize(
    "location, allowed",
    [
        ("https://cdn.example.com/x", True),
        ("https://unknown.example.com/x", True),
        ("/relative", True),
        ("http://cdn.example.com/x", False),
        ("https://sly.example.com/x", False),
        ("https://169.254.169.254/latest", False),
        ("https://10.0.0.1/x", False),
        ("https://127.0.0.1/x", False),
        ("https://[::1]/x", False),
        ("https://[::ffff:10.0.0.1]/x", False),
        ("https://[64:ff9b::7f00:1]/x", False),
        ("https://[2002:7f00:1::]/x", False),
        ("https://[::127.0.0.1]/x", False),
        ("https://localhost/x", False),
        ("https://printer.local/x", False),
        ("https://metadata.google.internal/x", False),
        ("ftp://cdn.example.com/x", False),
        ("file:///etc/passwd", False),
        ("https://[/x", False),
    ],
)
def test_redirect_target(location: str, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    real = hub_http.socket.getaddrinfo

    def resolve(host: str, *rest: Any, **more: Any) -> Any:
        if host.endswith((".com", ".local", ".internal")) and host not in PUBLIC:
            raise OSError("no such name")
        return real(PUBLIC.get(host, host), *rest, **more)

    monkeypatch.setattr(hub_http.socket, "getaddrinfo", resolve)
    if allowed:
        assert redirect_target("https://civitai.com/a", location).startswith("https://")
    else:
        with pytest.raises(HubError, match=r"refused|no address"):
            redirect_target("https://civitai.com/a", location)


def test_without_secrets() -> None:
    assert hub_http.without_secrets("https://me:word@host/a?token=x") == "https://host/a"
    with pytest.raises(HubError) as error:
        check_address("ftp://me:word@host/a?token=x", "https://civitai.com")
    assert "word" not in str(error.value)
    assert "token" not in str(error.value)


def start(download: Download, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, download.url, download.sha256 or "", str(folder)]
    root = Path(downloads.__file__).parents[2]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


KILLS = 12


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_download_killed_at_any_moment(hub: Hub, folder: Path, tmp_path: Path, model: Callable[..., Path]) -> None:
    """Kills over the life of a download; what the name holds is whole, and the last call ends the work."""
    content = model(tmp_path / "made" / "big.safetensors", {"a.lora_up.weight": (2000, 1000)}).read_bytes()
    moments = random.Random(20261122)
    hub.says("/f", Source(content, ETAG, piece=20_000, pause=0.002))
    download = Download(f"{hub.url}/f", "big.safetensors", hashlib.sha256(content).hexdigest())
    final = folder / "big.safetensors"
    finished = 0
    for kill in range(KILLS):
        asked = len(hub.requests)
        child = start(download, folder)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        while kill % 3 and len(hub.requests) == asked and child.poll() is None:
            time.sleep(0.002)  # two of three are killed once they receive, however long a busy machine takes to ask
        time.sleep(moments.uniform(0, 0.35))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        if final.exists():
            assert final.read_bytes() == content
            finished += 1
            final.unlink()
    assert download_file(download, folder).read_bytes() == content
    assert names(folder) == ["big.safetensors"]
    assert finished < KILLS
    assert any("range" in request.headers for request in hub.requests)


def test_download_by_two_processes_at_once(hub: Hub, content: bytes, folder: Path) -> None:
    """One downloads; the other waits, finds the file, and is content with it."""
    download = asks(hub, content, Source(content, ETAG, piece=20_000, pause=0.02))
    children = [start(download, folder), start(download, folder)]
    outputs = [child.communicate(timeout=60) for child in children]
    assert [child.returncode for child in children] == [0, 0], outputs
    assert (folder / "big.safetensors").read_bytes() == content
    assert names(folder) == ["big.safetensors"]
    assert len(hub.requests) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_disk_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(HubError, match=r"the disk that holds .* is full; free some space"),
        writable(tmp_path),
        Path("/dev/full").open("wb", buffering=0) as file,
    ):
        file.write(b"x")
