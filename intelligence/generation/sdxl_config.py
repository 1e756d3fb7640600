"""The packaged SDXL configuration and CLIP vocabulary, as the plain folder that diffusers and transformers read."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..config import HOME_VARIABLE, data_folder
from ..errors import StorageError
from ..prompt.clip_words import clip_merges

_DATA = Path(__file__).parent / "data"
_VERSION = "v1"
_SIZES = ".sizes.json"
"""File of a folder that was made whole, with the size of each other file."""


def sdxl_config_folder(folder: Path | None = None) -> Path:
    """Return a diffusers folder with the configuration and tokenizers of SDXL 1.0, without weights; made on first use.

    `folder` is where to keep it (default: in the data folder). Raises StorageError when it cannot be written.
    """
    return make_once((folder or data_folder() / "sdxl-config") / _VERSION, write_sdxl_config)


def make_once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return `folder`, filled by `fill` if it did not exist or lacks some of the bytes that `fill` wrote.

    It appears whole or not at all, and when two processes make it at once both get the one that was first.
    Raises StorageError when it cannot be written.
    """
    if _is_whole(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            made = temporary / "new"
            made.mkdir()
            fill(made)
            (made / _SIZES).write_text(json.dumps(_sizes(made)), encoding="utf-8")
            _replace(folder, temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"cannot write {folder}: {error}; make it writable, or name another data folder in the environment "
            f"variable {HOME_VARIABLE}"
        ) from error
    return folder


def write_tokenizer(folder: Path, config: Path) -> None:
    """Write CLIP's tokenizer into `folder`: `config` (a tokenizer_config.json), vocabulary and merges."""
    merges = clip_merges()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(config, folder / "tokenizer_config.json")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    (folder / "vocab.json").write_text(json.dumps(clip_vocabulary(merges)), encoding="utf-8")


def clip_vocabulary(merges: list[str]) -> dict[str, int]:
    """Return CLIP's 49,408 tokens with their ids: bytes, bytes that end a word, joined merges, start and end."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    symbols = [chr(byte) for byte in printable] + [chr(256 + index) for index in range(256 - len(printable))]
    tokens = symbols + [f"{symbol}</w>" for symbol in symbols] + [merge.replace(" ", "") for merge in merges]
    return {token: index for index, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}


def write_sdxl_config(folder: Path) -> None:
    """Write the configuration and tokenizers of SDXL 1.0 into `folder`."""
    source = _DATA / "sdxl"
    shutil.copytree(source, folder, dirs_exist_ok=True)
    for name in ("tokenizer", "tokenizer_2"):
        write_tokenizer(folder / name, source / name / "tokenizer_config.json")


def _sizes(folder: Path) -> dict[str, int]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}


def _is_whole(folder: Path) -> bool:
    try:
        sizes = json.loads((folder / _SIZES).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def _replace(folder: Path, temporary: Path) -> None:
    """Move `new` in `temporary` to `folder`, and a damaged `folder` away, unless another process was first."""
    if not _is_whole(folder):
        with suppress(FileNotFoundError):
            folder.rename(temporary / "damaged")
        try:
            (temporary / "new").rename(folder)
        except OSError:
            if not _is_whole(folder):
                raise
