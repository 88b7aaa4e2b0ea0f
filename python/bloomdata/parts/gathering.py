"""All parts of a run by an executor: what came of each, and how far they are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from bloomdata.errors import BloomdataError
from bloomdata.parts.signs import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from bloomdata.options.inputs import OnProgress
    from bloomdata.parts.places import Place

# Between two looks at futures, and at the signs of all parts.
_WAIT_SECONDS, _LOOK_SECONDS = 0.02, 0.5
# Times that a part is tried whose process or machine died.
ATTEMPTS = 3


class Future(Protocol):
    """What an executor returns."""

    def done(self) -> bool:
        """Whether there is a result."""

    def result(self) -> Any:
        """The result, or the error raised."""


class Executor(Protocol):
    """Whatever runs functions elsewhere: of `concurrent.futures`, a client of Dask, `submitit`, `parts.ray_tasks`."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future:
        """Starts `function(*args)`."""


class Job(NamedTuple):
    """A part of a run, as it is sent to where it runs."""

    verb: str
    arguments: dict[str, Any]
    number: int


class Gathering:
    """Runs jobs and waits for them.

    Args:
        executor: Where they run.
        function: What runs a job; it returns bytes read and documents.
        place: Where the parts lie.
        on_progress: Told how far all parts are.
    """

    def __init__(
        self, executor: Executor, function: Callable[[Job], Any], place: Place, on_progress: OnProgress
    ) -> None:
        self._executor = executor
        self._function = function
        self._place = place
        self._on_progress = on_progress
        self._done = Progress()
        self._total = 0
        self._looked = 0.0
        self._attempts: dict[int, int] = {}
        self._failed: dict[int, Exception] = {}

    def run(self, jobs: list[Job]) -> None:
        """Runs all jobs. Each is tried, whatever becomes of the others.

        Raises:
            BloomdataError: What the first part that failed reports; a note names all of them.
            Exception: What the executor reports of a part that died several times.
        """
        waiting = jobs
        while waiting:
            running = [(job, self._executor.submit(self._function, job)) for job in waiting]
            waiting = []
            while running:
                ended = [(job, future) for job, future in running if future.done()]
                running = [(job, future) for job, future in running if not future.done()]
                waiting += [job for job, future in ended if self._is_to_be_tried_again(job, future)]
                self._tell()
                if running and not ended:
                    time.sleep(_WAIT_SECONDS)
        if self._failed:
            number, error = min(self._failed.items())
            numbers = ", ".join(map(str, sorted(self._failed)))
            error.add_note(f"part {number}; parts that failed: {numbers}; a rerun does what is missing")
            raise error

    def _is_to_be_tried_again(self, job: Job, future: Future) -> bool:
        """Notes what came of a job; whether its process died, which says nothing of its data."""
        try:
            read, documents = future.result()
        except (BloomdataError, OSError, TypeError, ValueError) as error:
            # Its data, its options, or its disk: it would fail again.
            self._failed[job.number] = error
        except Exception as error:
            attempts = self._attempts[job.number] = self._attempts.get(job.number, 0) + 1
            if attempts < ATTEMPTS:
                return True
            self._failed[job.number] = error
        else:
            self._done += Progress(0, read, documents)
        return False

    def _tell(self) -> None:
        now = time.monotonic()
        if self._on_progress is None or now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        self._total = self._total or self._place.total_bytes()
        together = sum(self._place.beats(), self._done)
        self._on_progress(self._total, together.read, together.documents, together.written)
