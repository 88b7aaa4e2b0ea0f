"""Compares two checkpoints by what their models compute."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from bloomdata.convert.tensors import import_torch
from bloomdata.errors import ConfigError, MismatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from bloomdata.convert.checkpoints import Checkpoint

_NUM_ROWS, _NUM_TOKENS = 2, 32


def compare(source: Callable[[], Any], output: Checkpoint, tolerance: float = 0.0) -> float:
    """Compares logits on random ids, computed in float32; one model is in memory at a time.

    Args:
        source: Makes the model of the one side.
        output: The other side, with the same or a larger vocabulary.
        tolerance: Largest difference that may be, relative to the largest logit of the source.

    Returns:
        The largest difference.

    Raises:
        ConfigError: transformers is not installed.
        MismatchError: Logits differ by more, or are no numbers.
    """
    torch = import_torch()
    model = source()
    vocab_size = min(model.config.vocab_size, output.sizes.vocab)
    ids = torch.randint(vocab_size, (_NUM_ROWS, _NUM_TOKENS), generator=torch.Generator().manual_seed(0))
    ours = _logits(model, ids)[..., :vocab_size]
    del model
    theirs = _logits(model_of(output), ids)[..., :vocab_size]
    difference = float((ours - theirs).abs().max())
    # Written so that NaN fails.
    if not difference <= tolerance * float(ours.abs().max()):
        raise MismatchError(
            f"{output.folder}: expected the logits of the source, found a difference of {difference:.3g} "
            f"(largest logit {float(ours.abs().max()):.3g})"
        )
    return difference


def model_of(checkpoint: Checkpoint) -> Any:
    """The model of a checkpoint, in float32 on the CPU."""
    torch = import_torch()
    layout = checkpoint.layout
    state = {layout.full(layout.bare(name)): tensor.read() for name, tensor in checkpoint.tensors.items()}
    with silence():
        from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

        config = config_of(checkpoint)
        kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
        return kind.from_pretrained(None, config=config, state_dict=state, dtype=torch.float32).eval()


def config_of(checkpoint: Checkpoint) -> Any:
    """The configuration of a checkpoint, as an object of transformers."""
    from transformers import AutoConfig

    values = dict(checkpoint.config)
    return AutoConfig.for_model(values.pop("model_type"), **values)


@contextmanager
def silence() -> Iterator[None]:
    """Keeps progress bars, warnings and messages of transformers and peft out of the report of a conversion.

    Raises:
        ConfigError: transformers is not installed.
    """
    # What some packages print when they are imported must not stand before a report in JSON.
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from transformers.utils import logging
        except ImportError:
            raise ConfigError("transformers is needed: pip install 'bloomdata[train]'") from None
        had_bar = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            if had_bar:
                logging.enable_progress_bar()


def _logits(model: Any, ids: Tensor) -> Tensor:
    with import_torch().no_grad():
        logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits
