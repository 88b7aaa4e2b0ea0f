"""The training loop."""

from __future__ import annotations

import functools
import gc
import time
from typing import TYPE_CHECKING, Any

from bloomdata.train import evaluation
from bloomdata.train.attention import packed_inputs
from bloomdata.train.costs import flops, peak_flops
from bloomdata.train.data import Batches, StageData, microbatches, on_device, open_source
from bloomdata.train.documents import document_lengths
from bloomdata.train.engines.engine import from_rank_0, sum_over_ranks
from bloomdata.train.guards import Guard, LossScaler, StopRequest, TrainingStopped
from bloomdata.train.loss import sums_by_source, token_losses
from bloomdata.train.optimizers import set_learning_rate
from bloomdata.train.schedules import learning_rate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bloomdata.train.checkpoints import Checkpointer
    from bloomdata.train.engines.engine import Engine
    from bloomdata.train.recipe import Stage

# Steps between collections of Python's garbage, which would make single steps slow.
_COLLECT_EVERY = 100


class Loop:
    """Trains one stage on one rank.

    Randomness of a step (dropout) is a function of (seed, step, rank), so none of it is in a checkpoint.

    Args:
        stage: What to do.
        data: Its samples.
        engine: Holds the model and its optimizers.
        checkpointer: Saves.
        write: Takes the line of each step for the log.
        folder: Folder of the run.
        allow_contamination: As for `packed_inputs`.
        overfit: Whether to train on the first batch again and again.
    """

    def __init__(
        self,
        stage: Stage,
        data: StageData,
        engine: Engine,
        checkpointer: Checkpointer,
        write: Callable[[dict[str, Any]], None],
        folder: Path,
        *,
        allow_contamination: bool = False,
        overfit: bool = False,
    ) -> None:
        self._stage, self._data, self._engine, self._write = stage, data, engine, write
        self._checkpointer, self._folder = checkpointer, folder
        self._allows_contamination, self._overfits = allow_contamination, overfit
        self.batches = Batches(data, stage.data, stage.batch, engine.rank, engine.world_size)
        self.scaler = LossScaler(stage.precision)
        self.guard = Guard(stage.guards)
        self.step, self.samples = 0, 0
        self._stop = StopRequest()
        self._fixed: dict[str, Any] | None = None

    def run(self, stop: StopRequest) -> str | None:
        """Trains to the end of the stage.

        Returns:
            None, or the name of the signal that ended the run early, after a checkpoint.

        Raises:
            TrainingStopped: A guard stopped the run, after a checkpoint.
        """
        options, self._stop = self._stage.log, stop
        profiler = self._profiler()
        gc.collect()
        gc.disable()
        try:
            while self.step < self._data.steps:
                self._train_step()
                if profiler is not None:
                    profiler.step()
                if self._is_due(options.evaluate_every) and self.step < self._data.steps:
                    self._evaluate()
                if (asked := self._asked_to_stop()) is not None:
                    self._save(wait=True)
                    return asked
                if self._is_due(self._stage.checkpoint.every):
                    self._save(wait=False)
                if self.step % _COLLECT_EVERY == 0:
                    gc.collect()
        finally:
            gc.enable()
            if profiler is not None:
                profiler.stop()
        self._save(wait=True)
        self._evaluate()
        return self._asked_to_stop()

    def _asked_to_stop(self) -> str | None:
        """The signal that rank 0 was sent, on all ranks."""
        name: str | None = from_rank_0(self._stop.name)
        return name

    def _profiler(self) -> Any:
        """Torch's profiler, started; None if no step is to be profiled, or on other ranks than the first."""
        steps = self._stage.log.profile_steps
        if not steps or self._engine.rank:
            return None
        from torch.profiler import profile, schedule

        path = str(self._folder / "profile.json")
        plan = schedule(wait=1, warmup=1, active=steps, repeat=1)
        profiler = profile(schedule=plan, on_trace_ready=lambda found: found.export_chrome_trace(path))
        profiler.start()
        return profiler

    def _is_due(self, every: int) -> bool:
        return bool(every) and self.step % every == 0

    def _train_step(self) -> None:
        import torch

        stage, engine = self._stage, self._engine
        start = time.perf_counter()
        batch = self._next_batch()
        waited = time.perf_counter() - start
        torch.manual_seed(_seed(stage.model.seed, self.step, engine.rank))
        rate = learning_rate(stage.schedule, stage.optimizer.learning_rate, self.samples, self._data.samples)
        set_learning_rate(engine.optimizers, rate / stage.optimizer.learning_rate)

        # The weight of all targets of the step, before any microbatch: each loss counts by its share of it.
        lengths = document_lengths(batch, self._data.tokenizer_facts.get("pad_token_id")).double()
        counts = torch.stack([batch["loss_weights"].sum(), lengths.sum(), (lengths**2).sum()]).double()
        total, tokens, squares = sum_over_ranks(counts.to(engine.device)).tolist()
        sums = torch.zeros(2, len(self._data.names), dtype=torch.float64, device=engine.device)
        parts = microbatches(batch, stage.batch.micro_rows)
        for number, rows in enumerate(parts):
            part = on_device(rows, engine.device)
            with engine.computing(is_last=number == len(parts) - 1):
                inputs = packed_inputs(engine.model, part, allow_contamination=self._allows_contamination)
                losses = token_losses(engine.model(**inputs).logits, part)
                sums += sums_by_source(losses, part, len(self._data.names))
                loss = losses.sum() / max(total, 1e-9) * self.scaler.scale
            engine.backward(loss)
        norm = engine.clip(stage.optimizer.clip_norm, self.scaler.scale)
        sums = sum_over_ranks(sums).cpu()
        mean = float(sums[0].sum()) / max(total, 1e-9)
        verdict, reason = self.guard.judge(mean, 0.0 if norm is None else norm, may_overflow=self.scaler.may_overflow)
        if total == 0:
            verdict, reason = "skip", "no token to train on"
        if verdict == "step":
            after = engine.step()
            norm = after if norm is None else norm
        engine.zero_grad()
        self.scaler.update(is_finite=not reason)
        self.step += 1
        num_rows = len(batch["input_ids"]) * engine.world_size
        self.samples += num_rows
        if self._is_due(stage.log.every) or reason:
            elapsed = time.perf_counter() - start
            facts = {"rows": num_rows, "tokens": tokens, "squares": squares, "waited": waited}
            self._log(mean, norm or 0.0, rate, sums, facts, elapsed, reason)
        if verdict == "stop":
            self._save(wait=True)
            raise TrainingStopped(f"step {self.step}: {reason}; samples {self.batches.sample_ids()}")

    def _next_batch(self) -> dict[str, Any]:
        if self._fixed is not None:
            return self._fixed
        batch = self.batches.next(self.samples)
        if self._overfits:
            self._fixed = batch
        return batch

    def _log(
        self, loss: float, norm: float, rate: float, sums: Any, facts: dict[str, float], elapsed: float, reason: str
    ) -> None:
        import torch

        engine = self._engine
        places = facts["rows"] * self._data.sequence_length
        line: dict[str, Any] = {
            "step": self.step,
            "samples": self.samples,
            "loss": loss,
            "learning_rate": rate,
            "gradient_norm": norm,
            "tokens": int(places),
            "tokens_without_padding": int(facts["tokens"]),
            "tokens_per_second": facts["tokens"] / elapsed,
            "padding": 1 - facts["tokens"] / places,
            "data_wait": facts["waited"] / elapsed,
        }
        if len(self._data.names) > 1:
            means = (sums[0] / sums[1]).tolist()
            line["sources"] = {name: mean for name, mean in zip(self._data.names, means, strict=True) if mean == mean}
        if (peak := peak_flops(engine.device)) is not None:
            done = flops(engine.model, facts["tokens"], facts["squares"])
            line["mfu"] = done / elapsed / (peak * engine.world_size)
        if engine.device.type == "cuda":
            line["peak_memory_bytes"] = torch.cuda.max_memory_allocated(engine.device)
        if self.scaler.is_used:
            line["loss_scale"] = self.scaler.scale
        if reason:
            line["skipped"] = reason
            line["sample_ids"] = self.batches.sample_ids() if self._fixed is None else []
        self._write(line)

    @functools.cached_property
    def _evaluation(self) -> dict[str, Any]:
        """Rows to evaluate, by name."""
        options = self._stage.data
        return {name: open_source(path, options) for name, path in options.evaluation.items()}

    def _evaluate(self) -> None:
        stage, engine = self._stage, self._engine
        tokenizer = self._data.tokenizer
        micro = stage.batch.micro_rows or max(1, stage.batch.rows // engine.world_size)
        found = {
            name: evaluation.evaluate(
                engine,
                rows,
                rows=stage.log.evaluate_rows,
                micro_rows=micro,
                tokenizer=tokenizer,
                allow_contamination=self._allows_contamination,
                is_asked_to_stop=lambda: self._asked_to_stop() is not None,
            )
            for name, rows in self._evaluation.items()
        }
        found = {name: one for name, one in found.items() if one is not None}
        line: dict[str, Any] = {"step": self.step, "evaluation": found} if found else {}
        if texts := evaluation.continuations(engine, stage.log, tokenizer):
            line |= {"step": self.step, "continuations": texts}
        if line:
            self._write(line)

    def _save(self, *, wait: bool) -> None:
        self._checkpointer.save(self.step, self.state_dict(), wait=wait)
        if wait:
            self._checkpointer.finish()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has beside weights and optimizers."""
        return {
            "stage": self._stage.name,
            "step": self.step,
            "samples": self.samples,
            "data": self.batches.state_dict(),
            "scaler": self.scaler.state_dict(),
            "guard": self.guard.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes after the step of a checkpoint."""
        self.step, self.samples = int(state["step"]), int(state["samples"])
        self.batches.load_state_dict(state["data"])
        self.scaler.load_state_dict(state["scaler"])
        self.guard.load_state_dict(state["guard"])


def _seed(seed: int, step: int, rank: int) -> int:
    """A seed for the dropout of a step, different for every (seed, step, rank)."""
    import hashlib

    digest = hashlib.sha256(f"{seed} {step} {rank}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
