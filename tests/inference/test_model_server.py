"""`serve`: what it checks, and OpenAI's own client against the server of transformers."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from small_models import answer, question

from bloomdata.cli import main
from bloomdata.errors import ConfigError
from bloomdata.inference import open_chat
from bloomdata.inference.serving import serve

pytestmark = pytest.mark.train
SECONDS = 240
HAS_SERVER = all(importlib.util.find_spec(package) for package in ("fastapi", "uvicorn", "openai"))
needs_server = pytest.mark.skipif(not HAS_SERVER, reason="needs fastapi, uvicorn and openai")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def url(answering):
    """The one server of all tests, started by the command."""
    port = free_port()
    words = [sys.executable, "-m", "bloomdata", "serve", str(answering), "--port", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    base, end = f"http://127.0.0.1:{port}", time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{base}/health", timeout=5):
                break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.2)
    yield f"{base}/v1"
    process.terminate()
    shown = process.communicate(timeout=60)[0].decode()
    assert f"at {base}/v1; Ctrl-C ends it" in shown
    # The command has become the server: none is left behind.
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))


@needs_server
def test_openais_client_is_answered_by_the_template_of_the_model(url):
    import openai

    client = openai.OpenAI(base_url=url, api_key="none")
    (model,) = client.models.list().data
    asked = {"model": model.id, "messages": [{"role": "user", "content": question(3)}], "max_tokens": 20}
    asked["stop"] = ["<human>:"]
    plain = client.chat.completions.create(**asked)
    # This server shows the stop string, too.
    assert plain.choices[0].message.content.split("\n")[0].strip() == answer(3)
    assert plain.choices[0].finish_reason == "stop"
    pieces = [chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**asked, stream=True)]
    assert len([piece for piece in pieces if piece]) > 1
    assert "".join(pieces).split("\n")[0].strip() == answer(3)
    stopped = client.chat.completions.create(**{**asked, "stop": [" d"]})
    assert stopped.choices[0].message.content.strip() in {"It is", "It is d"}
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.create(**asked, extra_body={"no_such_field": 1})
    client.close()


@needs_server
def test_a_chat_with_a_server_is_the_same_program(url):
    chat = open_chat(url=url, temperature=0.0, max_new_tokens=20, stop=["<human>:"])
    assert "".join(chat.reply(question(1))) == answer(1)
    assert "".join(chat.reply(question(2))) == answer(2)
    chat.settings = chat.settings.but(top_k=3)
    with pytest.raises(OSError, match=r"422 .*top_k"):
        list(chat.reply("Hi"))
    assert len(chat.conversation.messages) == 4


@needs_server
def test_a_port_that_is_taken_is_an_error(url, answering):
    port = int(url.split(":")[2].split("/")[0])
    with pytest.raises(ConfigError, match=f"port: 127.0.0.1:{port} cannot be listened at"):
        serve(answering, port=port)


def test_the_command_of_vllm_is_shown(answering, capsys):
    assert main(["serve", str(answering), "--engine", "vllm", "--port", "8080"]) == 0
    assert capsys.readouterr().out == f"vllm serve {answering} --host 127.0.0.1 --port 8080 --dtype auto\n"


def test_what_a_folder_lacks_is_said(answering, tmp_path):
    with pytest.raises(ConfigError, match=r"model: expected a folder with config.json"):
        serve(tmp_path)
    config = json.loads((answering / "config.json").read_text("utf-8"))
    config.pop("eos_token_id")
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    first, second = serve(tmp_path, engine="vllm").warnings
    assert "no chat template" in first
    assert "no token that ends" in second
    served = serve(answering, engine="vllm")
    assert (served.warnings, served.stops) == ((), ("<human>:",))
    assert '"stop": ["<human>:"]' in str(served)
    assert "--stop '<human>:'" in str(served)
