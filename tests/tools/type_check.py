"""Type checks the pack as ComfyUI imports it: as one package.

    python -m tests.tools.type_check

For mypy alone, intelligence/ and nodes/ are packages of their own, and every name that nodes/ imports from
`..intelligence` is an unknown type.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[2]
PACKAGE = "intelligent_generation"
CACHE = ROOT / ".mypy_cache" / "pack"


def main() -> int:
    """Print mypy's report. Returns its exit code."""
    CACHE.mkdir(parents=True, exist_ok=True)
    link = CACHE / PACKAGE
    if not link.is_symlink():
        link.symlink_to(ROOT, target_is_directory=True)
    os.environ["MYPYPATH"] = str(CACHE)
    report, errors, code = api.run(["-p", f"{PACKAGE}.intelligence", "-p", f"{PACKAGE}.nodes"])
    print(report.replace(f"{link.relative_to(ROOT)}{os.sep}", "") + errors, end="")
    return code


if __name__ == "__main__":
    sys.exit(main())
