"""Shared fixtures; equal random examples on every run."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from hypothesis import settings

import bloomdata

# Before their import, so that a failed check in them says what it saw.
pytest.register_assert_rewrite("article_runs", "disks", "faults", "hostile", "runs")

from faults import build_shim  # noqa: E402 - after the line that rewrites their assertions
from hostile import Worker  # noqa: E402 - after the line that rewrites their assertions
from runs import COMMANDS, end, running, tree, wait_for, write_corpus  # noqa: E402 - after the line that rewrites their assertions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tokenizers import Tokenizer

    from hostile import Outcome

# Turns of phrase that errors do not have: they say what was expected, what was given, and where.
REFUSED = re.compile(
    r"\b(is|are) none of\b|\bis no (time|name|path|number|list|JSON|such|share|file|folder|output)\b|\bthat is none\b"
    r"|\bno such option\b|\bgoes on\b|\bgone on with\b|\bnobody\b|\b(BC|GD|AS|OC|MF|OL)-\d\d\b|SYSTEMS"
)
_MESSAGES: list[str] = []


def _remember(self, *arguments):
    _MESSAGES.extend(str(argument) for argument in arguments)
    Exception.__init__(self, *arguments)


bloomdata.BloomdataError.__init__ = _remember


@pytest.fixture(autouse=True)
def _plain_errors():
    """What a test makes the library say is plain English."""
    _MESSAGES.clear()
    yield
    odd = [message for message in _MESSAGES if REFUSED.search(message)]
    assert odd == []


settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """A working folder with `raw/a.jsonl` of two documents."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "raw"
    folder.mkdir()
    lines = [json.dumps({"text": text}) for text in ("hello world", "a second document")]
    (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def interruptible():
    """Ctrl-C raises `KeyboardInterrupt`: whoever runs the tests in the background may have switched it off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def word_tokenizers(tmp_path_factory):
    """Word-level tokenizers on both sides of Megatron's limit for two-byte tokens."""
    paths = {}
    for vocab_size in (65_499, 65_500):
        vocab = {f"w{number}": number for number in range(vocab_size - 2)}
        vocab |= {"</s>": vocab_size - 2, "<unk>": vocab_size - 1}
        model = {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}
        definition = {"version": "1.0", "model": model, "pre_tokenizer": {"type": "WhitespaceSplit"}}
        definition |= dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
        definition["added_tokens"] = []
        paths[vocab_size] = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
        paths[vocab_size].write_text(json.dumps(definition))
    return paths


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], tuple[Tokenizer, Path]]:
    """A tokenizer of a family with a template, and the folder that holds it."""
    from tokenizer_families import FAMILIES, TEMPLATES, with_template

    trained: dict[str, Tokenizer] = {}
    folders: dict[tuple[str, str], tuple[Tokenizer, Path]] = {}

    def make(family: str, template: str) -> tuple[Tokenizer, Path]:
        if family not in trained:
            trained[family] = FAMILIES[family]()
        if (family, template) not in folders:
            tokenizer = with_template(trained[family], TEMPLATES[template])
            folder = tmp_path_factory.mktemp("tokenizer")
            tokenizer.save(str(folder / "tokenizer.json"))
            folders[family, template] = (tokenizer, folder)
        return folders[family, template]

    return make


# --- runs that are disturbed -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "raw", num_records=20_000, words=50)


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("small") / "raw", num_records=500, words=5)


@pytest.fixture(scope="session")
def slow_corpus(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus many times over: seconds of work."""
    folder = tmp_path_factory.mktemp("slow") / "raw"
    folder.mkdir()
    shutil.copy(corpus / "part-4.json", folder / "0-part-4.json")
    for number in range(40):
        for path in corpus.glob("*.jsonl*"):
            # No two are alike: copies of a file are refused.
            member = {".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}.get(path.suffix, bytes)
            copy = folder / f"{number}-{path.name}"
            copy.write_bytes(path.read_bytes() + member(b'\n{"text": "%d"}\n' % number))
    return folder


@pytest.fixture(scope="session")
def undisturbed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict, float, float]]:
    """Per command: what it writes, the seconds until it starts to work, and until it is done."""
    results = {}
    for name, command in COMMANDS.items():
        output = tmp_path_factory.mktemp("undisturbed") / name
        begin = time.monotonic()
        with running(command, corpus, output) as process:
            assert wait_for(output / "journal.jsonl", process)
            working = time.monotonic() - begin
            status, errors = end(process)
        assert status == 0, errors
        results[name] = (tree(output), working, time.monotonic() - begin)
    return results


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """A folder with one file of good records and a bad one at its end."""
    folder = tmp_path / "raw"
    folder.mkdir()
    lines = [json.dumps({"text": f"document {number}", "title": "t"}) for number in range(100)]
    (folder / "a.jsonl").write_text("\n".join([*lines, "bad"]))
    return folder


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


# --- hostile inputs --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("outputs"))
    yield worker
    worker.close()


@pytest.fixture
def pack(process: Worker) -> Callable[..., Outcome]:
    def call(inputs: Any, **options: Any) -> Outcome:
        return process.ask(
            "pack", inputs, **{"tokenizer": "bytes", "format": "megatron", "allow_empty": True, **options}
        )

    return call


@pytest.fixture
def shard(process: Worker) -> Callable[..., Outcome]:
    def call(inputs: Any, **options: Any) -> Outcome:
        return process.ask("shard", inputs, **{"allow_empty": True, **options})

    return call
