"""Commands and options of `python -m intelligence`."""

from __future__ import annotations

import argparse
import json
from argparse import BooleanOptionalAction
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..config import (
    DEFAULT_BASE_MODEL,
    LoRAPreferences,
    OffloadStrategy,
    Priority,
    SecondPassUse,
    VariationStrategy,
)
from ..models.kinds import LoRAKind
from ..version import version

PROGRAM = "python -m intelligence"

EXAMPLE = f'{PROGRAM} generate "a red fox in the snow" --base-model embedded'
"""Runs without a model of one's own."""

Add = Callable[..., object]
"""`ArgumentParser.add_argument` of a command's parser."""

AddCommand = Callable[[str, str], Add]
"""Adds a command, which the function of this name runs, with its text."""

_KINDS = ("lora", "checkpoint", "vae", "embedding", "upscaler")

_OUT = (
    ".png, .webp or .jpg; filled in: %%seed%% %%model%% %%sampler%% %%steps%% %%cfg%% %%loras%% "
    "%%date:yyyy-MM-dd%% (default: image.png; image-2.png where that is there)"
)


_MODES = "MANUAL: nothing is chosen; ASSISTED, where it stands: the first eight to choose from (default: AUTO)"


def _prompt(add: Add, modes: str) -> None:
    add("prompt", nargs="?", help="may be left out where --config has one")
    add("--config", metavar="FILE", help="a run as .toml or .json, or a saved picture: the same again; options win")
    add(
        "--base-model",
        help="a Hugging Face id, a diffusers folder, a .safetensors checkpoint, or embedded "
        f"(default: {DEFAULT_BASE_MODEL})",
    )
    add("--model-family", metavar="FAMILY", help="what kind of model it is, such as pony (default: detected)")
    add("--allow-downloads", action=BooleanOptionalAction, help="fetch a missing base model from the hub")
    add("--mode", type=str.upper, choices=modes.split(), help=_MODES)
    add("--priority", type=str.upper, choices=list(Priority), help="speed or quality (default: BALANCED)")
    add("--max-time", type=float, metavar="SECONDS", help="time limit of the run")
    add("--max-vram", type=float, metavar="GIB", help="memory limit on the graphics card")
    add("--max-loras", type=int, help=f"at most (default: {LoRAPreferences.max_loras})")
    add(
        "--min-confidence",
        type=float,
        help=f"0 to 1 (default: your settings, {LoRAPreferences.min_confidence})",
    )
    add("--mix-styles", action=BooleanOptionalAction, help="allow LoRAs of several styles together")


def _pictures(command: AddCommand) -> None:
    add = command("generate", "Make a picture from a prompt.")
    _prompt(add, "AUTO MANUAL")
    add("--negative", help="what the picture should not show")
    add("--seed", type=int, help="0 to 2**64 - 1 (default: random)")
    add("--steps", type=int, help="sampling steps")
    add("--cfg", type=float, help="guidance scale")
    add("--sampler", help="ComfyUI's name")
    add("--scheduler", help="ComfyUI's name")
    add("--size", metavar="WxH", help="such as 1024x1024")
    add("--aspect", help="such as portrait or 16:9")
    add("--lora", action="append", metavar="NAME", help="apply this LoRA instead of choosing")
    add("--second-pass", choices=list(SecondPassUse), help="paint, enlarge, sample again (default: auto)")
    add("--upscaler", metavar="NAME", help="enlarges for it: latent, or a scanned upscale model (default: auto)")
    add("--repair", action=BooleanOptionalAction, help="find broken images and decode them again (default: yes)")
    add("--seam-check", action=BooleanOptionalAction, help="search for edges of tiles (default: yes)")
    add("--images", type=int, help="how many (default: 1)")
    strategies = list(VariationStrategy)
    add("--vary", type=str.upper, choices=strategies, help="what differs between the images (default: the seed)")
    add("--scout", type=int, default=0, metavar="N", help="try N seeds for a quarter of the steps and ask")
    add("--best-of", type=int, metavar="N", help="begin N, finish the one that you will like best by your ratings")
    add("--parallel", action=BooleanOptionalAction, help="sample several images in one forward batch")
    add("--out", help=_OUT)
    add("--no-metadata", action="store_true", help="write the pixels alone: nothing in the file, no JSON beside it")

    add = command("recommend", "Show which LoRAs and settings a prompt would get.")
    _prompt(add, "AUTO ASSISTED MANUAL")

    add = command("plan", "Show how a model would fit into this machine's memory, or another card's.")
    add("--architecture", default="sdxl", metavar="NAME", help="sdxl, flux, z_image … (default: %(default)s)")
    add("--weights", type=float, metavar="GIB", help="of its network in the file (default: in half precision)")
    add("--vram", type=float, metavar="GIB", help="a card with so much memory (default: this machine)")
    add("--size", metavar="WxH", default="1024x1024", help="of the image (default: %(default)s)")
    add("--batch", type=int, default=1, help="images of one run")
    add("--steps", type=int, default=20, help="sampling steps (default: %(default)s)")
    add("--no-cfg", action="store_true", help="without a negative prompt, as distilled models sample")
    add("--strategy", default="AUTO", type=str.upper, choices=list(OffloadStrategy), help="where the weights live")
    add("--tile", type=int, metavar="PIXELS", help="side of a VAE tile, 0: decode whole (default: chosen)")


def _batches(command: AddCommand) -> None:
    add = command("batch", "Make many pictures from a job list, each exactly once; run again, it goes on.")
    add("jobs", nargs="?", metavar="JOBS", help="a file of JSON lines, each a run as in a run file; -: standard input")
    add("--prompt", help="instead of a list: this prompt, with --sweep")
    add("--base-model", help="with --prompt: as for `generate`")
    add("--sweep", default="", metavar="TEXT", help="vary every line, such as: seed=0..9 steps=12,20 lora:NAME=0.4,0.8")
    add("--out", required=True, metavar="DIR", help="folder of the pictures, their list (jobs.db) and contact sheet")
    executors = ("local", "ray", "comfyui")
    add(
        "--executor",
        choices=executors,
        default="local",
        help="this process, Ray workers, ComfyUI servers of config.json",
    )
    add("--workers", type=int, metavar="N", help="with ray: how many (default: one a graphics card, or one)")
    add("--retries", type=int, default=2, help="further attempts of a job that fails (default: %(default)s)")
    add("--timeout", type=float, default=900.0, metavar="SECONDS", help="of an attempt (default: %(default)g)")
    add("--again", action="store_true", help="try what was set aside once more")
    add("--dry-run", action="store_true", help="say how many pictures it would be, and make nothing")


def _ratings(command: AddCommand) -> None:
    add = command("generations", "List what was made, newest first.")
    add("--limit", type=int, default=20, help="how many, newest first (default: %(default)s)")
    add("--to-rate", type=int, nargs="?", const=8, metavar="N", help="those N (8) whose stars would tell the most")

    add = command("feedback", "Rate a picture with 1 to 5 stars; later choices heed it.")
    add("id", help="a picture made here or elsewhere, or an id as `generate` and `generations` print it")
    add("rating", type=int, nargs="?", help="1 to 5 stars; a later rating corrects an earlier one")
    add("comments", nargs="?", default="")
    add("--remove", action="store_true", help="take the rating back")
    add("--pick", action="store_true", help="it is the best of its batch; weaker than stars")

    add = command("learned", "Show what was learned from ratings, and take back what you like.")
    add("--reset", nargs="?", const="", metavar="LORA", help="forget what was learned of one LoRA; of all without it")
    add("--pause", dest="paused", action="store_true", default=None, help="choose without ratings; they are stored")
    add("--resume", dest="paused", action="store_false", default=None, help="heed ratings again")
    add("--export", dest="export_file", metavar="FILE", help="write all ratings with their history as JSON")
    add("--import", dest="import_file", metavar="FILE", help="add the ratings of an export")
    add("--forget", metavar="ID", help="delete a generation, its ratings and every copy")
    add("--forget-prompt", metavar="TEXT", help="delete all generations of a prompt")
    add("--acts", choices=("on", "off"), help="off: heed stars alone, not what you change, pick, save or try again")
    add("--drop", nargs="*", type=int, metavar="NUMBER", help="take acts beside stars back; all without a number")
    add("--prompts", choices=("on", "off"), help="off: keep prompts out of every store, those stored already too")


def _history(command: AddCommand) -> None:
    add = command("history", "Learn from the pictures that you already have. Off until you say so; nothing is sent.")
    actions = ("status", "on", "off", "read", "used", "forget")
    add("action", nargs="?", choices=actions, default="status", help="off keeps what was read, forget deletes it")
    add("folders", nargs="*", metavar="FOLDER", help="with on: folders of pictures, instead of those named before")
    add("--prompt", help="with forget: only pictures of this prompt")

    add = command("show", "Show a picture (a file, or by id) with all reasons, or a model (by name).")
    add("name", help="a picture, made here or by A1111, ComfyUI, Fooocus, InvokeAI or SwarmUI; an id; a model's name")
    add("--as-workflow", action="store_true", help="print a graph for ComfyUI that makes the picture again")


def _models(command: AddCommand) -> None:
    add = command("scan", "Read folders of LoRAs or other models, so that they can be chosen.")
    add("folders", nargs="+", metavar="FOLDER")
    add("--kind", default="lora", choices=_KINDS, help="of the models (default: %(default)s)")

    add = command("search", "Find models that were scanned, or on a hub.")
    add("text", nargs="?", default="", help="words to find; all models without it")
    add("--limit", type=int, default=50, help="how many at most (default: %(default)s)")
    add("--hub", choices=("civitai", "huggingface"), help="search there (default: scanned models)")

    add = command("get", "Download a model from CivitAI or Hugging Face and register it.")
    add("reference", metavar="URL-or-id", help="an address, civitai:ID, or owner/repository[/file]")
    add("--kind", default="lora", choices=_KINDS, help="of a Hugging Face file (default: %(default)s)")
    add("--folder", help="where to put it (default: downloads in the data folder)")
    add("--token", help="of your account, where the model needs one")

    add = command("correct", "Say what is right about a model; your word counts before everything else.")
    add("name", help="of the model, as `search` and `show` print it")
    add("--base", metavar="NAME", help="its base model, such as illustrious, pony, sdxl or flux")
    add("--kind", choices=list(LoRAKind), help="what a LoRA is for")
    add("--triggers", nargs="*", metavar="WORDS", help='a set of trigger words an argument: "fern, coat" "fern, robe"')
    add("--strength", type=float, help="of a LoRA")
    add("--clip-strength", type=float, help="for the text encoder, where it differs")
    add("--exclude", action=BooleanOptionalAction, help="whether it is never chosen; naming it still applies it")
    add("--include", dest="exclude", action="store_false", help="the same as --no-exclude")
    add("--favourite", action=BooleanOptionalAction, help="whether it is one")
    add("--reset", action="store_true", help="first take back all that was corrected")

    command("updates", "Ask CivitAI for newer versions of your models. Only their numbers there are sent.")
    command("enrich", "Ask CivitAI about your models. Only their hashes are sent.")

    add = command("verify", "Read models again, whole, and compare them with their records.")
    add("name", nargs="?", help="one model; all without it")
    add("--hash", action="store_true", help="first hash the files whose hash is not known")

    add = command("cleanup", "Show, or with --delete remove, the files that get downloaded.")
    add("--keep", type=int, default=0, metavar="N", help="keep the N most recently used")
    add("--max-size", type=float, metavar="GIB", help="keep the most recently used, up to this size")
    add("--repository", metavar="OWNER/NAME", help="instead, one in Hugging Face's own cache")
    add("--delete", action="store_true", help="remove them (default: only show them)")


def _programs(command: AddCommand) -> None:
    add = command("mcp", "Serve programs that act for you (MCP): they ask what this machine knows, and change nothing.")
    add("--allow", action="append", default=[], choices=("rate", "generate"), help="let them do this too")
    add("--base-model", default="", help="with --allow generate: as for `generate`")
    add(
        "--pictures",
        metavar="FOLDER",
        help="with --allow generate: where they go (default: pictures in the data folder)",
    )
    add("--http", type=int, metavar="PORT", help="serve http://127.0.0.1:PORT/mcp (default: standard input and output)")

    add = command("completion", "Print a script that completes commands, options and their values in your shell.")
    add("shell", choices=("bash", "zsh", "fish"), help='such as: eval "$(intelligent-generation completion bash)"')


_GROUPS = {
    "Make pictures": {"picture_commands": _pictures, "batch_commands": _batches},
    "Pictures made": {"learning_commands": _ratings, "history_commands": _history},
    "Your models": {"library_commands": _models},
    "Other programs": {"program_commands": _programs},
}
"""Title → module of `cli` → the arguments of its commands."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; it sets `command` and `module`, the room of the function of that name."""
    whole = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} COMMAND [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"`{PROGRAM} COMMAND --help` explains one command. To try it without a model of your own:\n  {EXAMPLE}",
    )
    whole.add_argument("--version", action=_ShowVersion, help="print the version")
    added = whole.add_subparsers(required=True, metavar="COMMAND", help=argparse.SUPPRESS, prog=PROGRAM)
    overview = ["Type a prompt, get the picture."]

    def command(module: str, name: str, text: str) -> Add:
        overview.append(f"  {name:<12} {text}")
        one = added.add_parser(name, description=text)
        one.add_argument("--json", action="store_true", help="print JSON")
        one.add_argument("--json-schema", action=_ShowSchema, const=name, help="print the schema of that JSON")
        one.set_defaults(command=name, module=module)
        return one.add_argument

    for title, modules in _GROUPS.items():
        overview += ["", f"{title}:"]
        for module, add_commands in modules.items():
            add_commands(partial(command, module))
    whole.description = "\n".join(overview)
    return whole


class Told(Exception):
    """Ends the reading of arguments: its text is the whole answer."""


class _Show(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, **more: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **more)


class _ShowVersion(_Show):
    def __call__(self, *_: Any) -> None:
        raise Told(version())


class _ShowSchema(_Show):
    def __call__(self, *_: Any) -> None:
        from .answer_schemas import answer_schema

        raise Told(json.dumps(answer_schema(self.const), indent=2))
