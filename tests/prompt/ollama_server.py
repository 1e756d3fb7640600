"""A stand-in for Ollama on the wire."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from intelligence.config import OllamaConfig


@contextmanager
def server(content="", *, status=200, done_reason="stop", delay=0.0, headers=(), raw=None, missing=0, trickle=0.0):
    """A stand-in for Ollama. Yields its configuration and the requests that it got.

    It answers after `delay` seconds, leaves out the last `missing` bytes, and waits `trickle` seconds between bytes.
    """
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append((self.path, json.loads(body)))
            time.sleep(delay)
            message = {"role": "assistant", "content": content}
            answer = {"model": "m", "message": message, "done": True, "done_reason": done_reason}
            data = raw if raw is not None else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            for start in range(0, len(data) - missing, 1 if trickle else len(data)):
                self.wfile.write(data[start : start + 1] if trickle else data[: len(data) - missing])
                time.sleep(trickle)

        def log_message(self, *args):
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, client_address):
            """A client that gave up waiting is what one of the tests is about."""

    running = Quiet(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{running.server_port}"
        yield OllamaConfig(base_url=address, model="m", timeout_seconds=0.5 if delay or trickle else 10), requests
    finally:
        running.shutdown()
        running.server_close()
