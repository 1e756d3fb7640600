"""Evidence in a checkpoint's header: its architecture and what it predicts, for both hosts and the registry."""

from __future__ import annotations

from collections.abc import Container, Mapping

from .architecture import identify_architecture
from .evidence import SIGMA_MAX, ZERO_TERMINAL_SIGMA, ModelEvidence
from .family_facts import BASE_FAMILIES
from .headers import Header
from .kinds import Architecture, ModelKind
from .name_patterns import names_v_prediction

EDM_KEYS = ("edm_mean", "edm_vpred.sigma_max")
V_PREDICTION_KEY = "v_pred"
ZERO_TERMINAL_KEY = "ztsnr"
"""Tensor names by which ComfyUI recognises how a checkpoint predicts."""

PREDICTION_ENTRY = "modelspec.prediction_type"
V_PREDICTION_VALUES = ("v", "v_prediction")


def evidence_in(header: Header, file_name: str, base_model: str | None = None) -> ModelEvidence:
    """Return what the header and name of a single-file checkpoint say of it.

    An SDXL checkpoint that says it predicts v by its name or ModelSpec entry alone is taken to have zero terminal SNR,
    as NoobAI v-pred has.

    Args:
        base_model: the base model that a hub or sidecar names.
    """
    architecture = Architecture(identify_architecture(header, ModelKind.CHECKPOINT).value)
    prediction = prediction_in(header.shapes, header.metadata)
    if prediction is None and architecture is Architecture.SDXL:
        prediction = "v_prediction" if _names_v_prediction(header, file_name) else "epsilon"
    zero_terminal = ZERO_TERMINAL_KEY in header.shapes or (
        architecture is Architecture.SDXL and prediction == "v_prediction" and V_PREDICTION_KEY not in header.shapes
    )
    sigma_max = ZERO_TERMINAL_SIGMA if zero_terminal else SIGMA_MAX
    return ModelEvidence(
        name=file_name,
        architecture=architecture,
        prediction=prediction,
        sigma_max=None if prediction == "edm" or architecture not in BASE_FAMILIES else sigma_max,
        metadata=header.metadata,
        base_model=base_model,
    )


def prediction_in(keys: Container[str], metadata: Mapping[str, str]) -> str | None:
    """Return `edm` or `v_prediction` where a checkpoint's tensor names or ModelSpec entry say so, else None."""
    if any(key in keys for key in EDM_KEYS):
        return "edm"
    if V_PREDICTION_KEY in keys or metadata.get(PREDICTION_ENTRY) in V_PREDICTION_VALUES:
        return "v_prediction"
    return None


def _names_v_prediction(header: Header, file_name: str) -> bool:
    if PREDICTION_ENTRY in header.metadata:
        return False
    return any(map(names_v_prediction, (header.metadata.get("modelspec.title", ""), file_name)))
