"""Prompts from files: records of JSONL, or lines of text."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.inference.model import Model
from bloomdata.texts import read_lines, shown

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from bloomdata.inference.prompts import Prompt

_RECORDS = (".jsonl", ".ndjson")
_WEIGHTS = (".safetensors", ".bin", ".gguf")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A prompt of a file.

    Attributes:
        index: Its number among those of the file, from 0.
        line: As it is stored.
        record: The fields that the output keeps.
        prompt: A text, or messages; None if there is an error.
        error: Why there is no prompt.
    """

    index: int
    line: bytes
    record: dict[str, Any]
    prompt: Prompt | None
    error: str | None = None


def read_prompts(path: str | os.PathLike[str] | None, prompt_field: str, answer_field: str) -> Iterator[Entry]:
    """Yields the prompts of a file, those that are bad with their error; None stands for one empty prompt.

    Raises:
        CorruptDataError: The file is compressed and damaged.
        OSError: The operating system reports an error.
    """
    if path is None:
        yield Entry(index=0, line=b"", record={}, prompt="")
        return
    name = str(path)
    holds_records = name.lower().removesuffix(".gz").removesuffix(".zst").endswith(_RECORDS)
    index = 0
    for number, offset, line in read_lines(name):
        if holds_records and not line.strip():
            continue
        record: dict[str, Any] = {}
        try:
            text = line.decode()
            if holds_records:
                record = _record(text)
                prompt = _prompt(record, prompt_field, answer_field)
            else:
                prompt = text.removesuffix("\r")
                record = {prompt_field: prompt}
        except (ValueError, RecursionError) as error:
            place = f"{shown(name)}: line {number}: offset {offset}"
            yield Entry(index=index, line=line, record=record, prompt=None, error=f"{place}: {error}")
        else:
            yield Entry(index=index, line=line, record=record, prompt=prompt)
        index += 1


def _record(text: str) -> dict[str, Any]:
    record = json.loads(text)
    if not isinstance(record, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004 - an error of the record like the others
    return record


def _prompt(record: dict[str, Any], prompt_field: str, answer_field: str) -> Prompt:
    if answer_field in record:
        raise ValueError(f'the record has a field "{answer_field}" already: answer_field gives answers another name')
    json.dumps(record, ensure_ascii=False).encode()  # half of a surrogate pair is a ValueError, too
    if isinstance(prompt := record.get(prompt_field), str):
        return prompt
    if isinstance(messages := record.get("messages"), list):
        return messages
    raise ValueError(f'expected a text in the field "{prompt_field}", or "messages", found neither')


def identity_of(
    model: str | os.PathLike[str] | Model, entries: Sequence[Entry], options: dict[str, Any]
) -> dict[str, Any]:
    """What answers depend on, as JSON gives it back: the model, the prompts, the options."""
    folder = model.folder if isinstance(model, Model) else Path(model)
    files = sorted(folder.glob("*")) if folder.is_dir() else [folder]
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(entry.line + b"\n")
    identity = {
        "version": 1,
        "model": {path.name: path.stat().st_size for path in files if path.suffix in _WEIGHTS and path.is_file()},
        "prompts": {"records": len(entries), "sha256": digest.hexdigest()},
        "options": {name: value for name, value in options.items() if value is not None},
    }
    plain: dict[str, Any] = json.loads(json.dumps(identity, default=str))
    return plain
