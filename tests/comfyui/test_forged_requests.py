"""Forged requests to every route of a real server. The benchmark `fuzz_routes` goes on for minutes."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings

from tests.tools.forged_requests import PREFIX, Forged, requests, send

from .server import Server

JSON_TYPE = {"Content-Type": "application/json"}


@pytest.mark.parametrize("route", ["/feedback", "/feedback/remove", "/feedback/pick"])
@pytest.mark.parametrize("body", [{"generation_id": None}, {"generation_id": ["x"]}, {}], ids=str)
def test_target_that_is_no_text_is_refused(server: Server, route: str, body: dict[str, object]) -> None:
    data = json.dumps({"rating": 3, **body}).encode()
    status, _ = send(server.url.removeprefix("http://"), Forged("POST", PREFIX + route, data, JSON_TYPE))
    assert status == 400


def test_forged_requests_are_answered_or_refused(server: Server) -> None:
    """None ends in an error of the server, a traceback, or another state; no refusal tells where folders lie."""
    address = server.url.removeprefix("http://")
    kept = {path: server.client.get(PREFIX + path) for path in ("/settings", "/library/sets", "/generations")}
    log = len(server.log())

    @settings(
        max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=tuple(HealthCheck)
    )
    @given(requests())
    def run(request: Forged) -> None:
        status, body = send(address, request)
        assert status < 500, body
        assert status < 400 or str(server.base) not in body.decode(), body

    run()
    assert {path: server.client.get(PREFIX + path) for path in kept} == kept
    assert "Traceback" not in server.log()[log:]
