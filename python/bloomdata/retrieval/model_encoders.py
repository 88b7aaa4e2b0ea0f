"""Encoders that are models: of sentence-transformers, or any of transformers with masked mean pooling."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from bloomdata import _core
from bloomdata.errors import ConfigError
from bloomdata.retrieval.hash_encoder import normalised

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_BATCH_TEXTS = 32


class SentenceEncoder:
    """A folder of sentence-transformers: pooling is as its `modules.json` says."""

    def __init__(self, folder: Path, device: str | None) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise _missing("sentence-transformers", error) from error
        self._model = SentenceTransformer(str(folder), device=device, local_files_only=True)
        self.facts: dict[str, Any] = {
            "kind": "sentence-transformers",
            "hash": _hash_of_folder(folder),
            "pooling": "modules.json",
            "normalised": True,
        }

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of length 1, (texts, dimension)."""
        options = {"batch_size": _BATCH_TEXTS, "show_progress_bar": False, "convert_to_numpy": True}
        return normalised(np.asarray(self._model.encode(list(texts), **options), np.float32))


class MeanEncoder:
    """A folder of transformers: the mean of the last states over the tokens of a text, without padding.

    Origin:
        OpenChatKit, `retrieval/wikipedia.py`: facebook/contriever-msmarco, masked mean pooling, texts cut at the
        model's window.
    """

    def __init__(self, folder: Path, device: str | None) -> None:
        try:
            import torch
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise _missing("torch and transformers", error) from error
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ConfigError(f"encoder: expected a model and its tokenizer in {folder}: {error}") from error
        self._model = model.to(self._device).eval()
        window = getattr(model.config, "max_position_embeddings", None) or 512
        self._max_tokens = min(window, self._tokenizer.model_max_length)
        self.facts: dict[str, Any] = {
            "kind": "transformers",
            "hash": _hash_of_folder(folder),
            "pooling": "mean",
            "normalised": True,
        }

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of length 1, (texts, dimension)."""
        import torch

        # By length, so that little is padding.
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        parts = []
        with torch.inference_mode():
            for start in range(0, len(order), _BATCH_TEXTS):
                part = [texts[at] for at in order[start : start + _BATCH_TEXTS]]
                batch = self._tokenizer(
                    part, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
                ).to(self._device)
                mask = batch["attention_mask"].unsqueeze(-1)
                states = self._model(**batch).last_hidden_state
                parts.append(((states * mask).sum(1) / mask.sum(1).clamp(min=1)).float().cpu().numpy())
        vectors = normalised(np.concatenate(parts))
        found = np.empty_like(vectors)
        found[order] = vectors
        return found


def _hash_of_folder(folder: Path) -> str:
    """A hash over names and contents of all files of a model."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    lines = (f"{_core.hash_file(path)[1]}  {path.relative_to(folder).as_posix()}\n" for path in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _missing(packages: str, error: ImportError) -> ConfigError:
    return ConfigError(f"encoder: a model needs {packages}: pip install 'bloomdata[retrieval]' ({error})")
