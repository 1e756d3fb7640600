"""Acts beside stars that tell of taste: edits of what was offered, picks, saves, rerolls; all weaker than a rating."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..pictures.look import Look
from .observation_arrays import LEVEL
from .observations import Applied, Evidence, Observation, Picture, Settings
from .preferences import settings_of, stage_of


class Worth(NamedTuple):
    """Weight of one act."""

    stars: float
    """By which what was chosen beats what was not; of an act without a rival, beside what was expected."""
    noise: float
    """Standard deviation in stars."""
    newest: int
    """Acts of this kind that count."""
    same: int = 1_000
    """Times that one and the same act is stored: what is only left alone is no new act."""


WORTH = {
    Evidence.SETTING: Worth(1.0, 1.2, 24, 4),
    Evidence.REWEIGHTED: Worth(1.0, 1.2, 16, 4),
    Evidence.REMOVED: Worth(1.0, 1.5, 24, 8),
    Evidence.ADDED: Worth(1.0, 1.5, 24, 8),
    Evidence.PICKED: Worth(1.0, 1.5, 16),
    Evidence.SAVED: Worth(0.6, 1.8, 16),
    Evidence.KEPT: Worth(0.4, 2.0, 12, 4),
    Evidence.SCOUTED: Worth(0.3, 2.5, 8),
    Evidence.REROLLED: Worth(0.3, 2.5, 8),
}
"""An order by how deliberate the act is; an edit counts as one difference of ratings."""

LOOK_STARS, LOOK_NOISE = 0.2, 0.6
"""Stars by which the best of some pictures that differ by their seed alone beats each of the others, and their standard
deviation: seeds move a look by a third of its usual spread. What is only saved has twice the noise."""

OF_LORAS = frozenset((Evidence.KEPT, Evidence.ADDED, Evidence.REMOVED, Evidence.REWEIGHTED))
PER_PROMPT = OF_LORAS | {Evidence.REROLLED}
"""Acts that count once for one prompt."""

PASSIVE = frozenset((Evidence.KEPT, Evidence.SAVED, Evidence.SCOUTED, Evidence.REROLLED))
"""Acts that may mean nothing, which count only beside stars: without any, they leave the choice as it is."""

READ_OFFER: dict[str, Callable[[str], Any]] = {
    "cfg": float,
    "steps": int,
    "sampler": str,
    "scheduler": str,
    "size": lambda text: tuple(int(side) for side in text.split("x")),
}
"""Setting → how `Reason.otherwise` of a setting that the user set is read."""

MIN_REWEIGHT = 0.02
"""Difference of strengths from which one was changed."""

MIN_LOOK_SECONDS, MAX_LOOK_SECONDS = 2.0, 1800.0
"""Pause before another try of the same prompt, in which somebody looked at the picture: less is a queue at work."""


class Signal(NamedTuple):
    """An act of the user."""

    evidence: Evidence
    subject: str = ""
    """Model id of the LoRA, or name of the setting."""
    offered: Any = None
    """JSON: strength and confidence of the LoRA, or value of the setting, as it was offered."""
    slot: int = 0
    """Place in what was offered, from 0."""
    propensity: float = 1.0
    """Probability that this was offered at this place, 0 … 1; of a pick, that of picking it by chance."""


def edits(data: Mapping[str, Any]) -> list[Signal]:
    """Return what the user changed of the suggestions before a generation was made, and left of those looked at.

    Args:
        data: JSON of the `Generation`.
    """
    stage = stage_of(data)
    return [*_lora_edits(stage), *_setting_edits(stage.get("suggested_params") or {})]


def made_with(data: Mapping[str, Any], evidence: Evidence, subject: str) -> Any:
    """Return what an edit is about as a generation was made: a setting with its family, or the strength of a LoRA.

    None: without it. Args: data: JSON of the `Generation`.
    """
    stage = stage_of(data)
    if evidence is not Evidence.SETTING:
        return _strengths(stage).get(subject)
    settings = settings_of(stage.get("suggested_params"))
    return settings and (settings.family, getattr(settings, subject))


def _strengths(stage: Mapping[str, Any]) -> dict[str | None, float]:
    """Strengths of the LoRAs that were applied, by model id."""
    return {
        one.get("lora_metadata", {}).get("model_id"): one.get("suggested_alpha", 0.0)
        for one in stage.get("suggested_loras") or ()
    }


def _lora_edits(stage: Mapping[str, Any]) -> Iterator[Signal]:
    offered, used = stage.get("offered") or (), _strengths(stage)
    for slot, one in enumerate(offered):
        strength, is_suggested, is_used = one["strength"], one.get("suggested", True), one["lora"] in used
        if one.get("named") or not (is_suggested or is_used):
            continue
        evidence = Evidence.KEPT if is_suggested else Evidence.ADDED
        if not is_used:
            evidence = Evidence.REMOVED
        elif is_suggested and abs(used[one["lora"]] - strength) >= MIN_REWEIGHT:
            evidence = Evidence.REWEIGHTED
        offer = {"strength": strength, **{name: one.get(name, 0.0) for name in ("confidence", "standing")}}
        yield Signal(evidence, one["lora"], offer, slot)
    known = {one["lora"] for one in offered}
    for lora in used if offered else ():
        if lora and lora not in known:
            yield Signal(Evidence.ADDED, lora, {"strength": used[lora], "confidence": 0.0}, len(offered))


def _setting_edits(parameters: Mapping[str, Any]) -> Iterator[Signal]:
    for reason in parameters.get("reasons") or ():
        name, otherwise = reason.get("setting"), reason.get("otherwise")
        if reason.get("source") == "user" and otherwise and name in READ_OFFER:
            try:
                offered = READ_OFFER[name](otherwise)
            except ValueError:
                continue
            yield Signal(Evidence.SETTING, name, offered)


def observations(signal: Signal, picture: Picture, rivals: Sequence[Picture]) -> list[Observation]:
    """Return what an act tells of taste; nothing where both sides are the same, as those that differ by the seed.

    Args:
        picture: as it was made.
        rivals: of a pick, the pictures that were left; of a further try, the one of the same prompt that was liked.
    """
    evidence, worth = signal.evidence, WORTH[signal.evidence]
    if evidence is Evidence.REROLLED:
        return [Observation(worth.stars, liked, picture, worth.noise, evidence) for liked in rivals if liked != picture]
    if evidence is Evidence.SCOUTED:
        expected, picture = LEVEL + sum(one.expected for one in picture.loras), picture._replace(look=None)
        looked = [picture._replace(look=Look(*look)) for look in (signal.offered or {}).get("looks", ())]
        told = _preferred(evidence, looked[signal.slot], looked) if signal.slot < len(looked) else []
        return [Observation(expected + worth.stars, picture, None, worth.noise, evidence), *told]
    if evidence in (Evidence.PICKED, Evidence.SAVED):
        return _preferred(evidence, picture, rivals)
    better, other = _sides(signal, picture)
    if better == other:
        return []
    return [Observation(worth.stars, better, other, worth.noise, evidence)]


def _preferred(evidence: Evidence, picture: Picture, rivals: Sequence[Picture]) -> list[Observation]:
    """Return that a picture beats each of its rivals."""
    worth, noise = WORTH[evidence], LOOK_NOISE * (2 if evidence is Evidence.SAVED else 1)
    others = list(dict.fromkeys(one for one in rivals if one._replace(look=picture.look) != picture))
    looks = list(dict.fromkeys(one for one in rivals if one not in (*others, picture) and one.look and picture.look))
    return [
        *(Observation(worth.stars, picture, one, worth.noise * len(others) ** 0.5, evidence) for one in others),
        *(Observation(LOOK_STARS, picture, one, noise * len(looks) ** 0.5, evidence) for one in looks),
    ]


def _sides(signal: Signal, picture: Picture) -> tuple[Picture, Picture]:
    """The picture as the user wanted it, and as it was offered, in what differs alone."""
    evidence, subject, offered = signal[:3]
    plain = Picture(picture.prompt)
    if evidence is Evidence.SETTING:
        return plain._replace(settings=_alone(picture.settings, subject)), plain._replace(
            settings=_alone(picture.settings, subject, tuple(offered) if subject == "size" else offered)
        )
    used = next((one for one in picture.loras if one.lora == subject), None)
    if evidence is Evidence.REMOVED:
        standing = offered.get("standing", 0.0)
        without = Applied.judged(subject, offered["confidence"], offered["strength"], standing=standing)
        return plain, plain._replace(loras=(without,))
    if used is None:
        return plain, plain
    with_it = plain._replace(loras=(used,))
    if evidence is Evidence.REWEIGHTED:
        return with_it, plain._replace(loras=(used._replace(strength=offered["strength"]),))
    return with_it, plain


def _alone(settings: Settings | None, name: str, value: Any = None) -> Settings | None:
    """Return this setting alone, or with another value in its place; None: it is not known."""
    used = settings and getattr(settings, name)
    named: dict[str, Any] = {name: used if value is None else value}
    return Settings(settings.family, **named) if settings and used is not None else None


def is_reroll(now: Mapping[str, Any], before: Mapping[str, Any], pause_seconds: float) -> bool:
    """Return True where a generation is another try of the one before: nothing but the seed differs.

    Args:
        now, before: JSON of two `Generation`s.
        pause_seconds: between the end of the one and the start of the other.
    """
    if not MIN_LOOK_SECONDS <= pause_seconds <= MAX_LOOK_SECONDS or now.get("seeds") == before.get("seeds"):
        return False
    if now.get("run_id") and now.get("run_id") == before.get("run_id"):
        return False
    return _recipe(now) == _recipe(before) is not None


def _recipe(data: Mapping[str, Any]) -> str | None:
    """All that a picture depends on but the seed; None: the prompt is not known."""
    stage = stage_of(data)
    if not stage.get("prompt"):
        return None
    chosen = stage.get("suggested_params") or {}
    names = ("num_steps", "guidance_scale", "sampler_name", "scheduler", "schedule", "width", "height")
    loras = [
        (one.get("lora_metadata", {}).get("model_id"), one.get("suggested_alpha"))
        for one in stage.get("suggested_loras") or ()
    ]
    model = data.get("base_model_id")
    return json.dumps([stage["prompt"], stage.get("negative_prompt", ""), loras, [chosen.get(n) for n in names], model])
