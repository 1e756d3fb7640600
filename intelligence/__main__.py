"""`python -m intelligence`: the pack from a terminal. Every command takes --json."""

from __future__ import annotations

import sys
from collections import namedtuple
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
    except (KeyboardInterrupt, RuntimeError) as error:
        # Python before 3.12 raises RuntimeError from what interrupts a descriptor's __set_name__.
        if not isinstance(error.__cause__ or error, KeyboardInterrupt):
            raise
        print("interrupted", file=sys.stderr)
        # CPython ends by the signal where it fell into text that was being executed, as dataclasses do it, until more
        # text is executed, as named tuples do it.
        namedtuple("Forgotten", ())
        return quiet_exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
