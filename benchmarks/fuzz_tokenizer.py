"""Random texts for our tokenizer and for `tokenizers`, until they give other ids or the time is over.

The tokenizers are the files that are given, and small random ones, which have every merge list and every option. A
mismatch is made smaller, text and tokenizer, and printed. The same seed makes the same texts.

    python benchmarks/fuzz_tokenizer.py --minutes 30 --seed 1 --tokenizers */tokenizer.json --corpus CORPUS
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuzz_texts import Texts
from peer_tokenizers import records_of

import bloomdata

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
# Those who run at once are not to take each other's processors.
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import Tokenizer

from random_tokenizers import random_tokenizer
from small_tokenizers import ids_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Definition = dict[str, Any]

MAX_SHOWN = 20
PROGRESS_SECONDS = 30
# Texts for one random tokenizer, and for a file each time that it is its turn.
SMALL_TEXTS, FILE_TEXTS = 20, 10
# Of a random tokenizer: where added tokens strip white space, `tokenizers` takes memory by the square of a text.
SMALL_LENGTH = 5_000
DOCUMENTS_PER_FILE = 400


@dataclass(frozen=True)
class Pair:
    """A tokenizer of the package, ours, and pieces of texts that fit it."""

    name: str
    theirs: Tokenizer
    ours: bloomdata.Tokenizer
    pieces: Sequence[str]
    definition: Definition | None = None


def load(path: Path, pieces: Sequence[str] = (), definition: Definition | None = None) -> Pair | None:
    """Nothing if the file is refused: some make `tokenizers` panic on every text."""
    try:
        theirs, ours = Tokenizer.from_file(str(path)), bloomdata.Tokenizer(path)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a panic is no Exception
        return None
    return Pair(path.parent.name, theirs, ours, pieces, definition)


def load_file(path: Path, rng: random.Random) -> Pair:
    """A tokenizer file; texts for it have its tokens and its added tokens in them."""
    pair = load(path)
    if pair is None:
        sys.exit(f"{path}: is refused")
    theirs = pair.theirs
    ids = rng.sample(range(theirs.get_vocab_size()), min(20_000, theirs.get_vocab_size()))
    tokens = [text for token in ids if (text := theirs.decode([token], skip_special_tokens=False))]
    added = [token.content for token in theirs.get_added_tokens_decoder().values()]
    pieces = tokens + added * (1 + len(tokens) // (3 * max(1, len(added))))
    return Pair(pair.name, theirs, pair.ours, pieces)


def documents_of(folder: Path) -> list[str]:
    """Some documents of every file of a corpus."""
    found = []
    for path in sorted(folder.rglob("*.jsonl.zst")):
        for record in islice(records_of(path), 0, DOCUMENTS_PER_FILE * 20, 20):
            text = record["content"] if "content" in record else record["text"]
            if text:
                found.append(text[:200_000])
    return found


def differs(pair: Pair, text: str) -> bool:
    """Whether ids are not the same; `tokenizers` may panic, we may not give other ids."""
    for special in (False, True):
        expected = ids_of(pair.theirs, text, add_special_tokens=special)
        if expected is not None and pair.ours.encode(text, add_special_tokens=special).tolist() != expected:
            return True
    return False


def smaller_text(text: str, is_wrong: Callable[[str], bool]) -> str:
    """The text without whatever can be left out."""
    size = len(text) // 2
    while size:
        start = 0
        while start < len(text):
            without = text[:start] + text[start + size :]
            if is_wrong(without):
                text = without
            else:
                start += size
        size //= 2
    return text


def smaller_definitions(definition: Definition) -> Iterator[Definition]:
    """The definition without one thing, for each thing."""
    for key in ("normalizer", "post_processor", "decoder"):
        if definition[key]:
            yield definition | {key: None}
    added = definition["added_tokens"]
    for at, token in enumerate(added):
        yield definition | {"added_tokens": added[:at] + added[at + 1 :]}
        for flag in [name for name, value in token.items() if value is True]:
            yield definition | {"added_tokens": [*added[:at], token | {flag: False}, *added[at + 1 :]]}
    model = definition["model"]
    size = len(model["merges"])
    while size:
        for at in range(0, len(model["merges"]), size):
            merges = model["merges"][:at] + model["merges"][at + size :]
            yield definition | {"model": model | {"merges": merges}}
        size //= 2
    merged = {part for left, right in model["merges"] for part in (left, right, left + right)}
    kept = [token for token in model["vocab"] if token in merged or len(token) == 1 or token.startswith("<")]
    if len(kept) < len(model["vocab"]):
        vocab = {token: number for number, token in enumerate(kept)}
        yield definition | {"model": model | {"vocab": vocab}}
    if model["ignore_merges"]:
        yield definition | {"model": model | {"ignore_merges": False}}


def smaller(pair: Pair, text: str, folder: Path) -> tuple[Pair, str]:
    """The least of text and, if it is a random one, of tokenizer that is still wrong."""
    text = smaller_text(text, lambda text: differs(pair, text))
    is_done = pair.definition is None
    while not is_done:
        is_done = True
        for definition in smaller_definitions(pair.definition or {}):
            path = folder / "smaller" / "tokenizer.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(definition))
            other = load(path)
            # As it would be saved: with ids that follow from the rest.
            if other:
                definition["added_tokens"] = json.loads(other.theirs.to_str())["added_tokens"]
                path.write_text(json.dumps(definition))
                other = load(path, (), definition)
            if other and differs(other, text):
                pair, is_done = other, False
                text = smaller_text(text, lambda text, pair=pair: differs(pair, text))
                break
    return pair, text


def show(pair: Pair, text: str, folder: Path) -> None:
    """Prints a mismatch, made smaller."""
    name = pair.name
    pair, text = smaller(pair, text, folder)
    print(f"\nMISMATCH {name} ({pair.ours.backend}): {text!r}")
    for special in (False, True):
        print(f"  special={special}: ours {pair.ours.encode(text, add_special_tokens=special).tolist()}")
        print(f"  special={special}: right {ids_of(pair.theirs, text, add_special_tokens=special)}")
    if pair.definition:
        model = pair.definition["model"]
        vocab = [token for token in model["vocab"] if len(token) > 1 and not token.startswith("<0x")]
        rest = {key: value for key, value in pair.definition.items() if value and key != "model"}
        rest |= {key: value for key, value in model.items() if value and key != "vocab"}
        print(f"  {json.dumps(rest, ensure_ascii=False)}\n  beside bytes: {vocab}", flush=True)


def small_pair(rng: random.Random, folder: Path) -> Pair | None:
    definition, pieces = random_tokenizer(rng)
    path = folder / "small" / "tokenizer.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(definition))
    return load(path, pieces, definition)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokenizers", nargs="*", type=Path, default=[], help="tokenizer.json files")
    parser.add_argument("--corpus", type=Path, help="folder of .jsonl.zst files, for pieces of real text")
    parser.add_argument("--small-share", type=float, default=0.5, help="share of turns of random tokenizers")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    texts = Texts(rng, documents_of(options.corpus) if options.corpus else [])
    files = [load_file(path.resolve(), rng) for path in options.tokenizers]
    for pair in files:
        print(f"{pair.name}: {pair.ours.backend} {pair.ours.backend_reason or ''}")
    counts: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    begin = last = time.monotonic()

    def report() -> None:
        each = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        minutes = (time.monotonic() - begin) / 60
        print(f"seed {options.seed}, {minutes:.1f} min: {each}; mismatches: {dict(wrong) or 0}", flush=True)

    with tempfile.TemporaryDirectory(prefix="bloomdata-fuzz-") as folder:
        while time.monotonic() - begin < options.minutes * 60:
            is_small = not files or rng.random() < options.small_share
            pair = small_pair(rng, Path(folder)) if is_small else rng.choice(files)
            if pair is None:
                counts["refused"] += 1
                continue
            counts["tokenizers"] += is_small
            kind = f"random, {pair.ours.backend}" if is_small else pair.name
            for _ in range(SMALL_TEXTS if is_small else FILE_TEXTS):
                if is_small and rng.random() < 0.8:
                    text = "".join(rng.choices(pair.pieces, k=rng.randint(0, 30)))
                else:
                    text = texts.text(pair.pieces)[: SMALL_LENGTH if is_small else None]
                counts["texts"] += 1
                counts["bytes"] += len(text.encode())
                counts[kind] += 1
                if differs(pair, text):
                    wrong[kind] += 1
                    if wrong.total() <= MAX_SHOWN:
                        show(pair, text, Path(folder))
                    break
            if time.monotonic() - last > PROGRESS_SECONDS:
                last = time.monotonic()
                report()
    report()
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
