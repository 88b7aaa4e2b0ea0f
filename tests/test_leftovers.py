"""What a run removes and writes: only names that are its own, only in its folder, and nothing if it did nothing."""

import json
import signal
import subprocess
import sys

import pytest

import bloomdata
from bloomdata import BloomdataError, ConfigError, CorruptDataError, MismatchError
from files import everything_in

VERBS = {
    "shard": lambda output, **options: bloomdata.shard("raw", output, **options),
    "splits": lambda output, **options: bloomdata.shard("raw", output, splits={"dev": 1, "test": 0}, **options),
    "shuffle": lambda output, **options: bloomdata.shard("raw", output, shuffle=True, **options),
    "prepare": lambda output, **options: bloomdata.prepare("pile", "raw", output, **options),
    "decontaminate": lambda output, **options: bloomdata.decontaminate("raw", output, evaluations="raw", **options),
    "hdf5": lambda output, **options: bloomdata.pack("raw", output, tokenizer="bytes", sequence_length=8, **options),
    "megatron": lambda output, **options: bloomdata.pack(
        "raw", output, tokenizer="bytes", format="megatron", **options
    ),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("verb", VERBS)
def test_files_of_others_stay_also_behind_links(verb, overwrite, raw, tmp_path):
    run, output, other = VERBS[verb], tmp_path / "out", tmp_path / "other"
    run(output)
    before = everything_in(output)
    other.mkdir()
    kept = [other / "keep.tmp", output / "mine.tmp", output / "part-1.txt.tmp", output / "notes.tmp.tmp"]
    for path in kept:
        path.write_text("precious")
    (output / "link").symlink_to(other)
    (output / "loop").symlink_to(".")
    run(output, overwrite=overwrite)
    assert all(path.read_text() == "precious" for path in kept)
    assert all((output / name).read_bytes() == content for name, content in before.items())


@pytest.mark.parametrize("verb", ["splits"])
def test_a_split_that_became_a_link_is_not_emptied(verb, raw, tmp_path):
    output, moved = tmp_path / "out", tmp_path / "moved"
    VERBS[verb](output)
    (output / "train").rename(moved)
    (output / "train").symlink_to(moved)
    before = everything_in(moved)
    with pytest.raises(ConfigError, match="is a link"):
        VERBS[verb](output, overwrite=True)
    assert everything_in(moved) == before
    assert (output / "manifest.json").exists()


OUTSIDE = ["../evil/data", "/tmp/evil", "a/../../evil", "", "."]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_manifest_that_names_paths_outside_is_refused_by_every_verb(name, raw, tmp_path, monkeypatch):
    packed = tmp_path / "packed"
    bloomdata.pack("raw", packed, tokenizer="bytes", format="megatron")
    manifest = json.loads((packed / "manifest.json").read_text())
    path = packed / "manifest.json"
    for change in ("outputs", "tokenizer", "unhashed"):
        changed = json.loads(json.dumps(manifest))
        if change == "outputs":
            changed["outputs"][0]["path"] = name
        elif change == "tokenizer":
            changed["details"]["tokenizer"]["path"] = name
        else:
            changed["details"]["unhashed_outputs"] = [name]
        path.write_text(json.dumps(changed))
        before = everything_in(tmp_path)
        for use in (
            lambda: bloomdata.merge([packed, packed], tmp_path / "merged"),
            lambda: bloomdata.verify(packed),
            lambda: bloomdata.open(packed),
            lambda: bloomdata.Report.open(packed),
            lambda: bloomdata.check_consumer(packed, sequence_length=8, vocab_size=300),
            lambda: bloomdata.pack("raw", packed, tokenizer="bytes", format="megatron"),
            lambda: bloomdata.pack("raw", packed, tokenizer="bytes", format="megatron", overwrite=True),
        ):
            with pytest.raises(CorruptDataError, match="expected a path inside"):
                use()
        assert everything_in(tmp_path) == before


@pytest.mark.parametrize(
    "names",
    [
        {"last": ["../other/keep"]},
        {"scratch": ["../other/keep"]},
        {"folders": ["../other"]},
        {"numbered": [{"before": "../other/part-", "after": ".txt"}]},
    ],
    ids=lambda names: next(iter(names)),
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_journal_that_names_paths_outside_is_refused(overwrite, names, raw, tmp_path):
    packed, other = tmp_path / "packed", tmp_path / "other"
    bloomdata.pack("raw", packed, tokenizer="bytes", format="megatron")
    other.mkdir()
    for name in ("keep", "keep.tmp", "part-1.txt.tmp"):
        (other / name).write_text("precious")
    names = {"last": [], "numbered": [], "scratch": [], "folders": []} | names
    start = {"kind": "start", "verb": "pack", "version": "1", "config": {}, "inputs": [], "names": names}
    (packed / "journal.jsonl").write_text(json.dumps(start, separators=(",", ":")) + "\n")
    before = everything_in(tmp_path)
    with pytest.raises(CorruptDataError, match="expected a path inside"):
        bloomdata.pack("raw", packed, tokenizer="bytes", format="megatron", overwrite=overwrite)
    assert everything_in(tmp_path) == before


def test_manifests_with_values_of_other_kinds_are_refused(raw, tmp_path):
    packed = tmp_path / "packed"
    bloomdata.pack("raw", packed, tokenizer="bytes", sequence_length=8)
    good = json.loads((packed / "manifest.json").read_text())

    def refuses(place, value, use):
        manifest = inner = json.loads(json.dumps(good))
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        (packed / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(BloomdataError):
            use()

    opening = lambda: bloomdata.open(packed)[0]  # noqa: E731
    for value in (5, {"input_ids": 1, "token_type_ids": [1]}, "x"):
        refuses(["outputs", 0, "datasets"], value, opening)
    for value in ({"offset": 0, "shape": [1, 8], "dtype": "S0"}, {"offset": -1, "shape": [1, 8], "dtype": "<i4"}, {}):
        refuses(["outputs", 0, "datasets", "input_ids"], value, opening)
    refuses(["details"], [1], lambda: bloomdata.check_consumer(packed, sequence_length=8, vocab_size=300))
    refuses(["outputs", 0, "size"], "x", lambda: str(bloomdata.Report.open(packed)))
    refuses(["inputs", 0, "size"], None, lambda: bloomdata.Report.open(packed))
    refuses(["ledger", "tokens_out"], 7, lambda: bloomdata.verify(packed))
    refuses(["ledger"], 7, lambda: bloomdata.verify(packed))


FAILING = {
    "a wrong field": {"text_field": "txet"},
    "an unknown record": {"record": "prompt_completion"},
    "a record without messages": {"template": "chatml"},
}


@pytest.mark.parametrize("format_options", [{"sequence_length": 8}, {"format": "megatron"}])
@pytest.mark.parametrize("failing", FAILING)
def test_a_call_that_fails_at_once_leaves_nothing(failing, format_options, raw, tmp_path):
    output = tmp_path / "new" / "folder" / "out"
    with pytest.raises(CorruptDataError):
        bloomdata.pack("raw", output, tokenizer="bytes", **format_options, **FAILING[failing])
    assert not (tmp_path / "new").exists()
    report = bloomdata.pack("raw", output, tokenizer="bytes", **format_options)
    assert not report.was_resumed


def test_a_call_that_fails_at_once_leaves_what_was_there(raw, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    with pytest.raises(CorruptDataError):
        bloomdata.pack("raw", output, tokenizer="bytes", sequence_length=8, text_field="txet")
    assert list(output.iterdir()) == []
    VERBS["hdf5"](output)
    before = everything_in(output)
    with pytest.raises(MismatchError):
        bloomdata.pack("raw", output, tokenizer="bytes", sequence_length=16)
    assert everything_in(output) == before


def test_prepare_and_a_single_file_leave_nothing_either(raw, tmp_path):
    for output in ("chats", "chats.jsonl.zst"):
        with pytest.raises(CorruptDataError):
            bloomdata.prepare("dolly", "raw", tmp_path / output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_a_run_killed_before_its_first_step_does_not_stand_in_the_way(raw, tmp_path):
    (raw / "b.jsonl").write_bytes(b"".join(b'{"text":"%d"}\n' % number for number in range(2_000_000)))
    program = """
import bloomdata, os, signal
def die(*_):
    if os.path.exists("out/journal.jsonl"):
        os.kill(os.getpid(), signal.SIGKILL)
bloomdata.shard("raw", "out", max_lines=10**9, on_progress=die)
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert (tmp_path / "out" / "journal.jsonl").exists()
    report = bloomdata.shard("raw", "out", max_lines=100_000)
    assert not report.was_resumed
    assert bloomdata.verify("out")
