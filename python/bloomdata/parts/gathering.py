"""All parts of a run by an executor: what came of each, and how far they are."""

from __future__ import annotations

import time
from concurrent.futures import BrokenExecutor, Future
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from bloomdata.errors import BloomdataError, MismatchError
from bloomdata.parts.sharing import part_name
from bloomdata.parts.signs import Progress
from bloomdata.parts.table import told_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from bloomdata.options.inputs import OnProgress
    from bloomdata.parts.places import Place

# Between two looks at futures, and at the signs of all parts.
_WAIT_SECONDS, _LOOK_SECONDS = 0.02, 0.5
# Times that a part is tried whose process or machine died.
ATTEMPTS = 3


class Pending(Protocol):
    """What an executor returns."""

    def done(self) -> bool:
        """Whether there is a result."""

    def result(self) -> Any:
        """The result, or the error raised."""


class Executor(Protocol):
    """Whatever runs functions elsewhere: of `concurrent.futures`, a client of Dask, `submitit`, `parts.ray_tasks`."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Pending:
        """Starts `function(*args)`."""


class InTurn:
    """An executor that runs what it is given at once, in this thread."""

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Runs `function(*args)`."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future


class Job(NamedTuple):
    """A part of a run, as it is sent to where it runs."""

    verb: str
    arguments: dict[str, Any]
    number: int

    @property
    def name(self) -> str:
        """Name of the part."""
        return part_name(self.number, self.arguments["parts"])


class Gathering:
    """Runs jobs and waits for them.

    Args:
        executor: Where they run.
        place: Where the parts lie.
        on_progress: Told how far all parts are.
        done: What was done before.
    """

    def __init__(self, executor: Executor, place: Place, on_progress: OnProgress, done: Progress) -> None:
        self._executor = executor
        self._place = place
        self._on_progress = on_progress
        self._done = self._told = done
        self._looked = 0.0
        self._attempts: dict[int, int] = {}
        self._failed: dict[int, Exception] = {}
        self._at_work: set[str] = set()

    def run(self, function: Callable[[Job], Progress], jobs: list[Job]) -> None:
        """Runs all jobs by a function that returns what was done. Each is tried, whatever becomes of the others.

        Raises:
            BloomdataError: What the first part that failed reports; a note names all of them.
            Exception: What the executor reports of a part that died several times.
        """
        waiting, later = jobs[:1], jobs[1:]
        running: list[tuple[Job, Pending]] = []
        while waiting or running:
            running += [(job, future) for job in waiting if (future := self._submit(function, job))]
            # Looked at once: one that ends in between would be in neither list.
            looked = [(job, future, future.done()) for job, future in running]
            running = [(job, future) for job, future, is_done in looked if not is_done]
            ended = [(job, future) for job, future, is_done in looked if is_done]
            waiting = [job for job, future in ended if self._is_to_be_tried_again(job, future)]
            # The first one makes the plan; if it is refused, so would be all others.
            if later and self._place.is_planned():
                waiting, later = [*waiting, *later], []
            self.tell()
            if running and not ended:
                time.sleep(_WAIT_SECONDS)
        if self._failed:
            number, error = min(self._failed.items())
            self._note(number, error)
            raise error
        self.tell(at_once=True)

    def _note(self, number: int, error: Exception) -> None:
        """Says which parts failed, unless the whole run was refused."""
        if self._place.is_planned() and not isinstance(error, MismatchError):
            failed = told_numbers(sorted(self._failed))
            error.add_note(
                f"parts that failed: {failed} (this is the error of part {number}); a rerun does what is missing"
            )

    def _submit(self, function: Callable[[Job], Progress], job: Job) -> Pending | None:
        """Starts a job; None if its executor takes no more."""
        self._at_work.add(job.name)
        try:
            return self._executor.submit(function, job)
        except BrokenExecutor as error:
            self._failed[job.number] = error
            return None

    def _is_to_be_tried_again(self, job: Job, future: Pending) -> bool:
        """Notes what came of a job; whether its process died, which says nothing of its data."""
        self._at_work.discard(job.name)
        try:
            self._done += future.result()
        except (BloomdataError, OSError, TypeError, ValueError) as error:
            # Its data, its options, or its disk: it would fail again.
            self._failed[job.number] = error
        except Exception as error:
            attempts = self._attempts[job.number] = self._attempts.get(job.number, 0) + 1
            if attempts < ATTEMPTS:
                return True
            self._failed[job.number] = error
        return False

    def tell(self, *, at_once: bool = False) -> None:
        """Tells how far all parts are, unless that was just told."""
        now = time.monotonic()
        if self._on_progress is None or (now - self._looked < _LOOK_SECONDS and not at_once):
            return
        self._looked = now
        if not self._told.total:
            self._told = self._told._replace(total=self._place.total_bytes())
        # The last heartbeat of a part that has ended may be seen for a while.
        beats = self._place.beats()
        together = sum((beats[name] for name in self._at_work & beats.keys()), self._done)
        # A part that is tried again begins anew: that would look as if something were lost.
        self._told = Progress(self._told.total, *map(max, self._told[1:], together[1:]))
        self._on_progress(*self._told)
