"""Answers of a server with OpenAI's routes."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError
from bloomdata.inference.streaming import Ending, StopFilter

if TYPE_CHECKING:
    import threading
    from collections.abc import Generator

    from bloomdata.inference.conversation import Conversation
    from bloomdata.inference.presets import Settings

_TIMEOUT_SECONDS = 600.0


class UrlBackend:
    """A server with OpenAI's routes: `transformers serve`, vLLM, llama.cpp and others.

    Settings that are None are left to the server. `top_k` and `repetition_penalty` are not OpenAI's: a server may
    refuse them.

    Args:
        url: Its base, such as `http://localhost:8000/v1`.
        model: Name of the model; by default the first one that the server lists.
        api_key: Sent as a bearer token.

    Raises:
        ConfigError: The URL is not http or https, or the server lists no model.
        OSError: The server cannot be reached, or answers with an error.
    """

    def __init__(self, url: str, model: str | None = None, *, api_key: str | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"url: expected http://... or https://..., got {url!r}")
        self._url = url.rstrip("/")
        self._api_key = api_key
        self.name = model or self._first_model()

    def stream(
        self, conversation: Conversation, settings: Settings, stopped: threading.Event
    ) -> Generator[str, None, Ending]:
        """Yields the answer to the last turn; see `Backend`."""
        return self._answer("chat/completions", {"messages": conversation.turns()}, settings, stopped)

    def complete(self, text: str, settings: Settings, stopped: threading.Event) -> Generator[str, None, Ending]:
        """Yields the continuation of a plain text; see `Backend`."""
        return self._answer("completions", {"prompt": text}, settings, stopped)

    def num_tokens(self, conversation: Conversation) -> tuple[None, None]:  # noqa: ARG002 - only the server knows
        """Not known; see `Backend`."""
        return None, None

    def _answer(
        self, route: str, asked: dict[str, Any], settings: Settings, stopped: threading.Event
    ) -> Generator[str, None, Ending]:
        names = ("temperature", "top_p", "top_k", "repetition_penalty", "seed")
        chosen = {name: value for name in names if (value := getattr(settings, name)) is not None}
        if settings.max_new_tokens is not None:
            chosen["max_tokens"] = settings.max_new_tokens
        if settings.stop:
            chosen["stop"] = list(settings.stop)
        # Some servers show the stop string.
        stop, count, is_cut = StopFilter(settings.stop), 0, False
        with closing(self._events(route, {"model": self.name, "stream": True, **asked, **chosen})) as events:
            for event in events:
                if stopped.is_set():
                    return Ending("stopped", None, count)
                for choice in event.get("choices") or ():
                    piece = choice.get("text") or (choice.get("delta") or {}).get("content")
                    if piece:
                        count += 1
                        yield stop.feed(piece)
                    is_cut = choice.get("finish_reason") == "length"
                if stop.stopped:
                    break
        yield stop.finish()
        return Ending("length" if is_cut and not stop.stopped else "end", None, count)

    def _events(self, route: str, body: dict[str, Any]) -> Generator[dict[str, Any], None, None]:
        """The events of a stream (server-sent events, one line of JSON each)."""
        with self._open(route, json.dumps(body).encode()) as response:
            for line in response:
                data = line.decode("utf-8", "replace").strip().removeprefix("data:").strip()
                if not line.startswith(b"data:") or data == "[DONE]":
                    continue
                event = json.loads(data)
                if "error" in event:
                    raise OSError(f"{self._url}/{route}: {_message(event)}")
                yield event

    def _open(self, route: str, body: bytes | None = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self._api_key is not None:
            headers["Authorization"] = f"Bearer {self._api_key}"
        request = urllib.request.Request(f"{self._url}/{route}", body, headers)
        try:
            return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(4096).decode("utf-8", "replace")
            raise OSError(f"{self._url}/{route}: {error.code} {error.reason}: {_message(said)}") from error
        except urllib.error.URLError as error:
            raise OSError(f"{self._url}/{route}: cannot be reached: {error.reason}") from error

    def _first_model(self) -> str:
        with self._open("models") as response:
            content = json.load(response)
        models = content.get("data") if isinstance(content, dict) else None
        if not models:
            raise ConfigError(f"url: {self._url} lists no model; name one")
        return str(models[0]["id"])


def _message(said: str | dict[str, Any]) -> str:
    """What a server says of an error, out of its JSON if it is some."""
    found: Any = said
    if isinstance(said, str):
        try:
            found = json.loads(said)
        except ValueError:
            return said.strip()
    while isinstance(found, dict):
        found = next((found[key] for key in ("error", "message", "detail") if key in found), json.dumps(found))
    return str(found)
