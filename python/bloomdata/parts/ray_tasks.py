"""Parts as tasks of a Ray cluster. Ray moves no data: tasks read inputs and write outputs themselves."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable


class RayTasks:
    """An executor on a Ray cluster: one task a part.

    Args:
        address: The cluster: `auto` for the one that this machine belongs to, `local` for a new one here, or its
            address.
        num_cpus: Processors of a task.

    Raises:
        ConfigError: Ray is not installed, there is no cluster, or none of its machines has so many processors.
    """

    def __init__(self, address: str = "auto", *, num_cpus: int = 1) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise ConfigError("ray: expected to be installed: pip install 'bloomdata[ray]'") from None
        if not ray.is_initialized():
            _connect(address)
        # Ray would wait for such a machine for ever, without a word.
        most = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        if num_cpus > most:
            raise ConfigError(
                f"num_threads: expected at most {most:.0f}, the processors of the largest machine of the Ray cluster, "
                f"got {num_cpus}"
            )
        # What died is tried again by who gathers the parts, in the same way as elsewhere.
        self._task = ray.remote(num_cpus=num_cpus, max_retries=0)(_call)

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Starts `function(*args)` on any machine of the cluster."""
        future: Future[Any] = self._task.remote(function, args).future()
        outer: Future[Any] = Future()
        future.add_done_callback(lambda done: _hand_on(done, outer))
        return outer


def _connect(address: str) -> None:
    """Joins a cluster, or starts one, without a word on the terminal, which is the run's own."""
    import ray
    from ray._private import worker

    # No option keeps what machines report, such as a process that died, from the standard output.
    worker.print_to_stdstream = lambda *_, **__: None
    new = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **new)
    except ConnectionError as error:
        raise ConfigError(f"ray: expected a cluster at {address!r}: {error}") from None


def _call(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return function(*args)


def _hand_on(done: Future[Any], outer: Future[Any]) -> None:
    """A result, or the error of the part itself where Ray has wrapped it."""
    error = done.exception()
    if error is None:
        outer.set_result(done.result())
    else:
        outer.set_exception(getattr(error, "cause", None) or error)
