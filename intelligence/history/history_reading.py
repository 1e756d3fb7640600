"""Reading the pictures of some folders: only new and changed ones, and nothing is written there."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from ..errors import InvalidInputError
from ..models.sanitize import clean_number, clean_text
from ..pictures.embedded_texts import read_texts
from ..pictures.picture_info import PictureInfo, UsedLoRA, picture_info
from ..records import Record
from .history_store import HistoryStore, KnownPicture, ReadFile
from .past_pictures import Fate

SUFFIXES = (".png", ".webp", ".jpg", ".jpeg")
MAX_FILE_BYTES = 256 * 2**20
"""A larger file is no picture of an image model."""
MAX_PROMPT, MAX_NAME, MAX_LORAS = 4000, 300, 32
"""Characters of a prompt and of a name, and LoRAs of one picture; more is cut."""
MAX_STRENGTH = 10.0
BATCH_SECONDS = 1.0
"""Time after which the pictures read so far are stored."""

Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class HistoryReport(Record):
    """The result of reading."""

    read: int = 0
    """Pictures that were new or changed."""
    told: int = 0
    """Of these, those that tell how they were made."""
    skipped: int = 0
    """Of these, those that could not be read."""
    moved: int = 0
    gone: int = 0
    """Pictures whose files are no longer there."""
    unchanged: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    """Folder → why it could not be read."""
    seconds: float = 0.0
    cancelled: bool = False


@dataclass(frozen=True)
class ReadingPace:
    """The care that reading takes of everything else."""

    keep_prompts: bool = True
    rest: float = 0.0
    """Seconds of rest for each second of work."""


class FoundPicture(NamedTuple):
    """A picture's file under one of the folders."""

    path: str
    root: str
    size: int
    mtime_ns: int


def read_pictures(
    store: HistoryStore,
    folders: Sequence[Path],
    pace: ReadingPace,
    on_progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> HistoryReport:
    """Bring `store` up to date with the pictures under `folders`; those of other folders are forgotten.

    A folder that cannot be read now (a drive that is off) keeps what was read of it. Raises StorageError.
    """
    started = time.monotonic()
    found, problems = _walk(folders)
    store.keep_roots([str(folder) for folder in folders])
    store.keep_prompts(pace.keep_prompts)
    known = store.known()
    fresh = [file for path, file in found.items() if path not in known or known[path][1:3] != file[2:]]
    roots = {str(folder) for folder in folders} - set(problems)
    away = {path: one for path, one in known.items() if path not in found and one.root in roots}
    moves = _moved(fresh, away)
    if moves:
        store.move([(old, file.path, file.root) for file, old in moves.items()])
    fates = [(Fate.GONE, path) for path, one in away.items() if one.fate is Fate.THERE and path not in moves.values()]
    back = [path for path in found if path in known and known[path].fate is Fate.GONE]
    if fates or back:
        store.set_fates([*fates, *((Fate.THERE, path) for path in back)])
    fresh = [file for file in fresh if file not in moves]
    counts, done = _read(store, fresh, pace, on_progress, cancelled)
    if done == len(fresh):
        store.set_read()
    return HistoryReport(
        read=done,
        told=counts["told"],
        skipped=counts["skipped"],
        moved=len(moves),
        gone=len(fates),
        unchanged=len(found) - len(fresh) - len(moves),
        problems=problems,
        seconds=round(time.monotonic() - started, 3),
        cancelled=done < len(fresh),
    )


def _read(
    store: HistoryStore,
    files: Sequence[FoundPicture],
    pace: ReadingPace,
    on_progress: Progress | None,
    cancelled: Cancelled | None,
) -> tuple[Counter[str], int]:
    """Read files until `cancelled`; return how many told something or were skipped, and how many were read."""
    counts: Counter[str] = Counter()
    batch: list[ReadFile] = []
    stored_at, done = time.monotonic(), 0
    for file in files:
        if cancelled and cancelled():
            break
        begun = time.thread_time()
        batch.append(one := read_file(file))
        done += 1
        counts["told"] += one.info is not None
        counts["skipped"] += one.problem is not None
        if on_progress:
            on_progress(done, len(files))
        if time.monotonic() - stored_at > BATCH_SECONDS:
            store.put(batch, keep_prompts=pace.keep_prompts)
            batch, stored_at = [], time.monotonic()
        if pace.rest:
            time.sleep(pace.rest * (time.thread_time() - begun))
    if batch:
        store.put(batch, keep_prompts=pace.keep_prompts)
    return counts, done


def read_file(file: FoundPicture) -> ReadFile:
    """Read one picture. A hostile or broken one has a `problem`."""
    about = ReadFile(*file)
    if file.size > MAX_FILE_BYTES:
        return about._replace(problem=f"larger than {MAX_FILE_BYTES // 2**20} MB")
    try:
        info = picture_info(read_texts(file.path))
    except InvalidInputError as error:
        return about._replace(problem=clean_text(str(error), 300))
    return about._replace(info=_bounded(info) if info and (info.prompt or info.loras or info.model) else None)


def _bounded(info: PictureInfo) -> PictureInfo:
    """Return the facts without control characters, and none larger than they are in real pictures."""
    loras = [
        UsedLoRA(name, strength)
        for lora in info.loras[:MAX_LORAS]
        if (name := clean_text(lora.name, MAX_NAME))
        and (strength := clean_number(lora.strength, -MAX_STRENGTH, MAX_STRENGTH)) is not None
    ]
    settings = {name: _setting(value) for name, value in info.settings.items()}
    return replace(
        info,
        prompt=clean_text(info.prompt, MAX_PROMPT),
        negative_prompt=clean_text(info.negative_prompt, MAX_PROMPT),
        model=clean_text(info.model, MAX_NAME),
        loras=tuple(loras),
        settings={name: value for name, value in settings.items() if value is not None},
    )


def _setting(value: int | float | str) -> int | float | str | None:
    if isinstance(value, str):
        return clean_text(value, 100)
    return value if clean_number(value, -1e20, 1e20) is not None else None


def _walk(folders: Sequence[Path]) -> tuple[dict[str, FoundPicture], dict[str, str]]:
    """Return path → file of the pictures under `folders`, links not followed, and why folders could not be read."""
    found: dict[str, FoundPicture] = {}
    problems: dict[str, str] = {}
    for folder in folders:
        root = str(folder)
        try:
            for entry in _pictures_under(root):
                if entry.path not in found:
                    stat = entry.stat(follow_symlinks=False)
                    found[entry.path] = FoundPicture(entry.path, root, stat.st_size, stat.st_mtime_ns)
        except OSError as error:
            problems[root] = f"cannot be read: {error.strerror or error}"
    return found, problems


def _pictures_under(root: str) -> Iterator[os.DirEntry[str]]:
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.path.isprintable():
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.name.lower().endswith(SUFFIXES) and entry.is_file(follow_symlinks=False):
                    yield entry


def _moved(fresh: Sequence[FoundPicture], away: Mapping[str, KnownPicture]) -> dict[FoundPicture, str]:
    """Return new files that are pictures from elsewhere (same size and date, each once) → their old path."""
    old: dict[tuple[int, int], list[str]] = {}
    for path, one in away.items():
        old.setdefault((one.size, one.mtime_ns), []).append(path)
    times = Counter((file.size, file.mtime_ns) for file in fresh)
    return {
        file: paths[0]
        for file in fresh
        if len(paths := old.get((file.size, file.mtime_ns), [])) == 1 and times[file.size, file.mtime_ns] == 1
    }
