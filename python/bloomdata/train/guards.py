"""What can go wrong in a step: overflow, undefined losses, spikes, and signals to stop."""

from __future__ import annotations

import math
import signal
import statistics
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from bloomdata.errors import BloomdataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bloomdata.train.options import GuardOptions, PrecisionOptions

Verdict = Literal["step", "skip", "stop"]


class TrainingStopped(BloomdataError):  # noqa: N818 - a run that stops is no fault of the program
    """A guard stopped the run: too many steps without a finite loss, or a spike."""


class LossScaler:
    """The loss scale of float16.

    Origin:
        `DynamicGradScaler` of Megatron-LM: an overflow halves the scale only once `hysteresis` of them have come since
        the scale last changed, and it never falls below a minimum.
    """

    def __init__(self, options: PrecisionOptions) -> None:
        self._options = options
        self.is_used = options.compute == "float16"
        self.scale = 2.0**options.scale_power if self.is_used else 1.0
        self._good_steps = 0
        self._tolerance = options.scale_hysteresis

    def update(self, *, is_finite: bool) -> None:
        """Adapts the scale to a step."""
        if not self.is_used:
            return
        if is_finite:
            self._good_steps += 1
            if self._good_steps == self._options.scale_window:
                self.scale, self._good_steps, self._tolerance = self.scale * 2, 0, self._options.scale_hysteresis
            return
        self._good_steps = 0
        self._tolerance -= 1
        if self._tolerance <= 0:
            self.scale = max(self._options.scale_min, self.scale / 2)

    @property
    def may_overflow(self) -> bool:
        """Whether the scale can be lower."""
        return self.is_used and self.scale > self._options.scale_min

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"scale": self.scale, "good_steps": self._good_steps, "tolerance": self._tolerance}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores a checkpoint's state."""
        self.scale, self._good_steps = float(state["scale"]), int(state["good_steps"])
        self._tolerance = int(state["tolerance"])


class Guard:
    """Decides whether a step is taken, from its loss and its gradient norm."""

    def __init__(self, options: GuardOptions) -> None:
        self._options = options
        self._bad = 0
        self._losses: deque[float] = deque(maxlen=options.spike_window)

    def judge(self, loss: float, norm: float, *, may_overflow: bool = False) -> tuple[Verdict, str]:
        """What to do with a step, and why.

        Args:
            loss: Its loss.
            norm: The norm of its gradients.
            may_overflow: Whether the loss scale is meant to overflow: it is halved until it does not.
        """
        if not (math.isfinite(loss) and math.isfinite(norm)):
            if may_overflow and math.isfinite(loss):
                return "skip", "overflow"
            self._bad += 1
            reason = f"loss {loss}, gradient norm {norm}: not finite"
            return ("stop" if self._bad > self._options.max_non_finite else "skip"), reason
        self._bad = 0
        if (limit := self._limit()) is not None and loss > limit:
            return self._options.on_spike, f"loss {loss:.4f} above {limit:.4f}: a spike"
        self._losses.append(loss)
        return "step", ""

    def _limit(self) -> float | None:
        """The loss above which a step is a spike; None until the window is full."""
        if not self._options.spike_deviations or len(self._losses) < self._options.spike_window:
            return None
        median = statistics.median(self._losses)
        deviation = statistics.median(abs(loss - median) for loss in self._losses)
        return median + self._options.spike_deviations * max(deviation, 1e-6)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"losses": list(self._losses), "bad": self._bad}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores a checkpoint's state."""
        self._losses.extend(state["losses"])
        self._bad = int(state["bad"])


class StopRequest:
    """Whether the process was asked to stop, by SIGTERM or SIGUSR1, as schedulers of clusters do."""

    def __init__(self) -> None:
        self.name: str | None = None

    def _ask(self, number: int, _frame: object) -> None:
        self.name = signal.Signals(number).name

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Handles the signals, in the main thread; restores the former handlers at the end."""
        import threading

        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGUSR1)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
