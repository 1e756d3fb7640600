"""The embedded model, and a host of it for the tests of one module."""

from __future__ import annotations

from pathlib import Path

import pytest

from intelligence.generation.diffusers_host import DiffusersHost
from intelligence.generation.embedded import EmbeddedModel, ensure_embedded


@pytest.fixture(scope="module")
def embedded(embedded_home: Path) -> EmbeddedModel:
    return ensure_embedded()


@pytest.fixture(scope="module")
def host(embedded: EmbeddedModel) -> DiffusersHost:
    return DiffusersHost("embedded")
