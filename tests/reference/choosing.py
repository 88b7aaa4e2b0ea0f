"""Which files of a folder are data, and what a row of a table is as JSON: the rules of FORMAT.md, slow and obvious."""

import math
import re

RECORDS = {".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".feather", ".ipc"}
DOCUMENTS = re.compile(
    r"(readme|licen[sc]e)([. _-].*)?|licen[sc]es|notices?|copying|copyright|authors|contributors|citation|change(log|s)"
    r"|manifest|version|urls|files|index|(.*[. _-])?(checksums?|(md5|sha1|sha256|sha512)(sums?)?)([. _-].*)?"
)
DESCRIPTIONS = re.compile(
    r"dataset_(infos?|dict|card)|checksums|state|croissant|metadata|config|index|schema|stats|statistics|info|manifest|package"
    r"|tokenizer(_config)?|license|readme|version|.*[. _-](metadata|index|schema|stats|statistics)"
)


def split_name(name):
    """Stem and suffix of a name in lower case, without a suffix of compression."""
    name = re.sub(r"\.(gz|zst)$", "", name.lower())
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if dot else (name, "")


def is_metadata(name):
    stem, suffix = split_name(name)
    if suffix in {"", ".txt"}:
        return DOCUMENTS.fullmatch(stem) is not None
    return suffix == ".json" and DESCRIPTIONS.fullmatch(stem) is not None


def data_files(paths):
    """The data among the files of a folder, as relative paths with `/`."""
    known = [path for path in paths if split_name(path.split("/")[-1])[1] in {".txt", *RECORDS}]
    known = [path for path in known if not is_metadata(path.split("/")[-1])]
    records = [path for path in known if split_name(path)[1] in RECORDS]

    def is_aside(path):
        folder = path.rpartition("/")[0]
        return any(record.startswith(f"{folder}/" if folder else "") for record in records)

    return {path for path in known if path in records or not is_aside(path)}


def is_finite(value):
    """Whether JSON has all numbers in a value."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(is_finite(inner) for inner in value.values())
    return not isinstance(value, list) or all(is_finite(inner) for inner in value)


def without_null_keys(value):
    """A value in a column of a table, without the keys of structs that are null."""
    if isinstance(value, dict):
        return {key: without_null_keys(inner) for key, inner in value.items() if inner is not None}
    return [without_null_keys(inner) for inner in value] if isinstance(value, list) else value
