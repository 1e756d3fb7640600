"""Count how often a reader of one `analyze` and one `choose` comes back to a module that was left before.

`python -m tests.tools.walk --json`. Each function counts where it is called first; a return is entering a module that
was left before. `--root DIR` walks another checkout of the package.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

PROMPT = "masterpiece, anime girl with magical powers, without glasses, <lora:magic_effects:0.5>"
ROOT = Path(__file__).parents[2]


def modules_called(function: Callable[[], Any], package: Path) -> list[str]:
    """Modules of `package`, one entry per function that `function` calls, in the order of first calls."""
    seen: dict[tuple[str, int], str] = {}

    def profile(frame: FrameType, event: str, arg: object) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and package in file.parents:
            seen.setdefault((str(file), frame.f_code.co_firstlineno), file.relative_to(package).as_posix())

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return list(seen.values())


def count_returns(modules: list[str]) -> int:
    """How often a module that was left before is entered again."""
    stays = [module for module, before in zip(modules, [None, *modules], strict=False) if module != before]
    return len(stays) - len(set(stays))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--json", action="store_true", help="one flat JSON object (the only output there is)")
    root = parser.parse_args().root.resolve()
    sys.path.insert(0, str(root))
    from intelligence import ModelMetadata, PromptAnalyzer
    from intelligence.lora import LoRARecommender

    package = root / "intelligence"

    class Registry:
        revision = 1

        def list_models(self, kind: object = None, *, with_problems: bool = False) -> list[ModelMetadata]:
            names = ("magic_effects", "anime_style", "glasses_v2", "watercolor")
            return [ModelMetadata(f"lora:{name}.safetensors", name) for name in names]

    analyzer, recommender = PromptAnalyzer(), LoRARecommender(Registry())
    analysis = analyzer.analyze(PROMPT)
    recommender.choose(analysis, "embedded")
    analyzed = modules_called(lambda: analyzer.analyze(PROMPT), package)
    chosen = modules_called(lambda: recommender.choose(analysis, "embedded"), package)
    figures = {
        "analyze_functions": len(analyzed),
        "analyze_modules": len(set(analyzed)),
        "analyze_returns": count_returns(analyzed),
        "choose_functions": len(chosen),
        "choose_modules": len(set(chosen)),
        "choose_returns": count_returns(chosen),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
