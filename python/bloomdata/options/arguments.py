"""Types of arguments: a wrong one is an error that names the argument and what it takes.

What an argument takes stands in the annotation of its parameter. Annotations that hold anything else than plain types
are not checked here: what they mean is known where the argument is used.
"""

from __future__ import annotations

import functools
import inspect
import operator
import os
import re
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar

from bloomdata.errors import ConfigError

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


# By the beginning of an annotation: what it takes in words, and whether a value is one.
_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "str": ("a string", lambda value: isinstance(value, str)),
    "bool": ("True or False", lambda value: isinstance(value, bool)),
    "int": ("a whole number", lambda value: isinstance(value, Integral) and not isinstance(value, bool)),
    "float": ("a number", lambda value: isinstance(value, Real) and not isinstance(value, bool)),
    "None": ("None", lambda value: value is None),
    "os.PathLike[str]": ("a path", lambda value: isinstance(value, os.PathLike)),
    "Sequence[str]": ("a list of strings", lambda value: _is_list(value) and all(isinstance(x, str) for x in value)),
    "Sequence[str | os.PathLike[str]]": (
        "a list of paths",
        lambda value: _is_list(value) and all(isinstance(path, (str, os.PathLike)) for path in value),
    ),
    "Mapping": ("a dictionary", lambda value: isinstance(value, Mapping)),
}


def check_arguments(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Makes a public function check the types of its arguments before it runs. Whole numbers of NumPy become Python's.

    Raises:
        ConfigError: When the function is called: an argument is of a type that its annotation does not have.
    """
    signature = inspect.signature(function)
    kinds = {name: kinds for name, parameter in signature.parameters.items() if (kinds := _kinds(parameter))}

    @functools.wraps(function)
    def checked(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        # A wrong number of arguments is Python's own error, when the function is called.
        given = dict(zip(signature.parameters, args, strict=False)) | kwargs
        for name, value in given.items():
            if name in kinds and not any(fits(value) for _, fits in kinds[name]):
                words = [words for words, _ in kinds[name]]
                expected = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
                kind = "" if isinstance(value, (str, bool, int, float)) else f"{type(value).__name__} "
                raise ConfigError(f"{name}: expected {expected}, got {kind}{value!r:.100}")
        return function(*map(_plain, args), **{name: _plain(value) for name, value in kwargs.items()})

    return checked


def _plain(value: Any) -> Any:
    return operator.index(value) if isinstance(value, Integral) and not isinstance(value, int) else value


def _kinds(parameter: inspect.Parameter) -> list[tuple[str, Callable[[Any], bool]]]:
    """What a parameter takes; nothing if that is not plain."""
    if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or not isinstance(parameter.annotation, str):
        return []
    # Bars inside of brackets are parts of what the brackets describe.
    parts = re.findall(r"[^|\[\]]+(?:\[(?:[^\[\]]|\[[^\[\]]*\])*\])?", parameter.annotation)
    names = [re.sub(r"^Mapping\[.*\]$", "Mapping", part.strip()) for part in parts if part.strip()]
    return [_KINDS[name] for name in names] if all(name in _KINDS for name in names) else []
