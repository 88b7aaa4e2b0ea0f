"""`serve`: looks at a folder, then runs the server of transformers, or says how to run vLLM."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from bloomdata.errors import ConfigError
from bloomdata.inference.messages import stops_of
from bloomdata.inference.rules import special_id
from bloomdata.options.template_options import has_chat_template
from bloomdata.tokenizers.chat_template import ChatTemplate
from bloomdata.tokenizers.tokenizer import Tokenizer

_PACKAGES = ("transformers", "fastapi", "uvicorn", "openai")


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that can be started.

    Attributes:
        command: The command, as words.
        url: Base of its routes.
        model: What clients call the model.
        stops: Strings that end answers of its template and are no tokens: the server does not know them.
        warnings: What the folder lacks.
    """

    command: tuple[str, ...]
    url: str
    model: str
    stops: tuple[str, ...]
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        request = {"model": self.model, "messages": [{"role": "user", "content": "Hi"}]}
        asked = json.dumps({**request, **({"stop": self.stops} if self.stops else {})})
        stops = "".join(f" --stop {shlex.quote(stop)}" for stop in self.stops)
        return "\n".join(
            [
                f"serving {self.model} at {self.url}; Ctrl-C ends it",
                f"  curl {self.url}/chat/completions -H 'Content-Type: application/json' -d {shlex.quote(asked)}",
                f"  bloomdata-cli chat --url {self.url}{stops}",
                *(f"  warning: {warning}" for warning in self.warnings),
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """The server as plain values for JSON."""
        return {
            "command": self.command,
            "url": self.url,
            "model": self.model,
            "stops": self.stops,
            "warnings": self.warnings,
        }

    def run(self) -> NoReturn:
        """Becomes the server: signals to this process reach it, and nothing stays behind."""
        os.execv(self.command[0], self.command)


def serve(
    model: str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    engine: Literal["transformers", "vllm"] = "transformers",
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
) -> Server:
    """Prepares a server of a model with OpenAI's routes.

    The server is that of transformers (`transformers serve`); this checks the folder and the port first.

    Args:
        model: A folder of transformers, such as one that `train` has exported.
        host: Address to listen at. Others than this machine reach the server only at another one, such as `0.0.0.0`.
        port: Port to listen at.
        engine: What serves; for `vllm`, the command is shown and not run.
        dtype: Precision of the weights; `auto` takes that of the files.

    Raises:
        ConfigError: The folder is no model, the server is not installed, or the port is in use.

    Command line:
        bloomdata-cli serve model/
        bloomdata-cli serve model/ --port 8080 --engine vllm
    """
    folder = Path(model)
    if not (folder / "config.json").is_file():
        raise ConfigError(f"model: expected a folder with config.json, found none in {folder}")
    name = str(folder.resolve())
    stops, warnings = _stops(folder), []
    if not has_chat_template(folder):
        warnings.append("it has no chat template (chat_template.jinja): chats are refused, plain completions work")
    if not _has_end(folder):
        warnings.append("it names no token that ends an answer (eos_token_id in generation_config.json)")
    address = ("--host", host, "--port", str(port))
    url = f"http://{host}:{port}/v1"
    words = ("serve", name, *address, "--dtype", dtype)
    if engine == "vllm":
        return Server(command=("vllm", *words), url=url, model=name, stops=stops, warnings=tuple(warnings))
    missing = [
        package
        for package in ("transformers", "fastapi", "uvicorn", "openai")
        if importlib.util.find_spec(package) is None
    ]
    if missing:
        raise ConfigError(f"serve needs {', '.join(missing)}: pip install 'bloomdata[chat]'")
    _check_port(host, port)
    program = (sys.executable, "-m", "transformers.cli.transformers")
    return Server(command=(*program, *words), url=url, model=name, stops=stops, warnings=tuple(warnings))


def _stops(folder: Path) -> tuple[str, ...]:
    """Strings that end answers and are no tokens."""
    if not has_chat_template(folder) or not (folder / "tokenizer.json").is_file():
        return ()
    tokenizer = Tokenizer(folder)
    try:
        template = ChatTemplate(folder, tokenizer=tokenizer)
    except ConfigError:  # the server may know what we do not
        return ()
    return tuple(stop for stop in stops_of(template) if special_id(tokenizer, stop) is None)


def _has_end(folder: Path) -> bool:
    for file in ("generation_config.json", "config.json"):
        path = folder / file
        if path.is_file() and json.loads(path.read_text("utf-8")).get("eos_token_id") is not None:
            return True
    return False


def _check_port(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise ConfigError(
            f"port: {host}:{port} cannot be listened at: {error.strerror}; port=... takes another"
        ) from error
