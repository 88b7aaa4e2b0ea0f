"""`train_tokenizer` and `count` in parts: what they make and add up is that of one run."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata import ConfigError, CorruptDataError, MismatchError
from bloomdata.cli import main
from bloomdata.parts import sharing
from bloomdata.reports.report import Report
from bloomdata.tokenizers.families import PIPELINES
from faults import strike, wrong
from files import everything_in, write_words
from runs import QUARANTINE, tree
from test_parts import UNIT, files, write

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "trained_from.json")
train = partial(bloomdata.train_tokenizer, vocab_size=300, allow_duplicate_inputs=True)
count = partial(bloomdata.count, tokenizer="bytes", allow_duplicate_inputs=True)
PART = "part-00001-of-00003"


@pytest.fixture(autouse=True, scope="module")
def _small_units():
    """Files of a few lines are cut as those of gigabytes are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "UNIT_BYTES", UNIT)
        yield


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_words(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory):
    """The tokenizer of one run, and what it was in parts."""
    return train(inputs, tmp_path_factory.mktemp("trained") / "tok")


@pytest.fixture
def parts(inputs, tmp_path):
    """Three parts that are finished, and not joined."""
    for part in range(3):
        train(inputs, tmp_path / "tok", parts=3, part=part)
    return tmp_path / "tok"


def tokenizer_in(folder, names=FILES):
    """Files of a tokenizer, whatever its folder is called."""
    return {
        name: (folder / name).read_bytes().replace(json.dumps(str(folder))[1:-1].encode(), b"HERE") for name in names
    }


def told(report):
    return report.to_json() | {"path": report.path.name}


# --- as one run ------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(
    stored=st.lists(files(), min_size=1, max_size=4),
    parts=st.integers(1, 12),
    family=st.sampled_from(sorted(PIPELINES)),
    data=st.data(),
)
def test_a_tokenizer_of_parts_is_that_of_one_run(tmp_path_factory, stored, parts, family, data):
    tmp_path = tmp_path_factory.mktemp("train")
    inputs = write(tmp_path / "in", stored)
    options = {"family": family, "sentencepiece": family == "llama" and data.draw(st.booleans())}
    names = [*FILES, *(["tokenizer.model"] if options["sentencepiece"] else [])]
    whole = train(inputs, tmp_path / "whole", **options)
    counted = []
    for part in data.draw(st.permutations(range(parts))) if parts > 1 else []:
        threads = data.draw(st.sampled_from([1, 3]))
        counted.append(train(inputs, tmp_path / "tok", parts=parts, part=part, num_threads=threads, **options))
    joined = bloomdata.finish(tmp_path / "tok") if parts > 1 else train(inputs, tmp_path / "tok", **options)
    assert told(joined) == told(whole)
    assert tokenizer_in(tmp_path / "tok", names) == tokenizer_in(tmp_path / "whole", names)
    if parts > 1:
        assert sum(report.num_words for report in counted) == whole.num_words
        assert bloomdata.verify(tmp_path / "tok").files >= 2 * parts + len(names)
        again = train(inputs, tmp_path / "again", parts=parts, **options)
        assert told(again) == told(whole)
        assert (tmp_path / "again/plan.json").read_bytes() == (tmp_path / "tok/plan.json").read_bytes()
    # In one run, nothing is left to do.
    before = tree(tmp_path / "tok")
    assert told(train(inputs, tmp_path / "tok", **options)) == told(whole)
    assert tree(tmp_path / "tok") == before


@settings(deadline=None, max_examples=20)
@given(
    stored=st.lists(files(), min_size=1, max_size=4),
    parts=st.integers(2, 12),
    options=st.fixed_dictionaries({"append_eos": st.booleans()}),
    data=st.data(),
)
def test_counts_of_parts_are_those_of_one_run(tmp_path_factory, stored, parts, options, data):
    tmp_path = tmp_path_factory.mktemp("count")
    folder = write(tmp_path / "in", stored)
    # As several arguments, too.
    inputs = data.draw(st.sampled_from([folder, sorted(map(str, folder.iterdir()))]))
    whole = count(inputs, **options)
    shares = [
        count(inputs, output=tmp_path / "counts", parts=parts, part=part, **options)
        for part in data.draw(st.permutations(range(parts)))
    ]
    assert bloomdata.finish(tmp_path / "counts") == whole
    assert sum(share.tokens for share in shares) == whole.tokens
    assert count(inputs, output=tmp_path / "again", parts=parts, **options) == whole
    assert bloomdata.finish(tmp_path / "again") == whole
    assert everything_in(tmp_path / "again") == everything_in(tmp_path / "counts")
    assert bloomdata.verify(tmp_path / "counts").files == parts


def test_the_end_needs_nothing_but_the_parts(inputs, trained, tmp_path):
    definition = tmp_path / "definition.json"
    shutil.copy(trained.path, definition)
    options = {"definition": definition, "special_tokens": ["<z>", "<a>"], "eos_token": "<a>", "max_token_length": 4}
    options |= {"min_frequency": 3, "text_field": "text", "vocab_size": 290}
    whole = train(inputs, tmp_path / "whole", **options)
    for part in range(2):
        train(inputs, tmp_path / "tok", **options, parts=2, part=part)
    definition.unlink()
    assert told(bloomdata.finish(tmp_path / "tok")) == told(whole)
    assert tokenizer_in(tmp_path / "tok") == tokenizer_in(tmp_path / "whole")
    packed = bloomdata.pack(inputs, tmp_path / "packed", tokenizer=tmp_path / "tok", format="megatron")
    assert packed.manifest["details"]["tokenizer"]["vocab_size"] == whole.vocab_size
    assert "train_tokenizer -> " in str(Report.open(tmp_path / "tok"))


def test_row_groups_of_parquet_are_counted_once(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = [f"row {row} " + "x" * (row % 23) for row in range(300)]
    parquet.write_table(pa.table({"text": pa.array(texts)}), tmp_path / "in.parquet", row_group_size=40)
    whole = train(tmp_path / "in.parquet", tmp_path / "whole")
    tokenizer = train(tmp_path / "in.parquet", tmp_path / "tok", parts=4)
    assert told(tokenizer) == told(whole)
    assert tokenizer_in(tmp_path / "tok") == tokenizer_in(tmp_path / "whole")
    assert count(tmp_path / "in.parquet", output=tmp_path / "counts", parts=4) == count(tmp_path / "in.parquet")


def test_objects_of_a_store_are_counted_as_files_are(inputs, trained, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    address = f"memory://{tmp_path.name}"
    fsspec.filesystem("memory").put(str(inputs), f"/{tmp_path.name}", recursive=True)
    report = train(address, tmp_path / "tok", parts=3)
    assert [one | {"path": Path(one["path"]).name} for one in report.inputs] == [
        one | {"path": Path(one["path"]).name} for one in trained.inputs
    ]
    assert tokenizer_in(tmp_path / "tok", FILES[:3]) == tokenizer_in(trained.path.parent, FILES[:3])
    assert bloomdata.finish(tmp_path / "tok") == report
    counts, whole = count(address, output=tmp_path / "counts", parts=3), count(inputs)
    assert counts.sources == [whole.sources[0] | {"source": address}]


def test_bad_records_are_counted_and_set_aside(tmp_path):
    lines = b'{"text": "a line that is long enough"}\n' * 20
    (tmp_path / "in.jsonl").write_bytes(lines + b"{broken\n" + lines)
    with pytest.raises(CorruptDataError, match=rf"in\.jsonl: offset {len(lines)}: "):
        train(tmp_path / "in.jsonl", tmp_path / "tok", parts=4)
    how = {"on_bad_record": "quarantine"}
    whole = train(tmp_path / "in.jsonl", tmp_path / "whole", **how)
    assert told(train(tmp_path / "in.jsonl", tmp_path / "kept", parts=4, **how)) == told(whole)
    assert whole.inputs[0]["bad"] == 1
    counts = count(tmp_path / "in.jsonl", output=tmp_path / "counts", parts=4, **how)
    assert counts == count(tmp_path / "in.jsonl", **how)
    for folder in ("kept", "counts"):
        bloomdata.verify(tmp_path / folder)
        assert len(list((tmp_path / folder).glob("part-*/quarantine.jsonl"))) == 1


def test_corpora_without_any_text_are_finished_as_one_run_is(tmp_path):
    (tmp_path / "in.jsonl").write_bytes(b'\n{"text": ""}\n')
    how = {"parts": 5}
    whole = train(tmp_path / "in.jsonl", tmp_path / "whole")
    for part in range(5):
        train(tmp_path / "in.jsonl", tmp_path / "tok", **how, part=part)
        count(tmp_path / "in.jsonl", output=tmp_path / "counts", **how, part=part)
    assert told(bloomdata.finish(tmp_path / "tok")) == told(whole)
    assert bloomdata.finish(tmp_path / "counts") == count(tmp_path / "in.jsonl")


# --- when something goes wrong ---------------------------------------------------------------------------------------


def test_a_part_that_was_deleted_is_done_again(inputs, parts, trained):
    shutil.rmtree(parts / PART)
    with pytest.raises(ConfigError, match="of 3 parts, not finished: 1"):
        bloomdata.finish(parts)
    assert told(train(inputs, parts, parts=3)) == told(trained)
    assert tokenizer_in(parts) == tokenizer_in(trained.path.parent)


def test_a_run_killed_at_some_change_of_its_folder_gives_the_same_bytes(shim, small_corpus, tmp_path):
    command = ["train-tokenizer", "--vocab-size", "300", "--parts", "3", "--num-threads", "1", *QUARANTINE]
    # Journals below the folder are no half files of it.
    results = [result | {"half": []} for result in strike(shim, command, small_corpus, tmp_path, 1, every=7)]
    assert wrong(results) == ""


def test_a_second_finish_and_a_second_run_change_nothing(inputs, parts, trained):
    report = bloomdata.finish(parts)
    before = tree(parts)
    assert told(bloomdata.finish(parts)) == told(train(inputs, parts, parts=3)) == told(report) == told(trained)
    assert tree(parts) == before


def test_an_end_that_was_killed_is_done_again(parts, trained, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bloomdata.verbs.train_tokenizer._core.finish_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            bloomdata.finish(parts)
    assert told(bloomdata.finish(parts)) == told(trained)
    assert tokenizer_in(parts) == tokenizer_in(trained.path.parent)
    bloomdata.verify(parts)


def test_every_damaged_byte_of_a_part_is_found(parts, trained):
    for name in ("words.zst", "counts.json"):
        path = parts / PART / name
        content = path.read_bytes()
        for at in range(len(content)):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
            with pytest.raises((CorruptDataError, MismatchError), match=name):
                bloomdata.finish(parts)
            assert not (parts / "tokenizer.json").exists()
        path.write_bytes(content)
    assert told(bloomdata.finish(parts)) == told(trained)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"vocab_size": 301}, "option vocab_size: expected 300, found 301"),
        ({"family": "gpt2"}, 'option family: expected "bloom", found "gpt2"'),
        ({"text_field": "title"}, 'option text_field: expected "text", found "title"'),
        ({"parts": 4}, "parts: expected 3, found 4"),
    ],
)
def test_parts_with_other_options_are_refused(inputs, parts, options, reason):
    with pytest.raises(MismatchError, match=reason):
        train(inputs, parts, **{"parts": 3, "part": 0} | options)
    bloomdata.finish(parts)
    with pytest.raises(MismatchError, match=reason):
        train(inputs, parts, **{"parts": 3} | options)


def test_another_version_other_inputs_and_other_names_of_them_are_refused(inputs, parts, tmp_path):
    plan = (parts / "plan.json").read_text()
    (parts / "plan.json").write_text(plan.replace('"bloomdata_version":"', '"bloomdata_version":"9.'))
    with pytest.raises(MismatchError, match="version of bloomdata"):
        bloomdata.finish(parts)
    with pytest.raises(MismatchError, match="version of bloomdata"):
        train(inputs, parts, parts=3, part=0)
    (parts / "plan.json").write_text(plan)
    with pytest.raises(MismatchError, match="number of inputs"):
        train(inputs / "0.jsonl", parts, parts=3, part=0)
    count(inputs, output=tmp_path / "counts", parts=2, part=0)
    with pytest.raises(MismatchError, match="option arguments"):
        count(sorted(inputs.iterdir()), output=tmp_path / "counts", parts=2, part=1)


def test_an_input_that_changed_is_refused_by_the_end(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "some words"}\n' * 9)
    for part in range(2):
        train(source, tmp_path / "tok", parts=2, part=part)
    source.write_text('{"text": "other word"}\n' * 9)
    with pytest.raises(MismatchError, match="changed since the parts were planned"):
        bloomdata.finish(tmp_path / "tok")


def test_one_run_and_parts_do_not_get_in_each_others_way(inputs, parts, trained, tmp_path):
    with pytest.raises(ConfigError, match="holds the parts of a run; `finish` makes a tokenizer of them"):
        train(inputs, parts)
    single = tmp_path / "single"
    train(inputs, single)
    before = tree(single)
    with pytest.raises(ConfigError, match="expected a new or empty folder"):
        train(inputs, single, parts=2)
    assert tree(single) == before
    bloomdata.finish(parts)
    report = train(inputs, parts, vocab_size=290, overwrite=True)
    assert report.vocab_size == 290
    assert sorted(path.name for path in parts.iterdir()) == sorted(FILES)
    shutil.rmtree(parts)
    assert told(train(inputs, parts, parts=2, vocab_size=290)) == told(report)
    assert told(train(inputs, parts, parts=3, overwrite=True)) == told(trained)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"parts": 2}, "output: expected a folder for 2 parts, got None"),
        ({"output": "counts"}, "output: expected none without parts"),
        ({"output": "counts", "part": 1}, "part: expected only with parts"),
        ({"output": "s3://bucket/counts", "parts": 2}, "output: expected a path on this machine"),
    ],
)
def test_what_cannot_be_is_refused(inputs, options, reason):
    with pytest.raises(ConfigError, match=reason):
        count(inputs, **options)


# --- on the command line ---------------------------------------------------------------------------------------------


def test_the_command_line_shares_finishes_and_tells(inputs, trained, tmp_path, capsys):
    words = ["train-tokenizer", str(inputs), "--output", str(tmp_path / "tok"), "--vocab-size", "300", "--parts", "2"]
    assert main([*words, "--part", "1"]) == 0
    assert "words of a part" in capsys.readouterr().out
    assert main(["parts", str(tmp_path / "tok")]) == 1
    assert main([*words, "--part", "0"]) == 0
    assert main(["finish", str(tmp_path / "tok")]) == 0
    assert f"{trained.vocab_size} tokens" in capsys.readouterr().out
    assert main(["slurm", *words, "--mem", "8G"]) == 0
    script = capsys.readouterr().out
    assert "--array=0-1 --mem=8G" in script
    assert "sbatch --job-name=bloomdata-finish --mem=8G --dependency" in script
    assert main([*words[:4], "--overwrite", *words[4:], "--local", "2"]) == 0
    assert told(bloomdata.finish(tmp_path / "tok")) == told(trained)
    words = ["count", str(inputs), "--tokenizer", "bytes", "--parts", "2", "--json"]
    assert main([*words, "--finish"]) == 1
    with pytest.raises(SystemExit):
        main(["slurm", *words])
    assert "--output: expected a folder" in capsys.readouterr().err
    words += ["--output", str(tmp_path / "counts")]
    capsys.readouterr()
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == count(inputs).to_json()
    assert main([*words, "--finish"]) == 0
    assert json.loads(capsys.readouterr().out) == count(inputs).to_json()
