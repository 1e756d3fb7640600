"""Forged requests to every route of a real server. The benchmark `fuzz_routes` goes on for minutes."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from tests.tools.forged_requests import PREFIX, Forged, requests, send

from .server import Server


def test_forged_requests_are_answered_or_refused(server: Server) -> None:
    """None ends in an error of the server, a traceback, or another state."""
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

    run()
    assert {path: server.client.get(PREFIX + path) for path in kept} == kept
    assert "Traceback" not in server.log()[log:]
