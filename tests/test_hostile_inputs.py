"""Whatever the input, we keep every good document or refuse: a documented success or a documented exception.

Files are given to a worker process, so that a hang, a crash or a panic is a failed test and not the end of all tests.
What was written is read back here without the library.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import select
import shutil
import struct
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import bloomdata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Longer than this is a hang.
TIMEOUT = 60
DOCUMENTED = {
    "ConfigError",
    "CorruptDataError",
    "UnsupportedFormatError",
    "MismatchError",
    "FileNotFoundError",
    "PermissionError",
    "OSError",
}
END_OF_DOCUMENT = 258


# --- the worker ------------------------------------------------------------------------------------------------


def serve() -> None:
    """The worker: one call per line of stdin, one answer per line of stdout."""
    for line in sys.stdin:
        call = json.loads(line)
        try:
            if call["verb"] == "tokenizer":
                tokenizer = bloomdata.Tokenizer(call["inputs"])
                answer: dict[str, Any] = {"ids": tokenizer.encode(call["options"]["text"]).tolist()}
            else:
                function = getattr(bloomdata, call["verb"])
                answer = {"manifest": function(call["inputs"], call["output"], **call["options"]).manifest}
        except BaseException as error:  # a panic is no Exception
            answer = {"error": type(error).__name__, "message": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


@dataclass
class Outcome:
    """What became of one call."""

    error: str | None = None
    message: str = ""
    ledger: dict[str, Any] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    # Texts of all documents, in order.
    texts: list[str] = field(default_factory=list)
    # Lines of all shards, in order.
    lines: list[bytes] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)

    def refused(self, *errors: str) -> str:
        """Checks that the call ended in one of `errors`; what it said."""
        assert self.error in errors, f"{self.error}: {self.message}" if self.error else f"accepted: {self.ledger}"
        assert "please report" not in self.message
        return self.message


class Worker:
    """Calls the library in another process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._process: subprocess.Popen[str] | None = None

    def ask(self, verb: str, inputs: Any, **options: Any) -> Outcome:
        """Calls `verb` with a fresh output folder."""
        if self._process is None:
            # A file, not a pipe: nobody reads while the process works, and a backtrace would fill a pipe and stop it.
            self._errors = (self._folder / "stderr.txt").open("w+", encoding="utf-8")
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
            )
        self._number += 1
        output = self._folder / f"output-{self._number}"
        inputs = [os.fspath(path) for path in inputs] if isinstance(inputs, list) else os.fspath(inputs)
        call = {"verb": verb, "inputs": inputs, "output": str(output), "options": options}
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], TIMEOUT)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self._process.kill()
            errors = self.close()
            pytest.fail(f"{verb} {inputs}: " + (f"crashed: {errors[-2000:]}" if ready else "hangs"))
        outcome = _read(json.loads(line), output)
        shutil.rmtree(output, ignore_errors=True)
        return outcome

    def close(self) -> str:
        """Ends the process; what it said on stderr."""
        if self._process is None:
            return ""
        self._process.communicate(timeout=10)
        self._process = None
        with self._errors:
            self._errors.seek(0)
            return self._errors.read()


def _read(answer: dict[str, Any], output: Path) -> Outcome:
    """Reads what was written, and checks that it fits the answer."""
    if "error" in answer:
        assert answer["error"] in DOCUMENTED, answer
        assert not (output / "manifest.json").exists(), f"refused, but finished: {answer}"
        return Outcome(error=answer["error"], message=answer["message"])
    if "ids" in answer:
        return Outcome(ids=answer["ids"])
    manifest = answer["manifest"]
    outcome = Outcome(ledger=manifest["ledger"], ignored=manifest["ignored_inputs"])
    if manifest["verb"] == "pack":
        outcome.texts = read_documents(output)
    else:
        outcome.lines = read_shards(output, manifest)
    if (output / "quarantine.jsonl").exists():
        quarantine = (output / "quarantine.jsonl").read_bytes().splitlines()
        outcome.quarantine = [json.loads(line) for line in quarantine]
    ledger = outcome.ledger
    assert ledger["documents_kept"] == len(outcome.texts) + len(outcome.lines)
    assert sum(ledger["documents_quarantined"].values()) == len(outcome.quarantine)
    assert Counter(entry["reason"] for entry in outcome.quarantine) == ledger["documents_quarantined"]
    dropped = sum(ledger["documents_dropped"].values())
    assert ledger["documents_in"] == ledger["documents_kept"] + dropped + len(outcome.quarantine)
    return outcome


def read_documents(folder: Path) -> list[str]:
    """Texts of a Megatron pair of the byte tokenizer."""
    [path] = folder.glob("*.idx")
    index = path.read_bytes()
    version, code, sequences, documents = struct.unpack_from("<QBQQ", index, 9)
    assert (index[:9], version, code) == (b"MMIDIDX\0\0", 1, 8)
    lengths = np.frombuffer(index, "<i4", sequences, 34)
    bounds = np.frombuffer(index, "<i8", documents, 34 + 12 * sequences)
    assert bounds.tolist() == list(range(sequences + 1))
    tokens = np.fromfile(path.with_suffix(".bin"), "<u2")
    assert len(tokens) == lengths.sum()
    texts = []
    for document in np.split(tokens, np.cumsum(lengths)[:-1]) if sequences else []:
        assert document[-1] == END_OF_DOCUMENT
        texts.append(document[:-1].astype(np.uint8).tobytes().decode())
    return texts


def read_shards(folder: Path, manifest: dict[str, Any]) -> list[bytes]:
    """Lines of all shards."""
    lines = []
    for entry in manifest["outputs"]:
        if entry["path"].endswith(".zst"):
            with (folder / entry["path"]).open("rb") as file:
                content = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
            lines += content.removesuffix(b"\n").split(b"\n")
    return lines


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(tmp_path_factory.mktemp("outputs"))
    yield worker
    worker.close()


@pytest.fixture
def pack(process: Worker) -> Callable[..., Outcome]:
    def call(inputs: Any, **options: Any) -> Outcome:
        return process.ask("pack", inputs, **{"tokenizer": "bytes", "format": "megatron", **options})

    return call


@pytest.fixture
def shard(process: Worker) -> Callable[..., Outcome]:
    def call(inputs: Any, **options: Any) -> Outcome:
        return process.ask("shard", inputs, **options)

    return call


def jsonl(texts: list[str]) -> bytes:
    return b"".join(json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n" for text in texts)


def zstd(data: bytes, *, level: int = 3, size: bool = True, checksum: bool = True) -> bytes:
    """One frame."""
    return zstandard.ZstdCompressor(level=level, write_content_size=size, write_checksum=checksum).compress(data)


def gz(data: bytes) -> bytes:
    """One member."""
    return gzip.compress(data, mtime=0)


def skippable(data: bytes, number: int = 0) -> bytes:
    return struct.pack("<II", 0x184D2A50 + number, len(data)) + data


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


TEN = [f"document {number}: naïve 文字 \U0001f600" for number in range(10)]


# --- the probes that rivals fail -------------------------------------------------------------------------------


def test_probe_clean_file_gives_all_ten_documents(pack, shard, tmp_path):
    path = write(tmp_path / "a.jsonl", jsonl(TEN))
    assert pack(path).texts == TEN
    assert b"\n".join(shard(path).lines) + b"\n" == jsonl(TEN)


def check_bad_fifth_line(bad: bytes, reason: str, pack: Any, tmp_path: Path) -> None:
    """Refused with file, line and offset, or set aside with its bytes; the other nine are kept."""
    lines = jsonl(TEN).splitlines(keepends=True)
    lines[4] = bad + b"\n"
    offset = sum(len(line) for line in lines[:4])
    path = write(tmp_path / "a.jsonl", b"".join(lines))
    message = pack(path).refused("CorruptDataError")
    assert f"{path}: line 5: offset {offset}: " in message
    assert "quarantine" in message
    outcome = pack(path, on_bad_record="quarantine")
    assert outcome.texts == TEN[:4] + TEN[5:]
    [entry] = outcome.quarantine
    raw = entry["raw"].encode() if "raw" in entry else bytes.fromhex(entry["raw_hex"])
    assert (entry["file"], entry["line"], entry["offset"], entry["reason"], raw) == (str(path), 5, offset, reason, bad)


def test_probe_malformed_fifth_line_loses_no_other(pack, tmp_path):
    check_bad_fifth_line(b'{"text": "broken', "malformed JSON", pack, tmp_path)


def test_probe_fifth_line_without_text_loses_no_other(pack, tmp_path):
    check_bad_fifth_line(b'{"content": "x"}', "missing field", pack, tmp_path)


def test_probe_fifth_line_with_null_text_loses_no_other(pack, tmp_path):
    check_bad_fifth_line(b'{"text": null}', "null field", pack, tmp_path)


def test_probe_fifth_line_with_invalid_utf8_loses_no_other(pack, tmp_path):
    check_bad_fifth_line(b'{"text": "caf\xe9"}', "invalid UTF-8", pack, tmp_path)


def test_probe_clean_zst_gives_all_ten_documents(pack, tmp_path):
    assert pack(write(tmp_path / "a.jsonl.zst", zstd(jsonl(TEN)))).texts == TEN


def test_probe_two_zstd_frames_give_all_twenty_documents(pack, tmp_path):
    assert pack(write(tmp_path / "a.jsonl.zst", zstd(jsonl(TEN)) * 2)).texts == TEN * 2


@pytest.mark.parametrize("on_bad_record", ["raise", "quarantine"])
def test_probe_truncated_zst_of_four_hundred_documents_is_refused(on_bad_record, pack, tmp_path):
    data = zstd(jsonl([f"document {number} {random.Random(number).random()}" for number in range(400)]))
    path = write(tmp_path / "a.jsonl.zst", data[: len(data) // 2])
    message = pack(path, on_bad_record=on_bad_record).refused("CorruptDataError")
    assert f"{path}: offset {len(data) // 2}" in message


# --- empty, garbage, truncated, flipped ------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".json", ".txt"])
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n", b" \r\n\t\n", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("compress", [lambda data: data, gz, zstd], ids=["plain", "gz", "zst"])
def test_a_file_of_nothing_holds_no_documents(suffix, content, compress, pack, shard, tmp_path):
    ending = {"gz": ".gz", "zstd": ".zst"}.get(compress.__name__, "")
    path = write(tmp_path / f"a{suffix}{ending}", compress(content))
    for call in (pack, shard):
        outcome = call(path)
        assert outcome.error is None, outcome.message
        assert outcome.ledger["documents_kept"] == 0
        # Lines are records; white space between JSON values is not.
        blank = 0 if suffix == ".json" else content.count(b"\n")
        assert outcome.ledger["documents_dropped"] == ({"blank line": blank} if blank else {})
        assert outcome.ledger["bytes_in"] == len(content)


def test_an_empty_input_gives_empty_outputs_that_open_and_verify(tmp_path):
    path = write(tmp_path / "a.jsonl", b"")
    for name, options in {
        "megatron": {"format": "megatron"},
        "hdf5": {"sequence_length": 8},
        "gzip": {"sequence_length": 8, "compression": "gzip"},
    }.items():
        bloomdata.pack(path, tmp_path / name, tokenizer="bytes", **options)
        bloomdata.verify(tmp_path / name)
        assert len(bloomdata.open(tmp_path / name)) == 0


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".txt"])
@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_compressed_file_of_no_bytes_is_truncated(suffix, ending, pack, tmp_path):
    path = write(tmp_path / f"a{suffix}{ending}", b"")
    assert "offset 0" in pack(path).refused("CorruptDataError")


def test_an_empty_file_between_others_takes_nothing_from_them(pack, tmp_path):
    write(tmp_path / "1.jsonl", jsonl(TEN[:5]).removesuffix(b"\n"))
    write(tmp_path / "2.jsonl", b"")
    write(tmp_path / "3.jsonl.gz", gz(b""))
    write(tmp_path / "4.jsonl", jsonl(TEN[5:]))
    assert pack(tmp_path).texts == TEN


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize(
    "content",
    [
        b"\0",
        b"\x1f",
        b"\x28\xb5\x2f",
        b"\0" * 100,
        b"garbage " * 100,
        jsonl(TEN),
        random.Random(1).randbytes(1000),
        b"\x1f\x8b" + random.Random(2).randbytes(1000),
        b"\x1f\x8b\x08\x00" + random.Random(3).randbytes(1000),
        b"\x28\xb5\x2f\xfd" + random.Random(4).randbytes(1000),
        b"\x28\xb5\x2f\xfd",
        b"\x50\x2a\x4d\x18",
        b"\x50\x2a\x4d\x18\xff\xff\xff\xff",
        b"BZh91AY&SY" + bytes(100),
        b"PK\x03\x04" + bytes(100),
    ],
    ids=range(15),
)
def test_garbage_under_a_compressed_name_is_corrupt(ending, content, pack, shard, tmp_path):
    path = write(tmp_path / f"a.jsonl{ending}", content)
    for call in (pack, shard):
        assert f"{path}: offset " in call(path).refused("CorruptDataError")


def test_one_compression_under_the_name_of_the_other_is_refused(pack, tmp_path):
    data = jsonl(TEN)
    assert "zst" in pack(write(tmp_path / "a.jsonl", zstd(data))).refused("UnsupportedFormatError")
    assert "gz" in pack(write(tmp_path / "b.jsonl", gz(data))).refused("UnsupportedFormatError")
    pack(write(tmp_path / "c.jsonl.gz", zstd(data))).refused("CorruptDataError", "UnsupportedFormatError")
    pack(write(tmp_path / "d.jsonl.zst", gz(data))).refused("CorruptDataError", "UnsupportedFormatError")
    pack(write(tmp_path / "e.jsonl.gz", gz(gz(data)))).refused("CorruptDataError", "UnsupportedFormatError")


def cuts(size: int, *also: int) -> list[int]:
    """Some 40 lengths below `size`: all short ones, all long ones, and some between."""
    return sorted({*range(1, 15), *range(15, size, max(1, size // 16)), *range(size - 10, size), *also})


MANY = [f"document {number} {random.Random(number).random()}" for number in range(300)]
PARTS = [jsonl(MANY[:100]), jsonl(MANY[100:200]), jsonl(MANY[200:])]
COMPRESSED = {
    "one gzip member.jsonl.gz": [gz(jsonl(MANY))],
    "three gzip members.jsonl.gz": [gz(part) for part in PARTS],
    "one frame.jsonl.zst": [zstd(jsonl(MANY))],
    "three frames.jsonl.zst": [zstd(part) for part in PARTS],
    "frame without size.jsonl.zst": [zstd(jsonl(MANY), size=False)],
    "three frames without size.jsonl.zst": [zstd(part, size=False) for part in PARTS],
    "text.txt.zst": [zstd("\n".join(MANY).encode())],
    "text.txt.gz": [gz("\n".join(MANY).encode())],
    "array.json.zst": [zstd(json.dumps([{"text": text} for text in MANY]).encode())],
}


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_compressed_file_truncated_anywhere_is_refused(name, pack, tmp_path):
    parts = COMPRESSED[name]
    data = b"".join(parts)
    boundaries = np.cumsum([len(part) for part in parts]).tolist()
    path = write(tmp_path / name, data)
    assert pack(path).texts == MANY
    for length in cuts(len(data), *boundaries[:-1]):
        outcome = pack(write(path, data[:length]))
        if length in boundaries:
            # Whole members or frames: nothing in the file says that more followed.
            assert outcome.texts == MANY[: 100 * (boundaries.index(length) + 1)]
        else:
            assert f"{path}: offset " in outcome.refused("CorruptDataError"), length


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_flipped_byte_in_a_compressed_file_is_refused_or_harmless(name, pack, tmp_path):
    data = b"".join(COMPRESSED[name])
    rng = random.Random(name)
    places = {*range(20), *rng.sample(range(len(data)), 40), *range(len(data) - 9, len(data))}
    refused = 0
    for place in sorted(places):
        damaged = bytearray(data)
        damaged[place] ^= rng.randint(1, 255)
        outcome = pack(write(tmp_path / name, bytes(damaged)))
        if outcome.error is None:
            # The time in a gzip header, say.
            assert outcome.texts == MANY, place
        else:
            outcome.refused("CorruptDataError")
            refused += 1
    assert refused > len(places) / 2


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize(
    "garbage", [b"\0", b"\0\0\0\0", b"\n", b"xyz", b"garbage " * 50, b"\x1f\x8b", b"\x28\xb5\x2f\xfd"]
)
def test_garbage_behind_compressed_data_is_refused(ending, garbage, pack, tmp_path):
    data = (gz if ending == ".gz" else zstd)(jsonl(TEN))
    path = write(tmp_path / f"a.jsonl{ending}", data + garbage)
    assert f"{path}: offset " in pack(path).refused("CorruptDataError")


# --- frames and members of every kind --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [True, False], ids=["with size", "without size"])
def test_ten_thousand_frames_of_one_line_keep_every_line(size, pack, shard, tmp_path):
    texts = [f"line {number}" for number in range(10_000)]
    compressor = zstandard.ZstdCompressor(level=1, write_content_size=size)
    path = write(tmp_path / "a.jsonl.zst", b"".join(compressor.compress(jsonl([text])) for text in texts))
    assert pack(path).texts == texts
    assert b"\n".join(shard(path).lines) + b"\n" == jsonl(texts)


def test_ten_thousand_gzip_members_of_one_line_keep_every_line(pack, tmp_path):
    texts = [f"line {number}" for number in range(10_000)]
    path = write(tmp_path / "a.jsonl.gz", b"".join(gzip.compress(jsonl([text]), 1, mtime=0) for text in texts))
    assert pack(path).texts == texts


@pytest.mark.parametrize("size", [True, False], ids=["with size", "without size"])
def test_one_giant_frame_keeps_every_document(size, pack, tmp_path):
    texts = [f"{number} " + "x" * 100_000 for number in range(700)]
    path = write(tmp_path / "a.jsonl.zst", zstd(jsonl(texts), level=1, size=size))
    assert pack(path).texts == texts


@pytest.mark.parametrize("compress", [gz, zstd, lambda data: zstd(data, size=False)], ids=["gz", "zst", "zst-no-size"])
def test_members_and_frames_may_end_anywhere_even_inside_a_character(compress, pack, tmp_path):
    data = b"\xef\xbb\xbf" + jsonl(TEN[:3]) + b"\r\n" + jsonl(TEN[3:5])
    ending = ".gz" if compress is gz else ".zst"
    for place in [*range(12), *range(12, len(data), 5)]:
        parts = [data[:place], b"", data[place : place + 1], data[place + 1 :]]
        path = write(tmp_path / f"a.jsonl{ending}", b"".join(compress(part) for part in parts))
        outcome = pack(path)
        assert outcome.texts == TEN[:5], f"cut at {place}: {outcome.message}"


def test_skippable_frames_are_skipped_wherever_they_stand(pack, tmp_path):
    first, second = zstd(jsonl(TEN[:5])), zstd(jsonl(TEN[5:]))
    for number in range(16):
        extra = skippable(b"anything", number)
        data = extra + first + extra + skippable(b"") + second + extra
        assert pack(write(tmp_path / "a.jsonl.zst", data)).texts == TEN
    large = skippable(random.Random(1).randbytes(20 << 20))
    assert pack(write(tmp_path / "b.jsonl.zst", large + first + large + second)).texts == TEN
    assert pack(write(tmp_path / "c.jsonl.zst", skippable(b"nothing else"))).texts == []
    # One that says that it is longer than the file.
    lie = first + struct.pack("<II", 0x184D2A50, 1000) + second
    pack(write(tmp_path / "d.jsonl.zst", lie)).refused("CorruptDataError")


def with_content_size(frame: bytes, size: int) -> bytes:
    """The frame with another content size in its header (RFC 8878, 3.1.1.1), stored in 8 bytes."""
    descriptor = frame[4]
    single, flag = descriptor >> 5 & 1, descriptor >> 6
    old = [1 if single else 0, 2, 4, 8][flag]
    window = b"" if single else frame[5:6]
    body = frame[5 + len(window) + old :]
    return frame[:4] + bytes([descriptor | 0xC0]) + window + struct.pack("<Q", size) + body


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("place", ["alone", "first", "last"])
def test_a_frame_that_lies_about_its_size_is_refused(checksum, place, pack, tmp_path):
    data = jsonl(TEN)
    frame = zstd(data, checksum=checksum)
    before, after = {"alone": (b"", b""), "first": (b"", frame), "last": (frame, b"")}[place]
    honest = write(tmp_path / "a.jsonl.zst", before + with_content_size(frame, len(data)) + after)
    assert pack(honest).texts == TEN * (1 if place == "alone" else 2)
    for size in (0, 1, len(data) - 1, len(data) + 1, 1 << 20, 17 << 20, 1 << 40, (1 << 64) - 3):
        path = write(tmp_path / "a.jsonl.zst", before + with_content_size(frame, size) + after)
        outcome = pack(path)
        assert outcome.error is not None, f"{size} instead of {len(data)}: {outcome.ledger}"
        assert f"{path}: offset " in outcome.refused("CorruptDataError")


@pytest.mark.parametrize("window_log", [27, 30, 31])
def test_long_windows_are_read(window_log, pack, tmp_path):
    parameters = zstandard.ZstdCompressionParameters(
        compression_level=1, window_log=window_log, enable_ldm=True, write_content_size=False
    )
    data = zstandard.ZstdCompressor(compression_params=parameters).compress(jsonl(TEN))
    assert pack(write(tmp_path / "a.jsonl.zst", data)).texts == TEN


def test_a_frame_that_needs_a_dictionary_is_refused(pack, tmp_path):
    dictionary = zstandard.ZstdCompressionDict(
        random.Random(1).randbytes(1000), dict_type=zstandard.DICT_TYPE_RAWCONTENT
    )
    trained = zstandard.train_dictionary(2000, [jsonl([text]) for text in MANY])
    for number, kind in enumerate((dictionary, trained)):
        data = zstandard.ZstdCompressor(dict_data=kind).compress(jsonl(MANY))
        outcome = pack(write(tmp_path / f"{number}.jsonl.zst", data))
        if outcome.error is None:
            assert outcome.texts == MANY  # raw content that nothing referred to
        else:
            outcome.refused("CorruptDataError")


PEAK = """
import resource, sys, bloomdata
report = bloomdata.pack(sys.argv[1], sys.argv[2], tokenizer="bytes", format="megatron", num_threads=2)
print(report.ledger["documents_in"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is counted in other units elsewhere")
@pytest.mark.parametrize("line", [b"\n", b"x\n"], ids=["blank lines", "lines of one letter"])
def test_a_small_file_that_decompresses_to_much_is_read_in_bounded_memory(line, tmp_path):
    peaks = []
    for megabytes in (64, 192):
        path = write(tmp_path / f"{megabytes}.txt.zst", zstd(line * (megabytes * 1_000_000 // len(line)), size=False))
        command = [sys.executable, "-c", PEAK, path, tmp_path / f"output-{megabytes}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT)
        documents, peak = done.stdout.split()
        assert int(documents) == megabytes * 1_000_000 // len(line)
        peaks.append(int(peak))
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_a_line_of_a_hundred_megabytes_is_kept(ending, pack, shard, tmp_path):
    texts = ["before", "é" * 50_000_000, "after"]
    compress = {
        "": lambda data: data,
        ".gz": lambda data: gzip.compress(data, 1),
        ".zst": lambda data: zstd(data, level=1),
    }
    path = write(tmp_path / f"a.jsonl{ending}", compress[ending](jsonl(texts)))
    assert pack(path).texts == texts
    assert b"\n".join(shard(path).lines) + b"\n" == jsonl(texts)


# --- records ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
@pytest.mark.parametrize(
    "record",
    [
        '{"text": "a", "x": ' + "[" * 1_000_000 + "]" * 1_000_000 + "}",
        '{"text": "a", "x": ' + '{"y":' * 500_000 + "1" + "}" * 500_000 + "}",
        '{"text": ' + "[" * 1_000_000 + "]" * 1_000_000 + "}",
        "[" * 1_000_000 + "]" * 1_000_000,
        '{"text":' * 500_000 + '"a"' + "}" * 500_000,
    ],
    ids=["unread array", "unread object", "text is an array", "bare array", "objects"],
)
def test_deep_nesting_is_kept_or_set_aside_but_never_overflows(suffix, record, pack, shard, tmp_path):
    if suffix == ".json":
        content = f'[{{"text": "before"}},\n{record},\n{{"text": "after"}}]'
    else:
        content = f'{{"text": "before"}}\n{record}\n{{"text": "after"}}\n'
    path = write(tmp_path / f"a{suffix}", content.encode())
    for call in (pack, shard):
        outcome = call(path, on_bad_record="quarantine")
        assert outcome.error is None, outcome.message
        assert outcome.ledger["documents_in"] == 3
        reasons = {entry["reason"] for entry in outcome.quarantine}
        assert reasons <= {"malformed JSON", "field is not a string", "not a JSON object"}
    outcome = pack(path, on_bad_record="quarantine")
    assert [text for text in outcome.texts if text != "a"] == ["before", "after"]


def test_deep_nesting_that_never_ends_is_refused(pack, tmp_path):
    for suffix in (".jsonl", ".json"):
        for opening in ("[", '{"text":'):
            pack(write(tmp_path / f"a{suffix}", opening.encode() * 1_000_000)).refused("CorruptDataError")


def test_nul_bytes_are_text_in_text_files_and_malformed_in_json(pack, tmp_path):
    assert pack(write(tmp_path / "a.txt", b"a\0b\n\0\n")).texts == ["a\0b", "\0"]
    assert pack(write(tmp_path / "a.jsonl", b'{"text": "a\\u0000b"}\n')).texts == ["a\0b"]
    message = pack(write(tmp_path / "b.jsonl", b'{"text": "a\0b"}\n')).refused("CorruptDataError")
    assert "line 1: offset 0: malformed JSON" in message
    outcome = pack(write(tmp_path / "c.jsonl", jsonl(TEN) + b"\0\n" + b"\0" * 4096), on_bad_record="quarantine")
    assert (outcome.texts, len(outcome.quarantine)) == (TEN, 2)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".txt"])
def test_utf_16_is_an_unsupported_format(encoding, suffix, pack, shard, tmp_path):
    text = jsonl(TEN).decode()
    data = ("\ufeff" if encoding.endswith("be") else "").encode(encoding) + text.encode(encoding)
    for call in (pack, shard):
        call(write(tmp_path / f"a{suffix}", data)).refused("UnsupportedFormatError")
        for ending, compress in ((".gz", gz), (".zst", zstd)):
            path = write(tmp_path / f"a{suffix}{ending}", compress(data))
            call(path).refused("UnsupportedFormatError", "CorruptDataError")


def test_text_that_begins_like_an_archive_is_text(pack, tmp_path):
    assert pack(write(tmp_path / "a.txt", b"BZhuang says hello\n")).texts == ["BZhuang says hello"]


SEPARATORS = "a\u2028b\u2029c\x0bd\x0ce\x85f\x1cg\x1eh"


def test_only_newlines_end_lines(pack, shard, tmp_path):
    # U+2028 and others end lines in Python's str.splitlines, not here.
    texts = [SEPARATORS, "x"]
    content = json.dumps([{"text": text} for text in texts], ensure_ascii=False).encode()
    assert pack(write(tmp_path / "a.json", content)).texts == texts
    line = json.dumps({"text": SEPARATORS}, ensure_ascii=False).encode()
    assert pack(write(tmp_path / "a.jsonl", line + b"\n" + line)).texts == [SEPARATORS] * 2
    assert shard(tmp_path / "a.jsonl").lines == [line] * 2
    assert pack(write(tmp_path / "a.txt", "\n".join(texts).encode())).texts == texts
    assert [json.loads(line)["text"] for line in shard(tmp_path / "a.txt").lines] == texts


def test_a_lone_carriage_return_ends_no_line(pack, tmp_path):
    assert pack(write(tmp_path / "a.txt", b"a\rb\r\n\rc")).texts == ["a\rb", "\rc"]


def test_arrays_are_read_however_they_are_printed(pack, shard, tmp_path):
    records = [{"text": text, "more": {"a": [1, 2.5, None, True, {}], "b": []}} for text in [*TEN, 'a "quote\\" ,]}']]
    texts = [record["text"] for record in records]
    for number, options in enumerate(
        [{}, {"indent": 4}, {"indent": "\t"}, {"separators": (",", ":")}, {"ensure_ascii": False, "indent": 0}]
    ):
        path = write(tmp_path / f"{number}.json", json.dumps(records, **options).encode())
        assert pack(path).texts == texts
        assert [json.loads(line) for line in shard(path).lines] == records
    values = "\n\n".join(json.dumps(record, indent=2) for record in records)
    assert pack(write(tmp_path / "values.json", values.encode())).texts == texts
    crlf = json.dumps(records, indent=2).replace("\n", "\r\n")
    assert pack(write(tmp_path / "crlf.json", b"\xef\xbb\xbf" + crlf.encode())).texts == texts


def test_an_array_truncated_anywhere_is_refused(pack, shard, tmp_path):
    data = json.dumps([{"text": text, "list": [1]} for text in TEN[:5]], indent=1).encode()
    for length in cuts(len(data)):
        path = write(tmp_path / "a.json", data[:length])
        for call in (pack, shard):
            message = call(path, on_bad_record="quarantine").refused("CorruptDataError")
            assert f"{path}: offset {length}: truncated" in message, length


@pytest.mark.parametrize(
    "content",
    [
        '[{"text": "a"},]',
        '[,{"text": "a"}]',
        '[{"text": "a"},,{"text": "b"}]',
        '[{"text": "a"} {"text": "b"}]',
        '[{"text": "a"}]]',
        '[{"text": "a"}] x',
        '[{"text": "a"}][{"text": "b"}]',
        '[{"text": "a"}}',
        '{"text": "a"}]',
        '{"text": "a"},{"text": "b"}',
        'x[{"text": "a"}]',
        '"text"',
        "12",
        "]",
        "}",
    ],
)
def test_a_broken_array_is_refused_with_the_offset(content, pack, shard, tmp_path):
    path = write(tmp_path / "a.json", content.encode())
    for call in (pack, shard):
        # What follows cannot be trusted, so nothing is quarantined.
        assert f"{path}: offset " in call(path, on_bad_record="quarantine").refused("CorruptDataError")


def test_bad_elements_of_an_array_are_set_aside_one_by_one(pack, tmp_path):
    elements = ['{"text": "a"}', "1", "null", '"s"', "[]", "{}", '{"text": tru}', '{"text": 1}', '{"text": "b"}']
    content = "[" + ",\n ".join(elements) + "]"
    path = write(tmp_path / "a.json", content.encode())
    outcome = pack(path, on_bad_record="quarantine")
    assert outcome.texts == ["a", "b"]
    assert [entry["line"] for entry in outcome.quarantine] == [2, 3, 4, 5, 6, 7, 8]
    starts = [content.index(f" {element}") + 1 for element in elements[1:8]]
    assert [entry["offset"] for entry in outcome.quarantine] == starts
    assert "line 2: offset" in pack(path).refused("CorruptDataError")


def test_mutated_files_never_break_the_books(pack, shard, tmp_path):
    rng = random.Random(5)
    seeds = {
        ".jsonl": jsonl(TEN),
        ".json": json.dumps([{"text": text} for text in TEN], indent=1).encode(),
        ".txt": "\r\n".join(TEN).encode(),
    }
    alphabet = [
        b"\n",
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\\ud800",
        b"null",
    ]
    for _ in range(150):
        suffix = rng.choice(list(seeds))
        data = bytearray(seeds[suffix])
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(data) + 1)
            data[place : place + rng.choice([0, 0, 1, 5])] = rng.choice(alphabet) * rng.choice([1, 1, 3])
        path = write(tmp_path / f"a{suffix}", bytes(data))
        for call in (pack, shard):
            outcome = call(path, on_bad_record="quarantine")
            if outcome.error is not None:
                outcome.refused("CorruptDataError" if suffix == ".json" else "none")
            elif suffix != ".json":
                lines = bytes(data).removeprefix(b"\xef\xbb\xbf").split(b"\n")
                assert outcome.ledger["documents_in"] == len(lines) - (lines[-1] == b"")
                assert outcome.ledger["bytes_in"] == len(data)


# --- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a", "a.jsonl.bz2", "a.jsonl.tmp", "a.gz", "a.parquet.gz", "a.jsonlx"])
def test_a_name_that_says_nothing_is_an_unsupported_format(name, pack, tmp_path):
    path = write(tmp_path / name, jsonl(TEN))
    assert str(path) in pack(path).refused("UnsupportedFormatError")


def test_suffixes_are_read_in_any_case(pack, tmp_path):
    assert pack(write(tmp_path / "A.JSONL.GZ", gz(jsonl(TEN)))).texts == TEN


def test_a_file_of_unknown_format_in_a_folder_is_named(pack, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN))
    other = write(tmp_path / "b.csv", b"text\nx\n")
    outcome = pack(tmp_path)
    assert (outcome.texts, outcome.ignored) == (TEN, [str(other)])


def test_a_folder_with_the_name_of_a_file_is_a_folder(pack, tmp_path):
    # Spark writes such folders.
    write(tmp_path / "out.jsonl" / "part-0.jsonl", jsonl(TEN))
    assert pack(tmp_path / "out.jsonl").texts == TEN
    assert pack(tmp_path).texts == TEN


def accounted_for(outcome: Outcome, good: list[str], odd: Path) -> None:
    """Refused, or `odd` is named among what was not read."""
    if outcome.error is None:
        assert outcome.texts == good
        assert any(odd.name in path for path in outcome.ignored), f"nobody was told of {odd}"


def test_a_folder_that_a_pattern_matches_is_not_lost_in_silence(pack, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN[:5]))
    write(tmp_path / "b.jsonl" / "part-0.jsonl", jsonl(TEN[5:]))
    outcome = pack(str(tmp_path / "*.jsonl"))
    if outcome.texts != TEN:
        accounted_for(outcome, TEN[:5], tmp_path / "b.jsonl")


def test_a_dangling_link_is_not_lost_in_silence(pack, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN))
    (tmp_path / "b.jsonl").symlink_to("nowhere.jsonl")
    assert "b.jsonl" in pack(tmp_path / "b.jsonl").refused("FileNotFoundError")
    accounted_for(pack(tmp_path), TEN, tmp_path / "b.jsonl")
    accounted_for(pack(str(tmp_path / "*.jsonl")), TEN, tmp_path / "b.jsonl")


def test_links_that_go_in_circles_are_refused(pack, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN))
    (tmp_path / "b.jsonl").symlink_to("b.jsonl")
    assert "b.jsonl" in pack(tmp_path / "b.jsonl").refused("OSError")
    accounted_for(pack(tmp_path), TEN, tmp_path / "b.jsonl")
    accounted_for(pack(str(tmp_path / "*.jsonl")), TEN, tmp_path / "b.jsonl")
    (tmp_path / "b.jsonl").unlink()
    (tmp_path / "folder").symlink_to(".")
    outcome = pack(tmp_path)
    if outcome.error is None:
        assert outcome.texts == TEN
    else:
        outcome.refused("OSError", "ConfigError")


def test_a_link_to_a_file_is_read_once(pack, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN))
    (tmp_path / "b.jsonl").symlink_to("a.jsonl")
    assert pack(tmp_path / "b.jsonl").texts == TEN
    assert "twice" in pack(tmp_path).refused("ConfigError")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe_is_refused_and_never_waited_for(pack, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN))
    os.mkfifo(tmp_path / "b.jsonl")
    assert "b.jsonl" in pack(tmp_path / "b.jsonl").refused("ConfigError")
    accounted_for(pack(tmp_path), TEN, tmp_path / "b.jsonl")
    accounted_for(pack(str(tmp_path / "*")), TEN, tmp_path / "b.jsonl")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names are Unicode there")
def test_names_that_are_not_utf8_are_read_or_refused(pack, shard, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN[:5]))
    odd = os.fsencode(tmp_path) + b"/caf\xe9.jsonl"
    Path(os.fsdecode(odd)).write_bytes(jsonl(TEN[5:]))
    for call in (pack, shard):
        for inputs in (os.fsdecode(odd), tmp_path, str(tmp_path / "*.jsonl")):
            outcome = call(inputs)
            if outcome.error is None:
                expected = TEN[5:] if inputs == os.fsdecode(odd) else TEN
                assert outcome.ledger["documents_kept"] == len(expected), f"a file was lost in silence: {inputs!r}"
            else:
                outcome.refused("ConfigError", "UnsupportedFormatError", "OSError")


def test_odd_but_legal_names_are_read(pack, tmp_path):
    for name in [
        "with space.jsonl",
        "[1].jsonl",
        "*.jsonl",
        "?.jsonl",
        "naïve 文字.jsonl",
        "new\nline.jsonl",
        "-o.jsonl",
    ]:
        path = write(tmp_path / name, jsonl(TEN))
        assert pack(path).texts == TEN
        path.unlink()


def test_inputs_that_do_not_exist_are_named(pack, tmp_path):
    assert "missing.jsonl" in pack(tmp_path / "missing.jsonl").refused("FileNotFoundError")
    assert "*.nothing" in pack(str(tmp_path / "*.nothing")).refused("ConfigError")
    assert str(tmp_path) in pack(tmp_path).refused("ConfigError")
    pack([]).refused("ConfigError")
    pack("").refused("ConfigError", "FileNotFoundError")


def test_the_same_file_named_twice_is_refused(pack, tmp_path):
    path = write(tmp_path / "a.jsonl", jsonl(TEN))
    assert "a.jsonl" in pack([path, tmp_path]).refused("ConfigError")


# --- tables ----------------------------------------------------------------------------------------------------


def parquet(path: Path, table: pa.Table, **options: Any) -> Path:
    pq.write_table(table, path, **options)
    return path


STRINGS = {
    "string": pa.array(TEN),
    "large_string": pa.array(TEN, pa.large_string()),
    "dictionary": pa.array(TEN).dictionary_encode(),
}


@pytest.mark.parametrize("kind", STRINGS)
def test_text_columns_of_every_kind_are_read(kind, pack, shard, tmp_path):
    table = pa.table({"id": range(10), "text": STRINGS[kind]})
    path = parquet(tmp_path / "a.parquet", table, row_group_size=3)
    assert pack(path).texts == TEN
    assert [json.loads(line) for line in shard(path).lines] == table.to_pylist()


def test_text_in_a_binary_column_is_text_or_refused(pack, tmp_path):
    # Old writers do not mark UTF-8; hexadecimal digits are nobody's text.
    path = parquet(tmp_path / "a.parquet", pa.table({"text": pa.array([text.encode() for text in TEN])}))
    outcome = pack(path)
    if outcome.error is None:
        assert outcome.texts == TEN
    else:
        outcome.refused("CorruptDataError", "ConfigError", "UnsupportedFormatError")


def test_null_texts_of_a_table_are_bad_records(pack, tmp_path):
    path = parquet(tmp_path / "a.parquet", pa.table({"text": ["a", None, "b", None]}))
    assert f"{path}: line 2: offset 1: " in pack(path).refused("CorruptDataError")
    outcome = pack(path, on_bad_record="quarantine")
    assert outcome.texts == ["a", "b"]
    assert [(entry["line"], entry["reason"]) for entry in outcome.quarantine] == [(2, "null field"), (4, "null field")]


def test_a_table_without_the_column_is_a_config_error_that_lists_the_columns(pack, tmp_path):
    path = parquet(tmp_path / "a.parquet", pa.table({"content": ["a"], "id": [1]}))
    message = pack(path).refused("ConfigError")
    assert all(word in message for word in ("text_field", str(path), "content", "id"))


def test_columns_of_other_types_are_bad_records(pack, tmp_path):
    for values in ([1, 2], [1.5], [True], [["a"]], [{"a": "b"}], [b"\xff"]):
        pack(parquet(tmp_path / "a.parquet", pa.table({"text": values}))).refused(
            "CorruptDataError", "ConfigError", "UnsupportedFormatError"
        )


def test_a_field_inside_a_column_is_found(pack, tmp_path):
    table = pa.table({"data": [{"text": "a", "n": 1}, {"text": "b", "n": 2}, None]})
    outcome = pack(parquet(tmp_path / "a.parquet", table), text_field="data.text", on_bad_record="quarantine")
    assert outcome.texts == ["a", "b"]
    assert [entry["reason"] for entry in outcome.quarantine] == ["missing field"]


def test_a_table_of_no_rows_holds_no_documents(pack, tmp_path):
    assert pack(parquet(tmp_path / "a.parquet", pa.table({"text": pa.array([], pa.string())}))).texts == []


def test_a_truncated_parquet_file_is_refused(pack, shard, tmp_path):
    path = parquet(tmp_path / "a.parquet", pa.table({"text": MANY}), row_group_size=50)
    data = path.read_bytes()
    for length in [0, *cuts(len(data))]:
        for call in (pack, shard):
            assert str(path) in call(write(path, data[:length])).refused("CorruptDataError")


def test_a_damaged_parquet_file_never_crashes(pack, tmp_path):
    path = parquet(tmp_path / "a.parquet", pa.table({"text": MANY, "id": range(300)}), row_group_size=50)
    data = path.read_bytes()
    rng = random.Random(3)
    # The footer above all: it says where everything is and how large.
    places = [rng.randrange(len(data)) for _ in range(100)] + [len(data) - 1 - at for at in range(200)]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= rng.randint(1, 255)
        outcome = pack(write(path, bytes(damaged)))
        if outcome.error is not None:
            outcome.refused("CorruptDataError", "ConfigError")


def test_parquet_under_another_name_and_others_under_its_name_are_refused(pack, tmp_path):
    table = pa.table({"text": TEN})
    content = parquet(tmp_path / "a.parquet", table).read_bytes()
    pack(write(tmp_path / "b.jsonl", content)).refused("CorruptDataError", "UnsupportedFormatError")
    pack(write(tmp_path / "c.parquet", jsonl(TEN))).refused("CorruptDataError")
    pack(write(tmp_path / "d.txt", content)).refused("CorruptDataError", "UnsupportedFormatError")


def texts_of(inputs: Any, output: Path, **options: Any) -> list[str]:
    """Packs in this process: tables cannot be sent to another."""
    bloomdata.pack(inputs, output, tokenizer="bytes", format="megatron", **options)
    return read_documents(output)


def test_tables_and_streams_are_read_without_a_file(tmp_path):
    table = pa.table({"id": range(300), "text": MANY})
    assert texts_of(table, tmp_path / "table") == MANY
    assert texts_of(table.slice(100, 50), tmp_path / "slice") == MANY[100:150]
    assert texts_of(table.to_reader(max_chunksize=7), tmp_path / "reader") == MANY
    assert texts_of(pa.table({"text": pa.array(MANY, pa.string_view())}), tmp_path / "view") == MANY
    assert texts_of(table.to_batches()[0], tmp_path / "batch") == MANY


def test_a_stream_that_breaks_is_an_error(tmp_path):
    batch = pa.record_batch({"text": MANY})

    def batches() -> Iterator[pa.RecordBatch]:
        yield batch
        raise RuntimeError("the network is down")

    reader = pa.RecordBatchReader.from_batches(batch.schema, batches())
    with pytest.raises((bloomdata.BloomdataError, RuntimeError), match="the network is down") as caught:
        texts_of(reader, tmp_path / "output")
    assert "please report" not in str(caught.value)
    assert not (tmp_path / "output" / "manifest.json").exists()


def test_another_table_for_a_finished_folder_is_refused(tmp_path):
    texts_of(pa.table({"text": ["a", "b"]}), tmp_path / "output")
    with pytest.raises(bloomdata.MismatchError):
        texts_of(pa.table({"text": ["something", "else", "entirely"]}), tmp_path / "output")


def test_another_table_for_an_unfinished_folder_is_refused(tmp_path):
    bad = pa.table({"text": [*MANY, None]})
    with pytest.raises(bloomdata.CorruptDataError):
        texts_of(bad, tmp_path / "output", checkpoint_seconds=0.0)
    with pytest.raises(bloomdata.MismatchError):
        texts_of(pa.table({"text": [text.upper() for text in MANY]}), tmp_path / "output", checkpoint_seconds=0.0)


@pytest.fixture(scope="module")
def datasets() -> Any:
    return pytest.importorskip("datasets")


def test_a_dataset_is_read_in_its_own_order(datasets, tmp_path):
    dataset = datasets.Dataset.from_dict({"text": MANY, "id": list(range(300))})
    assert texts_of(dataset, tmp_path / "plain") == MANY
    picked = [5, 3, 299, 3, 0]
    assert texts_of(dataset.select(picked), tmp_path / "select") == [MANY[at] for at in picked]
    shuffled = dataset.shuffle(seed=1)
    assert texts_of(shuffled, tmp_path / "shuffle") == shuffled["text"][:] != MANY
    both = shuffled.select(range(100)).shuffle(seed=2)
    assert texts_of(both, tmp_path / "both") == both["text"][:]
    joined = datasets.concatenate_datasets([dataset.select([1]), dataset.select([0])])
    assert texts_of(joined, tmp_path / "joined") == [MANY[1], MANY[0]]
    assert texts_of(dataset.select([]), tmp_path / "none") == []


def test_datasets_that_are_no_table_are_read_or_refused(datasets, tmp_path):
    dataset = datasets.Dataset.from_dict({"text": TEN})
    for number, odd in enumerate([dataset.to_iterable_dataset(), datasets.DatasetDict({"train": dataset})]):
        try:
            texts = texts_of(odd, tmp_path / str(number))
        except bloomdata.ConfigError:
            continue
        assert texts == TEN


@pytest.mark.parametrize("inputs", [None, 5, {"a": 1}, b"a.jsonl", [1], [["a.jsonl"]], iter(["a.jsonl"]), object()])
def test_inputs_of_other_types_are_config_errors(inputs, tmp_path):
    with pytest.raises(bloomdata.ConfigError, match="inputs"):
        bloomdata.shard(inputs, tmp_path / "output")
    assert not (tmp_path / "output").exists()


# --- options that no disk can hold -----------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1 << 40, 1 << 61, (1 << 63) - 1, (1 << 64) - 1, 1 << 64])
def test_absurd_numbers_of_rows_are_refused_or_work(rows, tmp_path):
    path = write(tmp_path / "a.jsonl", jsonl(TEN))
    output = tmp_path / "output"
    command = [sys.executable, "-m", "bloomdata", "pack", path, "-o", output, "--tokenizer", "bytes"]
    command += ["--sequence-length", "8", "--rows-per-file", str(rows)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=15)
    except subprocess.TimeoutExpired:
        pytest.fail(f"rows_per_file={rows} hangs")
    if done.returncode != 0:
        assert "ConfigError: rows_per_file" in done.stderr
        assert "Traceback" not in done.stderr


# --- tokenizers ------------------------------------------------------------------------------------------------


def definition(**changes: Any) -> dict[str, Any]:
    """A small tokenizer.json."""
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": 2, "content": "</s>", **special}],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": word_level(),
        **changes,
    }


def word_level(**vocabulary: Any) -> dict[str, Any]:
    vocab = {"hello": 0, "world": 1, "</s>": 2, "[UNK]": 3, **vocabulary}
    return {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"}


def write_tokenizer(folder: Path, content: Any, **beside: Any) -> Path:
    """A tokenizer's folder; `beside` are the other files of it."""
    folder.mkdir()
    for name, data in {"tokenizer": content, **beside}.items():
        write(folder / f"{name}.json", data if isinstance(data, bytes) else json.dumps(data).encode())
    return folder


BROKEN = {
    "empty": b"",
    "not JSON": b"hello",
    "not UTF-8": b"\xff\xfe",
    "zeros": bytes(100),
    "a list": [],
    "a number": 3,
    "null": None,
    "an empty object": {},
    "truncated": json.dumps(definition()).encode()[:-20],
    "deep": b"[" * 200_000,
    "deep normalizers": json.dumps(definition())
    .replace('"normalizer": null', '"normalizer": ' + '{"type":"Sequence","normalizers":[' * 500 + "]}" * 500)
    .encode(),
    "no model": definition(model=None),
    "unknown model": definition(model={"type": "Nope", "vocab": {}}),
    "vocabulary is a list": definition(model={"type": "WordLevel", "vocab": ["a"], "unk_token": "a"}),
    "id is negative": definition(model=word_level(hello=-1)),
    "id is text": definition(model=word_level(hello="0")),
    "id is a fraction": definition(model=word_level(hello=0.5)),
    "id over 32 bits": definition(model=word_level(hello=1 << 32)),
    "merge of unknown tokens": definition(model={"type": "BPE", "vocab": {"a": 0, "</s>": 2}, "merges": [["x", "y"]]}),
    "empty Unigram": definition(model={"type": "Unigram", "vocab": [], "unk_id": 0}),
    "unknown id outside": definition(model={"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": 10}),
    "broken regular expression": definition(
        pre_tokenizer={"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": False}
    ),
    "broken character map": definition(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    "garbage character map": definition(normalizer={"type": "Precompiled", "precompiled_charsmap": "////AAAAAAAA"}),
    "template of unknown tokens": definition(
        post_processor={
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [],
            "special_tokens": {},
        }
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_tokenizer_is_refused(name, process, pack, tmp_path):
    tokenizer = write_tokenizer(tmp_path / "tokenizer", BROKEN[name])
    path = write(tmp_path / "a.jsonl", jsonl(["hello world"]))
    for outcome in (process.ask("tokenizer", tokenizer, text="hello"), pack(path, tokenizer=str(tokenizer))):
        message = outcome.refused("CorruptDataError", "ConfigError")
        assert "tokenizer.json" in message


@pytest.mark.parametrize("token_id", [1 << 31, (1 << 32) - 1])
def test_a_token_id_that_no_format_holds_is_refused(token_id, pack, tmp_path):
    tokenizer = write_tokenizer(tmp_path / "tokenizer", definition(model=word_level(hello=token_id)))
    path = write(tmp_path / "a.jsonl", jsonl(["hello world"]))
    for options in ({}, {"format": "hdf5", "sequence_length": 8}):
        pack(path, tokenizer=str(tokenizer), **options).refused("ConfigError", "CorruptDataError")


CANNOT_ENCODE = {
    "WordLevel": {"type": "WordLevel", "vocab": {"hello": 0, "</s>": 2}, "unk_token": "[UNK]"},
    "WordPiece": {
        "type": "WordPiece",
        "vocab": {"hello": 0, "</s>": 2},
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
    },
    "Unigram": {"type": "Unigram", "vocab": [["a", -1.0], ["b", -1.0], ["</s>", 0.0]]},
}


@pytest.mark.parametrize("name", CANNOT_ENCODE)
def test_a_text_that_a_tokenizer_cannot_encode_is_named(name, pack, tmp_path):
    tokenizer = write_tokenizer(tmp_path / "tokenizer", definition(model=CANNOT_ENCODE[name]))
    path = write(tmp_path / "a.jsonl", jsonl(["something unknown"]))
    # The tokenizer is at fault, or the text: not this library.
    message = pack(path, tokenizer=str(tokenizer)).refused("ConfigError", "CorruptDataError")
    assert "tokenizer" in message or "a.jsonl" in message


@pytest.mark.parametrize(
    ("beside", "error", "words"),
    [
        ({}, "ConfigError", ["eos_token", "tokenizer_config.json"]),
        ({"tokenizer_config": {"eos_token": "<nope>"}}, "ConfigError", ["eos_token", "<nope>"]),
        ({"tokenizer_config": {"eos_token": {"content": "<nope>"}}}, "ConfigError", ["eos_token", "<nope>"]),
        ({"special_tokens_map": {"eos_token": "<nope>"}}, "ConfigError", ["eos_token", "<nope>"]),
        ({"tokenizer_config": b"{"}, "CorruptDataError", ["tokenizer_config.json"]),
        ({"tokenizer_config": {"eos_token": None}}, "ConfigError", ["eos_token"]),
        ({"tokenizer_config": {"eos_token": 5}}, "ConfigError", ["eos_token"]),
        ({"tokenizer_config": []}, "ConfigError", ["eos_token"]),
    ],
)
def test_a_tokenizer_folder_that_does_not_say_what_ends_a_document_is_refused(beside, error, words, pack, tmp_path):
    model = {"type": "WordLevel", "vocab": {"hello": 0, "[UNK]": 1}, "unk_token": "[UNK]"}
    tokenizer = write_tokenizer(tmp_path / "tokenizer", definition(model=model, added_tokens=[]), **beside)
    path = write(tmp_path / "a.jsonl", jsonl(["hello"]))
    message = pack(path, tokenizer=str(tokenizer)).refused(error)
    assert all(word in message for word in words), message


def test_a_tokenizer_that_is_not_there_is_a_config_error(pack, tmp_path):
    path = write(tmp_path / "a.jsonl", jsonl(TEN))
    (tmp_path / "folder").mkdir()
    for name in ("missing.json", "folder", "bloom"):
        assert "tokenizer" in pack(path, tokenizer=str(tmp_path / name)).refused("ConfigError")
    pack(path, tokenizer="").refused("ConfigError")


if __name__ == "__main__":
    serve()


# --- nothing of a folder or a pattern is left out in silence -------------------------------------------------------


def test_hidden_and_set_aside_files_of_a_folder_are_named(pack, tmp_path):
    folder = tmp_path / "raw"
    (folder / "_temporary").mkdir(parents=True)
    for name in ("a.jsonl", "_b.jsonl", ".c.jsonl", "quarantine.jsonl", "_temporary/d.jsonl", "e.jsonl.tmp"):
        write(folder / name, jsonl(TEN[:2]))
    outcome = pack(folder)
    assert outcome.ledger["documents_kept"] == 4
    names = [".c.jsonl", "_temporary", "e.jsonl.tmp", "quarantine.jsonl"]
    assert outcome.ignored == [str(folder / name) for name in names]
    assert pack(str(folder / "*.jsonl")).ignored == [str(folder / "quarantine.jsonl")]


def test_shards_with_any_prefix_are_read_again(shard, tmp_path):
    write(tmp_path / "a.jsonl", jsonl(TEN))
    bloomdata.shard(tmp_path / "a.jsonl", tmp_path / "shards", prefix="_x", max_lines=3)
    report = bloomdata.pack(tmp_path / "shards", tmp_path / "packed", tokenizer="bytes", format="megatron")
    assert report.ledger["documents_kept"] == len(TEN)
    with pytest.raises(bloomdata.ConfigError, match="prefix"):
        bloomdata.shard(tmp_path / "a.jsonl", tmp_path / "hidden", prefix=".x")


@pytest.mark.parametrize("named", ["folder", "file", "pattern"])
def test_shards_that_are_not_as_they_were_written_are_refused(named, tmp_path):
    """A .zst file that is cut between two frames is whole for every decoder: only the manifest knows better."""
    write(tmp_path / "a.jsonl", jsonl(TEN))
    bloomdata.shard(tmp_path / "a.jsonl", tmp_path / "shards", max_lines=4, compression="none")
    shards = tmp_path / "shards"
    inputs = {"folder": shards, "file": shards / "part-00001.jsonl", "pattern": str(shards / "part-*")}[named]

    def packed(number):
        return bloomdata.pack(inputs, tmp_path / f"packed-{number}", tokenizer="bytes", format="megatron")

    packed(0)
    content = (shards / "part-00001.jsonl").read_bytes()
    write(shards / "part-00001.jsonl", content.splitlines(keepends=True)[0])
    with pytest.raises(bloomdata.MismatchError, match=r"part-00001\.jsonl: size"):
        packed(1)
    write(shards / "part-00001.jsonl", content.replace(b"a", b"b"))
    with pytest.raises(bloomdata.MismatchError, match=r"part-00001\.jsonl: content"):
        packed(2)
    (shards / "part-00001.jsonl").unlink()
    if named != "pattern":
        with pytest.raises(FileNotFoundError, match=r"part-00001\.jsonl"):
            packed(3)
    (shards / "manifest.json").unlink()
    if named == "folder":
        assert packed(4).ledger["documents_kept"] == len(TEN) - 4
