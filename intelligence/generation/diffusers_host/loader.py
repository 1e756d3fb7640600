"""Base models: finds the one that a name means, describes it without its weights, and loads it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...config import BASE_MODEL_ALIASES, EMBEDDED_MODEL
from ...errors import HubError, MissingDependencyError, ModelNotFoundError, UnsupportedModelError, install_command
from ...given_files import expanded, is_file, is_folder, read_capped
from ...models import Architecture, ModelEvidence
from ...models.architecture import CROSS_ATTENTION
from ...models.evidence import ZERO_TERMINAL_SIGMA, evidence_in
from ...models.headers import read_header
from ...models.kinds import ARCHITECTURE_TITLES
from ...models.sanitize import MAX_JSON_BYTES, parse_json
from ..embedded import ensure_embedded
from ..sdxl_config import sdxl_config_folder
from ..standalone import loading, require_standalone

DTYPE_SINCE = "0.40.0"
"""Version of diffusers in which `torch_dtype` became `dtype`."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_PICKLES = (".ckpt", ".pt", ".pth", ".pkl", ".bin")
_STAGES = {"text_encoder": "text", "text_encoder_2": "text", "unet": "unet", "vae": "vae"}
_SINGLE_FILE_STAGES = {
    "conditioner.": "text",
    "cond_stage_model.": "text",
    "model.diffusion_model.": "unet",
    "first_stage_model.": "vae",
}
_SDXL_KEY = "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias"

_LOADED = (Architecture.SD1, Architecture.SD2, Architecture.SDXL, Architecture.DEMO)
"""Networks that this host samples with."""

_PIPELINES = {"StableDiffusionXL": Architecture.SDXL, "StableDiffusion3": Architecture.SD3, "Flux": Architecture.FLUX}
"""Start of a pipeline's class name → architecture."""
_REMEDIES = (
    f"name a local .safetensors file or diffusers folder, or use {EMBEDDED_MODEL!r} as base model to try things out"
)


@dataclass(frozen=True)
class ResolvedModel:
    """A base model that is on this machine."""

    path: Path
    """A diffusers folder, or a .safetensors file."""
    evidence: ModelEvidence

    @property
    def single_file(self) -> bool:
        return self.path.is_file()


def resolve_base_model(base_model: str, allow_downloads: bool = False) -> ResolvedModel:
    """Find `base_model`: `embedded`, a diffusers folder, a .safetensors file, or a Hugging Face id.

    A hub id is looked up in the Hugging Face cache, and fetched only with `allow_downloads`. Reads configuration and
    header only, no weights.

    Raises:
        ModelNotFoundError: not on this machine; the message names the remedies.
        UnsupportedModelError: a pickle, a corrupt file, or a model of another kind.
        HubError: the hub did not deliver.
        MissingDependencyError: the `standalone` (or `hubs`) extra is needed and not installed.
    """
    if base_model == EMBEDDED_MODEL:
        return _folder_model(ensure_embedded().folder, EMBEDDED_MODEL)
    path = expanded(base_model)
    if path.suffix.lower() in _PICKLES:
        raise UnsupportedModelError(
            f"{base_model}: pickled checkpoints can run any code and are never loaded; convert it to .safetensors"
        )
    if is_folder(path):
        if not (path / "model_index.json").is_file():
            raise UnsupportedModelError(f"{path}: no model_index.json in it, so this is not a diffusers folder")
        return _folder_model(path, path.name)
    if is_file(path):
        return ResolvedModel(path, _file_evidence(path))
    hub_id = BASE_MODEL_ALIASES.get(base_model, base_model)
    if not _HUB_ID.fullmatch(hub_id) or path.suffix.lower() == ".safetensors":
        raise ModelNotFoundError(f"there is no file or folder {base_model!r}: {_REMEDIES}")
    return _folder_model(_from_hub(hub_id, base_model, allow_downloads), hub_id)


def load_pipeline(model: ResolvedModel, device: str) -> Any:
    """Return the diffusers pipeline of `model`, on the CPU, in half precision for `cuda` and `mps`.

    Raises UnsupportedModelError where the files are corrupt or not what their configuration says, and
    MissingDependencyError.
    """
    require_standalone("the diffusers host")
    import diffusers
    import torch
    from packaging.version import Version
    from safetensors import SafetensorError

    named = "dtype" if Version(diffusers.__version__) >= Version(DTYPE_SINCE) else "torch_dtype"
    dtype = torch.float32 if device == "cpu" else torch.float16
    try:
        with loading():
            options: dict[str, Any] = {"local_files_only": True, named: dtype}
            if model.single_file:
                options |= {"config": str(sdxl_config_folder()), **_scheduler_option(model.evidence)}
                pipe = diffusers.StableDiffusionXLPipeline.from_single_file(str(model.path), **options)
            else:
                options |= {"use_safetensors": True, "variant": _variant(model.path)}
                pipe = diffusers.AutoPipelineForText2Image.from_pretrained(str(model.path), **options)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise UnsupportedModelError(f"{model.path}: cannot be loaded: {_first_line(error)}") from error
    pipe.set_progress_bar_config(disable=True)
    return pipe


def parameter_counts(model: ResolvedModel) -> dict[str, int]:
    """Return the parameter counts of the stages `text`, `unet` and `vae`, from the safetensors headers."""
    counts = dict.fromkeys(("text", "unet", "vae"), 0)
    if model.single_file:
        for key, shape in read_header(model.path).shapes.items():
            for prefix, stage in _SINGLE_FILE_STAGES.items():
                if key.startswith(prefix):
                    counts[stage] += math.prod(shape)
        return counts
    variant = _variant(model.path)
    for component, stage in _STAGES.items():
        for file in (model.path / component).glob("*.safetensors"):
            if variant is None or f".{variant}." in file.name:
                counts[stage] += sum(math.prod(shape) for shape in read_header(file).shapes.values())
    return counts


def component_configs(model: ResolvedModel) -> dict[str, dict[str, Any]] | None:
    """Return the `config.json` of each network by component; None for a single file, which has none."""
    if model.single_file:
        return None
    files = {component: model.path / component / "config.json" for component in _STAGES}
    return {component: _json(file) for component, file in files.items() if file.is_file()}


def _from_hub(hub_id: str, base_model: str, allow_downloads: bool) -> Path:
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
    except ImportError as error:
        raise MissingDependencyError(f"{base_model} needs huggingface_hub: {install_command('standalone')}") from error
    hub = HfApi()
    try:
        folder = Path(hub.snapshot_download(hub_id, local_files_only=True))
        if _complete(folder):
            return folder
    except LocalEntryNotFoundError:
        pass
    if not allow_downloads:
        raise ModelNotFoundError(
            f"base model {base_model!r} is not on this machine: allow the download (--allow-downloads, "
            f"allow_downloads=True in Python), or {_REMEDIES}"
        )
    try:
        names = [file.rfilename for file in hub.model_info(hub_id).siblings or ()]
        half = any(name.startswith("unet/") and ".fp16.safetensors" in name for name in names)
        single_files = [name for name in names if "/" not in name and name.endswith(".safetensors")]
        patterns = ["*.json", "*.txt", "*/*.fp16.safetensors" if half else "*.safetensors"]
        folder = Path(hub.snapshot_download(hub_id, allow_patterns=patterns, ignore_patterns=single_files))
    except RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"{hub_id}: there is no such model on the Hugging Face hub, or it is private"
        ) from error
    except (HTTPError, OSError) as error:
        raise HubError(f"{hub_id}: the Hugging Face hub did not deliver: {_first_line(error)}") from error
    if not _complete(folder):
        raise UnsupportedModelError(f"{hub_id}: not a diffusers model with .safetensors weights")
    return folder


def _complete(folder: Path) -> bool:
    return (folder / "model_index.json").is_file() and any((folder / "unet").glob("*.safetensors"))


def _variant(folder: Path) -> str | None:
    names = [file.name for file in (folder / "unet").glob("*.safetensors")]
    return "fp16" if names and all(".fp16." in name for name in names) else None


def _folder_model(folder: Path, name: str) -> ResolvedModel:
    pipeline = str(_json(folder / "model_index.json").get("_class_name", ""))
    scheduler = _json(folder / "scheduler" / "scheduler_config.json")
    architecture = _folder_architecture(folder, pipeline)
    if architecture not in _LOADED:
        raise UnsupportedModelError(
            f"{folder}: {pipeline or 'an unknown pipeline'} is not of the SDXL or SD1/SD2 class"
        )
    evidence = ModelEvidence(
        name=name,
        path=str(folder),
        architecture=architecture,
        prediction=str(scheduler.get("prediction_type", "epsilon")),
        sigma_max=_sigma_max(scheduler),
    )
    return ResolvedModel(folder, evidence)


def _folder_architecture(folder: Path, pipeline: str) -> Architecture:
    named = next((found for prefix, found in _PIPELINES.items() if pipeline.startswith(prefix)), None)
    if named not in (None, Architecture.SDXL) or not pipeline.startswith("StableDiffusion"):
        return named or Architecture.OTHER
    width = _json(folder / "unet" / "config.json").get("cross_attention_dim")
    by_width = CROSS_ATTENTION.get(width, Architecture.OTHER) if isinstance(width, int) else Architecture.OTHER
    return by_width if named is None or by_width is Architecture.DEMO else named


def _file_evidence(path: Path) -> ModelEvidence:
    header = read_header(path)
    evidence = evidence_in(header, path.name)
    if evidence.architecture in (Architecture.SD1, Architecture.SD2):
        named = ARCHITECTURE_TITLES[evidence.architecture]
        raise UnsupportedModelError(f"{path}: a checkpoint of {named}, which is loaded from a diffusers folder only")
    if _SDXL_KEY not in header.shapes:
        raise UnsupportedModelError(f"{path}: not an SDXL checkpoint with both text encoders")
    if evidence.prediction == "edm":
        raise UnsupportedModelError(
            f"{path}: it samples continuous noise levels (EDM), which single files cannot be loaded for here; "
            "use it in ComfyUI"
        )
    return replace(evidence, path=str(path))


def _scheduler_option(evidence: ModelEvidence) -> dict[str, Any]:
    """Return the scheduler of a v-prediction checkpoint, which the packaged configuration lacks."""
    if evidence.prediction != "v_prediction":
        return {}
    import diffusers

    scheduler = diffusers.EulerDiscreteScheduler.from_config(
        _json(sdxl_config_folder() / "scheduler" / "scheduler_config.json"),
        prediction_type="v_prediction",
        rescale_betas_zero_snr=evidence.sigma_max == ZERO_TERMINAL_SIGMA,
    )
    return {"scheduler": scheduler}


def _sigma_max(scheduler: dict[str, Any]) -> float | None:
    """Return √((1 − ᾱ)/ᾱ) at the last training step of a scaled-linear schedule; None for another schedule."""
    if scheduler.get("rescale_betas_zero_snr"):
        return ZERO_TERMINAL_SIGMA
    if scheduler.get("beta_schedule") != "scaled_linear":
        return None
    import numpy as np

    ends = (scheduler["beta_start"] ** 0.5, scheduler["beta_end"] ** 0.5)
    alpha = float(np.prod(1 - np.linspace(*ends, int(scheduler.get("num_train_timesteps", 1000))) ** 2))
    return round(math.sqrt((1 - alpha) / alpha), 4)


def _json(path: Path) -> dict[str, Any]:
    try:
        data = parse_json(read_capped(path, MAX_JSON_BYTES))
    except (OSError, ValueError) as error:
        raise UnsupportedModelError(f"{path}: cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise UnsupportedModelError(f"{path}: not a JSON object")
    return data


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
