"""Every template in API format, run by every client that is installed: python -m tests.benchmarks.clients --json

Told of each client: templates that ran, of how many, and seconds of the slowest, with the demo model at 128×128 and two
steps. `make clients` installs the clients.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.benchmarks.comfyui_server import serving
from tests.benchmarks.report import parser, report
from tests.comfyui.client_programs import PROGRAMS, NotInstalled, run_client
from tests.comfyui.test_clients import small
from tests.tools.make_api_workflows import API_FOLDER


def main() -> None:
    asked = parser(__doc__ or "").parse_args()
    names = sorted(path.stem for path in API_FOLDER.glob("*.json"))
    figures: dict[str, float | int | str | bool | None] = {"templates": len(names)}
    with serving(checkpoints=False) as server, tempfile.TemporaryDirectory() as folder:
        server.client.library_after_scan()
        file = Path(folder) / "workflow.json"
        for client in PROGRAMS:
            ran, slowest = 0, 0.0
            for number, name in enumerate(names):
                saver = small(file, name, 1000 + 100 * number + [*PROGRAMS].index(client))
                begun = time.perf_counter()
                try:
                    ran += min(run_client(client, server.url, file, saver), default=0) > 1000
                except NotInstalled:
                    ran = -1
                    break
                except RuntimeError as error:
                    print(f"{client}, {name}: {error}")
                slowest = max(slowest, time.perf_counter() - begun)
            figures |= {f"{client}_ran": None if ran < 0 else ran, f"{client}_slowest_seconds": slowest}
    report(figures, asked.json)


if __name__ == "__main__":
    main()
