"""The files beside the rows: `metadata.yaml`, checksums, the tokenizer."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKSUMS = "sha256/files_metadata.json"
_TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json"),
    *("vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "chat_template.jinja"),
)
# Configuration class of each model type in transformers.
_CONFIG_CLASSES = {
    "bloom": "bloom.configuration_bloom.BloomConfig",
    "falcon": "falcon.configuration_falcon.FalconConfig",
    "gemma": "gemma.configuration_gemma.GemmaConfig",
    "gpt2": "gpt2.configuration_gpt2.GPT2Config",
    "gpt_neox": "gpt_neox.configuration_gpt_neox.GPTNeoXConfig",
    "llama": "llama.configuration_llama.LlamaConfig",
    "mistral": "mistral.configuration_mistral.MistralConfig",
    "mixtral": "mixtral.configuration_mixtral.MixtralConfig",
    "opt": "opt.configuration_opt.OPTConfig",
    "phi": "phi.configuration_phi.PhiConfig",
    "qwen2": "qwen2.configuration_qwen2.Qwen2Config",
}


def find_tokenizer(name: str) -> str:
    """The path of a tokenizer: a local path unchanged, or a model fetched from the Hugging Face hub.

    Raises:
        ConfigError: The name is not a path, and cannot be fetched.
    """
    if name == "bytes" or Path(name).exists():
        return name
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        advice = "models of the Hugging Face hub need the package huggingface_hub"
        raise ConfigError(f"pretrained_tokenizer: expected an existing path, got {name!r}; {advice}") from None
    try:
        folder: str = snapshot_download(name, allow_patterns=list(_TOKENIZER_FILES))
    except Exception as error:  # the hub raises classes of five packages
        raise ConfigError(f"pretrained_tokenizer: {name!r}: cannot be fetched: {error}") from error
    return folder


def copy_tokenizer(used: Path | None, source: str, name: str, folder: Path, facts: dict[str, Any]) -> None:
    """Copies the tokenizer beside the data: as it was used, and as the user gave it.

    Args:
        used: The `tokenizer.json` that made the rows; None for built-in ones.
        source: Path of the tokenizer.
        name: Name given by the user.
        folder: The output folder.
        facts: End and padding tokens.
    """
    given = folder / "tokenizer" / "user_input_tokenizer"
    given.mkdir(parents=True, exist_ok=True)
    path = Path(source)
    if source != name or used is None:
        (given / "huggingface_model_id.txt").write_text(name + "\n", "utf-8")
    if used is None:
        return
    beside = path if path.is_dir() else path.parent
    for file in _TOKENIZER_FILES if path.is_dir() else ("tokenizer_config.json", "special_tokens_map.json"):
        if (beside / file).is_file():
            shutil.copyfile(beside / file, folder / "tokenizer" / file)
            if source == name:
                shutil.copyfile(beside / file, given / file)
    if source == name and path.is_file():
        shutil.copyfile(path, given / path.name)
    shutil.copyfile(used, folder / "tokenizer" / "tokenizer.json")
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        # The tokens that were used override those in the files of the user.
        path = folder / "tokenizer" / file
        if file == "special_tokens_map.json" and not path.exists():
            continue
        config = json.loads(path.read_bytes()) if path.exists() else {}
        config |= {"eos_token": facts["eos_token"], "pad_token": facts["pad_token"]}
        path.write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", "utf-8")


def model_type(source: str) -> str | None:
    """The configuration class of the tokenizer's model, as transformers prints it."""
    path = Path(source) / "config.json"
    if not path.is_file():
        return None
    try:
        kind = json.loads(path.read_bytes()).get("model_type")
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"pretrained_tokenizer: {path}: {error}") from error
    if not isinstance(kind, str):
        return None
    return f"<class 'transformers.models.{_CONFIG_CLASSES[kind]}'>" if kind in _CONFIG_CLASSES else kind


def write_metadata(folder: Path, facts: dict[str, Any]) -> None:
    """Writes `metadata.yaml` with sorted keys."""
    lines = [f"{key}: {_scalar(facts[key])}\n" for key in sorted(facts)]
    (folder / "metadata.yaml").write_text("".join(lines), "utf-8")


def _scalar(value: Any) -> str:
    """A value as a YAML scalar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    is_plain = re.fullmatch(r"[A-Za-z<][\w.'<> /-]*", text) and text.strip() == text
    is_word = text.lower() in {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
    return text if isinstance(value, int) or (is_plain and not is_word) else json.dumps(text)


def write_checksums(folder: Path) -> None:
    """Writes sha256, size and modification time of every file in the folder, except logs."""
    entries = {}
    for path in files_of(folder):
        name = path.relative_to(folder).as_posix()
        if "logs" in name or name == CHECKSUMS:
            continue
        status = path.stat()
        entries[name.replace("/", "_")] = {
            "sha256": _sha256(path),
            "size": status.st_size,
            "modified_time": status.st_mtime,
        }
    target = folder / CHECKSUMS
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(entries, indent=2) + "\n", "utf-8")


def files_of(folder: Path) -> Iterator[Path]:
    """All files of a folder, sorted, without hidden folders, which are work in progress."""
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            yield Path(root) / name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
