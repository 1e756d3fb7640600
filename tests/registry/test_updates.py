from __future__ import annotations

from typing import Any

import pytest

from intelligence.errors import HubError
from intelligence.hubs import CivitAI
from intelligence.models import Architecture, ModelMetadata
from intelligence.registry import ModelRegistry, newer_versions

from ..hub_server import Answer, Hub, Request, json_answer

pytest.importorskip("httpx2", reason="the extra hubs is not installed")


def version(number: int, base: str = "SDXL 1.0", **more: Any) -> dict[str, Any]:
    return {"id": number, "name": f"v{number}", "baseModel": base, "files": [{"name": "a.safetensors"}], **more}


def here(registry: ModelRegistry, source_id: str, **fields: Any) -> None:
    name = source_id.replace(":", "-")
    registry.register_model(
        ModelMetadata(f"lora:{name}", name, source_id=source_id, architecture=Architecture.SDXL, **fields)
    )


def test_newer_versions(registry: ModelRegistry, hub: Hub) -> None:
    records = {
        1: [version(12, publishedAt="2026-11-01"), version(11), version(10)],
        2: [version(21), version(20)],
        3: [version(31, "Flux.1 D"), version(30)],
        4: [version(41, files=[]), version(40)],
        5: [version(50)],
    }
    for source_id in ("1:10", "1:9", "2:20", "2:21", "3:30", "4:40", "5:50", "owner/repository", "6"):
        here(registry, source_id)

    def answer(request: Request) -> Answer:
        assert "ids=1%2C2%2C3%2C4%2C5&" in request.path
        return json_answer(
            {
                "items": [
                    {"id": number, "name": f"M{number}", "modelVersions": items} for number, items in records.items()
                ]
            }
        )

    hub.says("/models", answer)
    steps: list[tuple[int, int | None]] = []
    report = newer_versions(registry, CivitAI(base_url=hub.url), lambda *both: steps.append(both))
    (found,) = report.newer
    assert (report.asked, steps) == (5, [(5, 5)])
    assert (found.model_id, found.title, found.version_name, found.published, found.reference) == (
        "lora:1-10",
        "M1",
        "v12",
        "2026-11-01",
        "civitai:1@12",
    )


def test_newer_versions_asks_nothing_about_other_models(registry: ModelRegistry, hub: Hub) -> None:
    here(registry, "owner/repository")
    assert newer_versions(registry, CivitAI(base_url=hub.url)).asked == 0
    assert hub.requests == []


@pytest.mark.parametrize("answer", [Answer(body=b"{}"), json_answer([1]), json_answer({"items": "x"}), Answer(404)])
def test_newer_versions_reports_a_bad_answer(registry: ModelRegistry, hub: Hub, answer: Answer) -> None:
    here(registry, "1:10")
    hub.says("/models", answer)
    with pytest.raises(HubError):
        newer_versions(registry, CivitAI(base_url=hub.url))


def test_newer_versions_takes_any_record(registry: ModelRegistry, hub: Hub) -> None:
    here(registry, "1:10")
    odd = [{"id": 1, "modelVersions": [{"id": None}, {"id": "12"}, 5, {"id": 10}]}, {"id": 2}, 7]
    hub.says("/models", json_answer({"items": odd}))
    assert newer_versions(registry, CivitAI(base_url=hub.url)).newer == ()
