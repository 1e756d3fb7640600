"""Forged inputs made by atheris, guided by what they reach: python -m tests.tools.guided_fuzz TARGET FOUND CORPUS …

Writes inputs that end in an error which is not the pack's, the first of each kind, and those that take long, into the
folder FOUND. The further arguments are libFuzzer's.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["intelligence"]):
    from tests.tools.fuzz_targets import read_or_refuse

SLOW_SECONDS = 0.1
MAX_SLOW = 50


def main() -> None:
    target, found = sys.argv[1], Path(sys.argv[2])
    slow = 0

    def read(data: bytes) -> None:
        nonlocal slow
        with tempfile.TemporaryDirectory() as folder:
            begun = time.process_time()
            try:
                read_or_refuse(target, data, Path(folder))
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                file = found / type(error).__name__
                file.exists() or file.write_bytes(data)
            if time.process_time() - begun > SLOW_SECONDS and slow < MAX_SLOW:
                slow += 1
                (found / f"slow-{slow}").write_bytes(data)

    warnings.simplefilter("ignore")
    atheris.Setup([sys.argv[0], *sys.argv[3:]], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
