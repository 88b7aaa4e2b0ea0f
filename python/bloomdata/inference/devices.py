"""Where weights are put, and in which precision."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_GIB = 1 << 30


def device_options(
    dtype: str, max_memory_fraction: float, gpu_memory: Sequence[str] | None, cpu_memory: float | None
) -> dict[str, Any]:
    """Options of `from_pretrained`; arguments as for `load`. Without an accelerator there is no device map.

    Raises:
        ConfigError: A value is invalid, or a package is not installed.
    """
    import torch

    if not 0 < max_memory_fraction <= 1:
        raise ConfigError(f"max_memory_fraction: expected more than 0 and at most 1, got {max_memory_fraction}")
    options: dict[str, Any] = {"dtype": dtype}
    if dtype == "int8":
        _require("bitsandbytes", 'dtype="int8"')
        from transformers import BitsAndBytesConfig

        options = {"dtype": torch.float32, "quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    num_devices = torch.cuda.device_count()
    given = memory_of(gpu_memory or ())
    if unknown := sorted(set(given) - set(range(num_devices))):
        raise ConfigError(f"gpu_memory: found no accelerator {unknown[0]}; this machine has {num_devices}")
    if not num_devices:
        return options
    _require("accelerate", "an accelerator")
    limits: dict[int | str, int] = {}
    for device in range(num_devices):
        if given:
            limits[device] = given.get(device, 0)
        else:
            limits[device] = int(torch.cuda.mem_get_info(device)[1] * max_memory_fraction)
    if cpu_memory is not None:
        limits["cpu"] = int(cpu_memory * _GIB)
    return {**options, "device_map": "auto", "max_memory": limits}


def memory_of(pairs: Sequence[str]) -> dict[int, int]:
    """Bytes of each accelerator, from pairs `id:GiB`.

    Raises:
        ConfigError: A pair has another form.
    """
    limits = {}
    for pair in pairs:
        device, _, size = pair.partition(":")
        try:
            limits[int(device)] = int(float(size) * _GIB)
        except ValueError:
            raise ConfigError(f"gpu_memory: expected id:GiB, such as 0:20, got {pair!r}") from None
    return limits


def _require(package: str, what: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ConfigError(f"{what} needs {package}: pip install {package}")
