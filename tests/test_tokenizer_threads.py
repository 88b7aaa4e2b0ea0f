"""Batches on any number of threads, in other processes, after a fork; Ctrl+C ends them."""

from __future__ import annotations

import os
import pickle
import random
import signal
import threading
import time
import warnings
from itertools import pairwise

import numpy as np
import pytest

import bloomdata
from tokenizer_families import FAMILIES, corpus

# Text that a thread takes at a time.
PART_BYTES = 1 << 18


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request, folder_of):
    """The package's tokenizer of each family, and ours."""
    theirs, folder = folder_of(request.param, "bos and eos")
    return theirs, bloomdata.Tokenizer(folder)


@pytest.fixture(scope="module")
def many():
    """Texts of all sizes, some larger than what a thread takes at a time."""
    rng, lines = random.Random(3), corpus()
    texts = [" ".join(rng.choices(lines, k=rng.choice([0, 1, 1, 5, 40]))) for _ in range(1500)]
    return [*texts, " ".join(lines * 8), "", " ".join(lines * 12), *texts[:7]]


def test_any_number_of_threads_gives_the_same(pair, many):
    ids, offsets = pair[1].encode_batch(many, num_threads=1)
    assert sum(map(len, many)) > 4 * PART_BYTES
    expected = [encoding.ids for encoding in pair[0].encode_batch(many)]
    assert ids.tolist() == [token for part in expected for token in part]
    for threads in [*range(2, 9), None]:
        found, found_offsets = pair[1].encode_batch(many, num_threads=threads)
        assert np.array_equal(ids, found)
        assert np.array_equal(offsets, found_offsets)
    assert np.array_equal(pair[1].count_tokens(many, num_threads=2), np.diff(offsets))


def test_a_pickled_tokenizer_encodes_the_same(pair, many):
    ids, offsets = pair[1].encode_batch(many)
    copy = pickle.loads(pickle.dumps(pair[1]))
    found, found_offsets = copy.encode_batch(many, num_threads=3)
    assert np.array_equal(ids, found)
    assert np.array_equal(offsets, found_offsets)


def child_is_right(tokenizer, texts, ids, offsets):
    """Forks; the child encodes, and is killed if it waits for something that the fork left behind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of threads, which are what this is about
        process = os.fork()
    if process == 0:
        status = 1
        try:
            signal.alarm(30)
            found = tokenizer.encode_batch(texts, num_threads=3)
            is_same = np.array_equal(found[0], ids) and np.array_equal(found[1], offsets)
            for text, (start, end) in zip(texts[:50], pairwise(offsets), strict=False):
                is_same &= np.array_equal(tokenizer.encode(text), ids[start:end])
            status = 0 if is_same else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def test_a_child_encodes_while_threads_of_its_parent_do(pair, many):
    tokenizer, texts, stop = pair[1], many[:300], threading.Event()
    ids, offsets = tokenizer.encode_batch(texts, num_threads=1)
    failed = []

    def work(number):
        while not stop.is_set():
            if number % 2:
                found = tokenizer.encode_batch(texts, num_threads=2)[0]
            else:
                found = np.concatenate([tokenizer.encode(text) for text in texts])
            if not np.array_equal(found, ids):
                failed.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        statuses = [child_is_right(tokenizer, texts, ids, offsets) for _ in range(8)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert statuses == [0] * 8
    assert failed == []


def test_ctrl_c_ends_a_batch(folder_of, interruptible):
    ours = bloomdata.Tokenizer(folder_of("byte-level BPE", "none")[1])
    texts = [" ".join(corpus())] * 20_000
    assert sum(map(len, texts)) > 500 << 20
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    begin = time.monotonic()
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            ours.count_tokens(texts, num_threads=2)
    finally:
        timer.join()
    assert time.monotonic() - begin < 2
    assert ours.encode("the quick").size > 0
