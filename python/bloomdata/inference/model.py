"""Loads models: a folder of transformers or a GGUF file, in any precision, on any devices."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.errors import ConfigError, MismatchError
from bloomdata.inference.devices import device_options
from bloomdata.inference.weights import explained, folder_of, read_network, read_tokenizer, with_adapter
from bloomdata.options.checks import check_choice
from bloomdata.options.template_options import has_chat_template
from bloomdata.tokenizers.chat_template import ChatTemplate
from bloomdata.tokenizers.tokenizer import Tokenizer
from bloomdata.train.building import require_torch

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from bloomdata.inference.streaming import TextTokenizer

# Settings of sampling that a model may bring along.
_SAMPLING = ("temperature", "top_p", "top_k", "repetition_penalty")


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that is ready to answer.

    Attributes:
        name: As it was given.
        network: Of transformers.
        tokenizer: Encodes and decodes; the one that the training text was made with, if the folder has it.
        end_ids: Ids that end an answer.
        start_id: What an empty prompt becomes.
        window: Tokens of prompt and answer together; None for no limit.
        sampling: Settings that the model brings along.
        folder: Where it is.
    """

    name: str
    network: Any
    tokenizer: TextTokenizer
    end_ids: tuple[int, ...]
    start_id: int
    window: int | None
    sampling: dict[str, float]
    folder: Path

    def template(self, name: str | os.PathLike[str] | None) -> ChatTemplate | None:
        """A chat template with the special tokens of the model: by its name, or for None the model's own, if any.

        One that writes the date writes that of today.

        Raises:
            ConfigError: There is no template of this name, or it is invalid.
        """
        if name is None and not self.has_template:
            return None
        date = f"{datetime.now().astimezone():%Y-%m-%dT%H:%M:%S}"
        if isinstance(self.tokenizer, Tokenizer):
            return ChatTemplate(self.folder if name is None else name, tokenizer=self.tokenizer, date=date)
        tokens = {key: getattr(self.tokenizer, key) for key in ("bos_token", "eos_token")}
        variables = {key: token for key, token in tokens.items() if token is not None}
        own = getattr(self.tokenizer, "chat_template", None)
        return ChatTemplate(name or own or self.folder, variables=variables, date=date)

    @property
    def has_template(self) -> bool:
        """Whether it has a chat template of its own."""
        return getattr(self.tokenizer, "chat_template", None) is not None or has_chat_template(self.folder)


def load(
    model: str | os.PathLike[str] | Model,
    *,
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"] = "auto",
    max_memory_fraction: float = 0.85,
    gpu_memory: Sequence[str] | None = None,
    cpu_memory: float | None = None,
    adapter: str | os.PathLike[str] | None = None,
    gguf_file: str | None = None,
) -> Model:
    """Loads a model.

    Args:
        model: A folder of transformers, a `.gguf` file, or the name of a model on the Hugging Face Hub. A `Model` is
            returned as it is.
        dtype: Precision of the weights; `auto` takes that of the files. `int8` needs bitsandbytes, and works on CPUs.
        max_memory_fraction: Share of the memory of each accelerator that weights may take.
        gpu_memory: Memory of accelerators for weights, each as `id:GiB`; the others are not used.
        cpu_memory: Memory of the machine, in GiB, for weights that do not fit the accelerators.
        adapter: A LoRA adapter of peft to apply.
        gguf_file: A GGUF file in the folder, to take instead of other weights.

    Raises:
        ConfigError: The folder holds no model, or what an option needs is not installed.
        CorruptDataError: Weights are missing or damaged.
        MismatchError: The tokenizer has ids that the model has not.
    """
    if isinstance(model, Model):
        return model
    require_torch()
    check_choice("dtype", dtype, "auto", "float32", "bfloat16", "float16", "int8")
    folder, gguf_file = folder_of(str(model), gguf_file)
    devices = device_options(dtype, max_memory_fraction, gpu_memory, cpu_memory)
    with explained(str(model)):
        network = read_network(folder, gguf_file, devices)
        if adapter is not None:
            network = with_adapter(network, adapter)
        network.eval()
        tokenizer = read_tokenizer(folder, gguf_file)
    return _described(str(model), network, tokenizer, folder)


def _described(name: str, network: Any, tokenizer: TextTokenizer, folder: Path) -> Model:
    config, generation = network.config.get_text_config(decoder=True), network.generation_config
    size, rows = len_of(tokenizer), network.get_input_embeddings().weight.shape[0]
    if size > rows:
        raise MismatchError(
            f"model: {name}: the tokenizer has {size} ids, and the model {rows}: it is that of another model"
        )
    ends = generation.eos_token_id
    found = {int(end) for end in (ends if isinstance(ends, list) else [ends]) if end is not None}
    try:
        own = tokenizer.eos_token_id  # type: ignore[attr-defined]  # stands on both kinds of tokenizers
    except ConfigError:
        own = None
    found |= {int(own)} if own is not None else set()
    start = next((one for one in (generation.bos_token_id, config.bos_token_id, *sorted(found)) if one is not None), 0)
    sampling = {key: value for key in _SAMPLING if (value := getattr(generation, key, None)) is not None}
    if not generation.do_sample:
        sampling = {"temperature": 0.0, "repetition_penalty": sampling.get("repetition_penalty", 1.0)}
    window = getattr(config, "max_position_embeddings", None) or getattr(config, "seq_length", None)
    return Model(
        name=name,
        network=network,
        tokenizer=tokenizer,
        end_ids=tuple(sorted(found)),
        start_id=int(start),
        window=window,
        sampling=sampling,
        folder=folder,
    )


def len_of(tokenizer: Any) -> int:
    """The highest id of a tokenizer plus one."""
    return int(tokenizer.vocab_size) if isinstance(tokenizer, Tokenizer) else len(tokenizer)
