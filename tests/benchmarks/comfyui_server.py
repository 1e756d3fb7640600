"""The real ComfyUI that benchmarks run in."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..comfyui import locate
from ..comfyui.bench import PROBE
from ..comfyui.server import Server


@contextmanager
def serving(probe: Path | str = PROBE, pack: bool = True, checkpoints: bool = True) -> Iterator[Server]:
    """A started server in folders of its own.

    Args:
        probe: the pack of test nodes beside ours: its folder, or its source.
        pack: whether our pack is there.
        checkpoints: whether the random checkpoint is there; else the demo model stands in for it.

    Ends the benchmark, saying why, where ComfyUI cannot be run.
    """
    try:
        installation = locate.installation(locate.checkout())
    except locate.Unavailable as reason:
        sys.exit(f"{Path(sys.argv[0]).stem}: {reason}")
    packs: dict[str, Path | str] = {"intelligent-generation": locate.PACK} if pack else {}
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(
            Path(folder) / "server", installation, {**packs, "probe": probe}, checkpoints=checkpoints
        ).running() as server,
    ):
        yield server
