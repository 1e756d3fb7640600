"""The family of a checkpoint or LoRA, by how it samples, its header, and names.

Pony, Illustrious, NoobAI, the distilled families and plain SDXL have weights of the same shapes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .evidence import PREDICTION_ENTRY, V_PREDICTION_VALUES, FamilyFinding, ModelEvidence
from .kinds import (
    ARCHITECTURE_TITLES,
    ARCHITECTURES,
    BASE_FAMILIES,
    CLOSE_FAMILIES,
    DISTILLED,
    TITLES,
    UNETS,
    Architecture,
    Family,
    Finding,
)
from .model_messages import ModelMessage as Text
from .name_patterns import architecture_named, match_family, names_speed_lora, names_v_prediction, steps_named

MIN_BASE_MODEL_CONFIDENCE = 0.5
"""Confidence from which a base model's name states the family too; trainers write `sdxl_base` for Pony as well."""

SHAPE_CONFIDENCE = 0.5
"""Confidence in a family where only the shapes of the weights are known, which several families share."""

MIN_EDITION_NAMED = 0.8
"""Confidence of a name from which it names an edition, and not only the network (`flux`)."""


NOISE_NETWORKS = frozenset(
    {
        *(Architecture.SDXL_REFINER, Architecture.KOLORS, Architecture.PLAYGROUND),
        *(Architecture.CASCADE, Architecture.SVD),
        *(Architecture.HUNYUAN_DIT, Architecture.PIXART, Architecture.COGVIDEOX),
        *(Architecture.COSMOS_PREDICT2, Architecture.COSMOS_PREDICT2_14B),
    }
)
"""Networks beside the UNets that predict noise or v instead of a flow."""

_Text = tuple[str, str, float]
"""(source, text, trust in it from 0 to 1)"""


def identify_family(evidence: ModelEvidence) -> FamilyFinding:
    """Return the family of the base model that `evidence` describes, with confidence (0 to 1) and reason.

    The first counts of: the user's word; a distilled model's name; v-prediction; the names in the header, of the base
    model and of the file; a part that only one edition has; the shapes of the weights. UNKNOWN with confidence 0 where
    nothing is known.
    """
    texts = _texts(evidence)
    architecture = _architecture(evidence, texts)
    distilled = _named(texts, architecture, frozenset(Family) - DISTILLED)
    named = _named(texts, architecture, DISTILLED)
    sampling = _sampling(evidence, architecture, texts, named)

    if evidence.family is not Family.UNKNOWN:
        found = _chosen_by_user(evidence, architecture, distilled)
    elif evidence.prediction == "edm" and architecture in (*UNETS, Architecture.UNKNOWN):
        reason = Text.SAMPLES_EDM.format(schedule=_schedule(evidence))
        return FamilyFinding(Family.UNKNOWN, architecture, 0.0, reason)
    else:
        found = distilled or sampling or _edition(evidence, named) or _by_shapes(evidence, architecture)
    declared = sampling is not None and sampling.zsnr and evidence.family is Family.UNKNOWN
    names = (evidence.name, evidence.base_model or "")
    if architecture not in UNETS and found.family not in DISTILLED and any(map(names_speed_lora, names)):
        found = replace(found, variant=found.variant or "speed")
    few_steps = found.family in DISTILLED or found.variant == "speed"
    # A distilled merge of Pony is run as a distilled model, but still knows Pony's quality tags.
    return replace(
        found,
        zsnr=found.zsnr or declared or (found.architecture in UNETS and evidence.zero_terminal_snr),
        few_steps=next(filter(None, map(steps_named, names)), None) if few_steps else None,
        base=named.family if named and found.family in DISTILLED else Family.UNKNOWN,
    )


def identify_lora_family(
    name: str,
    architecture: Architecture,
    base_model: Finding | None,
    trained_on: str | None,
    tags: Iterable[str],
    speed: bool = False,
) -> Finding:
    """Return the family that a LoRA was made for.

    By the first of: the hub's base model, the training checkpoint, tags, file name, architecture.

    Args:
        base_model: the base model that a hub or sidecar names.
        trained_on: `ss_sd_model_name` of the header.
        speed: whether it is a distillation LoRA; only then a word like `lightning` in a name is a family.
    """
    skip = frozenset[Family]() if speed else DISTILLED
    stated = base_model.value if base_model and base_model.confidence >= MIN_BASE_MODEL_CONFIDENCE else ""
    if base_model and (found := match_family(stated, architecture, skip)):
        return Finding(found.family, f"{base_model.source}: {stated}", base_model.confidence)
    if trained_on and (found := match_family(trained_on, architecture, skip)):
        return Finding(found.family, f"ss_sd_model_name: {trained_on}", round(found.confidence * 0.95, 2))
    if architecture in (Architecture.SDXL, Architecture.UNKNOWN) and any(tag.startswith("score_9") for tag in tags):
        return Finding(Family.PONY, "tag score_9", 0.75)
    if found := match_family(name, architecture, skip):
        return Finding(found.family, f"file name {name}", round(found.confidence * 0.8, 2))
    if family := BASE_FAMILIES.get(architecture):
        shared = family is Family.SDXL or any(family in group for group in CLOSE_FAMILIES)
        return Finding(family, f"architecture {architecture}", 0.4 if shared else 0.9)
    return Finding(Family.UNKNOWN, "no evidence", 0.0)


def _named(texts: list[_Text], architecture: Architecture, skip: frozenset[Family]) -> FamilyFinding | None:
    known = Architecture.SDXL if architecture is Architecture.UNKNOWN else architecture
    for source, text, trust in texts:
        if found := match_family(text, architecture, skip):
            reason = Text.NAMED.format(source=source, text=text[:80], family=TITLES[found.family])
            confidence = round(found.confidence * trust, 2)
            return FamilyFinding(found.family, found.architecture or known, confidence, reason, variant=found.variant)
    return None


def _sampling(
    evidence: ModelEvidence, architecture: Architecture, texts: list[_Text], named: FamilyFinding | None
) -> FamilyFinding | None:
    """The family of an SDXL model that predicts v, by the loaded model, else by its header or names.

    Pony and Illustrious keep their names and tags: zero terminal SNR alone decides how they are sampled.
    """
    stated = evidence.metadata.get(PREDICTION_ENTRY) in V_PREDICTION_VALUES
    name = next((text for _, text, _ in texts if names_v_prediction(text)), None)
    declared = evidence.prediction is None and (stated or name is not None)
    if not declared and evidence.prediction != "v_prediction":
        # The loaded model does not predict v, though its name says so.
        if evidence.prediction == "epsilon" and named and named.family is Family.NOOBAI_VPRED:
            return replace(named, family=Family.NOOBAI, reason=Text.NAMED_NOISE.format(named=named.reason))
        return None
    high = evidence.zero_terminal_snr
    if architecture is not Architecture.SDXL and not (architecture is Architecture.UNKNOWN and (high or declared)):
        return None
    zsnr = high or evidence.sigma_max is None
    if zsnr and named and named.family in (Family.PONY, Family.ILLUSTRIOUS):
        return replace(named, zsnr=True, reason=Text.NAMED_V.format(named=named.reason))
    noob = named is not None and named.family in (Family.NOOBAI, Family.NOOBAI_VPRED)
    if declared:
        reason = Text.SAYS_V.format(source=f"'{name[:80]}'" if name else Text.HEADER)
    else:
        reason = Text.PREDICTS_V.format(schedule=_schedule(evidence))
    return FamilyFinding(Family.NOOBAI_VPRED, Architecture.SDXL, (0.95 if noob else 0.8) - 0.1 * declared, reason, zsnr)


def _edition(evidence: ModelEvidence, named: FamilyFinding | None) -> FamilyFinding | None:
    """The edition by a name that names it, else by the network, else by a name of the network alone."""
    shown = evidence.edition
    if shown is Family.UNKNOWN or (
        named and named.confidence >= MIN_EDITION_NAMED * 0.9 and _close(named.family, shown)
    ):
        return named
    reason = Text.ONLY_NETWORK.format(family=TITLES[shown])
    return FamilyFinding(shown, evidence.architecture, 0.9, reason)


def _close(one: Family, other: Family) -> bool:
    return any({one, other} <= group for group in CLOSE_FAMILIES)


def _chosen_by_user(
    evidence: ModelEvidence, architecture: Architecture, distilled: FamilyFinding | None
) -> FamilyFinding:
    measured = evidence.architecture not in (Architecture.OTHER, Architecture.UNKNOWN)
    chosen = architecture if measured else ARCHITECTURES.get(evidence.family, architecture)
    assumed = evidence.family is Family.NOOBAI_VPRED and evidence.sigma_max is None
    variant = distilled.variant if distilled and distilled.family is evidence.family else ""
    return FamilyFinding(evidence.family, chosen, 1.0, Text.CHOSEN_BY_USER.value, assumed, variant=variant)


def _by_shapes(evidence: ModelEvidence, architecture: Architecture) -> FamilyFinding:
    family = BASE_FAMILIES.get(architecture, Family.UNKNOWN)
    title = ARCHITECTURE_TITLES[architecture]
    if family is Family.SDXL:
        return FamilyFinding(family, architecture, SHAPE_CONFIDENCE, Text.SHAPED_LIKE_SDXL.value)
    if any(family in group for group in CLOSE_FAMILIES):
        reason = Text.EDITION_GUESSED.format(network=title, family=TITLES[family])
        return FamilyFinding(family, architecture, SHAPE_CONFIDENCE, reason)
    if family is not Family.UNKNOWN:
        return FamilyFinding(family, architecture, 0.9, Text.SHAPED_LIKE.format(family=TITLES[family]))
    if architecture not in (Architecture.UNKNOWN, Architecture.OTHER):
        reason = Text.NO_SETTINGS.format(network=title)
    elif evidence.model_class:
        reason = Text.LOADED_AS.format(network=evidence.model_class)
    else:
        reason = Text.NOTHING_TELLS.value
    return FamilyFinding(family, architecture, 0.0, reason, variant=_unknown_variant(evidence, architecture))


def _unknown_variant(evidence: ModelEvidence, architecture: Architecture) -> str:
    """Guidance of a model of no known family, by what the loaded model says, else by its network."""
    if evidence.embedded_guidance:
        return "embedded"
    known = architecture not in (*UNETS, *NOISE_NETWORKS, Architecture.UNKNOWN, Architecture.OTHER)
    return "flow" if evidence.prediction == "flow" or (evidence.prediction is None and known) else ""


def _schedule(evidence: ModelEvidence) -> str:
    if evidence.sigma_max is None:
        return Text.FROM_UNKNOWN_LEVEL.value
    zero = evidence.zero_terminal_snr and evidence.prediction != "edm"
    return (Text.FROM_LEVEL_ZERO_SNR if zero else Text.FROM_LEVEL).format(sigma=evidence.sigma_max)


def _texts(evidence: ModelEvidence) -> list[_Text]:
    header = evidence.metadata
    texts = [
        (Text.TITLE_IN_HEADER, header.get("modelspec.title", ""), 0.95),
        (Text.TRAINED_FROM, header.get("ss_sd_model_name", ""), 0.95),
        (Text.BASE_MODEL, evidence.base_model or "", 1.0),
        (Text.NAME, evidence.name.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".safetensors"), 0.9),
    ]
    return [item for item in texts if item[1]]


def _architecture(evidence: ModelEvidence, texts: list[_Text]) -> Architecture:
    if evidence.architecture is not Architecture.UNKNOWN:
        return evidence.architecture
    header = [evidence.metadata.get(key, "") for key in ("modelspec.architecture", "ss_base_model_version")]
    found = (architecture_named(text) for text in (*header, *(text for _, text, _ in texts)) if text)
    return next((item for item in found if item is not Architecture.UNKNOWN), Architecture.UNKNOWN)
