"""`signatures`: the first pass alone, and `dedup` on what it has left."""

from __future__ import annotations

import shutil

import pytest

import bloomdata
from bloomdata import ConfigError, CorruptDataError, MinHash, MismatchError
from deduping import dedup, similar_texts, write_files
from runs import tree

NEAR = MinHash(0.6)


@pytest.fixture
def inputs(tmp_path):
    return write_files(tmp_path / "in", similar_texts(8, 900), [200])


def sign(inputs, output, **options):
    return bloomdata.signatures(inputs, output, **({"near": NEAR, "num_threads": 2} | options))


def test_signatures_of_several_machines_give_the_answer_of_one_run(inputs, tmp_path):
    files = sorted(inputs.iterdir())
    sign(files[:2], tmp_path / "a")
    report = sign(files[2:], tmp_path / "b", num_threads=1)
    assert [output["path"] for output in report.outputs] == ["00000.sig", "00001.sig", "00002.sig"]
    assert [output["signatures"] for output in report.outputs] == [200, 200, 100]
    bloomdata.verify(tmp_path / "b")
    for name, options in {"shards": {}, "report": {"report_only": True}}.items():
        dedup(inputs, tmp_path / name, near=NEAR, **options)
        dedup(inputs, tmp_path / f"{name}-2", near=NEAR, signatures=[tmp_path / "b", tmp_path / "a"], **options)
        assert tree(tmp_path / f"{name}-2") == tree(tmp_path / name)


def test_files_that_lie_elsewhere_are_known_by_name_and_content(inputs, tmp_path):
    sign(inputs, tmp_path / "signatures")
    shutil.copytree(inputs, tmp_path / "moved")
    report = dedup(tmp_path / "moved", tmp_path / "out", near=NEAR, signatures=tmp_path / "signatures")
    assert report.ledger["documents_in"] == 900


def test_signatures_that_do_not_fit_are_refused_with_the_difference(inputs, tmp_path):
    sign(inputs, tmp_path / "signatures")
    given = {"signatures": tmp_path / "signatures"}
    with pytest.raises(MismatchError, match=r"signatures of .*000\.jsonl: options.*num_perm"):
        dedup(inputs, tmp_path / "out", near=MinHash(0.6, num_perm=64), **given)
    with pytest.raises(MismatchError, match="options"):
        dedup(inputs, tmp_path / "out", near=NEAR, exact="none", **given)
    with pytest.raises(ConfigError, match="expected a finished output of `signatures`"):
        dedup(inputs, tmp_path / "out", near=NEAR, signatures=inputs)
    text = (inputs / "000.jsonl").read_text()
    (inputs / "000.jsonl").write_text(text[:-20] + text[-20:].upper())
    with pytest.raises(MismatchError, match=r"signatures of .*000\.jsonl: content"):
        dedup(inputs, tmp_path / "out", near=NEAR, **given)
    (inputs / "zzz.jsonl").write_text('{"text":"new"}\n')
    (inputs / "000.jsonl").write_text(text)
    with pytest.raises(ConfigError, match=r"none of .*zzz\.jsonl"):
        dedup(inputs, tmp_path / "out", near=NEAR, **given)


def test_a_damaged_file_of_signatures_is_named(inputs, tmp_path):
    sign(inputs, tmp_path / "signatures")
    path = tmp_path / "signatures" / "00001.sig"
    content = path.read_bytes()
    for damaged, error in [
        (content[:-1], MismatchError),
        (content[:100], CorruptDataError),
        (b"x" + content[1:], CorruptDataError),
    ]:
        path.write_bytes(damaged)
        with pytest.raises(error, match=r"00001\.sig"):
            dedup(inputs, tmp_path / "out", near=NEAR, signatures=tmp_path / "signatures", overwrite=True)


def test_bad_records_are_counted_once(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text('{"text":"a"}\n{\n\n{"text":"a"}\n')
    (tmp_path / "in" / "b.jsonl").write_text('{"text":"a"}\n{"x":1}\n{"text":"b"}\n')
    with pytest.raises(CorruptDataError, match="line 2"):
        sign(tmp_path / "in", tmp_path / "signatures")
    report = sign(tmp_path / "in", tmp_path / "signatures", on_bad_record="quarantine")
    assert report.ledger["documents_quarantined"] == {"malformed JSON": 1, "missing field": 1}
    bloomdata.verify(tmp_path / "signatures")
    options = {"near": NEAR, "on_bad_record": "quarantine"}
    dedup(tmp_path / "in", tmp_path / "plain", **options)
    dedup(tmp_path / "in", tmp_path / "signed", signatures=tmp_path / "signatures", **options)
    assert tree(tmp_path / "signed") == tree(tmp_path / "plain")
    with pytest.raises(ConfigError, match=r"signatures: .*a\.jsonl has 1 bad record"):
        dedup(tmp_path / "in", tmp_path / "raised", near=NEAR, signatures=tmp_path / "signatures")
