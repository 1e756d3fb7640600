"""The pictures that a graph of the pack's nodes asks for, read from the graph instead of by running it.

So a page's batch of variations can be made elsewhere. Only graphs that are the pack's from the checkpoint to the
sampler are read: what another node would do to the model or the prompt is not carried over, and so refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...config import AUTO, GenerationConstraints, LoRAPreferences, PipelineConfig, Priority, SecondPassUse, require
from ...errors import InvalidInputError
from ...memory import MemoryRequest
from ...models import ModelEvidence, ModelMetadata, named_family
from ...parameters.parameters import ALIASES
from ...prompt import LoRATag
from ...registry import ModelRegistry
from ..choice_requests import LoRARequest, SettingsRequest
from ..planner import Planner
from ..problem_messages import ProblemMessage
from ..sampling_request import ModelFacts, SamplingRequest, Switches, sampling_run
from ..stages import Recommendations
from ..used_files import base_model_file
from .job_records import Job, job_key

Graph = Mapping[str, Any]
"""Node id → `class_type` and `inputs`, as `POST /prompt` takes it; links are [node id, place]."""

SAMPLER = "IntelligentSampler"
STAGES = ("PromptAnalyze", "LoRARecommend", "ParamOptimize")
LOADERS = ("CheckpointLoaderSimple", "CheckpointOrFirst", "EmbeddedDemoModel")
CARRIED = (SAMPLER, *STAGES, *LOADERS, "MemoryPlan", "CLIPTextEncode", "CLIPSetLastLayer")

LINKS = {
    SAMPLER: ("model", "positive", "negative", "vae", "plan"),
    "PromptAnalyze": (),
    "LoRARecommend": ("analysis", "model", "clip"),
    "ParamOptimize": ("recommendations", "model"),
    "CLIPTextEncode": ("text", "clip"),
}
"""Inputs that are linked, and have to be; every other value has to stand in its node."""

WIDGETS = ("steps", "cfg", "sampler", "scheduler", "width", "height")
"""Of ParamOptimize; each wins over every choice."""

SWITCHES = ("repair", "seam_check")
"""Of IntelligentSampler: steps after decoding, by their names in `PipelineConfig`."""

Evidence = Callable[[str, str], ModelEvidence]
"""Model family as named, id of LoRARecommend → the model, by its file."""

AlwaysUsed = Callable[[str], Sequence[LoRATag]]
"""Name of a checkpoint → the LoRAs that the user wants always with it."""


def jobs_of_graph(
    graph: Graph,
    sampler: str,
    planner: Planner,
    evidence: Evidence,
    always: AlwaysUsed = lambda name: (),
    upscalers: Sequence[str] = (),
) -> list[Job]:
    """Return a job for each picture: sets of LoRAs × settings × seeds, with LoRAs and settings chosen now.

    Args:
        sampler: id of the Intelligent Sampler; empty: the only one.
        upscalers: files of upscale models that `auto` chooses among.

    Raises InvalidInputError where the graph is not the pack's alone, and like the nodes.
    """
    nodes = _carried(graph, sampler)
    analysis_in, choice, settings, sampling = (_only(nodes, name)[1] for name in (*STAGES, SAMPLER))
    recommend_id, _ = _only(nodes, "LoRARecommend")
    loaders = [kind for kind, _ in nodes.values() if kind in LOADERS]
    require(len(loaders) == 1, f"a batch on servers needs one loader for model, CLIP and VAE, this has {len(loaders)}")
    family = str(choice.get("model_family", AUTO))
    prompts = analysis_in.get("prompt", ""), analysis_in.get("negative_prompt", "")
    require(all(isinstance(text, str) for text in prompts), "the prompts must be texts")
    layers = [inputs["stop_at_clip_layer"] for kind, inputs in nodes.values() if kind == "CLIPSetLastLayer"]
    require(len(layers) < 2, "one CLIP Set Last Layer at most is carried out on servers")
    analysis, model = planner.analyze(*prompts), evidence(family, recommend_id)
    try:
        request, asked, run = _lora_request(choice), _settings_request(settings, layers), _sampling_request(sampling)
    except InvalidInputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(f"the workflow is not in API format ({type(error).__name__}: {error})") from None
    switches = {name: sampling.get(name, True) for name in SWITCHES}
    config = PipelineConfig(model.name if model else "", **switches)
    asked = replace(asked, upscalers=upscalers)
    problem = planner.problem(request)
    if request.takes_always_used:
        request = replace(request, stack=tuple(always(model.name)))
    require(problem is None and not request.unconfirmed, problem or ProblemMessage.UNCONFIRMED.value)
    jobs: list[Job] = []
    for chosen in planner.recommend_variants(request, analysis, model):
        for variant in planner.parametrize_variants(asked, chosen, model):
            jobs += _jobs(variant, run, planner, config, len(jobs))
    return jobs


def _jobs(
    variant: Recommendations, run: SamplingRequest, planner: Planner, config: PipelineConfig, number: int
) -> Iterator[Job]:
    plan = planner.plan(variant, MemoryRequest(images=1))
    facts = ModelFacts(lambda parameters: (parameters.num_steps, 2 * parameters.num_steps))
    sampled = sampling_run(plan, run, facts)
    chosen, model = sampled.plan.changed(batch_size=1).recommendations, variant.model
    registry, name = planner.registry, model.name if model else ""
    base = base_model_file(model, registry)
    loras = (_content(lora.lora_metadata, registry) for lora in chosen.suggested_loras)
    contents = [_content(base, registry) if base else name, *loras]
    seconds = chosen.suggested_params.estimated_time_seconds or 1.0
    for place, seed in enumerate(sampled.seeds):
        key = job_key(chosen, (seed,), contents, repair=config.repair)
        yield Job(chosen, (seed,), key, config, number + place, seconds)


def _content(file: ModelMetadata, registry: ModelRegistry) -> str:
    """Return a file's hash, where it is known by now, else its id."""
    known = registry.file_hashes.known(file.model_id)
    return file.sha256 or (known.sha256 if known else file.model_id)


def _carried(graph: Graph, sampler: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """Return class and inputs of the nodes that the sampler depends on. Raises InvalidInputError for others."""
    known = {key: _node(value) for key, value in graph.items()}
    samplers = [key for key, (kind, _) in known.items() if kind == SAMPLER]
    require(bool(samplers), "this workflow has no Intelligent Sampler")
    require(sampler in samplers or (not sampler and len(samplers) == 1), "select one of the Intelligent Samplers")
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    waiting = [sampler or samplers[0]]
    while waiting:
        key = waiting.pop()
        if key in found:
            continue
        require(key in known, f"node {key[:40]} is missing in the workflow")
        kind, inputs = found[key] = known[key]
        require(kind in CARRIED, f"{kind[:80]} is not carried out on servers: press Run for this workflow")
        _check_links(kind, inputs)
        waiting += [_linked(value) for value in inputs.values() if isinstance(value, list)]
    return found


def _node(value: Any) -> tuple[str, Mapping[str, Any]]:
    valid = isinstance(value, Mapping) and isinstance(value.get("inputs"), Mapping)
    require(valid and isinstance(value.get("class_type"), str), "the workflow is not in API format")
    return value["class_type"], value["inputs"]


def _linked(link: list[Any]) -> str:
    """Return the id of the node that a link comes from."""
    require(len(link) == 2 and isinstance(link[0], str), "the workflow is not in API format")
    return str(link[0])


def _check_links(kind: str, inputs: Mapping[str, Any]) -> None:
    if kind not in LINKS:
        return
    for name, value in inputs.items():
        linked = isinstance(value, list)
        if linked != (name in LINKS[kind]):
            what = "typed into its widget" if linked else "linked"
            raise InvalidInputError(f"{kind}: {name} must be {what} to be carried out on servers")


def _only(nodes: Mapping[str, tuple[str, Mapping[str, Any]]], kind: str) -> tuple[str, Mapping[str, Any]]:
    found = [(key, inputs) for key, (name, inputs) in nodes.items() if name == kind]
    require(len(found) == 1, f"a batch on servers needs one {kind}, this workflow has {len(found)}")
    return found[0]


def _lora_request(inputs: Mapping[str, Any]) -> LoRARequest:
    request = LoRARequest.from_text(inputs["mode"], inputs["selection"], inputs["on_unconfirmed"])
    preferences = LoRAPreferences(inputs["max_loras"], inputs["min_confidence"], inputs["allow_style_mixing"])
    return replace(
        request, preferences=preferences, quality_tags=inputs["quality_tags"], variations=inputs["variations"]
    )


def _settings_request(inputs: Mapping[str, Any], layers: list[int]) -> SettingsRequest:
    given = {ALIASES.get(name, name): inputs[name] for name in WIDGETS}
    given |= {"batch_size": inputs["images"], "clip_skip": layers[0] if layers else 0}
    limits = inputs["max_time_seconds"] or None, inputs["max_vram_gb"] or None
    return SettingsRequest(
        GenerationConstraints(*limits, Priority(inputs["priority"])),
        given,
        MemoryRequest(images=1),
        inputs["aspect"],
        inputs["variations"],
        named_family(inputs.get("model_family", AUTO)),
    )


def _sampling_request(inputs: Mapping[str, Any]) -> SamplingRequest:
    scouted = inputs.get("scout", 0) or inputs.get("best_of", 0)
    carried = not scouted and inputs["seeds_per_image"]
    require(carried, "scouting, best of and one seed for all are not carried out on servers")
    switches = (inputs.get(name, -1) for name in ("cfg_cutoff", "cfg_start", "rescale_cfg", "easycache"))
    return SamplingRequest(
        inputs["seed"],
        switches=Switches(*(None if value < 0 else value for value in switches)),
        second_pass=SecondPassUse(inputs.get("second_pass", SecondPassUse.AUTO)),
        upscaler=inputs.get("upscaler", AUTO),
    )
