"""Facts of loaded models, of ComfyUI's own classes at the sizes of the published models, on the meta device."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from intelligence.models.latents import LATENTS, LatentKind
from tests.comfyui import locate
from tests.tools.make_networks import PRINTER


@pytest.fixture(scope="module")
def facts(installation: locate.Installation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("facts")
    command = [str(installation.python), str(PRINTER), str(installation.path), str(home), "--facts"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_network_facts_name_every_network(facts: dict[str, Any]) -> None:
    wrong = {name: found["architecture"] for name, found in facts.items() if found["architecture"] != found["expected"]}
    assert len(facts) >= 45
    assert wrong == {}


def test_network_facts_tell_the_latent(facts: dict[str, Any]) -> None:
    wrong = [name for name, found in facts.items() if LatentKind(*found["latent"]) != LATENTS[found["architecture"]]]
    assert wrong == []


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("flux", {"prediction": "flow", "shift": 1.15, "embedded_guidance": True, "edition": "unknown"}),
        ("flux2_klein_4b", {"shift": 2.02, "embedded_guidance": False}),
        ("z_image", {"prediction": "flow", "shift": 3.0, "model_class": "ZImage", "own_sampling": False}),
        ("wan_14b", {"shift": 8.0, "sigma_max": 1.0}),
        ("sd35_medium", {"edition": "sd35_medium", "shift": 3.0}),
        ("sdxl", {"prediction": "epsilon", "shift": None}),
    ],
)
def test_network_facts_of_sampling(facts: dict[str, Any], network: str, expected: dict[str, Any]) -> None:
    assert {key: facts[network][key] for key in expected} == expected
