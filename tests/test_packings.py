"""Articles become rows of equal length: every packing does what its table says and what the reference does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bloomdata
from article_runs import PACKINGS, check, line, pack, rows_in, shown
from bloomdata.errors import ConfigError
from reference import rows as reference_rows
from reference.articles import COMPLETION, NO_CATEGORY, PADDING, PROMPT, SEPARATOR

# L = 3; articles [0,1], [2,3], [4,5,6,7]; rows, and how many tokens are dropped and truncated.
TABLE = [
    ("full", "012 345 67P", 0, 0),
    ("full::drop", "012 345", 2, 0),
    ("single::drop", "01P 23P", 4, 0),
    ("single::truncate_left", "01P 23P 567", 0, 1),
    ("single::truncate_right", "01P 23P 456", 0, 1),
    ("single::split", "456", 4, 1),
    ("greedy", "01P 23P", 4, 0),
    ("greedy::drop", "01P 23P", 4, 0),
    ("greedy::truncate_left", "01P 23P 567", 0, 1),
    ("greedy::truncate_right", "01P 23P 456", 0, 1),
    ("concat::1", "01P 23P 456 7PP", 0, 0),
    ("concat::2", "012 3PP 456 7PP", 0, 0),
    ("concat::3", "012 345 67P", 0, 0),
    ("best_fit", "01P 237 456", 0, 0),
    ("best_fit::drop", "01P 23P", 4, 0),
    ("best_fit::truncate_right", "01P 23P 456", 0, 1),
]
BY_WINDOW = {1: "01P 23P 456 7PP", 3: "01P 23P 456 7PP", 4: "01P 23P 456 7PP", 5: "01P 237 456"}


@pytest.mark.parametrize(("packing", "expected", "dropped", "truncated"), TABLE)
def test_rows_of_the_reference_are_those_of_the_table(packing, expected, dropped, truncated):
    found = [[(token, COMPLETION, NO_CATEGORY) for token in article] for article in ([0, 1], [2, 3], [4, 5, 6, 7])]
    rows, metrics = reference_rows.rows([[], *found, []], 3, packing, pad=8)
    assert " ".join("".join("01234567P"[token] for token, _, _ in row) for row in rows) == expected
    assert (metrics["dropped_from_packing_tokens"], metrics["truncated_tokens"]) == (dropped + truncated, truncated)
    assert (metrics["articles"], metrics["sequences"]) == (3, len(rows))
    assert metrics["padding_tokens"] == expected.count("P")


@pytest.mark.parametrize(("packing", "expected", "dropped", "truncated"), TABLE)
def test_rows_are_those_of_the_table(packing, expected, dropped, truncated, tmp_path):
    """The articles are aE, bE, cdeE, in a file each."""
    files = [(f"{number}.jsonl", line({"text": text})) for number, text in enumerate(["a", "b", "cde"])]
    options = {"record": "text", "sequence_length": 3, "packing": packing, "keep_prompt_only_sequences": True}
    report = check(files, tmp_path / "out", rows_per_file=2, **options)
    letters = dict(zip("01234567P", ["a1", "E3", "b1", "E3", "c1", "d1", "e1", "E3", "P2"], strict=True))
    assert shown(rows_in(report.folder)) == " | ".join(
        " ".join(letters[token] for token in row) for row in expected.split()
    )
    assert (report.ledger["tokens_dropped"], report.ledger["tokens_truncated"]) == (dropped, truncated)


@pytest.mark.parametrize(("window_tokens", "expected"), BY_WINDOW.items())
def test_the_article_that_fills_a_window_of_best_fit_is_its_last_one(window_tokens, expected, tmp_path):
    found = [[(token, COMPLETION, NO_CATEGORY) for token in article] for article in ([0, 1], [2, 3], [4, 5, 6, 7])]
    rows, _ = reference_rows.rows(found, 3, "best_fit", pad=8, window_tokens=window_tokens)
    assert " ".join("".join("01234567P"[token] for token, _, _ in row) for row in rows) == expected
    files = [("a.jsonl", line({"text": "a"}) + line({"text": "b"}) + line({"text": "cde"}))]
    options = {"packing": "best_fit", "window_tokens": window_tokens, "keep_prompt_only_sequences": True}
    check(files, tmp_path / "out", record="text", sequence_length=3, **options)


# Where e goes, a and b have room for 3: b is the younger row. Then for 2: b is younger, but a has changed since.
# The last one: the longer piece is taken first, and written behind the earlier one.
@pytest.mark.parametrize(
    ("sequence_length", "lengths", "expected"),
    [
        (8, {"a": 5, "b": 5, "c": 4, "d": 4, "e": 3, "f": 2}, "af be cd"),
        (20, {"a": 14, "b": 10, "c": 8, "d": 4, "e": 2}, "ade bc"),
        (8, {"a": 2, "b": 5}, "ab"),
    ],
)
def test_best_fit_takes_the_least_room_and_of_equals_what_changed_last(sequence_length, lengths, expected, tmp_path):
    texts = [letter * (length - 1) for letter, length in lengths.items()]  # the end token is one, too
    files = [("a.jsonl", b"".join(line({"text": text}) for text in texts))]
    report = check(files, tmp_path / "out", record="text", sequence_length=sequence_length, packing="best_fit")
    rows = [dict.fromkeys(chr(token) for token, kind, _ in row if kind == COMPLETION) for row in rows_in(report.folder)]
    assert " ".join("".join(row) for row in rows) == expected


@pytest.mark.parametrize("rule", ["drop", "truncate_left", "truncate_right"])
def test_an_article_that_is_too_long_closes_the_open_row_and_never_leaves_an_empty_one(rule, tmp_path):
    texts = ["xxxx", "a", "xxxx", "xxxx", "b", "c"]
    files = [("a.jsonl", b"".join(line({"text": text}) for text in texts))]
    report = check(files, tmp_path / "out", record="text", sequence_length=4, packing=f"greedy::{rule}")
    kept = {"drop": [], "truncate_left": ["x1 x1 x1 E3"], "truncate_right": ["x1 x1 x1 x1"]}[rule]
    expected = [*kept, "a1 E3 P2 P2", *kept, *kept, "b1 E3 c1 E3"]
    assert shown(rows_in(report.folder)) == " | ".join(expected)


def test_a_row_of_prompts_is_left_out_and_counted(tmp_path):
    """The padding of such a row is no padding, and it counts in full."""
    files = [("a.jsonl", line({"prompt": "abcd", "completion": "x"}))]
    options = {"sequence_length": 2, "packing": "full"}
    report = check(files, tmp_path / "out", **options)
    assert shown(rows_in(report.folder)) == "_1 x1 | E3 P2"
    assert (report.ledger["tokens_dropped"], report.ledger["tokens_padding"]) == (4, 1)
    assert report.metrics["dropped_from_all_prompt_tokens"] == 4
    kept = check(files, tmp_path / "kept", keep_prompt_only_sequences=True, **options)
    assert shown(rows_in(kept.folder)) == "a0 b0 | c0 d0 | _1 x1 | E3 P2"
    assert kept.ledger["tokens_dropped"] == 0


def test_a_row_of_end_tokens_is_trained_on_and_left_out_only_on_request(tmp_path):
    files = [("a.jsonl", line({"text": "ab"}) + line({"text": "cd"}))]
    options = {"record": "text", "sequence_length": 2, "packing": "best_fit"}
    report = check(files, tmp_path / "out", **options)
    assert shown(rows_in(report.folder)) == "a1 b1 | E3 E3 | c1 d1"
    report = check(files, tmp_path / "without", keep_end_only_sequences=False, **options)
    assert shown(rows_in(report.folder)) == "a1 b1 | c1 d1"
    assert (report.ledger["tokens_dropped"], report.ledger["documents_kept"]) == (2, 2)


@pytest.mark.parametrize("packing", ["best_fit", "full", "single::drop", "concat::3"])
def test_documents_of_one_token_are_kept(packing, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(line({"text": chr(97 + number % 26)}) for number in range(100)))
    options = {"tokenizer": "bytes", "sequence_length": 16, "packing": packing, "append_eos": False}
    report = bloomdata.pack(path, tmp_path / "out", **options)
    assert (report.ledger["documents_kept"], report.ledger["tokens_dropped"]) == (100, 0)
    rows = bloomdata.open(tmp_path / "out")[:]
    assert (rows["token_type_ids"] == SEPARATOR).sum() == 100


@st.composite
def random_articles(draw):
    """Articles that name every one of their tokens differently."""
    kinds = st.sampled_from([PROMPT, COMPLETION, SEPARATOR])
    found = draw(st.lists(st.lists(kinds, max_size=12), max_size=12))
    numbers = iter(range(1000))
    return [[(next(numbers), kind, NO_CATEGORY) for kind in article] for article in found]


@settings(max_examples=200)
@given(
    found=random_articles(),
    length=st.integers(1, 9),
    packing=st.sampled_from(PACKINGS),
    window_tokens=st.integers(1, 40),
    keep=st.booleans(),
    keep_ends=st.booleans(),
)
def test_the_reference_itself_loses_and_invents_no_token(found, length, packing, window_tokens, keep, keep_ends):
    options = {"keep_prompt_only_sequences": keep, "keep_end_only_sequences": keep_ends, "window_tokens": window_tokens}
    rows, metrics = reference_rows.rows(found, length, packing, -7, **options)
    ledger = reference_rows.ledger(found, length, packing, -7, **options)
    written = [token for row in rows for token, kind, _ in row if kind != PADDING]
    everything = [token for article in found for token, _, _ in article]
    assert all(len(row) == length for row in rows)
    trained = {COMPLETION, SEPARATOR} if keep_ends else {COMPLETION}
    assert all(keep or any(kind in trained for _, kind, _ in row) for row in rows)
    assert all(row[0][1] != PADDING for row in rows)
    assert len(set(written)) == len(written)
    assert set(written) <= set(everything)
    assert len(everything) - len(written) == ledger["tokens_truncated"] + ledger["tokens_dropped"]
    assert ledger["tokens_in"] + ledger["tokens_padding"] == (
        ledger["tokens_out"] + ledger["tokens_truncated"] + ledger["tokens_dropped"]
    )
    assert (
        ledger["tokens_out"]
        == metrics["output_tokens"]
        == sum(metrics[f"{kind}_tokens"] for kind in ("prompt", "completion", "padding"))
    )
    if not packing.startswith("best_fit"):
        assert written == sorted(written)
    if keep and packing.startswith("concat"):
        assert sorted(written) == everything
    if packing.startswith("best_fit"):
        for row in rows:
            tokens = [token for token, kind, _ in row if kind != PADDING]
            assert tokens == sorted(tokens)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("packing", name) for name in ("", "none", "Full", "full::", "full::split", "single", "greedy::split")),
        *(("packing", name) for name in ("concat", "concat::0", "concat::-1", "concat::x", "best_fit::split")),
        ("record", "chat"),
        ("attention_boundary", "row"),
        ("packing_boundary", "row"),
        ("window_tokens", 0),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name(option, value, tmp_path):
    options = {"sequence_length": 4, "packing": "best_fit"} | {option: value}
    with pytest.raises(ConfigError, match=rf"\b{option}\b"):
        pack([("a.jsonl", line({"completion": "a"}))], tmp_path / "out", **options)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_fixed_records_of_mindformers_are_single_rows_padded_with_the_end_token(word_tokenizers, tmp_path):
    """MF-01, MF-03: cut without an end when too long, else ended and filled with ends; L + 1 tokens a record."""
    path = word_tokenizers[65_499]
    eos = 65_499 - 2
    lines = [{"text": " ".join(f"w{number}" for number in range(count))} for count in (1, 3, 4, 6)]
    (tmp_path / "a.jsonl").write_bytes(b"".join(map(line, lines)))
    options = {"sequence_length": 4, "packing": "single::truncate_right", "pad_token": "</s>"}
    bloomdata.pack(tmp_path / "a.jsonl", tmp_path / "out", tokenizer=path, **options)
    rows = bloomdata.open(tmp_path / "out")[:]["input_ids"].tolist()
    assert rows == [[0, eos, eos, eos], [0, 1, 2, eos], [0, 1, 2, 3], [0, 1, 2, 3]]
