"""A checkpoint as a folder of transformers: weights, tokenizer, chat template, settings of generation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.train.attention import unwrapped
from bloomdata.train.generation_marks import marked_template
from bloomdata.train.stable_embedding import has_stable_embedding

if TYPE_CHECKING:
    from bloomdata.train.data import StageData
    from bloomdata.train.engines.engine import Engine

# Files of a tokenizer's folder.
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model")


def export(engine: Engine, data: StageData, folder: Path) -> None:
    """Writes the model of an engine; all ranks must call it.

    A LoRA adapter is merged into the weights. The folder is written beside its name, then renamed.
    """
    state = engine.full_state()
    if engine.rank:
        return
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    inner = unwrapped(engine.model)
    model = inner
    outer = getattr(engine.model, "module", engine.model)
    if hasattr(outer, "merge_and_unload"):
        import copy

        model = copy.deepcopy(outer).merge_and_unload()
        state = model.state_dict()
    was_cached, model.config.use_cache = model.config.use_cache, True
    model.save_pretrained(partial, state_dict=state)
    model.config.use_cache = was_cached
    _write_tokenizer(partial, data)
    _write_generation(partial, data)
    if has_stable_embedding(inner):
        note = "The input embedding has a layer norm, `embed_norm`, that transformers' own classes do not apply.\n"
        (partial / "README.md").write_text(note, "utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _write_tokenizer(folder: Path, data: StageData) -> None:
    path = data.tokenizer_facts.get("path")
    if path is None or not Path(path).exists():
        return
    source = Path(path)
    files = [source] if source.is_file() else [source / name for name in _TOKENIZER]
    for file in files:
        if file.exists() and (file.suffix == ".json" or file.name in _TOKENIZER):
            shutil.copyfile(file, folder / ("tokenizer.json" if file == source else file.name))
    config_path = folder / "tokenizer_config.json"
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if config_path.exists():
        config = json.loads(config_path.read_text("utf-8"))
    for name in ("eos_token", "pad_token"):
        if data.tokenizer_facts.get(name) is not None:
            config.setdefault(name, data.tokenizer_facts[name])
    config_path.write_text(json.dumps(config, ensure_ascii=False, indent=2), "utf-8")
    if (template := _jinja(data.template)) is not None:
        (folder / "chat_template.jinja").write_text(template, "utf-8")


def _jinja(template: str | None) -> str | None:
    """A chat template by the name that `pack` took; a path to a `.jinja` file is copied."""
    if template is None:
        return None
    if (source := marked_template(template)) is not None:
        return source
    path = Path(template)
    return path.read_text("utf-8") if path.suffix == ".jinja" and path.exists() else None


def _write_generation(folder: Path, data: StageData) -> None:
    settings = {
        "eos_token_id": data.tokenizer_facts.get("eos_token_id"),
        "pad_token_id": data.tokenizer_facts.get("pad_token_id"),
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    # Training goes without; whoever generates would be many times slower for it.
    settings["use_cache"] = True
    path = folder / "generation_config.json"
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**before, **settings}, indent=2, sort_keys=True), "utf-8")
