"""`generate_file`: answers to the prompts of a file, resumable."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bloomdata.errors import BloomdataError
from bloomdata.inference.answer_journal import AnswerJournal
from bloomdata.inference.jobs import job_of
from bloomdata.inference.prompt_files import identity_of, read_prompts
from bloomdata.inference.streaming import text_of
from bloomdata.options.paths import output_path

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from bloomdata.inference.batches import Generated, Request
    from bloomdata.inference.jobs import Job
    from bloomdata.inference.model import Model
    from bloomdata.inference.moderation import Moderation
    from bloomdata.inference.prompt_files import Entry
    from bloomdata.options.inputs import OnProgress


@dataclass(frozen=True, kw_only=True)
class GenerateReport:
    """The result of `generate_file`.

    Attributes:
        path: The file of answers.
        counts: `records` = `answered` + `refused` + `errors`; `tokens` of answers.
        was_finished: Whether the same call had finished before.
        seconds: Duration of this call.
    """

    path: Path
    counts: dict[str, int]
    was_finished: bool
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The report as plain values for JSON."""
        return {"path": str(self.path), **self.counts, "was_finished": self.was_finished, "seconds": self.seconds}

    def __str__(self) -> str:
        rows = [f"  {name:<20}{count:>16,}" for name, count in self.counts.items()]
        return "\n".join([f"generate -> {self.path}{' (was finished)' * self.was_finished}", *rows])


def generate_file(
    model: str | os.PathLike[str] | Model,
    prompts: str | os.PathLike[str] | None,
    output: str | os.PathLike[str],
    *,
    prompt_field: str = "prompt",
    answer_field: str = "generated",
    moderation: Moderation | None = None,
    overwrite: bool = False,
    on_progress: OnProgress = None,
    **options: Any,
) -> GenerateReport:
    """Answers the prompts of a file, in its order.

    Each line of the output is a record of the input with `answer_field` (a list for several samples) and
    `finish_reason`, or with `error` where there is no answer. The preset `megatron` writes a line for each sample, with
    `text`, `length` and `finished`; `mindformers` writes `text_generation_text`, a list of prompts with their answers.

    A killed run resumes with the prompts that are left. Inputs are held in memory.

    Args:
        model: As `load` takes it.
        prompts: JSONL records, or lines of text if the name does not say JSONL, plain, .gz or .zst; `-` for lines of
            standard input. Without one there is one empty prompt, which asks for any text.
        output: JSONL file to write.
        prompt_field: Field with the prompt. Records without it may have `messages`.
        answer_field: Field for the answer.
        moderation: What is refused.
        overwrite: Whether to discard the output of an earlier run.
        on_progress: Function called after every batch with (bytes of prompts, bytes answered, records answered, 0).
        **options: Options of `generate` and of `load`.

    Returns:
        A report with the counts.

    Raises:
        ConfigError: An option is invalid, the model cannot be loaded, or the output was not written by this verb.
        MismatchError: The output belongs to a call with other options or prompts.
        CorruptDataError: A file is damaged.
        OSError: The operating system reports an error.

    Command line:
        bloomdata-cli generate model/ --prompt "Translate to English: Je t'aime." --template none
        bloomdata-cli generate model/ --input prompts.jsonl --output answers.jsonl --preset bloomchat
        bloomdata-cli generate bloom/ --preset megatron --num-samples 100 --output samples.jsonl
    """
    started = time.monotonic()
    path = Path(output_path(output))
    entries = [*read_prompts(prompts, prompt_field, answer_field)]
    # How prompts are batched changes no answer.
    batch_tokens = options.pop("batch_tokens", 8192)
    judged = None if moderation is None else moderation.to_json()
    fields = {"prompt_field": prompt_field, "answer_field": answer_field}
    identity = identity_of(model, entries, {**options, **fields, "moderation": judged})
    with AnswerJournal(path, identity, overwrite=overwrite) as journal:
        counts = journal.counts
        if counts is None:
            job = job_of(model, moderation=moderation, batch_tokens=batch_tokens, **options)
            left = [entry for entry in entries if entry.index not in journal.done]
            total = sum(len(entry.line) for entry in entries)
            read = total - sum(len(entry.line) for entry in left)
            for entry, answers in _answered(job, left):
                journal.add(entry.index, _lines(entry, answers, job, answer_field), _counts(answers))
                journal.sync()
                read += len(entry.line)
                if on_progress is not None:
                    on_progress(total, read, len(journal.done), 0)
            counts = journal.finish()
        was_finished = journal.counts is not None
    return GenerateReport(path=path, counts=counts, was_finished=was_finished, seconds=time.monotonic() - started)


def _answered(job: Job, entries: Sequence[Entry]) -> Iterator[tuple[Entry, list[Generated] | str]]:
    """Yields prompts with all of their answers, or with an error, in the order in which they are done."""
    requests: list[Request] = []
    for entry in entries:
        try:
            made = [] if entry.prompt is None else job.requests(entry.index, entry.prompt)
        except BloomdataError as error:
            yield entry, str(error)
            continue
        if entry.prompt is None:
            yield entry, entry.error or ""
        elif refusal := job.refusal(entry.index, entry.prompt):
            yield entry, refusal
        else:
            requests += made
    of_index = {entry.index: entry for entry in entries}
    waiting: dict[int, list[Generated]] = {}
    for batch in job.batches(requests):
        try:
            answers = job.answers(batch)
        except BloomdataError as error:
            for index in {request.key[0] for request in batch} & of_index.keys():
                yield of_index.pop(index), str(error)
            continue
        for answer in answers:
            index = answer.key[0]
            waiting.setdefault(index, []).append(answer)
            if len(waiting[index]) == job.num_samples and index in of_index:
                yield of_index.pop(index), sorted(waiting.pop(index), key=lambda answer: answer.key)


def _lines(entry: Entry, answers: list[Generated] | str, job: Job, field: str) -> list[dict[str, Any]]:
    """The lines of a prompt, in the form of the preset."""
    if isinstance(answers, str):
        return [{**entry.record, "error": answers}]
    if job.form == "megatron":
        return [
            {**entry.record, "text": one.text, "length": len(one.ids), "finished": one.reason != "length"}
            for one in answers
        ]
    if job.form == "mindformers":
        texts = [_whole(job, one) if one.ids else one.text for one in answers]
        return [{**entry.record, "text_generation_text": texts}]
    columns: dict[str, list[Any]] = {
        field: [one.text for one in answers],
        "finish_reason": [one.reason for one in answers],
        **({"logprobs": [one.logprobs for one in answers]} if job.keeps_logprobs else {}),
    }
    is_one = job.num_samples == 1
    return [{**entry.record, **{name: column[0] if is_one else column for name, column in columns.items()}}]


def _whole(job: Job, answer: Generated) -> str:
    """Prompt and answer, with the token that ended it."""
    return text_of(job.model.tokenizer, [*answer.prompt_ids, *answer.ids], skip_special_tokens=False)


def _counts(answers: list[Generated] | str) -> dict[str, int]:
    """What a prompt adds to the counts."""
    if isinstance(answers, str):
        return {"errors": 1}
    is_refused = any(one.reason == "refused" for one in answers)
    return {"refused" if is_refused else "answered": 1, "tokens": sum(len(one.ids) for one in answers)}
