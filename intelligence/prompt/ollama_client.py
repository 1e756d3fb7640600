"""A question to a local Ollama server, answered in a schema and within a time limit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from ..config import OllamaConfig
from ..errors import install_command

MAX_PROMPT_CHARACTERS = 8_000
"""A longer prompt is cut."""
MAX_ANSWER_TOKENS = 768
MAX_ANSWER_BYTES = 1_000_000


class OllamaUnusableError(Exception):
    """There is no usable answer; the message says why."""


def ask(config: OllamaConfig, instructions: str, text: str, answer_type: Any) -> Any:
    """Return the model's answer, of the pydantic type `answer_type`, whose schema follows the instructions.

    Raises:
        OllamaUnusableError: the client is not installed, or the server is absent, slow, or answers something else.
    """
    try:
        import httpx
        import ollama
    except ImportError:
        raise OllamaUnusableError(f"its client is not installed ({install_command('ollama')})") from None
    from pydantic import ValidationError

    schema = answer_type.model_json_schema()
    try:
        with ollama.Client(
            host=config.base_url,
            timeout=config.timeout_seconds,
            follow_redirects=False,
            trust_env=False,
            event_hooks={"response": [_bound_of_answer(config.timeout_seconds)]},
        ) as client:
            response = client.chat(
                model=config.model,
                messages=[
                    {"role": "system", "content": f"{instructions}{json.dumps(schema)}"},
                    {"role": "user", "content": text[:MAX_PROMPT_CHARACTERS]},
                ],
                format=schema,
                options={"temperature": 0, "seed": 0, "num_predict": MAX_ANSWER_TOKENS},
                think=False,
                keep_alive=0,  # the memory is needed for sampling
            )
        if response.done_reason == "length":
            raise OllamaUnusableError("its answer was cut off")
        return answer_type.model_validate_json(response.message.content or "")
    except httpx.TimeoutException:
        raise OllamaUnusableError(f"no answer from {config.base_url} within {config.timeout_seconds:g} s") from None
    except ollama.ResponseError as error:
        what = f"the model {config.model!r} is not there" if error.status_code == 404 else f"{str(error)[:200]}"
        raise OllamaUnusableError(f"{what} (status {error.status_code})") from None
    except ValidationError:
        raise OllamaUnusableError("its answer does not follow the schema") from None
    except (ConnectionError, httpx.HTTPError, httpx.InvalidURL) as error:
        raise OllamaUnusableError(f"{config.base_url} cannot be reached ({type(error).__name__})") from None
    except (ValueError, TypeError):
        raise OllamaUnusableError(f"{config.base_url} did not answer like Ollama") from None


def _bound_of_answer(seconds: float) -> Callable[[Any], None]:
    """An httpx hook that bounds an answer's size, and the time for all of it (a timeout alone is per read)."""
    import httpx

    deadline = time.monotonic() + seconds

    def bound(response: Any) -> None:
        answer = b""
        for chunk in response.stream:
            answer += chunk
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer trickles in")
            if len(answer) > MAX_ANSWER_BYTES:
                raise httpx.ReadError("the answer does not end")
        response.stream.close()
        response.stream = httpx.ByteStream(answer)

    return bound
