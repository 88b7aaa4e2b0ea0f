"""Imports go down only, in Rust and in Python, and no two files of a module import each other in a circle."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "rust" / "bloomdata-core" / "src"
BINDING = ROOT / "rust" / "bloomdata-py" / "src"
PACKAGE = ROOT / "python" / "bloomdata"

CORE_LEVELS = [
    {"error"},
    {"token", "progress", "ordered", "fork", "json_escapes", "byte_masks", "unread_keys"},
    {"hash", "ledger", "rng", "document", "conversation", "key_log"},
    {"json_faults", "json_nan", "json_search"},
    {"io", "json_fields", "json_text"},
    {"switches"},
    {"sources", "stages", "templates", "tokenizers", "packing", "formats", "dedup"},
    {"decontaminate"},
    {"pipeline", "datasets"},
]
PACKAGE_LEVELS = [
    {"errors", "lazy", "_core"},
    {"manifest", "prepare_sources"},
    {"options"},
    {"reports", "texts"},
    {"storage"},
    {"parts"},
    {"tokenizers", "fetching"},
    {"datasets"},
    {"loader", "torch_views"},
    {"verbs"},
    {"gdp"},
    {"train", "convert"},
    {"retrieval"},
    {"inference"},
    {"evaluation"},
    {"cli"},
]


def level_of(levels):
    return {module: level for level, modules in enumerate(levels) for module in modules}


# --- what imports what -----------------------------------------------------------------------------------------------


def code_of(path):
    """A file of Rust without its comments and its tests."""
    text = re.split(r"^#\[cfg\(test\)\]", path.read_text("utf-8"), flags=re.MULTILINE)[0]
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("//"))


def rust_imports(source):
    """For each file of a crate, as the path of its module, the files that it names; maps (`mod.rs`) are left out."""
    files = {}
    for path in source.rglob("*.rs"):
        parts = path.relative_to(source).with_suffix("").parts
        files[parts[:-1] if parts[-1] == "mod" else parts] = path
    graph = {}
    for module, path in files.items():
        graph[module] = found = set()
        for start, names in re.findall(r"\b((?:crate|super|self)(?:::[a-z_0-9]+)*)(::\{[^;]*?\})?", code_of(path)):
            first, *rest = start.split("::")
            here = {"crate": (), "super": module[:-1], "self": module}[first]
            while rest and rest[0] == "super":
                here, rest = here[:-1], rest[1:]
            for inner in [(), *((name,) for name in re.findall(r"[a-z_0-9]+", names))]:
                target = (*here, *rest, *inner)
                while target and target not in files:
                    target = target[:-1]
                if target and target != module and files[target].name != "mod.rs":
                    found.add(target)
    return graph


def python_imports():
    """For each file of the package, as the path of its module, the modules that it names, also in functions."""
    graph = {}
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).with_suffix("").parts
        graph[module] = found = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bloomdata":
                start = tuple(node.module.split(".")[1:])
                names = [(*start, alias.name) for alias in node.names]
                found |= {name if (PACKAGE.joinpath(*name).with_suffix(".py")).exists() else start for name in names}
        found.discard(())
    return graph


def circles(graph):
    """Groups of files that reach each other (strongly connected components of more than one)."""
    reached = {}

    def reach(start):
        seen, open_ = set(), [start]
        while open_:
            for target in graph.get(open_.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    open_.append(target)
        return seen

    for module in graph:
        reached[module] = reach(module)
    return sorted({"::".join(module) for module in graph if module in reached[module]})


# --- rules -----------------------------------------------------------------------------------------------------------


def test_modules_of_the_core_import_only_from_lower_levels():
    levels = level_of(CORE_LEVELS)
    for path in CORE.rglob("*.rs"):
        module = path.relative_to(CORE).with_suffix("").parts[0]
        if module == "lib":
            continue
        assert module in levels, f"{module} is in no level"
        for used in set(re.findall(r"\bcrate::(?:\{)?([a-z_0-9]+)", code_of(path))) - {module}:
            assert levels[used] < levels[module], f"{path.name} of level {levels[module]} imports {used}"


def test_modules_of_the_package_import_only_from_lower_levels():
    levels = level_of(PACKAGE_LEVELS)
    for module, imports in python_imports().items():
        if module[0] in {"__init__", "__main__"}:
            continue
        assert module[0] in levels, f"{module[0]} is in no level"
        for used in {target[0] for target in imports} - {module[0]}:
            assert levels[used] < levels[module[0]], f"{'.'.join(module)} of level {levels[module[0]]} imports {used}"


GRAPHS = {"core": rust_imports(CORE), "binding": rust_imports(BINDING), "package": python_imports()}


@pytest.mark.parametrize("name", GRAPHS)
def test_no_files_import_each_other_in_a_circle(name):
    assert circles(GRAPHS[name]) == []


def test_the_core_knows_nothing_of_python():
    assert "pyo3" not in (CORE.parent / "Cargo.toml").read_text("utf-8")


def test_every_module_opens_with_what_it_is():
    for path in [*CORE.rglob("*.rs"), *BINDING.rglob("*.rs")]:
        assert path.read_text("utf-8").startswith("//! "), path
    for path in PACKAGE.rglob("*.py"):
        assert path.read_text("utf-8").startswith('"""'), path
