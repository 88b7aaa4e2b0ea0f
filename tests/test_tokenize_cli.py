"""`bloomdata-cli tokenize`: the ids of `Tokenizer.encode` and of the `tokenizers` package, a line for each document."""

from __future__ import annotations

import gzip
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import bloomdata
from bloomdata.cli import main
from bloomdata.cli.parser import parse
from files import write

LINES = ["Hello world", "", "a\rb\r", "\u2028\u0085\x0b\x0c\x1c", "\x00", "é字😀", " " * 9, "</s>x", '{"text": "x"}']
COMMAND = [sys.executable, "-m", "bloomdata", "tokenize", "--tokenizer", "bytes"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The package's tokenizer and its folder: byte-level BPE that puts `<s>` in front."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(["Hello world, hello you"] * 9, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    folder = tmp_path_factory.mktemp("model")
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer, str(folder)


@pytest.fixture
def tokenize(monkeypatch, capsysbinary):
    """Calls the program; its output, or its exit status and what it said when it fails."""

    def call(*arguments, stdin=b"", tokenizer="bytes", status=0):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="ascii"))
        assert main(["tokenize", *map(str, arguments), "--tokenizer", tokenizer]) == status
        out, err = capsysbinary.readouterr()
        if status == 0:
            assert err == b""
            return out
        return out, err.decode()

    return call


def ids_lines(texts, encode):
    return "".join(" ".join(map(str, encode(text))) + "\n" for text in texts).encode()


# --- what a document is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", [[], ["--no-special-tokens"], ["--no-add-special-tokens"]], ids=str)
def test_lines_are_documents_with_the_ids_of_both_libraries(option, model, tokenize, tmp_path):
    theirs, folder = model
    ours = bloomdata.Tokenizer(folder)
    path = write(tmp_path / "a.txt", "".join(line + "\n" for line in LINES).encode())
    adds = not option
    found = tokenize(path, *option, tokenizer=folder)
    assert found == ids_lines(LINES, lambda text: theirs.encode(text, add_special_tokens=adds).ids)
    assert found == ids_lines(LINES, lambda text: ours.encode(text, add_special_tokens=adds).tolist())
    assert found.startswith(b"0 ") == adds
    assert found == tokenize(*option, stdin=(tmp_path / "a.txt").read_bytes(), tokenizer=folder)
    assert found == tokenize("-", *option, stdin=(tmp_path / "a.txt").read_bytes(), tokenizer=folder)


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"a\r\nb\r", ["a\r", "b\r"]),
        (b"\n\n", ["", ""]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", ["a", "\ufeffb"]),
        (b"\xef\xbb\xbf", []),
        (b"\xef\xbb\xbf\na", ["", "a"]),
        ("a\u2028b\u0085c\x0bd\x1ce\n".encode(), ["a\u2028b\u0085c\x0bd\x1ce"]),
        (b"a\x00b\n", ["a\x00b"]),
    ],
    ids=repr,
)
def test_only_a_newline_ends_a_line_and_nothing_else_is_taken_away(content, texts, tokenize, tmp_path):
    expected = ids_lines(texts, lambda text: text.encode())
    assert tokenize(stdin=content) == expected
    for name, stored in (
        ("a.txt", content),
        ("a.txt.gz", gzip.compress(content)),
        ("A.TXT.ZST", zstandard.compress(content)),
    ):
        assert tokenize(write(tmp_path / name, stored)) == expected


@settings(max_examples=30)
@given(content=st.text(st.sampled_from("ab\r\n\0\u2028字"), max_size=30))
def test_whole_files_are_one_document_and_come_back_byte_for_byte(content, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("whole") / "a.jsonl", content.encode())
    with pytest.MonkeyPatch.context() as patch:
        out = io.TextIOWrapper(io.BytesIO())
        patch.setattr(sys, "stdout", out)
        assert main(["tokenize", "--whole", path, "--tokenizer", "bytes"]) == 0
        ids = out.buffer.getvalue()
        assert ids == ids_lines([content], lambda text: text.encode())
        back = io.TextIOWrapper(io.BytesIO())
        patch.setattr(sys, "stdout", back)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ids)))
        assert main(["tokenize", "--whole", "--decode", "--tokenizer", "bytes"]) == 0
        assert back.buffer.getvalue() == content.encode()


def test_the_text_of_each_record_of_jsonl_is_a_document(tokenize, tmp_path):
    records = [{"text": "é", "more": {"inner": "y"}, "n": 10**30}, {"text": "", "more": {"inner": "\u2028"}}]
    content = b"\n".join(json.dumps(record).encode() for record in records) + b"\n \t\r\n"
    expected = ids_lines(["é", ""], lambda text: text.encode())
    for name, stored in (
        ("a.jsonl", content),
        ("a.ndjson.gz", gzip.compress(content[:40]) + gzip.compress(content[40:])),
        ("a.jsonl.zst", zstandard.compress(content[:7]) + zstandard.compress(content[7:])),
    ):
        assert tokenize(write(tmp_path / name, stored)) == expected
    assert tokenize("--jsonl", stdin=content) == expected
    nested = tokenize(tmp_path / "a.jsonl", "--text-field", "more.inner")
    assert nested == ids_lines(["y", "\u2028"], lambda text: text.encode())
    assert tokenize(write(tmp_path / "b.jsonl", b'{"text": "a", "text": "b"}')) == b"98\n"


def test_shards_can_be_tokenized(tokenize, raw):
    bloomdata.shard(raw, "shards", max_lines=1)
    expected = ids_lines(["hello world", "a second document"], lambda text: text.encode())
    assert tokenize("shards/part-00000.jsonl.zst", "shards/part-00001.jsonl.zst") == expected


def test_files_and_standard_input_follow_each_other(tokenize, tmp_path):
    path = write(tmp_path / "a.txt", b"a")
    assert tokenize(path, "-", path, stdin=b"b") == b"97\n98\n97\n"


def test_a_huge_line_is_one_document(tokenize, tmp_path):
    path = write(tmp_path / "a.txt", b"x" * (9 << 20) + b"\ny\n")
    found = tokenize(path).split(b"\n")
    assert found[0] == b" ".join([b"120"] * (9 << 20))
    assert found[1:] == [b"121", b""]
    assert tokenize(path, "--format", "json").startswith(b"[120, 120")


def test_batches_and_threads_do_not_change_the_output(tokenize, monkeypatch, tmp_path, model):
    from bloomdata.cli import tokenize as module

    path = write(tmp_path / "a.txt", "".join(f"{line} {n}\n" for n in range(50) for line in LINES).encode())
    expected = tokenize(path, tokenizer=model[1])
    for size in (1, 1000):
        monkeypatch.setattr(module, "_BATCH_BYTES", size)
        monkeypatch.setattr(module, "_PIECE_IDS", size)
        for threads in (1, 4):
            assert tokenize(path, "--num-threads", threads, tokenizer=model[1]) == expected


# --- formats ---------------------------------------------------------------------------------------------------


def test_formats_say_the_same(tokenize, model):
    theirs, folder = model
    stdin = "".join(line + "\n" for line in LINES).encode()
    encodings = [theirs.encode(line) for line in LINES]

    def lines(form):
        return [json.loads(line) for line in tokenize("--format", form, stdin=stdin, tokenizer=folder).splitlines()]

    assert lines("json") == [encoding.ids for encoding in encodings]
    assert lines("counts") == [len(encoding.ids) for encoding in encodings]
    assert lines("tokens") == [[theirs.id_to_token(token) for token in encoding.ids] for encoding in encodings]


@pytest.mark.parametrize("form", ["ids", "json"])
def test_decode_gives_back_every_line(form, tokenize, model):
    stdin = "".join(line + "\n" for line in LINES).encode()
    ids = tokenize("--no-special-tokens", "--format", form, stdin=stdin, tokenizer=model[1])
    found = tokenize("--decode", stdin=ids, tokenizer=model[1])
    assert [json.loads(line) for line in found.decode().split("\n")[:-1]] == LINES


def test_decode_shows_special_tokens_unless_asked_otherwise(tokenize, model):
    ids = tokenize(stdin=b"hello\n", tokenizer=model[1])
    assert tokenize("--decode", stdin=ids, tokenizer=model[1]) == b'"<s>hello"\n'
    assert tokenize("--decode", "--no-special-tokens", stdin=ids, tokenizer=model[1]) == b'"hello"\n'
    assert tokenize("--decode", "--whole", "--no-special-tokens", stdin=ids * 2, tokenizer=model[1]) == b"hellohello"


@pytest.mark.parametrize(
    ("stdin", "error", "named"),
    [
        (b"1 2\n3 x\n", "CorruptDataError", "<stdin>: line 2: offset 4: 'x' is no token id"),
        (b"-1\n", "CorruptDataError", "line 1: offset 0: '-1' is no token id"),
        (b"1_0\n", "CorruptDataError", "'1_0' is no token id"),
        (b"9" * 5000, "CorruptDataError", "is no token id"),
        (b"[1, true]\n", "CorruptDataError", "'True' is no token id"),
        (b"[1, 2\n", "CorruptDataError", "line 1: offset 0: malformed JSON"),
        (b"[" * 100_000, "CorruptDataError", "line 1: offset 0: malformed JSON"),
        (b"1\n259\n", "MismatchError", "line 2: offset 2: token id: expected 0 to 258, found 259"),
    ],
    ids=repr,
)
def test_decode_refuses_what_is_no_id(stdin, error, named, tokenize):
    _, said = tokenize("--decode", stdin=stdin, status=1)
    assert error in said
    assert named in said


# --- what goes wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.txt", b"ab\nc\xffd\n", "a.txt: line 2: offset 4: invalid UTF-8"),
        ("a.txt", b"\xef\xbb\xbf\xff", "a.txt: line 1: offset 3: invalid UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xc3"}\n', "a.jsonl: line 2: offset 24: invalid UTF-8"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "a.jsonl: line 2: offset 14: malformed JSON"),
        ("a.jsonl", b'{"text": NaN}', "malformed JSON"),
        ("a.jsonl", b'{"text": "\\ud800"}', "malformed JSON"),
        ("a.jsonl", b'{"text": "a\tb"}', "malformed JSON"),
        ("a.jsonl", b"[" * 100_000, "nested too deep"),
        ("a.jsonl", b"[1]", "not a JSON object"),
        ("a.jsonl", b'{"t": 1}', 'no field "text"'),
        ("a.jsonl", b'{"text": null}', 'field "text" is null'),
        ("a.jsonl", b'{"text": 1}', 'field "text" is not a string'),
        ("a.txt.gz", gzip.compress(b"hello\n" * 99, mtime=0)[:-3], "truncated"),
        ("a.txt.gz", b"", "truncated"),
        ("a.txt.gz", b"hello", "offset 0: damaged"),
        ("a.txt.gz", gzip.compress(b"hello", mtime=0) + b"rest", "damaged"),
        ("a.jsonl.zst", zstandard.compress(b'{"text": "a"}\n')[:-2], "truncated"),
        ("a.jsonl.zst", b"", "truncated"),
        ("a.jsonl.zst", b"hello", "damaged"),
        ("a.json", b'[{"text": "a"}]', "a.json: found .json, which is not lines"),
        ("a.parquet", b"PAR1", "found .parquet"),
    ],
    ids=repr,
)
def test_a_bad_input_is_an_error_that_says_where(name, content, error, tokenize, tmp_path):
    _, said = tokenize(write(tmp_path / name, content), status=1)
    assert error in said
    assert name in said
    assert "Traceback" not in said


def test_documents_in_front_of_an_error_are_written(tokenize, tmp_path):
    path = write(tmp_path / "a.txt", b"a\nb\n\xff\nc\n")
    out, said = tokenize(path, status=1)
    assert out == b"97\n98\n"
    assert "line 3: offset 4" in said
    out, said = tokenize("-", tmp_path / "none.txt", stdin=b"a\n", status=1)
    assert out == b"97\n"
    assert "FileNotFoundError" in said
    assert "none.txt" in said


@pytest.mark.parametrize(
    "arguments",
    [["-", "-"], ["--decode", "--format", "tokens"], ["--decode", "--jsonl"], ["--jsonl", "--text-field", "a."]],
    ids=str,
)
def test_options_that_do_not_fit_together_are_refused(arguments, tokenize):
    _, said = tokenize(*arguments, stdin=b"{}", status=1)
    assert "ConfigError" in said


def test_a_tokenizer_is_needed_and_must_exist(tokenize):
    with pytest.raises(SystemExit) as exit_:
        main(["tokenize"])
    assert exit_.value.code == 2
    _, said = tokenize(tokenizer="/nowhere", status=1)
    assert "/nowhere" in said


# --- as a process ----------------------------------------------------------------------------------------------


def test_a_closed_pipe_ends_the_program_quietly(tmp_path):
    path = write(tmp_path / "a.txt", b"hello\n" * 1_000_000)
    with subprocess.Popen([*COMMAND, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"104 101 108 108 111\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


def test_a_pipe_that_is_closed_before_a_short_output_is_quiet_too():
    read, write_end = os.pipe()
    os.close(read)
    process = subprocess.run([*COMMAND], input=b"a\n", stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert (process.returncode, process.stderr) == (1, b"")


def test_ctrl_c_ends_the_program_and_promises_nothing(tmp_path):
    with (
        (tmp_path / "out").open("wb") as out,
        subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE) as process,
    ):
        # More than a batch; then it waits for more.
        process.stdin.write(b"x\n" * 100_000)
        process.stdin.flush()
        while not (tmp_path / "out").stat().st_size and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        assert (process.wait(30), process.stderr.read()) == (130, b"interrupted\n")
        assert time.monotonic() - begin < 2


def test_a_missing_standard_input_is_an_error():
    done = subprocess.run([*COMMAND], capture_output=True, text=True, check=False, preexec_fn=lambda: os.close(0))
    assert (done.returncode, done.stdout) == (1, "")
    assert "ConfigError: files" in done.stderr


def test_who_types_gets_an_answer_to_each_line():
    ours, theirs = pty.openpty()
    with subprocess.Popen(COMMAND, stdin=theirs, stdout=subprocess.PIPE) as process:
        os.close(theirs)
        for line, answer in ((b"a\n", b"97\n"), (b"bc\n", b"98 99\n")):
            os.write(ours, line)
            assert process.stdout.readline() == answer
        os.write(ours, b"\x04")  # Ctrl-D
        assert process.wait(30) == 0
    os.close(ours)


def test_output_is_utf8_whatever_the_terminal_speaks(model):
    command = [sys.executable, "-m", "bloomdata", "tokenize", "--tokenizer", model[1], "--format", "tokens"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(command, input=" é\n".encode(), capture_output=True, env=environment, check=True)
    assert json.loads(done.stdout.decode()) == ["<s>", "Ġ", "Ã", "©"]


@pytest.mark.parametrize("verb", ["tokenize", "count"])
def test_every_example_of_the_help_can_be_parsed(verb, capsys):
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    text = capsys.readouterr().out
    commands = [part.split() for line in text.splitlines() for part in line.split("|") if "bloomdata-cli " in part]
    commands = [words for words in commands if words[0] == "bloomdata-cli" and words[1] == verb]
    assert len(commands) >= 3
    for words in commands:
        assert parse(words[1:]).verb == verb
