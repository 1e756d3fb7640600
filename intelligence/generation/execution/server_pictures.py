"""Pictures that a server finished: read from its files, and the record that it wrote into them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from ...errors import InvalidInputError
from ...pictures.embedded_texts import OWN_RECORD
from ..run import Execution, portable
from ..stages import Generation, GenerationPlan
from .job_records import Job, Outcome

if TYPE_CHECKING:
    from PIL.Image import Image

SERVER_HOST = "comfyui"


class ServerRun(NamedTuple):
    """A job as a server made it."""

    execution: Execution
    """Its images are decoded where they are looked at first."""
    record: Generation | None
    """As the server stored it; None: its files hold none (`--disable-metadata`)."""


def is_whole(content: bytes) -> bool:
    """Return True for a PNG file without damage."""
    from PIL import Image

    try:
        with Image.open(BytesIO(content), formats=("PNG",)) as image:
            image.verify()
    except Exception:  # noqa: BLE001 - Pillow has many for a broken file
        return False
    return True


def server_run(outcome: Outcome) -> ServerRun:
    """Return the pictures of a job that a server made, with what its record tells of the run."""
    from PIL import Image

    assert outcome.produced is not None and outcome.plan is not None
    images = [Image.open(BytesIO(content), formats=("PNG",)) for content in outcome.produced.files]
    record = _record(images, outcome.job)
    if record is None:
        return ServerRun(Execution(images, outcome.seconds, device=outcome.device), None)
    seconds, items, two = record.generation_time_seconds, record.forward_items, outcome.plan.parameters.second_pass
    step_seconds = item_seconds = None
    if items and not two:  # of two passes the times of each are not known
        step_seconds = seconds / outcome.plan.parameters.num_steps / len(images)
        item_seconds = seconds / items
    execution = Execution(
        images,
        seconds,
        step_seconds,
        forward_items=items,
        seconds_per_item=item_seconds,
        device=record.device or outcome.device,
    )
    return ServerRun(execution, record)


def recorded_here(record: Generation, plan: GenerationPlan, execution: Execution, run_id: str) -> Generation:
    """Return a server's record as one of this machine: with the prompt and the reasons by which it was planned here.

    Its ids stay, so that the server's files can be rated here too.
    """
    steps = (*record.plan.postprocess, *execution.own_steps)
    made = replace(plan, memory=record.plan.memory, postprocess=steps).changed(gives_way=())
    return replace(record, plan=portable(made), run_id=run_id, notes=(*record.notes, *execution.notes))


def _record(images: Sequence[Image], job: Job) -> Generation | None:
    """Return the record in the first of a job's pictures, if it is of that job."""
    with suppress(InvalidInputError, ValueError, RecursionError):
        record = Generation.from_dict(json.loads(images[0].info.get(OWN_RECORD) or ""))
        if record.seeds == job.seeds and len(set(record.image_ids)) == len(images):
            return record
    return None
