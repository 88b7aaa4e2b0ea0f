"""bloomdata turns raw text and chats into batches that a language model can train on.

files -> `shard`, `prepare` -> `.jsonl.zst` shards -> `pack` -> Megatron or HDF5 files -> `open`, `GPTDataset` ->
samples -> `BlendedDataset` -> `DataLoader` -> batches. `fetch` gets files from elsewhere, `ChatTemplate` renders chats,
`count` says how many tokens there are, `plan` compares packings beforehand, `merge` joins packed files, `verify` checks
every byte of a finished folder, `run` does several steps.

Imports are lazy: `import bloomdata` loads neither NumPy nor h5py.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bloomdata.blend import BlendedDataset
    from bloomdata.blend_plan import BlendPlan
    from bloomdata.chat_template import ChatTemplate
    from bloomdata.datasets import open  # noqa: A004 - the public name
    from bloomdata.denoise import Denoised, prefix_lm, ul2r
    from bloomdata.encoded_files import EncodedBatch, EncodedFiles
    from bloomdata.errors import (
        BloomdataError,
        ConfigError,
        CorruptDataError,
        MismatchError,
        UnsupportedFormatError,
    )
    from bloomdata.fetch_sets import FETCH_SETS
    from bloomdata.fetching.report import FetchReport
    from bloomdata.gpt_dataset import GPTDataset
    from bloomdata.indexed_dataset import IndexedDataset, ShardedIndexedDataset
    from bloomdata.indexed_writer import IndexedDatasetWriter
    from bloomdata.label_rules import LabelRules
    from bloomdata.loader import DataLoader
    from bloomdata.megatron_blend import MegatronBlend
    from bloomdata.moderation import FewShot, few_shot
    from bloomdata.packed import PackedDataset
    from bloomdata.permutation import Permutation
    from bloomdata.prepare_sources import SOURCES
    from bloomdata.report import MergeReport, PackReport, PrepareReport, Report, ShardReport
    from bloomdata.token_rows import TokenRows
    from bloomdata.tokenizer import Tokenizer
    from bloomdata.verbs.consumer import check_consumer
    from bloomdata.verbs.convert_sentencepiece import ConvertReport, convert_sentencepiece
    from bloomdata.verbs.count import TokenCounts, count
    from bloomdata.verbs.extend_vocabulary import ExtendReport, extend_vocabulary
    from bloomdata.verbs.fetch import fetch
    from bloomdata.verbs.merge import merge
    from bloomdata.verbs.pack import pack
    from bloomdata.verbs.pack_moderation import ModerationReport, pack_moderation
    from bloomdata.verbs.plan import PackingPlan, plan
    from bloomdata.verbs.prepare import prepare
    from bloomdata.verbs.recipe import run
    from bloomdata.verbs.shard import shard
    from bloomdata.verbs.train_tokenizer import TrainReport, train_tokenizer
    from bloomdata.verbs.verify import Verification, verify

__all__ = [
    "FETCH_SETS",
    "SOURCES",
    "BlendPlan",
    "BlendedDataset",
    "BloomdataError",
    "ChatTemplate",
    "ConfigError",
    "ConvertReport",
    "CorruptDataError",
    "DataLoader",
    "Denoised",
    "EncodedBatch",
    "EncodedFiles",
    "ExtendReport",
    "FetchReport",
    "FewShot",
    "GPTDataset",
    "IndexedDataset",
    "IndexedDatasetWriter",
    "LabelRules",
    "MegatronBlend",
    "MergeReport",
    "MismatchError",
    "ModerationReport",
    "PackReport",
    "PackedDataset",
    "PackingPlan",
    "Permutation",
    "PrepareReport",
    "Report",
    "ShardReport",
    "ShardedIndexedDataset",
    "TokenCounts",
    "TokenRows",
    "Tokenizer",
    "TrainReport",
    "UnsupportedFormatError",
    "Verification",
    "__version__",
    "check_consumer",
    "convert_sentencepiece",
    "count",
    "extend_vocabulary",
    "fetch",
    "few_shot",
    "merge",
    "open",
    "pack",
    "pack_moderation",
    "plan",
    "prefix_lm",
    "prepare",
    "run",
    "shard",
    "train_tokenizer",
    "ul2r",
    "verify",
]

_HOME = {
    "IndexedDatasetWriter": "indexed_writer",
    "Denoised": "denoise",
    "prefix_lm": "denoise",
    "ul2r": "denoise",
    "EncodedBatch": "encoded_files",
    "EncodedFiles": "encoded_files",
    "FewShot": "moderation",
    "ModerationReport": "verbs.pack_moderation",
    "few_shot": "moderation",
    "pack_moderation": "verbs.pack_moderation",
    "FETCH_SETS": "fetch_sets",
    "FetchReport": "fetching.report",
    "fetch": "verbs.fetch",
    "run": "verbs.recipe",
    "PrepareReport": "report",
    "SOURCES": "prepare_sources",
    "prepare": "verbs.prepare",
    "ChatTemplate": "chat_template",
    "BlendPlan": "blend_plan",
    "BlendedDataset": "blend",
    "DataLoader": "loader",
    "LabelRules": "label_rules",
    "Permutation": "permutation",
    "TokenRows": "token_rows",
    "ConvertReport": "verbs.convert_sentencepiece",
    "ExtendReport": "verbs.extend_vocabulary",
    "convert_sentencepiece": "verbs.convert_sentencepiece",
    "extend_vocabulary": "verbs.extend_vocabulary",
    "BloomdataError": "errors",
    "ConfigError": "errors",
    "CorruptDataError": "errors",
    "GPTDataset": "gpt_dataset",
    "IndexedDataset": "indexed_dataset",
    "MegatronBlend": "megatron_blend",
    "MergeReport": "report",
    "MismatchError": "errors",
    "PackReport": "report",
    "PackedDataset": "packed",
    "PackingPlan": "verbs.plan",
    "Report": "report",
    "ShardReport": "report",
    "ShardedIndexedDataset": "indexed_dataset",
    "TokenCounts": "verbs.count",
    "Tokenizer": "tokenizer",
    "TrainReport": "verbs.train_tokenizer",
    "UnsupportedFormatError": "errors",
    "Verification": "verbs.verify",
    "check_consumer": "verbs.consumer",
    "count": "verbs.count",
    "merge": "verbs.merge",
    "open": "datasets",
    "pack": "verbs.pack",
    "plan": "verbs.plan",
    "shard": "verbs.shard",
    "train_tokenizer": "verbs.train_tokenizer",
    "verify": "verbs.verify",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("bloomdata._core").VERSION
    if name in _HOME:
        _warn_of_debug_build()
        value = getattr(importlib.import_module(f"bloomdata.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    msg = f"module 'bloomdata' has no attribute {name!r}"
    raise AttributeError(msg)


def _warn_of_debug_build() -> None:
    core = importlib.import_module("bloomdata._core")
    if core.BUILD_PROFILE == "debug":
        import warnings

        message = "bloomdata was built without optimisation and is many times slower: build it with --release"
        warnings.warn(message, RuntimeWarning, stacklevel=3)


def __dir__() -> list[str]:
    return sorted(__all__)
