"""One ComfyUI server and one embedded model for the whole run; what cannot run here is skipped, and counted."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from intelligence.learning.store import LearningEngine

from .comfyui import locate, loras
from .comfyui.bench import PROBE
from .comfyui.client import LIBRARY, Client
from .comfyui.lab_bench import LAB
from .comfyui.server import Server

TIERS = {"comfyui": "comfyui", "browser": "browser", "diffusers_host": "diffusers", "generation": "diffusers"}
"""Folder of tests → what it needs; every other folder is of the unit tier."""


PACKS = {"intelligent-generation": locate.PACK, "probe": PROBE}
SHARED: list[Server] = []
"""The servers that several files of tests use, while they run."""
HOMES: list[Path] = []
"""The data folders that several files use."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier: `pytest -m unit` runs what needs no server, no browser and no sampling."""
    for item in items:
        item.add_marker(tier_of(item.path))


def tier_of(path: Path) -> str:
    """Return the tier of a test file."""
    return TIERS.get(path.relative_to(Path(__file__).parent).parts[0], "unit")


@pytest.fixture(scope="session")
def installation() -> locate.Installation:
    """The ComfyUI that is tested against first."""
    try:
        return locate.installation(locate.checkout())
    except locate.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def old_installation() -> locate.Installation:
    """The oldest ComfyUI that is supported."""
    try:
        return locate.installation(locate.old_checkout())
    except locate.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def server(installation: locate.Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the demo model and LoRAs that fit it, this pack and the probe pack; without checkpoints."""
    packs = {**PACKS, "lab": LAB}
    yield from running(Server(tmp_path_factory.mktemp("comfyui"), installation, packs, checkpoints=False))


@pytest.fixture
def client(server: Server) -> Client:
    """The API of `server`."""
    return server.client


def running(server: Server) -> Iterator[Server]:
    """Start a server that has the demo model and LoRAs for it, and has read them; stop it at the end."""
    from intelligence.generation.embedded import ensure_embedded

    loras.make(server.base / "models" / "loras", loras.DEMO_LIBRARY)
    ensure_embedded(server.home / "embedded")  # its LoRAs are listed from the start
    with server.running():
        server.client.post(f"{LIBRARY}/rescan")
        server.client.library_after_scan()
        SHARED.append(server)
        yield server
        SHARED.remove(server)


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """Forget what a file's tests taught after them: a choice never depends on the files that ran before."""
    yield
    for server in SHARED:
        server.client.forget_learned()
    for home in HOMES:
        LearningEngine(home / "learning.db").reset()


@pytest.fixture(scope="session")
def standalone() -> None:
    """Skips without the libraries of the diffusers host."""
    for library in ("torch", "diffusers", "transformers", "peft", "accelerate"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed (the standalone extra)")
    from intelligence.generation.standalone import require_standalone

    require_standalone("this test")  # before anything imports diffusers beside a torchvision that is broken


@pytest.fixture(scope="session")
def embedded_home(standalone: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder for the whole run, with the embedded model in it."""
    from intelligence.config import HOME_VARIABLE
    from intelligence.generation.embedded import ensure_embedded

    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(home))
        ensure_embedded()
        HOMES.append(home)
        yield home
        HOMES.remove(home)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count what was skipped, by reason, and the seconds of each tier."""
    seconds: Counter[str] = Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if isinstance(report, pytest.TestReport):
            seconds[tier_of(Path(terminalreporter.config.rootpath, report.nodeid.split("::")[0]))] += report.duration
    terminalreporter.section("seconds by tier")
    terminalreporter.line(", ".join(f"{tier} {total:.0f}" for tier, total in seconds.most_common()))
    skipped = terminalreporter.getreports("skipped")
    reasons = Counter(_reason(report) for report in skipped)
    for name, value in sorted(
        found for report in terminalreporter.getreports("passed") for found in report.user_properties
    ):
        terminalreporter.line(f"{name}: {value}")
    if reasons:
        terminalreporter.section(f"{len(skipped)} skipped")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"skipped {count}: {reason}")


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
