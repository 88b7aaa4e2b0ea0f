"""Objects as inputs of a verb. Nothing is imported for runs over files."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from bloomdata.options.inputs import Given
    from bloomdata.storage.staging import Objects


@contextlib.contextmanager
def staged(
    given: Given, scratch: str | os.PathLike[str] | None, scratch_limit: int | str, *, are_cut: bool
) -> Iterator[Objects | None]:
    """Objects as the core takes them, while they are read; None if inputs are none.

    Args:
        given: Inputs.
        scratch: Local folder for what is read.
        scratch_limit: Bytes in it at most.
        are_cut: Whether a part of them is read, and files are cut.
    """
    if not given.are_objects:
        yield None
        return
    from bloomdata.options.checks import byte_count
    from bloomdata.storage.listing import list_objects
    from bloomdata.storage.staging import Staging, scratch_folder, staging_folder

    objects = list_objects(given.paths, with_ends=are_cut)
    folder = staging_folder(scratch_folder(scratch))
    try:
        with Staging(objects, byte_count("scratch_limit", scratch_limit)) as staging:
            yield objects, str(folder), staging
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()
