"""The few-shot packer of SYSTEMS.md 4.2 as slowly as it is told: every sample is encoded again for each text."""

from __future__ import annotations

HEADER = (
    "Possible labels:\n1. casual\n2. needs caution\n3. needs intervention\n"
    "4. possibly needs caution\n5. probably needs caution"
)


def few_shot(texts, limit, encode):
    """(text, number of texts, all ids); the last may be short."""
    samples, sample, num_texts = [], HEADER, 0
    for text in texts:
        sample, num_texts = f"{sample}\n\n{text}", num_texts + 1
        ids = encode(sample.strip())
        if len(ids) > limit:
            samples.append((sample.strip(), num_texts, ids))
            sample, num_texts = HEADER, 0
    if num_texts:
        samples.append((sample.strip(), num_texts, encode(sample.strip())))
    return samples
