"""A phase before the parts of a run, where what a part does depends on what others hold.

A draw by the number of a line, for example, needs the number of lines in the parts before. A part of the phase reads
what the same part of the run will read, and leaves a small finished folder in `counts/` of the output. That is a folder
of parts with a plan of its own: whatever is true of parts is true of it.

How a verb has such a phase:

- It takes `counting: bool = False`, and is decorated with `counted_first(needs)` of `parts.running` in place of
  `in_parts`. `needs` says of its options, by name and with defaults, whether they need the phase.
- Called with `counting=True` and `part`, the function gets `counts/` as its `output`, and leaves the folder of that
  part there; the options in its plan are those of the run and `counting`.
- Called with `part` alone, it finds what the phase has left in `counts/` beside the folder of its part, and names the
  first part that is missing (`pipeline/folder/counting.rs`).

All parts at once, by an executor or not, begin with the phase. `slurm` makes an array job of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bloomdata.errors import ConfigError

# The folder of what the phase leaves, in that of the run.
COUNTS_NAME = "counts"
# Whether options of a verb, by name and with defaults, need the phase.
Needs = Callable[[Mapping[str, Any]], bool]


def needs_counting(function: Callable[..., Any], options: Mapping[str, Any]) -> bool:
    """Whether a run in parts of a verb with these options begins with the phase."""
    needs: Needs | None = getattr(function, "needs_counting", None)
    return needs is not None and needs(options)


def check_counting(part: int | str | None, *, is_needed: bool) -> None:
    """Refuses to count what nobody needs to know.

    Raises:
        ConfigError: No part is named, or options do not need the phase.
    """
    if part is None:
        raise ConfigError("counting: expected only with part; all parts at once count by themselves, if they need to")
    if not is_needed:
        raise ConfigError("counting: expected False, since parts with these options need to know nothing of others")
