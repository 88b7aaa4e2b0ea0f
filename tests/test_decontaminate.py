"""`decontaminate` against its oracle: which documents hold rows of evaluations, and what becomes of them."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import signal
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError, UnsupportedFormatError
from faults import strike, wrong
from reference.decontaminate import find
from reference.dedup_units import is_known
from reference.filter_ngrams import cut_lineage
from runs import differences, tree
from sharding import DECOMPRESS

VOCABULARY = [
    "alpha",
    "beta",
    "gamma",
    "delta",
    "Epsilon",
    "ZETA",
    "eta",
    "theta",
    "ÎOTA",
    "kappa",
    "λ",
    "mu",
    "中",
    "文",
    "ไทย",
    "42",
    "o'clock",
]


def write(path, records):
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")
    return path


def run(folder, documents, rows, **options):
    """A report on documents, which are texts or records."""
    folder = Path(folder)
    records = [{"text": one} if isinstance(one, str) else one for one in documents]
    inputs = write(folder / "in.jsonl", records)
    evaluations = write(folder / "evals.jsonl", rows)
    options = {"num_threads": 2, "overwrite": True, "compression": "none"} | options
    return bloomdata.decontaminate(inputs, folder / "out", evaluations=evaluations, **options)


def lines_of(folder):
    """All lines of all shards."""
    content = [DECOMPRESS[path.suffix](path.read_bytes()) for path in sorted(Path(folder).glob("part-*"))]
    return b"".join(content).splitlines()


def prose(rng, count):
    """Words that no row has by chance."""
    return ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(count)]


# --- what is found ---------------------------------------------------------------------------------------------------

texts = st.lists(st.sampled_from(VOCABULARY), max_size=40).flatmap(
    lambda words: st.sampled_from([" ", "\n", " - ", "  \n"]).map(lambda blank: blank.join(words))
)


@settings(max_examples=150)
@given(data=st.data())
def test_matches_are_those_of_the_oracle(data, tmp_path_factory):
    rows = []
    for number in range(data.draw(st.integers(1, 4))):
        row = {"id": f"row-{number}", data.draw(st.sampled_from(["text", "question"])): data.draw(texts)}
        if data.draw(st.booleans()):
            row["answer"] = data.draw(texts)
        rows.append(row)
    questions = [row.get("question", row.get("text")) for row in rows]
    parts = st.lists(st.one_of(st.sampled_from(questions), texts), max_size=5)
    documents = data.draw(st.lists(parts.map("\n".join), min_size=1, max_size=6))
    n, common = data.draw(st.sampled_from([2, 5, 9, 13])), data.draw(st.sampled_from([1, 2, 10]))
    threshold = data.draw(st.sampled_from([0.3, 0.8, 1.0]))
    assert is_known("".join(documents))
    expected = find(documents, rows, n, threshold, common)
    report = run(
        tmp_path_factory.mktemp("run"), documents, rows, ngram=n, threshold=threshold, common=common, num_threads=1
    )
    found = [[] for _ in documents]
    for match in report.matches():
        start, end = match["document"]["bytes"]
        line = match["document"]["line"] - 1
        found[line].append((match["row"]["id"], match["score"], start, end, match.get("answer_score")))
        assert documents[line].encode()[start:end].decode() == match["document_text"]
        assert match["row_text"] in questions[match["row"]["line"] - 1]
    assert found == [[tuple(match) for match in matches] for matches in expected.matches]
    ignored = [json.loads(line) for line in (report.folder / "ignored.jsonl").read_bytes().splitlines()]
    short = [entry["row"]["id"] for entry in ignored if entry["reason"] == "too short to look for"]
    assert set(short) == expected.too_short
    assert len(ignored) - len(short) == len(expected.common) == report.manifest["details"]["ngrams_common"]
    shutil.rmtree(report.folder.parent)


@pytest.fixture(scope="module")
def rows():
    rng = random.Random(1)
    return [{"id": f"q{number}", "question": " ".join(prose(rng, 120))} for number in range(20)]


def planted(row):
    """A row as it may stand in documents."""
    rng = random.Random(row["id"])
    words = row["question"].split()
    before, behind = (" ".join(prose(rng, 9000)) for _ in range(2))
    changed = [word if number % 100 != 40 else "other" for number, word in enumerate(words)]
    return {
        "verbatim": row["question"],
        "wrapped": "\n".join(" ".join(words[at : at + 8]) for at in range(0, len(words), 8)),
        "in 100 kB": f"{before} {row['question']} {behind}",
        "one word in a hundred": " ".join(changed),
        "upper case": row["question"].upper(),
        "other signs": ", ".join(words),
    }


def test_rows_are_found_however_they_stand_and_clean_documents_are_not(rows, tmp_path):
    rng = random.Random(2)
    documents = [text for row in rows for text in planted(row).values()]
    clean = [" ".join(prose(rng, 100)) for _ in range(2000)]
    report = run(tmp_path, [*documents, *clean], rows, common=100)
    found = {match["document"]["line"] for match in report.matches()}
    assert found == set(range(1, len(documents) + 1))
    assert report.evaluations[0] == {
        "path": str(tmp_path / "evals.jsonl"), "rows": 20, "rows_too_short": 0, "rows_found": 20,
        "documents": len(documents), "matches": len(documents),
    }  # fmt: skip
    assert report.ledger["documents_dropped"] == {"contaminated": len(documents)}


def test_a_passage_is_looked_for_by_itself(tmp_path):
    rng = random.Random(3)
    passage = " ".join(prose(rng, 80))
    rows = [{"question": "Who was that?", "passage": passage, "answer": "Nobody"}]
    [match] = run(tmp_path, [f"x {passage} y"], rows).matches()
    assert match["row"] == {"file": str(tmp_path / "evals.jsonl"), "id": "evals.jsonl:1", "line": 1, "part": "passage"}
    assert run(tmp_path, [f"x {passage} y"], rows, preset="lineage").contaminated == 0


def test_phrases_of_the_language_are_ignored_and_listed(tmp_path):
    rng = random.Random(4)
    phrase = " ".join(prose(rng, 20))
    rows = [{"id": 1, "text": phrase}, {"id": 2, "text": f"{phrase} {' '.join(prose(rng, 40))}"}]
    documents = [f"{' '.join(prose(rng, 30))} {phrase}" for _ in range(10)]
    assert run(tmp_path, documents, rows).contaminated == 10
    report = run(tmp_path, [*documents, rows[1]["text"]], rows)
    assert [match["row"]["id"] for match in report.matches()] == ["2"]
    ignored = [json.loads(line) for line in (tmp_path / "out" / "ignored.jsonl").read_bytes().splitlines()]
    assert [entry["reason"] for entry in ignored] == ["in more than 10 documents"] * 8
    assert ignored[0]["text"] == " ".join(phrase.split()[:13])
    assert ignored[0]["row"]["id"] == "1"


# --- what becomes of documents ---------------------------------------------------------------------------------------


def test_what_stays_is_as_it_was_read(rows, tmp_path):
    rng = random.Random(5)
    folder = tmp_path / "raw"
    folder.mkdir()
    kept = [
        b'{"n" : 1.0,  "text":"%s", "text" : "kept \\u00e9 \xc3\xa9"} ' % rows[0]["question"].encode(),
        b'{"text": ""}',
    ]
    lost = json.dumps({"text": rows[3]["question"]}).encode()
    (folder / "a.jsonl").write_bytes(b"\n".join([kept[0], lost, b"", kept[1]]))
    (folder / "b").mkdir()
    (folder / "b" / "b.txt.zst").write_bytes(zstandard.compress(f"{rows[4]['question']}\nline\r\n".encode()))
    (folder / "c.json.gz").write_bytes(
        gzip.compress(json.dumps([{"text": " ".join(prose(rng, 9))}, json.loads(lost)]).encode())
    )
    evaluations = write(tmp_path / "evals.jsonl", rows)
    report = bloomdata.decontaminate(folder, tmp_path / "out", evaluations=evaluations, action="drop")
    lines = lines_of(tmp_path / "out")
    assert lines[:2] == kept
    assert json.loads(lines[2])["text"] == "line"
    assert report.ledger["documents_dropped"] == {"blank line": 1, "contaminated": 3}
    assert report.ledger["documents_kept"] == len(lines) == 4
    assert bloomdata.verify(tmp_path / "out").files == 3


def test_cut_keeps_what_is_200_characters_away(rows, tmp_path):
    before, behind = "é" * 500, "z" * 450
    question = rows[0]["question"]
    text = f"{before} {question} {behind}"
    record = (
        '{"a": [1,  2], "text": "'
        + before
        + "\\u0020"
        + question.replace(" ", "\\n")
        + " "
        + behind
        + '", "b": "\\u00e9"}'
    )
    (tmp_path / "in.jsonl").write_text(record, "utf-8")
    evaluations = write(tmp_path / "evals.jsonl", rows)
    options = {"evaluations": evaluations, "action": "cut", "compression": "none"}
    report = bloomdata.decontaminate(tmp_path / "in.jsonl", tmp_path / "out", **options)
    pieces = [text[: 501 - 200], text[-(451 - 200) :]]
    expected = ['{"a": [1,  2], "text": "' + piece + '", "b": "\\u00e9"}' for piece in pieces]
    assert [line.decode() for line in lines_of(tmp_path / "out")] == expected
    assert report.ledger["documents_kept"] == 1
    assert report.manifest["details"]["lines"] == 2
    assert bloomdata.verify(tmp_path / "out").files == 3


def test_documents_that_cannot_be_cut_are_dropped(rows, tmp_path):
    rng = random.Random(6)
    question, gap = rows[0]["question"], " ".join(prose(rng, 200))
    documents = [f"a {question} b", f"{gap} {question} " * 10 + gap, f"{gap} {question} " * 11 + gap]
    report = run(tmp_path, documents, rows, action="cut")
    dropped = {"cut to pieces under 200 characters": 1, "cut more than 10 times": 1}
    assert report.ledger["documents_dropped"] == dropped
    assert len(lines_of(tmp_path / "out")) == 11
    again = run(tmp_path, [json.loads(line) for line in lines_of(tmp_path / "out")], rows)
    assert again.contaminated == 0


sentences = st.lists(st.sampled_from([*VOCABULARY[:6], "end.", "what?", "row"]), max_size=250).map(" ".join)


@settings(max_examples=60)
@given(
    documents=st.lists(sentences, min_size=1, max_size=5),
    questions=st.lists(texts, min_size=1, max_size=3),
    data=st.data(),
)
def test_lineage_cuts_as_filter_ngrams_does(documents, questions, data, tmp_path_factory):
    inserted = data.draw(st.lists(st.sampled_from(questions), max_size=4))
    documents = [f"{text} {' long words. ' * 20}".join([*inserted, ""]) for text in documents]
    rows = [{"text": question} for question in questions]
    report = run(tmp_path_factory.mktemp("run"), documents, rows, preset="lineage", action="cut", common=99)
    expected = [piece for text in documents for piece in cut_lineage(text, questions)]
    assert [json.loads(line)["text"] for line in lines_of(report.folder)] == expected
    shutil.rmtree(report.folder.parent)


# --- rows and options that cannot work -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("", ConfigError, r"evaluations: .*evals.jsonl: expected rows of JSON, got none"),
        ("\n \n", ConfigError, r"evals.jsonl: expected rows of JSON, got none"),
        ('{"text": "x"}\n{"prompt": "y", "label": 1}\n', CorruptDataError,
         r"evals.jsonl: offset 14: line 2: expected a field .* got the keys \[\"(label|prompt)\""),
        ('{"text": 3}\n', CorruptDataError, r'line 1: field "text" is not a string'),
        ('{"text": "x"\n', CorruptDataError, "line 1: malformed JSON"),
        ("[]", CorruptDataError, "line 1: not a JSON object"),
    ],
)  # fmt: skip
def test_bad_evaluation_files_are_named(content, error, message, raw, tmp_path):
    (tmp_path / "evals.jsonl").write_text(content)
    with pytest.raises(error, match=message):
        bloomdata.decontaminate("raw", "out", evaluations="evals.jsonl")
    assert not Path("out").exists()


def test_options_that_cannot_work_are_refused(raw, tmp_path):
    write(tmp_path / "evals.jsonl", [{"text": "x"}])
    (tmp_path / "evals.txt").write_text("x")
    for options, error in [
        ({"ngram": 0}, "ngram: expected 1 to 1000, got 0"),
        ({"threshold": 0.0}, "threshold: expected more than 0"),
        ({"threshold": 0.5, "preset": "lineage"}, "threshold: expected none with preset='lineage'"),
        ({"common": 0}, "common: expected 1 or more"),
        ({"action": "delete"}, "action: expected one of"),
        ({"memory_limit": "1kB"}, "memory_limit: expected"),
        ({"evaluations": []}, "evaluations: expected at least one file of rows, got none"),
    ]:
        with pytest.raises(ConfigError, match=error):
            bloomdata.decontaminate("raw", "out", **({"evaluations": "evals.jsonl"} | options))
    with pytest.raises(UnsupportedFormatError, match=r"evals.txt: found lines of text"):
        bloomdata.decontaminate("raw", "out", evaluations="evals.txt")


def test_a_rerun_with_other_rows_or_options_is_refused(raw, tmp_path):
    evaluations = write(tmp_path / "evals.jsonl", [{"text": "x " * 20}])
    bloomdata.decontaminate("raw", "out", evaluations=evaluations)
    assert bloomdata.decontaminate("raw", "out", evaluations=evaluations).was_finished
    for options in ({"ngram": 8}, {"threshold": 0.9}, {"common": 9}, {"action": "cut"}, {"preset": "lineage"}):
        with pytest.raises(MismatchError, match=f"option {next(iter(options))}"):
            bloomdata.decontaminate("raw", "out", evaluations=evaluations, **options)
    write(evaluations, [{"text": "y " * 20}])
    with pytest.raises(MismatchError, match="option evaluations"):
        bloomdata.decontaminate("raw", "out", evaluations=evaluations)


# --- runs ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def contaminated(rows, tmp_path_factory):
    """Files of documents, some of them contaminated, some bad; and rows."""
    rng = random.Random(7)
    folder = tmp_path_factory.mktemp("contaminated")
    (folder / "raw").mkdir()
    for number in range(4):
        lines = []
        for _ in range(200):
            words = prose(rng, rng.randint(1, 300))
            if rng.random() < 0.1:
                words[len(words) // 2 :] = [rng.choice(rows)["question"], *words[len(words) // 2 :]]
            lines.append(json.dumps({"text": " ".join(words)}) if rng.random() > 0.02 else '{"text"')
        (folder / "raw" / f"{number}.jsonl.zst").write_bytes(zstandard.compress("\n".join(lines).encode()))
    write(folder / "evals.jsonl", rows)
    return folder


@pytest.mark.parametrize("action", ["report", "drop", "cut"])
def test_threads_change_nothing(action, contaminated, tmp_path):
    options = {
        "evaluations": contaminated / "evals.jsonl",
        "action": action,
        "on_bad_record": "quarantine",
        "common": 3,
    }
    trees = []
    for threads in (1, 2, 8):
        out = tmp_path / str(threads)
        bloomdata.decontaminate(contaminated / "raw", out, num_threads=threads, max_lines=90, **options)
        assert bloomdata.verify(out).files >= 3
        trees.append(tree(out))
    assert differences(trees[1], trees[0]) == differences(trees[2], trees[0]) == []
    assert len(trees[0]["contamination.jsonl"].splitlines()) > 5


def test_how_documents_are_cut_into_files_changes_nothing(contaminated, tmp_path):
    lines = [
        line
        for path in sorted((contaminated / "raw").iterdir())
        for line in zstandard.decompress(path.read_bytes()).splitlines()
        if line != b'{"text"'
    ]
    found = []
    for name, sizes in (("one", len(lines)), ("many", 37)):
        (tmp_path / name).mkdir()
        for at in range(0, len(lines), sizes):
            (tmp_path / name / f"{at:04}.jsonl").write_bytes(b"\n".join(lines[at : at + sizes]))
        out = tmp_path / f"out-{name}"
        bloomdata.decontaminate(tmp_path / name, out, evaluations=contaminated / "evals.jsonl", action="cut", common=3)
        matches = [json.loads(line) for line in (out / "contamination.jsonl").read_bytes().splitlines()]
        [match.pop("document") for match in matches]
        found.append((lines_of(out), matches))
    assert found[0] == found[1]


@pytest.mark.parametrize("action", ["report", "cut"])
def test_a_run_killed_at_many_changes_of_its_folder_goes_on_to_the_same_bytes(action, shim, contaminated, tmp_path):
    command = ["decontaminate", "--evaluations", str(contaminated / "evals.jsonl"), "--action", action]
    command += ["--on-bad-record", "quarantine", "--max-lines", "300", "--num-threads", "2"]
    results = strike(shim, command, contaminated / "raw", tmp_path, 1, every=5)
    assert all(result["status"] == -signal.SIGKILL for result in results)
    assert wrong(results) == ""


def test_the_report_can_be_shown_again_and_its_page_has_both_texts(rows, tmp_path, capsys):
    from bloomdata.cli import main

    row = {"id": "<b>", "question": rows[0]["question"] + " <script>", "answer": "forty two"}
    document = rows[0]["question"].upper() + " <i> forty two"
    write(tmp_path / "in.jsonl", [{"text": document}])
    write(tmp_path / "evals.jsonl", [row])
    out, page = str(tmp_path / "out"), tmp_path / "page.html"
    arguments = ["--evaluations", str(tmp_path / "evals.jsonl"), "--html", str(page), "--action", "drop"]
    assert main(["decontaminate", str(tmp_path / "in.jsonl"), "-o", out, *arguments]) == 0
    shown = capsys.readouterr().out
    assert "evals.jsonl  1 of 1 rows found, in 1 documents" in shown
    assert main(["report", out]) == 0
    assert "contaminated" in capsys.readouterr().out
    html = page.read_text("utf-8")
    assert rows[0]["question"] in html
    assert rows[0]["question"].upper() in html
    assert "&lt;b&gt;" in html
    assert "<script>" not in html
    assert "of the answer 1.000" in html
