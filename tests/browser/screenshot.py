"""Takes a picture of a workflow in the page of a running server.

python -m tests.browser.screenshot --server http://127.0.0.1:8188 --workflow FILE --out PNG [--nodes2] [--run]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..comfyui.client import Client
from .page import opened


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="http://127.0.0.1:8188")
    parser.add_argument("--workflow", type=Path, required=True, help="workflow in UI format")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--nodes2", action="store_true", help="draw nodes with Nodes 2.0")
    parser.add_argument("--run", action="store_true", help="queue the workflow first, and wait for its end")
    options = parser.parse_args()
    with opened(options.server, nodes2=options.nodes2) as page:
        page.load(json.loads(options.workflow.read_text(encoding="utf-8")))
        if options.run:
            Client(options.server).wait(page.queue())
        page.screenshot(options.out)
        print(json.dumps({"red_nodes": page.red_nodes(), "problems": page.problems}, indent=1))


if __name__ == "__main__":
    main()
