"""`python -m intelligence`: the pack from a terminal. Every command takes --json."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from . import commands
from .config import DEFAULT_BASE_MODEL, LoRAPreferences, OffloadStrategy, Priority, VariationStrategy
from .errors import IntelligentGenerationError

PROGRAM = "python -m intelligence"

EXAMPLE = f'{PROGRAM} generate "a red fox in the snow" --base-model embedded'
"""Runs without a model of one's own."""

_KINDS = ("lora", "checkpoint", "vae", "embedding")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: 0; 1 for an error that the message explains; 2 for unusable arguments."""
    options = _parser().parse_args(arguments)
    try:
        data, text = options.run(options)
    except IntelligentGenerationError as error:
        if options.json:
            print(json.dumps({"error": str(error), "kind": type(error).__name__}))
        else:
            print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(json.dumps(data, ensure_ascii=False, indent=2) if options.json else text)
    return 0


def _prompt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt")
    parser.add_argument(
        "--base-model",
        default=DEFAULT_BASE_MODEL,
        help="a Hugging Face id, a diffusers folder, a .safetensors checkpoint, or embedded (default: %(default)s)",
    )
    parser.add_argument(
        "--model-family", metavar="FAMILY", help="what kind of model it is, such as pony (default: detected)"
    )
    parser.add_argument("--allow-downloads", action="store_true", help="fetch a missing base model from the hub")
    parser.add_argument(
        "--mode", default="AUTO", type=str.upper, choices=["AUTO", "MANUAL"], help="MANUAL: nothing is chosen"
    )
    parser.add_argument(
        "--priority", default="BALANCED", type=str.upper, choices=list(Priority), help="speed or quality"
    )
    parser.add_argument("--max-time", type=float, metavar="SECONDS", help="time limit of the run")
    parser.add_argument("--max-vram", type=float, metavar="GIB", help="memory limit on the graphics card")
    parser.add_argument(
        "--max-loras", type=int, default=LoRAPreferences.max_loras, help="at most (default: %(default)s)"
    )
    parser.add_argument(
        "--min-confidence", type=float, default=LoRAPreferences.min_confidence, help="0 to 1 (default: %(default)s)"
    )
    parser.add_argument("--mix-styles", action="store_true", help="allow LoRAs of several styles together")


def _generate(parser: argparse.ArgumentParser) -> None:
    _prompt(parser)
    parser.add_argument("--negative", default="", help="what the picture should not show")
    parser.add_argument("--seed", type=int, help="0 to 2**64 - 1 (default: random)")
    parser.add_argument("--steps", type=int, help="sampling steps")
    parser.add_argument("--cfg", type=float, help="guidance scale")
    parser.add_argument("--sampler", help="ComfyUI's name")
    parser.add_argument("--scheduler", help="ComfyUI's name")
    parser.add_argument("--size", metavar="WxH", help="such as 1024x1024")
    parser.add_argument("--aspect", help="such as portrait or 16:9")
    parser.add_argument("--lora", action="append", metavar="NAME", help="apply this LoRA instead of choosing")
    parser.add_argument("--images", type=int, default=1, help="how many (default: %(default)s)")
    parser.add_argument(
        "--vary",
        default="SEED_VARIATION",
        type=str.upper,
        choices=list(VariationStrategy),
        help="what differs between the images",
    )
    parser.add_argument(
        "--scout", type=int, default=0, metavar="N", help="try N seeds for a quarter of the steps and ask"
    )
    parser.add_argument("--parallel", action="store_true", help="sample several images in one forward batch")
    parser.add_argument("--out", default="image.png", help=".png, .webp or .jpg (default: %(default)s)")


def _plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--vram", type=float, metavar="GIB", help="a card with so much memory (default: this machine)")
    parser.add_argument("--size", metavar="WxH", default="1024x1024", help="of the image (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=1, help="images of one run")
    parser.add_argument("--steps", type=int, default=20, help="sampling steps (default: %(default)s)")
    parser.add_argument("--no-cfg", action="store_true", help="without a negative prompt, as distilled models sample")
    parser.add_argument(
        "--strategy", default="AUTO", type=str.upper, choices=list(OffloadStrategy), help="where the weights live"
    )
    parser.add_argument(
        "--tile", type=int, metavar="PIXELS", help="side of a VAE tile, 0: decode whole (default: chosen)"
    )


def _generations(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=20, help="how many, newest first (default: %(default)s)")


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="id of a generation or an image, or name of a model")


def _feedback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help="of an image or a generation, as `generate` and `generations` print it")
    parser.add_argument("rating", type=int, help="1 to 5 stars")
    parser.add_argument("comments", nargs="?", default="")


def _scan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    parser.add_argument("--kind", default="lora", choices=_KINDS, help="of the models (default: %(default)s)")


def _search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="?", default="", help="words to find; all models without it")
    parser.add_argument("--limit", type=int, default=50, help="how many at most (default: %(default)s)")
    parser.add_argument("--hub", choices=("civitai", "huggingface"), help="search there (default: scanned models)")


def _get(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reference", metavar="URL-or-id", help="an address, civitai:ID, or owner/repository[/file]")
    parser.add_argument("--kind", default="lora", choices=_KINDS, help="of a Hugging Face file (default: %(default)s)")
    parser.add_argument("--folder", help="where to put it (default: downloads in the data folder)")
    parser.add_argument("--token", help="of your account, where the model needs one")


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="one model; all without it")
    parser.add_argument("--hash", action="store_true", help="first hash the files whose hash is not known")


def _cleanup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", type=int, default=0, metavar="N", help="keep the N most recently used")
    parser.add_argument("--max-size", type=float, metavar="GIB", help="keep the most recently used, up to this size")
    parser.add_argument("--repository", metavar="OWNER/NAME", help="instead, one in Hugging Face's own cache")
    parser.add_argument("--delete", action="store_true", help="remove them (default: only show them)")


class Command(NamedTuple):
    """A row of the table of commands."""

    name: str
    run: Callable[[argparse.Namespace], commands.Answer]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    text: str


COMMANDS = {
    "Make pictures": (
        Command("generate", commands.generate, _generate, "Make a picture from a prompt."),
        Command("recommend", commands.recommend, _prompt, "Show which LoRAs and settings a prompt would get."),
        Command("plan", commands.plan, _plan, "Show how SDXL would fit into this machine's memory, or another card's."),
    ),
    "Pictures made": (
        Command("generations", commands.generations, _generations, "List what was made, newest first."),
        Command("show", commands.show, _show, "Show one generation (by id) or one model (by name), with all reasons."),
        Command("feedback", commands.feedback, _feedback, "Rate a picture with 1 to 5 stars; later choices heed it."),
    ),
    "Your models": (
        Command("scan", commands.scan, _scan, "Read folders of LoRAs or other models, so that they can be chosen."),
        Command("search", commands.search, _search, "Find models that were scanned, or on a hub."),
        Command("get", commands.get, _get, "Download a model from CivitAI or Hugging Face and register it."),
        Command("enrich", commands.enrich, _no_arguments, "Ask CivitAI about your models. Only their hashes are sent."),
        Command("verify", commands.verify, _verify, "Read models again, whole, and compare them with their records."),
        Command("cleanup", commands.cleanup, _cleanup, "Show, or with --delete remove, the files that get downloaded."),
    ),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} COMMAND [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=_overview(),
        epilog=f"`{PROGRAM} COMMAND --help` explains one command. To try it without a model of your own:\n  {EXAMPLE}",
    )
    added = parser.add_subparsers(required=True, metavar="COMMAND", help=argparse.SUPPRESS, prog=PROGRAM)
    for command in (command for group in COMMANDS.values() for command in group):
        one = added.add_parser(command.name, description=command.text)
        one.add_argument("--json", action="store_true", help="print JSON")
        command.add_arguments(one)
        one.set_defaults(run=command.run)
    return parser


def _overview() -> str:
    lines = ["Type a prompt, get the picture."]
    for title, group in COMMANDS.items():
        lines += ["", f"{title}:", *(f"  {command.name:<12} {command.text}" for command in group)]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
