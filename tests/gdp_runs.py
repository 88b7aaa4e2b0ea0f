"""Runs of `gdp pipeline`: any files and options for them, and what they wrote, read without the library."""

from __future__ import annotations

import hashlib
import json
import random
import re
from typing import TYPE_CHECKING, NamedTuple

import h5py
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from article_runs import BYTES, CATEGORIES, PACKINGS, PAIR, Vocabulary, plain_lines, record_lines
from bloomdata.gdp import pipeline
from reference import gdp as reference
from reference.jsonl import BYTE_ORDER_MARK, stored
from reference.shard import Books, shuffled

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("input_ids", "token_type_ids", "category_ids")


class Run(NamedTuple):
    """Files of one folder, how many files they become, and options by the names of the reference."""

    files: list[tuple[str, bytes]]  # stored as their names say; contents as they are read
    counts: tuple[int, int, int]  # train, dev, test
    options: dict


def write_tokenizer(folder: Path, **model) -> Vocabulary:
    """A token for each byte and three special ones, in a folder with the files of a model."""
    names = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    tokenizer.add_special_tokens(list(special.values()))
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(special))
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_positions": 8, "vocab_size": 300} | model))
    return Vocabulary(folder, lambda text: tokenizer.encode(text).ids, bos=256, eos=257, pad=258)


def write_inputs(folder: Path, files: list[tuple[str, bytes]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files:
        suffix = "." + name.rpartition(".")[2]
        folder.joinpath(name).write_bytes(stored(content, suffix, [len(content) // 2]))
    return folder


def flags(folder: Path, *, sequence_length, packing, space_separator=True, balance=True, seed=None, **options) -> dict:
    """Options by the names of generative_data_prep."""
    options |= {"max_seq_length": sequence_length, "input_packing_config": packing}
    options |= {"disable_space_separator": not space_separator, "do_not_balance_hdf5": not balance}
    if seed is not None:
        options |= {"shuffle": "on_RAM", "seed": seed}
    if (categories := options.pop("categories", None)) is not None:
        options["categories_path"] = folder / "categories.json"
        options["categories_path"].write_text(json.dumps(categories))
    return options


def run_pipeline(run: Run, folder: Path, *, output="out", vocabulary=BYTES, **others):
    """Runs it on files that it writes into `folder`; the report."""
    source = write_inputs(folder / "raw", run.files)
    numbers = zip(("training", "dev", "test"), run.counts, strict=True)
    options = flags(folder, **run.options) | {f"num_{name}_splits": number for name, number in numbers}
    options |= {"ignore_input_format_error": True, "num_workers": 2} | others
    return pipeline(source, folder / output, pretrained_tokenizer=vocabulary.tokenizer, **options)


def reference_result(run: Run, vocabulary=BYTES) -> reference.Result:
    vocabulary = vocabulary._asdict()
    del vocabulary["tokenizer"]
    return reference.pipeline(run.files, run.counts, **vocabulary, **run.options)


def reference_articles(run: Run) -> list[list]:
    """All articles of all lines, in the order of the shuffle."""
    lines = reference.lines_of(run.files)
    if run.options.get("seed") is not None:
        lines = shuffled(lines, run.options["seed"])
    return reference.articles_of_lines(lines, ".jsonl", Books(), encode=BYTES.encode, eos=BYTES.eos)


def rows_of(path: Path) -> list[list[tuple[int, int, int]]]:
    """Rows of a file as (token id, token type, category)."""
    with h5py.File(path) as file:
        columns = [file[name][:].tolist() for name in NAMES if name in file]
    if len(columns) == 2:
        columns.append([[-1] * len(row) for row in columns[0]])
    return [list(zip(*row, strict=True)) for row in zip(*columns, strict=True)]


def rows_in(folder: Path) -> dict[str, list]:
    return {path.stem: rows_of(path) for path in sorted(folder.glob("*.hdf5"))}


def metadata_of(folder: Path) -> dict:
    """`metadata.yaml`: one scalar a line, its keys sorted."""
    lines = (folder / "metadata.yaml").read_text("utf-8").splitlines()
    pairs = dict(line.split(": ", 1) for line in lines)
    assert list(pairs) == sorted(pairs)
    words = {"null": None, "true": True, "false": False}
    return {key: words[text] if text in words else int(text) if text.isdigit() else text for key, text in pairs.items()}


def files_under(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def checksums_of(folder: Path) -> dict[str, dict]:
    """What `files_metadata.json` should say: every file but logs, itself, and the manifest, which comes later."""
    found = {}
    for name, path in files_under(folder).items():
        if "logs" in name or name in {"manifest.json", "sha256/files_metadata.json"}:
            continue
        status, digest = path.stat(), hashlib.sha256(path.read_bytes()).hexdigest()
        entry = {"sha256": digest, "size": status.st_size, "modified_time": status.st_mtime}
        assert name.replace("/", "_") not in found
        found[name.replace("/", "_")] = entry
    return found


def tree(folder: Path) -> dict[str, bytes]:
    """Contents of all files but of those that hold times."""
    names = files_under(folder).items()
    return {name: path.read_bytes() for name, path in names if name not in {"sha256/files_metadata.json", "logs.log"}}


def write_corpus(path: Path, num_lines: int, *, seed: int = 1) -> Path:
    """Objects and lists of up to some hundred bytes, of equal length in every run."""
    rng = random.Random(seed)

    def pair() -> dict:
        return {"prompt": "p" * rng.randrange(100), "completion": rng.choice("cdé") * rng.randrange(1, 200)}

    values = [pair() if rng.random() < 0.8 else [pair(), pair()] for _ in range(num_lines)]
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


# --- any files, any options -------------------------------------------------------------------------------------------

# Of a quarantined line these would end a line of `quarantine.jsonl`; `test_a_bad_line_may_hold_...` is about them.
_ENDS_OF_LINES = re.compile(b"\xe2\x80[\xa8\xa9]|\xc2\x85")
_json_lines = record_lines.map(lambda line: _ENDS_OF_LINES.sub(b"  ", line))
_odd_texts = [b"", b" ", b"\r", b"a\r", b"a\r\r", b"\x0c", b"\xff", "a\u2028b".encode()]
_plain_lines = plain_lines.filter(lambda line: not line.startswith(BYTE_ORDER_MARK))
_text_lines = st.one_of(_plain_lines, _plain_lines, st.sampled_from(_odd_texts))


@st.composite
def folders(draw) -> list[tuple[str, bytes]]:
    """One to three files, plain or compressed, with or without a mark at the start and a newline at the end."""
    suffix, lines = draw(st.sampled_from([(".jsonl", _json_lines), (".txt", _text_lines)]))
    files = []
    for number in range(draw(st.integers(1, 3))):
        content = b"".join(line + b"\n" for line in draw(st.lists(lines, min_size=1, max_size=12)))
        content = content.removesuffix(b"\n") if draw(st.booleans()) else content
        content = BYTE_ORDER_MARK + content if draw(st.integers(0, 9)) == 9 else content
        compression = draw(st.sampled_from(["", "", ".gz", ".zst"]))
        files.append((f"{number}{suffix}{compression}", content))
    return files


options_of_runs = st.fixed_dictionaries(
    {"sequence_length": st.sampled_from([1, 2, 3, 5, 8, 16, 31]), "packing": st.sampled_from(PACKINGS)},
    optional={
        "space_separator": st.booleans(),
        "keep_prompt_only_sequences": st.booleans(),
        "prompt_prefix": st.sampled_from([None, "", "<<", " p "]),
        "prompt_postfix": st.sampled_from([None, "", ">>", " q "]),
        "attention_boundary": st.sampled_from(["jsonl", PAIR]),
        "packing_boundary": st.sampled_from(["jsonl", PAIR]),
        "categories": st.sampled_from([CATEGORIES, CATEGORIES[:2]]),
        "balance": st.booleans(),
        "seed": st.none() | st.integers(0, 2**64 - 1),
    },
)


@st.composite
def runs(draw) -> Run:
    files = draw(folders())
    left = len(reference.lines_of(files))
    if left == 0:  # a mark, and nothing else
        files, left = [(files[0][0], b"\n")], 1
    train = draw(st.integers(1, min(left, 5)))
    dev = draw(st.integers(0, min(left - train, 3)))
    test = draw(st.integers(0, min(left - train - dev, 2)))
    return Run(files, (train, dev, test), draw(options_of_runs))
