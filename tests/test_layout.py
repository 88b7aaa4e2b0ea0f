"""The core's modules import downwards only, as the table in the design says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CORE = Path(__file__).parents[1] / "rust" / "bloomdata-core" / "src"
LEVELS = [
    {"error"},
    {"token", "progress", "ordered", "json_escapes"},
    {"hash", "ledger", "rng", "document", "conversation"},
    {"io", "json_fields", "json_text"},
    {"sources", "stages", "templates", "tokenizers", "packing", "formats"},
    {"pipeline", "datasets"},
    {"loader"},
]
LEVEL_OF = {module: level for level, modules in enumerate(LEVELS) for module in modules}
MODULES = sorted(path.stem for path in CORE.iterdir() if path.stem != "lib")


def files_of(module):
    single = CORE / f"{module}.rs"
    return [single] if single.exists() else sorted((CORE / module).rglob("*.rs"))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_lower_levels(module):
    assert module in LEVEL_OF, f"{module} is in no level"
    for path in files_of(module):
        code = "\n".join(line for line in path.read_text("utf-8").splitlines() if not line.lstrip().startswith("//"))
        for used in set(re.findall(r"\bcrate::(?:\{)?([a-z_0-9]+)", code)) - {module}:
            assert LEVEL_OF[used] < LEVEL_OF[module], f"{path.name} of level {LEVEL_OF[module]} imports {used}"


def test_the_core_knows_nothing_of_python():
    assert "pyo3" not in (CORE.parent / "Cargo.toml").read_text("utf-8")


def test_every_module_opens_with_what_it_is():
    for path in CORE.rglob("*.rs"):
        assert path.read_text("utf-8").startswith("//! "), path
