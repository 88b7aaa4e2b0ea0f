"""Parts as tasks of a Ray cluster. Ray moves no data: tasks read inputs and write outputs themselves."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError
from bloomdata.parts.gathering import ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Callable


class RayTasks:
    """An executor on a Ray cluster: one task a part.

    Args:
        address: The cluster: `auto` for the one that this machine belongs to, `local` for a new one here, or its
            address.
        num_cpus: Processors of a task.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster.
    """

    def __init__(self, address: str = "auto", *, num_cpus: int = 1) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise ConfigError("ray: expected to be installed: pip install 'bloomdata[ray]'") from None
        self._ray = ray
        if not ray.is_initialized():
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
            except ConnectionError as error:
                raise ConfigError(f"ray: expected a cluster at {address!r}: {error}") from None
        # What a part reports of its data would be the same on any machine; a machine that dies is another thing.
        self._task = ray.remote(num_cpus=num_cpus, max_retries=ATTEMPTS, retry_exceptions=False)(_call)

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Starts `function(*args)` on any machine of the cluster."""
        future: Future[Any] = self._task.remote(function, args).future()
        outer: Future[Any] = Future()
        future.add_done_callback(lambda done: _hand_on(done, outer))
        return outer


def _call(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return function(*args)


def _hand_on(done: Future[Any], outer: Future[Any]) -> None:
    """A result, or the error of the part itself where Ray has wrapped it."""
    error = done.exception()
    if error is None:
        outer.set_result(done.result())
    else:
        outer.set_exception(getattr(error, "cause", None) or error)
