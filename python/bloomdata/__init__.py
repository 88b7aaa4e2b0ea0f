"""bloomdata turns raw text and chats into batches that a language model can train on.

files -> `shard`, `prepare` -> `.jsonl.zst` shards -> `pack` -> Megatron or HDF5 files -> `open`, `GPTDataset` ->
samples -> `BlendedDataset` -> `DataLoader` -> batches. `fetch` downloads files, `ChatTemplate` renders chats, `count`
counts tokens, `plan` compares packings before anything is written, `merge` joins packed files, `verify` checks every
byte of a finished folder, `run` runs a recipe of several steps.

Imports are lazy: `import bloomdata` loads neither NumPy nor h5py.

Only the names here are public, and the modules `errors`, `torch_views`, `gdp`, `train`, `convert`, `retrieval`,
`inference` and `evaluation`. Packages import only from those above them in this list (a test holds it):

- `errors`, `_core`: the errors; the extension module, in Rust.
- `manifest`: what a finished folder says. `prepare_sources`: the sources that `prepare` knows. `texts`: reads lines.
- `lazy`: names of a package that import their module when they are first used.
- `options`: what users give, checked and described for the core.
- `reports`: what runs return. `storage`: objects in a store. `parts`: runs in parts, on any number of machines.
- `tokenizers`: tokenizers and chat templates. `fetching`: files from elsewhere.
- `datasets`: packed files as documents, rows, samples and blends.
- `loader`: batches, at any step. `torch_views`: data sets for torch and transformers.
- `verbs`: the public functions, one file each.
- `gdp`: generative_data_prep's commands.
- `train`: training on packed data. `convert`: checkpoints in other layouts. Both import torch when they are used.
- `retrieval`: an index of passages. It imports torch when an encoder needs it.
- `inference`: answers of a model; it imports torch when a model is loaded. `evaluation`: how good they are.
- `cli`: the program `bloomdata-cli`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bloomdata.datasets.blend import BlendedDataset
    from bloomdata.datasets.blend_plan import BlendPlan
    from bloomdata.datasets.denoise import Denoised, prefix_lm, ul2r
    from bloomdata.datasets.gpt_dataset import GPTDataset
    from bloomdata.datasets.indexed_dataset import IndexedDataset, ShardedIndexedDataset
    from bloomdata.datasets.indexed_writer import IndexedDatasetWriter
    from bloomdata.datasets.label_rules import LabelRules
    from bloomdata.datasets.megatron_blend import MegatronBlend
    from bloomdata.datasets.mtf_dataset import PackedMTFDataset
    from bloomdata.datasets.opening import open  # noqa: A004 - the public name
    from bloomdata.datasets.packed import PackedDataset
    from bloomdata.datasets.permutation import Permutation
    from bloomdata.datasets.preferences import PreferenceDataset
    from bloomdata.datasets.token_rows import TokenRows
    from bloomdata.errors import (
        BloomdataError,
        ConfigError,
        CorruptDataError,
        MismatchError,
        UnsupportedFormatError,
    )
    from bloomdata.fetching.report import FetchReport
    from bloomdata.fetching.sets import FETCH_SETS
    from bloomdata.loader import DataLoader
    from bloomdata.options.near import MinHash, Substring
    from bloomdata.options.padded_vocabulary import padded_vocab_size
    from bloomdata.prepare_sources import SOURCES
    from bloomdata.reports.report import (
        DecontaminateReport,
        DedupReport,
        MergeReport,
        PackReport,
        PrepareReport,
        Report,
        ShardReport,
        SignaturesReport,
    )
    from bloomdata.reports.token_counts import TokenCounts
    from bloomdata.tokenizers.chat_template import ChatTemplate
    from bloomdata.tokenizers.encoded_files import EncodedBatch, EncodedFiles
    from bloomdata.tokenizers.few_shot import FewShot, few_shot
    from bloomdata.tokenizers.tokenizer import Tokenizer
    from bloomdata.verbs.check_consumer import check_consumer
    from bloomdata.verbs.convert_sentencepiece import ConvertReport, convert_sentencepiece
    from bloomdata.verbs.count import count
    from bloomdata.verbs.decontaminate import decontaminate
    from bloomdata.verbs.dedup import dedup
    from bloomdata.verbs.extend_vocabulary import ExtendReport, extend_vocabulary
    from bloomdata.verbs.fetch import fetch
    from bloomdata.verbs.finish import finish, on_ray
    from bloomdata.verbs.merge import merge
    from bloomdata.verbs.pack import pack
    from bloomdata.verbs.pack_moderation import ModerationReport, pack_moderation
    from bloomdata.verbs.plan import PackingPlan, plan
    from bloomdata.verbs.prepare import prepare
    from bloomdata.verbs.run_recipe import run
    from bloomdata.verbs.shard import shard
    from bloomdata.verbs.signatures import signatures
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
    "DecontaminateReport",
    "DedupReport",
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
    "MinHash",
    "MismatchError",
    "ModerationReport",
    "PackReport",
    "PackedDataset",
    "PackedMTFDataset",
    "PackingPlan",
    "Permutation",
    "PreferenceDataset",
    "PrepareReport",
    "Report",
    "ShardReport",
    "ShardedIndexedDataset",
    "SignaturesReport",
    "Substring",
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
    "decontaminate",
    "dedup",
    "extend_vocabulary",
    "fetch",
    "few_shot",
    "finish",
    "merge",
    "on_ray",
    "open",
    "pack",
    "pack_moderation",
    "padded_vocab_size",
    "plan",
    "prefix_lm",
    "prepare",
    "run",
    "shard",
    "signatures",
    "train_tokenizer",
    "ul2r",
    "verify",
]

_HOME = {
    "IndexedDatasetWriter": "datasets.indexed_writer",
    "Denoised": "datasets.denoise",
    "prefix_lm": "datasets.denoise",
    "ul2r": "datasets.denoise",
    "EncodedBatch": "tokenizers.encoded_files",
    "EncodedFiles": "tokenizers.encoded_files",
    "FewShot": "tokenizers.few_shot",
    "ModerationReport": "verbs.pack_moderation",
    "few_shot": "tokenizers.few_shot",
    "pack_moderation": "verbs.pack_moderation",
    "FETCH_SETS": "fetching.sets",
    "FetchReport": "fetching.report",
    "fetch": "verbs.fetch",
    "finish": "verbs.finish",
    "on_ray": "verbs.finish",
    "run": "verbs.run_recipe",
    "PrepareReport": "reports.report",
    "SOURCES": "prepare_sources",
    "prepare": "verbs.prepare",
    "ChatTemplate": "tokenizers.chat_template",
    "BlendPlan": "datasets.blend_plan",
    "BlendedDataset": "datasets.blend",
    "DataLoader": "loader",
    "LabelRules": "datasets.label_rules",
    "Permutation": "datasets.permutation",
    "PreferenceDataset": "datasets.preferences",
    "TokenRows": "datasets.token_rows",
    "ConvertReport": "verbs.convert_sentencepiece",
    "ExtendReport": "verbs.extend_vocabulary",
    "convert_sentencepiece": "verbs.convert_sentencepiece",
    "extend_vocabulary": "verbs.extend_vocabulary",
    "BloomdataError": "errors",
    "ConfigError": "errors",
    "CorruptDataError": "errors",
    "GPTDataset": "datasets.gpt_dataset",
    "IndexedDataset": "datasets.indexed_dataset",
    "MegatronBlend": "datasets.megatron_blend",
    "MergeReport": "reports.report",
    "MismatchError": "errors",
    "PackReport": "reports.report",
    "PackedDataset": "datasets.packed",
    "PackedMTFDataset": "datasets.mtf_dataset",
    "PackingPlan": "verbs.plan",
    "Report": "reports.report",
    "ShardReport": "reports.report",
    "ShardedIndexedDataset": "datasets.indexed_dataset",
    "TokenCounts": "reports.token_counts",
    "Tokenizer": "tokenizers.tokenizer",
    "TrainReport": "verbs.train_tokenizer",
    "UnsupportedFormatError": "errors",
    "Verification": "verbs.verify",
    "check_consumer": "verbs.check_consumer",
    "count": "verbs.count",
    "merge": "verbs.merge",
    "DecontaminateReport": "reports.report",
    "decontaminate": "verbs.decontaminate",
    "DedupReport": "reports.report",
    "MinHash": "options.near",
    "Substring": "options.near",
    "dedup": "verbs.dedup",
    "SignaturesReport": "reports.report",
    "signatures": "verbs.signatures",
    "open": "datasets.opening",
    "pack": "verbs.pack",
    "padded_vocab_size": "options.padded_vocabulary",
    "plan": "verbs.plan",
    "shard": "verbs.shard",
    "train_tokenizer": "verbs.train_tokenizer",
    "verify": "verbs.verify",
}


# Packages that need more than the library itself: `bloomdata.train.run(...)`.
_PACKAGES = {"train", "convert", "retrieval", "inference", "evaluation"}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("bloomdata._core").VERSION
    if name in _PACKAGES:
        return importlib.import_module(f"bloomdata.{name}")
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

        message = "bloomdata was built without optimisation and is many times slower; build it with --release"
        warnings.warn(message, RuntimeWarning, stacklevel=3)


def __dir__() -> list[str]:
    return sorted(__all__)
