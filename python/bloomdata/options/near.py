"""How similar documents are found: descriptions that `dedup` takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeVar

from bloomdata.errors import ConfigError
from bloomdata.options.checks import check_choice, check_counts

Description = TypeVar("Description", bound="MinHash | Substring")


@dataclass(frozen=True)
class MinHash:
    """Near duplicates, by MinHash signatures and the Jaccard similarity of shingles.

    Two documents are similar if the sets of their shingles (`words` units in a row) have a Jaccard similarity of
    `threshold` or more. Pairs are found by bands of their signatures, then compared by their texts.

    Args:
        threshold: Jaccard similarity from which on documents are similar, above 0 and up to 1.
        num_perm: Slots of a signature, at 2 bytes each.
        words: Units of a shingle.
        unit: What a shingle is made of: `words`, or `characters` as in the tools of the Megatron lineage. Each
            character of Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan counts as a word.
        normalize: Which units are equal: `fold` compares lower-cased runs of letters, marks and numbers; `none`
            compares what stands between white space, as it is.
        bands: Number of bands; by default so many rows as find 99 of 100 pairs at the threshold.
        rows: Slots of a band; given together with `bands`.
        verify: Whether to compare candidates by their texts. If not, the signatures' estimate counts.
        index: Where bands are kept: `sorted` on disk, with a witness for every document that is dropped; or `bloom` in
            Bloom filters of half of `memory_limit`, for inputs that are too large for that: documents are dropped if
            any band was seen before, equal ones too, without a comparison and without a witness.
        expected_documents: Number of documents that the filters are made for; needed for `bloom`.
        max_false_positive: Chance with which the filters may drop a document that resembles none; a run with smaller
            filters is refused.

    Example:
        >>> bloomdata.MinHash(0.8).curve()[0.8] > 0.99
        True
    """

    threshold: float = 0.8
    num_perm: int = 128
    words: int = 5
    unit: Literal["words", "characters"] = "words"
    normalize: Literal["fold", "none"] = "fold"
    bands: int | None = None
    rows: int | None = None
    verify: bool = True
    index: Literal["sorted", "bloom"] = "sorted"
    expected_documents: int | None = None
    max_false_positive: float = 1e-5

    def to_config(self, memory_bytes: int = 0) -> dict[str, Any]:
        """The core's configuration; with Bloom filters of so many bytes, if it has any."""
        check_counts(
            expected_documents=self.expected_documents,
            num_perm=self.num_perm,
            words=self.words,
            bands=self.bands,
            rows=self.rows,
        )
        check_choice("unit", self.unit, "words", "characters")
        check_choice("normalize", self.normalize, "fold", "none")
        check_choice("index", self.index, "sorted", "bloom")
        if (self.index == "bloom") != (self.expected_documents is not None):
            msg = f"expected_documents: expected a number with index='bloom' alone, got {self.expected_documents!r}"
            raise ConfigError(msg)
        if isinstance(self.threshold, bool) or not isinstance(self.threshold, (int, float)):
            raise ConfigError(f"threshold: expected a number above 0 and up to 1, got {self.threshold!r}")
        if not isinstance(self.verify, bool):
            raise ConfigError(f"verify: expected True or False, got {self.verify!r}")
        config = asdict(self)
        config["threshold"] = float(self.threshold)
        config["shingle_size"] = config.pop("words")
        bloom = {name: config.pop(name) for name in ("expected_documents", "max_false_positive")}
        if config.pop("index") == "bloom":
            config["bloom"] = {"bytes": memory_bytes, **bloom}
        return config

    def curve(self) -> dict[float, float]:
        """The chance that a pair becomes a candidate, by its similarity in steps of 0.05: the S-curve.

        Raises:
            ConfigError: An option is invalid.
        """
        similarities = [step / 20 for step in range(1, 21)]
        _, _, chances = _chances(self, similarities)
        return dict(zip(similarities, chances, strict=True))

    def explain(self) -> str:
        """Bands, S-curve and bytes for each document, as text.

        Raises:
            ConfigError: An option is invalid.
        """
        bands, rows, [at_threshold] = _chances(self, [float(self.threshold)])
        size = 2 * self.num_perm
        lines = [
            f"{bands} bands of {rows} rows, of {self.num_perm} slots",
            f"a pair of similarity {self.threshold:g} becomes a candidate with a chance of {at_threshold:.4f}",
            f"on disk, while it runs: {size} bytes of signature, 40 of keys and place, "
            f"{16 * bands} of band keys a document",
            "similarity  chance",
        ]
        lines += [f"  {similarity:.2f}      {chance:.4f}" for similarity, chance in self.curve().items()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Substring:
    """Repeated passages: windows of words that occurred before, in an earlier document or earlier in the same one.

    Args:
        words: Words of a window. Each character of Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan counts as
            one.
        normalize: Which words are equal: `none` compares what stands between white space, as it is; `fold` compares
            lower-cased runs of letters, marks and numbers.
        action: What to do with repeated passages: `cut` them out of the text, and drop a document that consists of
            nothing else; `drop` documents with too many of them; `mark` them in a field `repeated_spans` of the record.
        whole_lines: Whether to cut out only lines that are repeated as a whole.
        max_share: Share of its words that a document may have in repeated passages, for the action `drop`.
    """

    words: int = 50
    normalize: Literal["none", "fold"] = "none"
    action: Literal["cut", "drop", "mark"] = "cut"
    whole_lines: bool = False
    max_share: float = 0.5

    def to_config(self) -> dict[str, Any]:
        """The core's configuration."""
        check_counts(words=self.words)
        check_choice("normalize", self.normalize, "none", "fold")
        check_choice("action", self.action, "cut", "drop", "mark")
        if isinstance(self.max_share, bool) or not isinstance(self.max_share, (int, float)):
            raise ConfigError(f"max_share: expected a number from 0 to 1, got {self.max_share!r}")
        return {
            "part": {"windows": {"words": self.words, "normalize": self.normalize}},
            "action": self.action,
            "whole_lines": bool(self.whole_lines),
            "max_share": float(self.max_share),
        }


def described(kind: type[Description], name: str, value: Any) -> Description | None:
    """A description, which may be given as a dictionary of its options, as in recipes."""
    if value is None or isinstance(value, kind):
        return value
    known = [field.name for field in fields(kind)]
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name}: expected a {kind.__name__} or its options, got {value!r}")
    if unknown := [option for option in value if option not in known]:
        raise ConfigError(f"{name}: expected some of {known}, got {unknown[0]!r}")
    return kind(**value)


def _chances(near: MinHash, similarities: list[float]) -> tuple[int, int, list[float]]:
    import json

    from bloomdata import _core

    return _core.near_chances(json.dumps(near.to_config(1)), similarities)
