"""`python -m intelligence`: the pack from a terminal. Every command takes --json."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .cli.terminal import INTERRUPTED, answer, prepare, quiet_exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Exit status: 0; 1 for an error that the message explains; 2 for unusable arguments; 130 where it was interrupted;
    141 where the reader of its output left.
    """
    prepare()
    try:
        return answer(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        # A signal in an `exec` of text, as dataclasses do it, would end CPython at its exit; another one forgets it.
        exec("")
        return quiet_exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
