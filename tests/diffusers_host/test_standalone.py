"""Importing libraries and sampling change nothing that other code in the process sees."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from intelligence.generation.diffusers_host import DiffusersHost
from intelligence.generation.standalone import loading, quiet, quiet_process

from .test_host import plan

pytestmark = pytest.mark.usefixtures("standalone")

BROKEN = 'raise RuntimeError("operator torchvision::nms does not exist")'

IMPORTS = """
import logging, sys
from intelligence.generation.standalone import require_standalone

require_standalone("a test")
assert logging.root.manager.disable == 0
assert "torchvision" not in sys.modules
try:
    import torchvision
except RuntimeError as error:
    assert "nms" in str(error)
else:
    raise AssertionError("another torchvision")
from diffusers import StableDiffusionXLPipeline
from transformers import CLIPImageProcessor, CLIPTextModel
"""


def test_require_standalone_leaves_a_broken_torchvision_as_it_was(tmp_path: Path) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(BROKEN, encoding="utf-8")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{IMPORTS}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def process_state() -> tuple[object, ...]:
    """Return shared state: warning filters, log levels, progress bars, modules that are hidden."""
    import diffusers
    import transformers

    logs = (diffusers.utils.logging, transformers.utils.logging)
    return (
        list(warnings.filters),
        logging.root.manager.disable,
        [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in logs],
        [name for name, module in sys.modules.items() if module is None],
    )


def test_execute_changes_nothing_that_others_see(host: DiffusersHost) -> None:
    host.execute(plan(), [0])
    before, during = process_state(), []
    host.execute(plan(), [0], lambda done, total: during.append(process_state()))
    assert during == [before] * len(during) and during
    assert process_state() == before


def test_quiet_drops_records_of_its_own_thread_only() -> None:
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    ear, log = Ear(), logging.getLogger("transformers")
    log.addHandler(ear)
    try:
        with quiet(), ThreadPoolExecutor(1) as threads:
            log.warning("ours")
            log.error("our error")
            threads.submit(log.warning, "another thread's").result()
        log.warning("afterwards")
    finally:
        log.removeHandler(ear)
    assert heard == ["our error", "another thread's", "afterwards"]


def test_loading_is_quiet_and_undone() -> None:
    before = process_state()
    with loading(), warnings.catch_warnings(record=True) as heard:
        assert [bars for _, bars in process_state()[2]] == [False, False]  # type: ignore[attr-defined]
        warnings.warn_explicit("a library's", UserWarning, "layer.py", 1, module="peft.tuners.lora")
        warnings.warn_explicit("the user's", UserWarning, "mine.py", 1, module="mine")
    assert [str(warning.message) for warning in heard] == ["the user's"]
    assert process_state() == before


def test_quiet_process_is_undone() -> None:
    before = process_state()
    with quiet_process():
        warnings.warn("not seen", stacklevel=1)
    assert process_state() == before


RUNS = """
from intelligence import IntelligentGenerationPipeline, PipelineConfig
pipeline = IntelligentGenerationPipeline(PipelineConfig(base_model="embedded"))
for prompt in ("anime girl with magical powers", "pixel art of a giraffe", "an apple"):
    print(len(pipeline.generate(prompt, seed=0, num_steps=1).metadata.loras_used))
"""


def test_pipeline_prints_nothing(embedded_home: Path) -> None:
    """LoRAs are loaded, changed and taken off."""
    done = subprocess.run([sys.executable, "-c", RUNS], capture_output=True, text=True, timeout=600)
    assert (done.stderr, done.stdout.split()) == ("", ["1", "2", "0"])
