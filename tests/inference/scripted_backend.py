"""A backend that follows a script, for tests of pages: no model."""

from __future__ import annotations

import threading
import time

from bloomdata.inference.streaming import Ending


class ScriptedBackend:
    """Repeats the message and says how many turns it knows; `slow` takes long, `fail` is an error.

    Attributes:
        asked: Turns, system text and settings of each request.
        ended: How each answer ended: `end`, `stopped`, `closed` by the caller, or `error`.
    """

    name = "scripted"

    def __init__(self, seconds=0.0):
        self.asked, self.ended, self._seconds = [], [], seconds
        self._lock = threading.Lock()

    @property
    def is_busy(self):
        return self._lock.locked()

    def stream(self, conversation, settings, stopped):
        text = conversation.messages[-1]["content"]
        self.asked.append(([dict(turn) for turn in conversation.messages], conversation.system, settings))
        words = [f"word{at} " for at in range(200)] if "slow" in text else ["You ", "said: ", text, "; "]
        words.append(f"{len(conversation.messages)} turns, seed {settings.seed}")
        with self._lock:
            end = "closed"
            try:
                if "fail" in text:
                    end = "error"
                    raise OSError("the server is not there")
                if "bug" in text:
                    end = "error"
                    raise ZeroDivisionError("a fault")
                for word in words:
                    if stopped.is_set():
                        end = "stopped"
                        return Ending("stopped")
                    yield word
                    time.sleep(self._seconds)
                end = "end"
                return Ending("end")
            finally:
                self.ended.append(end)
