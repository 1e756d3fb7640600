"""A real ComfyUI server for tests, with folders of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import checkpoint
from .client import Client
from .locate import PACK, Installation

LAUNCHER = Path(__file__).with_name("launcher.py")
FOLDERS = ("models/checkpoints", "models/loras", "custom_nodes", "input", "output", "temp", "user")


class Server:
    """ComfyUI process over a base directory of its own. `start` after `stop` continues with the same files.

    base: folder that gets models/, custom_nodes/, input/, output/ and user/; `server.log` lies in it.
    packs: name under custom_nodes → folder to link there, or source to write there. None: this pack as
        `intelligent-generation`.
    checkpoints: whether it offers the random checkpoint.
    arguments: further arguments for main.py.
    environment: variables set for the process.
    """

    def __init__(
        self,
        base: Path,
        installation: Installation,
        packs: Mapping[str, Path | str] | None = None,
        arguments: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        checkpoints: bool = True,
    ) -> None:
        self.base = base
        self.installation = installation
        self.arguments = arguments
        self.environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        for name in FOLDERS:
            (base / name).mkdir(parents=True, exist_ok=True)
        for name, pack in ({"intelligent-generation": PACK} if packs is None else packs).items():
            place = base / "custom_nodes" / name
            if isinstance(pack, str):
                place.mkdir()
                (place / "__init__.py").write_text(pack, encoding="utf-8")
            else:
                place.symlink_to(pack, target_is_directory=True)
        offered = checkpoint.ensure().parent if checkpoints else base / "models" / "checkpoints"
        (base / "models.yaml").write_text(f"tests:\n    checkpoints: {offered}\n")

    @property
    def pid(self) -> int:
        """Id of the running process."""
        assert self._process
        return self._process.pid

    @property
    def home(self) -> Path:
        """Our pack's data folder."""
        return self.base / "user" / "__intelligent_generation"

    def start(self, timeout: float = 600) -> None:
        """Start the process and wait until it answers. Raises RuntimeError with the log's end when it does not."""
        if not self._port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._port = free.getsockname()[1]
        port = self._port
        self.url = f"http://127.0.0.1:{port}"
        self.client = Client(self.url)
        options = [
            *("--cpu", "--disable-api-nodes", "--disable-auto-launch", "--port", str(port)),
            *("--base-directory", str(self.base), "--database-url", f"sqlite:///{self.base / 'user' / 'comfyui.db'}"),
            *("--extra-model-paths-config", str(self.base / "models.yaml")),
        ]
        unset = {"PYTHONPATH", "INTELLIGENT_GENERATION_HOME"}
        environment = {name: value for name, value in os.environ.items() if name not in unset} | self.environment
        with (self.base / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.installation.python, LAUNCHER, self.installation.path, *options, *self.arguments],
                cwd=self.base,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + timeout
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"ComfyUI did not start:\n{self.log()[-3000:]}")
            time.sleep(0.1)

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Start the process; stop it at the end."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """End the process, if it runs."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @contextmanager
    def configured(self, **settings: Any) -> Iterator[None]:
        """Add settings to the pack's config.json, and bring it back."""
        path = self.home / "config.json"
        before = path.read_text(encoding="utf-8") if path.exists() else "{}"
        path.write_text(json.dumps({**json.loads(before), **settings}), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(before, encoding="utf-8")

    def log(self) -> str:
        """Everything that the server printed since the base directory was made."""
        return (self.base / "server.log").read_text(errors="replace")

    def _answers(self) -> bool:
        try:
            self.client.get("/system_stats")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True
