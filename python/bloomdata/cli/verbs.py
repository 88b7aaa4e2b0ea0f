"""All verbs of the command line: where each is, and what it is for. Nothing of a verb is imported before it is used."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Verb:
    """A verb.

    Attributes:
        summary: For the list of all verbs.
        function: `module:function` of the package, where the command line calls a public function.
        adds: `module:function` of `bloomdata.cli` that adds options of the program's own.
        runs: `module:function` of `bloomdata.cli` that does the work; by default the function is called and its
            report shown.
        hands_on: For a function that takes `**options`: `module:function` of the package whose they are, and which.
    """

    summary: str
    function: str | None = None
    adds: str | None = None
    runs: str = "commands:run_verb"
    hands_on: tuple[tuple[str, str], ...] = ()


_SETTINGS = "preset template system temperature top_p top_k repetition_penalty max_new_tokens seed stop truncate_turn"
_LOADING = ("inference.model:load", "dtype max_memory_fraction gpu_memory cpu_memory adapter gguf_file")

VERBS = {
    "fetch": Verb(
        "get files from elsewhere, whole and compared with checksums", "verbs.fetch:fetch", "own_options:add_list"
    ),
    "shard": Verb("copy lines into compressed shards of at most so many lines", "verbs.shard:shard"),
    "prepare": Verb(
        "turn records of a known source into conversations or texts", "verbs.prepare:prepare", "own_options:add_prepare"
    ),
    "dedup": Verb(
        "remove duplicates, exact and near ones, and name a kept document for each",
        "verbs.dedup:dedup",
        "own_options:add_explain",
    ),
    "signatures": Verb("do the first pass of dedup alone, for a share of the files", "verbs.signatures:signatures"),
    "decontaminate": Verb(
        "find documents that hold rows of evaluations; list them, drop them, or cut the rows out",
        "verbs.decontaminate:decontaminate",
    ),
    "pack": Verb("tokenize documents into Megatron or HDF5 files", "verbs.pack:pack"),
    "count": Verb(
        "count the tokens of each input, without writing anything",
        "verbs.count:count",
        "own_options:add_by",
        "commands:run_count",
    ),
    "tokenize": Verb(
        "turn texts into token ids on the standard output, or back",
        None,
        "own_options:add_tokenize",
        "commands:run_tokenize",
    ),
    "train-tokenizer": Verb("train a BPE tokenizer on texts", "verbs.train_tokenizer:train_tokenizer"),
    "extend-vocabulary": Verb(
        "put the tokens of one vocabulary behind those of another", "verbs.extend_vocabulary:extend_vocabulary"
    ),
    "convert-sentencepiece": Verb(
        "make a tokenizer.json of a SentencePiece model", "verbs.convert_sentencepiece:convert_sentencepiece"
    ),
    "plan": Verb(
        "predict what packings would do, from the lengths of documents",
        "verbs.plan:plan",
        None,
        "commands:run_plan",
        (
            (
                "verbs.pack:pack",
                "record text_field records prompt_keyword completion_keyword space_separator prompt_prefix "
                "prompt_postfix template template_variables template_date train_on messages_keyword role_keyword "
                "content_keyword tool_arguments source packing_boundary eos_token add_special_tokens special_tokens "
                "special_tokens_in_text append_eos on_bad_record",
            ),
        ),
    ),
    "finish": Verb("make one folder of the finished parts of a run", "verbs.finish:finish"),
    "parts": Verb(
        "show how far the parts of a run are; exit status 1 unless all are finished",
        None,
        "parts:add_table",
        "parts:run_table",
    ),
    "slurm": Verb(
        "print a script that runs a command in parts as an array job of Slurm",
        None,
        "slurm:add_slurm",
        "slurm:run_slurm",
    ),
    "merge": Verb("join finished Megatron pairs", "verbs.merge:merge"),
    "gdp": Verb("do the work of generative_data_prep, with its flags and file names", None, "gdp:add_gdp", "gdp:main"),
    "run": Verb(
        "run the steps of a recipe, or resume it", "verbs.run_recipe:run", "own_options:add_run", "run:run_recipe"
    ),
    "train": Verb(
        "train a model on packed data by a recipe, or resume it", "train.running:run", "train:add_train", "train:main"
    ),
    "generate": Verb(
        "answer prompts: one, or those of a file, resumable",
        "inference.answer_files:generate_file",
        "generate:add_generate",
        "generate:main",
        (("inference.generation:generate", f"{_SETTINGS} num_samples logprobs batch_tokens"), _LOADING),
    ),
    "chat": Verb(
        "chat with a model, or with a server",
        "inference.chatting:open_chat",
        "chat:add_chat",
        "chat:main",
        (("inference.generation:generate", _SETTINGS.removeprefix("preset template system ")), _LOADING),
    ),
    "web": Verb(
        "chat with a model in the browser",
        "inference.web:web",
        "web:add_web",
        "web:main",
        (
            (
                "inference.chatting:open_chat",
                "url preset template system retrieval num_passages context_tokens moderation",
            ),
            ("inference.generation:generate", _SETTINGS.removeprefix("preset template system ")),
            _LOADING,
        ),
    ),
    "serve": Verb(
        "serve a model with OpenAI's routes, by transformers",
        "inference.serving:serve",
        None,
        "serve:main",
    ),
    "convert": Verb(
        "convert checkpoints: tensor-parallel shards, AscendSpeed, OpenChatKit, MindFormers, DCP, LoRA, split archives",
        None,
        "convert:add_convert",
        "convert:main",
    ),
    "retrieval": Verb(
        "make an index of the passages of documents, and find the nearest to a text",
        None,
        "retrieval:add_retrieval",
        "retrieval:main",
    ),
    "evaluate": Verb(
        "measure a model: loss and bits per byte of packed data, tasks of lm-evaluation-harness",
        "evaluation.running:evaluate",
        None,
        "commands:run_evaluate",
    ),
    "verify": Verb(
        "check every hash, size and count of a finished folder", "verbs.verify:verify", None, "commands:run_verify"
    ),
    "report": Verb("show the books of a finished folder again", None, "own_options:add_report", "commands:run_report"),
    "inspect": Verb("show documents and rows as text", None, "own_options:add_inspect", "commands:run_inspect"),
}


def load(place: str, package: str = "bloomdata") -> Any:
    """What `module:name` stands for."""
    module, name = place.split(":")
    return getattr(importlib.import_module(f"{package}.{module}"), name)
