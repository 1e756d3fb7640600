"""The table of samplers: names in, names out."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from intelligence.errors import InvalidInputError
from intelligence.parameters.samplers import SAMPLER_NAMES, SAMPLERS, a1111_name, check_names, evaluations
from intelligence.parameters.schedules import SCHEDULER_NAMES

from ..comfyui import locate


@pytest.fixture(scope="module")
def comfyui() -> Path:
    """ComfyUI's folder on this machine."""
    try:
        return locate.checkout()
    except locate.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def core(comfyui: Path) -> dict[str, ast.expr]:
    """What ComfyUI's comfy/samplers.py assigns, by name."""
    tree = ast.parse((comfyui / "comfy" / "samplers.py").read_text(encoding="utf-8"))
    assigned = (node for node in ast.walk(tree) if isinstance(node, ast.Assign))
    return {target.id: node.value for node in assigned for target in node.targets if isinstance(target, ast.Name)}


def strings(node: ast.AST) -> set[str]:
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def test_samplers_are_those_of_comfyui(core: dict[str, ast.expr]) -> None:
    assert set(SAMPLER_NAMES) == strings(core["KSAMPLER_NAMES"]) | strings(core["SAMPLER_NAMES"])


def test_schedulers_are_those_of_comfyui(core: dict[str, ast.expr]) -> None:
    handlers = core["SCHEDULER_HANDLERS"]
    assert isinstance(handlers, ast.Dict)
    assert set(SCHEDULER_NAMES) == {name for key in handlers.keys if key for name in strings(key)}


def test_drops_penultimate_is_that_of_comfyui(core: dict[str, ast.expr]) -> None:
    dropping = {sampler.name for sampler in SAMPLERS if sampler.drops_penultimate}
    assert dropping == strings(core["DISCARD_PENULTIMATE_SIGMA_SAMPLERS"])


def test_batch_dependent_is_noise_source_of_comfyui(comfyui: Path) -> None:
    tree = ast.parse((comfyui / "comfy" / "k_diffusion" / "sampling.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    noisy = {node.name for node in functions if "noise_sampler" in {argument.arg for argument in node.args.args}}
    unused = {"dpm_fast", "res_multistep", "res_multistep_cfg_pp"}  # at eta 0, which KSampler leaves it at
    expected = ({name.removeprefix("sample_") for name in noisy} & set(SAMPLER_NAMES)) - unused
    assert {sampler.name for sampler in SAMPLERS if sampler.batch_dependent} == expected


def test_cfg_pp_is_in_name() -> None:
    assert all(sampler.cfg_pp == sampler.name.endswith("_cfg_pp") for sampler in SAMPLERS)


def test_a1111_name_separates_schedule_type() -> None:
    assert a1111_name("dpmpp_2m", "karras") == ("DPM++ 2M", "Karras")


def test_names_of_other_packs_stay_as_they_are() -> None:
    assert a1111_name("res_2s", "bong_tangent") == ("res_2s", "bong_tangent")
    assert evaluations("res_2s", 20) == 20


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: check_names("dpmpp_2n", "karras"), "dpmpp_2m"),
        (lambda: check_names("euler", "karas"), "karras"),
        (lambda: check_names("???", "karras"), "euler"),
        (lambda: check_names("euler", "lab57", SAMPLER_NAMES, ("lab57b",)), "lab57b"),
    ],
)
def test_unknown_name_suggests_close_ones(call: object, hint: str) -> None:
    with pytest.raises(InvalidInputError, match=hint):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [("euler", 20), ("heun", 39), ("dpm_2", 39), ("dpmpp_sde", 39), ("heunpp2", 57), ("seeds_3", 58), ("dpmpp_2m", 20)],
)
def test_evaluations_of_twenty_steps(sampler: str, expected: int) -> None:
    assert evaluations(sampler, 20) == expected
