"""kill -9 during scan, hash and migration, and while two processes rate: python -m tests.benchmarks.kill --kills 200

`--job rate` alone: ratings, corrections and takings back of two processes, whose clocks are set back now and then.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from intelligence.models import ModelMetadata
from intelligence.registry import ModelRegistry
from intelligence.registry.schema import MIGRATIONS
from tests.benchmarks.report import parser, report

JOBS = ("scan", "hash", "migrate", "rate")
RATERS = 2
"""Processes that rate at the same time; one of them is killed, the other goes on until the next kill."""

FILES = 40

WORK = """
import sys, time
from pathlib import Path
from intelligence.registry import ModelRegistry
job, database, root, log = sys.argv[1:]
registry = ModelRegistry(database)
print("started", flush=True)
with open(log, "a") as said:
    def tell(fact):
        said.write(fact + "\\n")
        said.flush()
    step = 0
    while True:
        step += 1
        if job == "migrate":
            registry.get_model("m0")
            tell("migrated")
            time.sleep(0.01)
            continue
        registry.update_model("lora:kept.safetensors", strength=(step % 100 + 1) / 100)
        tell(f"strength {(step % 100 + 1) / 100}")
        for path in sorted(Path(root).glob("*.safetensors")):
            if job == "scan" and path.stem != "kept":
                path.touch()
        registry.scan([root])
        tell("scanned")
        if job == "hash":
            for path in sorted(Path(root).glob("*.safetensors"))[::3]:
                path.touch()
            registry.scan([root])
            registry.hash_models(on_progress=lambda done, total: tell(f"hashed {done}"))
"""


RATE = """
import random, sys, time
from intelligence.learning import LearningEngine, store
database, name, seed, log = sys.argv[1:]
rng, engine = random.Random(int(seed)), LearningEngine(database)
real, back = store._now, 0
store._now = lambda: real() - back
print("started", flush=True)
with open(log, "a") as said:
    step = 0
    while True:
        step += 1
        back = rng.choice((0, 0, 0, 86_400_000 * 400))
        one = f"{name}-{step}"
        engine.record_generation(one, [f"{one}-0", f"{one}-1"], {"step": step}, loras=["lora:a"])
        for rating in (rng.randint(1, 5), rng.randint(1, 5), 0)[: rng.randint(1, 3)]:
            said.write(f"{one}-1 asked {rating}\\n")
            said.flush()
            engine.record_feedback(f"{one}-1", rating) if rating else engine.remove_feedback(f"{one}-1")
            said.write(f"{one}-1 told {rating}\\n")
            said.flush()
"""


def rating_kills(number: int, seed: int = 0) -> dict[str, int]:
    """Kill one of two rating processes `number` times.

    Returns:
        `kills`; `acknowledged`: ratings, corrections and takings back; `lost_ratings`: of these, what is not as it was
        told last; `double_ratings`: images with more than one rating; `broken`: failed checks of the file.
    """
    rng = random.Random(seed)
    figures = {"kills": 0, "acknowledged": 0, "lost_ratings": 0, "double_ratings": 0, "broken": 0}
    with tempfile.TemporaryDirectory() as folder:
        database, running = Path(folder, "learning.db"), {}
        logs: list[Path] = []
        for kill in range(number + RATERS):
            if len(running) == RATERS:
                place = rng.choice(list(running))
                process = running.pop(place)
                time.sleep(rng.uniform(0.0, 0.3))
                figures["kills"] += process.poll() is None
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                _check_stopped(database, logs, figures, [other.pid for other in running.values()])
            log = Path(folder, f"log-{kill}")
            log.touch()
            logs.append(log)
            arguments = [sys.executable, "-c", RATE, str(database), f"w{kill}", str(kill), str(log)]
            process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()
            running[kill] = process
        for process in running.values():
            process.kill()
            process.wait()
        _check_ratings(database, logs, figures)
        figures["acknowledged"] = sum(log.read_text().count(" told ") for log in logs)
    return figures


def _check_stopped(database: Path, logs: list[Path], figures: dict[str, int], pids: list[int]) -> None:
    """Check while the other processes stand still; one that stands in the middle of a lock goes on for a moment."""
    for attempt in range(50):
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            _check_ratings(database, logs, figures)
            break
        except sqlite3.OperationalError:
            if attempt == 49:
                raise
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        time.sleep(0.05)


def _check_ratings(database: Path, logs: list[Path], figures: dict[str, int]) -> None:
    """Compare what was told with what is stored; of the last line of each log, what was asked may be stored too."""
    allowed: dict[str, set[int]] = {}
    for log in logs:
        for line in log.read_text().splitlines():
            if line.count(" ") == 2:
                image, kind, rating = line.split()
                allowed[image] = {int(rating)} if kind == "told" else allowed.get(image, {0}) | {int(rating)}
    with sqlite3.connect(database) as db:
        figures["broken"] += db.execute("PRAGMA integrity_check").fetchone() != ("ok",)
        rows = db.execute("SELECT id, rating FROM ratings JOIN generations ON key = generation").fetchall()
    db.close()
    found = {f"{name}-1": rating for name, rating in rows}
    figures["double_ratings"] += len(rows) - len(found)
    figures["lost_ratings"] += sum(found.get(image, 0) not in ratings for image, ratings in allowed.items())


def write_library(root: Path) -> None:
    """Small LoRAs of different content."""
    root.mkdir(parents=True)
    for number in range(FILES):
        name = "kept" if number == 0 else f"m{number}"
        key = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight"
        body = struct.pack("<e", number) * 8192
        header = json.dumps({key: {"dtype": "F16", "shape": [4, 2048], "data_offsets": [0, len(body)]}}).encode()
        (root / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + body)


def write_old_database(path: Path) -> None:
    """A database of the first version with a few hundred models."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path)
    db.executescript(MIGRATIONS[0])
    for number in range(400):
        record = ModelMetadata(f"lora:m{number}.safetensors", f"m{number}", description="words " * 200)
        row = (
            record.model_id,
            "lora",
            record.name,
            "local",
            "||",
            "||",
            record.description,
            1,
            1,
            "",
            record.to_json(),
        )
        db.execute(
            """INSERT INTO models (model_id, kind, name, source, base, tags, words, usable, present, local_path, record)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            row,
        )
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()


def kills(job: str, number: int, seed: int = 0) -> dict[str, int]:
    """Run `job` in a process that is killed `number` times, and count what went wrong.

    Returns:
        `kills`; `lost_facts`: acknowledged and not there afterwards; `half_files`: unfinished files in the library;
        `broken`: databases that failed their check or could not be opened.
    """
    rng = random.Random(seed)
    figures = {"kills": 0, "lost_facts": 0, "half_files": 0, "broken": 0}
    with tempfile.TemporaryDirectory() as folder:
        root, database, log = Path(folder, "loras"), Path(folder, "data", "registry.db"), Path(folder, "log")
        write_library(root)
        library = {path.name: path.read_bytes() for path in root.iterdir()}
        if job != "migrate":
            with_edit = ModelRegistry(database)
            with_edit.scan([root])
            with_edit.close()
        for _ in range(number):
            if job == "migrate":
                shutil.rmtree(database.parent, ignore_errors=True)
                write_old_database(database)
            log.write_text("")
            figures["kills"] += _run_and_kill(job, database, root, log, rng)
            _check(job, database, log.read_text().splitlines(), figures)
            now = {path.name: path.read_bytes() for path in root.iterdir()}
            figures["half_files"] += sum(library.get(name) != data for name, data in now.items())
            figures["lost_facts"] += len(library.keys() - now.keys())
    return figures


def _run_and_kill(job: str, database: Path, root: Path, log: Path, rng: random.Random) -> bool:
    """Whether it was still at work when it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, job, str(database), str(root), str(log)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(rng.uniform(0.0, 0.08 if job == "migrate" else 0.5))
    alive = process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    return alive


def _check(job: str, database: Path, said: list[str], figures: dict[str, int]) -> None:
    with sqlite3.connect(database) as db:
        sound = db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        version = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    if not sound or version not in (1, len(MIGRATIONS)) or ("migrated" in said and version == 1):
        figures["broken"] += 1
    registry = ModelRegistry(database)
    if job == "migrate":
        figures["lost_facts"] += 400 - len(registry.list_models())
        figures["lost_facts"] += sum(not registry.get_model(f"m{number}").description for number in (0, 399))
    else:
        figures["lost_facts"] += FILES - len(registry.list_models())
        told = [line.split()[1] for line in said if line.startswith("strength")]
        steps = [float(told[-1]), float(told[-1]) % 1 + 0.01] if told else []
        kept = registry.get_model("lora:kept.safetensors").strength
        if told and not any(abs((kept or 0) - step) < 1e-9 for step in steps):
            figures["lost_facts"] += 1
    wrong = registry.verify()
    figures["broken"] += sum("SHA-256" in reason for reason in wrong.values())
    registry.close()


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--job", choices=JOBS, help="only this one (default: all)")
    args = options.parse_args()
    jobs = [args.job] if args.job else JOBS
    each = -(-args.kills // len(jobs))
    total: dict[str, int] = {}
    for number, job in enumerate(jobs):
        found = rating_kills(each, number) if job == "rate" else kills(job, each, seed=number)
        for name, value in found.items():
            total[name] = total.get(name, 0) + value
    report({**total}, args.json)


if __name__ == "__main__":
    main()
