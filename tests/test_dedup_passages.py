"""Repeated passages, paragraphs and lines: found as the slow references find them, and cut out, dropped or marked."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from bloomdata import ConfigError, Substring
from deduping import WORDS, dedup, kept_lines, write_files
from reference.dedup_units import units
from reference.substring import spans as spans_of
from runs import tree


def passages(seed, count):
    """Texts of several lines and paragraphs, of which many stand elsewhere, too."""
    rng = random.Random(seed)
    lines = [" ".join(rng.choices(WORDS, k=rng.randint(1, 12))) for _ in range(20)]
    texts = []
    for _ in range(count):
        parts = [
            rng.choice(lines) if rng.random() < 0.4 else " ".join(rng.choices(WORDS, k=rng.randint(0, 12)))
            for _ in range(rng.randint(0, 8))
        ]
        texts.append(
            "".join(part + rng.choice(["\n", "\n\n", " ", "\n \n\n"]) for part in parts)[: rng.choice([-1, 400])]
        )
    return texts


def found_spans(output, num_texts, sizes=(1000,)):
    """The spans of every text, as `spans.jsonl` says."""
    found = [[] for _ in range(num_texts)]
    for line in (output / "spans.jsonl").read_text().splitlines():
        entry = json.loads(line)
        number = int(entry["file"][-9:-6]) * sizes[0] + entry["line"] - 1
        found[number].append(tuple(entry["bytes"]))
        # What stood first is the start of what stands here.
        first = entry["first"]
        assert (first["file"], first["line"], first["bytes"][0]) < (entry["file"], entry["line"], entry["bytes"][0])
    return found


@given(st.integers(0, 1 << 32), st.integers(1, 25), st.sampled_from([1, 2, 5, 9]), st.sampled_from(["none", "fold"]))
@settings(max_examples=60)
def test_repeated_windows_are_those_of_the_reference(tmp_path_factory, seed, count, words, normalize):
    folder = tmp_path_factory.mktemp("passages")
    texts = passages(seed, count)
    write_files(folder / "in", texts, [7])
    dedup(
        folder / "in",
        folder / "out",
        exact=None,
        substring=Substring(words=words, normalize=normalize),
        report_only=True,
    )
    assert found_spans(folder / "out", count, [7]) == spans_of(texts, words, normalize)


def whole_parts(text, *, paragraphs):
    """(start, end) in bytes of each line, or each paragraph, without blank ones; plain and slow."""
    parts, start = [], 0
    for line in text.encode().split(b"\n"):
        end = min(start + len(line) + 1, len(text.encode()))
        if line.decode().strip():
            if paragraphs and parts and parts[-1][1] == start and parts[-1][2]:
                parts[-1] = (parts[-1][0], end, True)
            else:
                parts.append((start, end, True))
        elif parts:
            parts[-1] = (*parts[-1][:2], False)
        start = end
    return [(start, end) for start, end, _ in parts]


@given(st.integers(0, 1 << 32), st.integers(1, 25), st.booleans(), st.sampled_from([0, 8]))
@settings(max_examples=40)
def test_repeated_lines_and_paragraphs_are_cut_out(tmp_path_factory, seed, count, paragraphs, min_characters):
    folder = tmp_path_factory.mktemp("lines")
    texts = passages(seed, count)
    write_files(folder / "in", texts, [7])
    scope = "paragraph" if paragraphs else "line"
    report = dedup(folder / "in", folder / "out", exact=scope, min_characters=min_characters)
    seen, expected = set(), []
    for number, text in enumerate(texts):
        parts = whole_parts(text, paragraphs=paragraphs)
        encoded, kept, at, repeated = text.encode(), [], 0, 0
        for start, end in parts:
            part = encoded[start:end].removesuffix(b"\n")
            if len(part.decode()) >= min_characters and part in seen:
                kept.append(encoded[at:start])
                rest = encoded[end:]
                at = end
                repeated += 1
                while paragraphs and (line := rest.split(b"\n")[0] + b"\n")[:-1].strip() == b"" and rest:
                    at += min(len(line), len(rest))
                    rest = rest[len(line) :]
            seen.add(part)
        kept.append(encoded[at:])
        if not (parts and repeated == len(parts)):
            expected.append({"id": number, "text": b"".join(kept).decode()})
    assert [json.loads(line) for line in kept_lines(folder / "out")] == expected
    dropped = report.ledger["documents_dropped"].get("only duplicates", 0)
    assert dropped == count - len(expected)


def test_passages_are_cut_dropped_or_marked(tmp_path):
    passage = " ".join(f"word{number}" for number in range(60))
    texts = [f"Before. {passage} after é.", f"Other\n{passage}\nend", passage, "alone"]
    inputs = write_files(tmp_path / "in", texts)

    def run(name, **options):
        report = dedup(inputs, tmp_path / name, exact=None, substring=Substring(**options))
        bloomdata.verify(tmp_path / name)
        return report, [json.loads(line) for line in kept_lines(tmp_path / name)]

    report, lines = run("cut")
    assert [line["text"] for line in lines] == [texts[0], "Other\nend", "alone"]
    assert report.ledger["documents_dropped"] == {"only duplicates": 1}
    report, lines = run("drop", action="drop", max_share=0.99)
    assert [line["id"] for line in lines] == [0, 1, 3]
    assert report.ledger["documents_dropped"] == {"repeated passages": 1}
    report, lines = run("mark", action="mark")
    assert [line["text"] for line in lines] == texts
    assert [line.get("repeated_spans") for line in lines] == [None, [[6, 6 + len(passage)]], [[0, len(passage)]], None]
    assert report.manifest["details"]["repeated"]["spans"] == 2
    _, lines = run("lines", whole_lines=True)
    assert [line["text"] for line in lines] == [texts[0], "Other\nend", "alone"]
    only = dedup(inputs, tmp_path / "report", exact=None, substring=Substring(), report_only=True)
    assert only.ledger["documents_dropped"] == {"only duplicates": 1}
    assert (tmp_path / "report" / "spans.jsonl").read_bytes() == (tmp_path / "cut" / "spans.jsonl").read_bytes()


def test_only_the_text_of_a_record_changes(tmp_path):
    (tmp_path / "in").mkdir()
    line = "this line is long enough to count"
    records = [
        f'{{"a" :1, "text":"{line}\\nfirst","b":[1,2]}}',
        f'{{"text":"x","meta":{{"text":"{line}"}},"text" :  "caf\\u00e9\\n{line}\\nend" , "c": "é"}}',
        f'{{"text":"é\\n{line}"}}',
    ]
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(records) + "\n")
    dedup(tmp_path / "in", tmp_path / "out", exact="line")
    assert kept_lines(tmp_path / "out") == [
        records[0].encode() + b"\n",
        f'{{"text":"x","meta":{{"text":"{line}"}},"text" :  "caf\\u00e9\\nend" , "c": "é"}}\n'.encode(),
        '{"text":"é\\n"}\n'.encode(),
    ]


def test_near_duplicates_go_before_passages_are_compared(tmp_path):
    passage = " ".join(f"word{number}" for number in range(60))
    texts = [passage, passage + " more", f"{passage} " + " ".join(f"other{number}" for number in range(90))]
    inputs = write_files(tmp_path / "in", texts)
    report = dedup(inputs, tmp_path / "out", near={"threshold": 0.8}, substring={"words": 50})
    assert report.ledger["documents_dropped"] == {"near duplicate": 1}
    lines = [json.loads(line)["text"] for line in kept_lines(tmp_path / "out")]
    assert lines == [passage, " ".join(f"other{number}" for number in range(90))]


def test_threads_memory_and_files_change_nothing(tmp_path):
    texts = passages(4, 1500)
    inputs = write_files(tmp_path / "in", texts, [400])
    other = write_files(tmp_path / "other", texts, [77])
    options = {"near": {"threshold": 0.7}, "substring": Substring(words=6, normalize="fold"), "max_lines": 200}
    dedup(inputs, tmp_path / "a", num_threads=1, memory_limit="60MB", **options)
    dedup(inputs, tmp_path / "b", num_threads=4, memory_limit="4GB", **options)
    dedup(other, tmp_path / "c", **options)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert kept_lines(tmp_path / "a") == kept_lines(tmp_path / "c")


def test_passages_of_what_is_compared_with_are_cut_out_of_the_new(tmp_path):
    passage = " ".join(f"word{number}" for number in range(60))
    old = write_files(tmp_path / "old", [passage, passage])
    new = write_files(tmp_path / "new", [f"new {passage}"])
    dedup(new, tmp_path / "out", exact=None, substring=Substring(), against=old)
    assert [json.loads(line)["text"] for line in kept_lines(tmp_path / "out")] == ["new "]


def test_a_text_of_one_word_many_times_is_its_first_window(tmp_path):
    inputs = write_files(tmp_path / "in", ["a " * 100_000])
    dedup(inputs, tmp_path / "out", exact=None, substring=Substring())
    [line] = kept_lines(tmp_path / "out")
    # Every window but the first occurred before: they cover all words but the first one.
    assert units(json.loads(line)["text"], "words", "none")[0][1:] == (0, 1)
    assert json.loads(line)["text"].split() == ["a"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"substring": Substring(words=0)}, "words: expected 1 to"),
        ({"substring": Substring(max_share=2)}, "max_share: expected 0 to 1"),
        ({"substring": Substring(action="hide")}, "action: expected one of"),
        ({"substring": 50}, "substring: expected a Substring"),
        ({"exact": "line", "substring": Substring()}, "substring: expected None with exact='line'"),
    ],
)
def test_options_that_cannot_work_are_refused(tmp_path, options, message):
    inputs = write_files(tmp_path / "in", ["a"])
    with pytest.raises(ConfigError, match=message):
        dedup(inputs, tmp_path / "out", **options)
