"""The command line with streams that are closed, cut, or of another encoding, and with names that are no plain text."""

import subprocess
import sys

import pytest

CLI = [sys.executable, "-m", "bloomdata"]


def shell(command, **options):
    """Runs a command line of a shell in which `cli` is the program."""
    program = f'cli() {{ {sys.executable} -m bloomdata "$@"; }}; set -o pipefail; {command}'
    return subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60, **options)


@pytest.mark.parametrize(
    "verb", ["prepare --list", "fetch --list", "count raw --tokenizer bytes", "inspect shards", "--help"]
)
@pytest.mark.parametrize("buffering", ["", "PYTHONUNBUFFERED=1 "])
def test_a_reader_that_leaves_is_no_error_to_be_shown(verb, buffering, raw, tmp_path):
    subprocess.run([*CLI, "shard", "raw", "-o", "shards", "-q"], check=True)
    ended = shell(f"export {buffering or 'A=1'}; cli {verb} | head -c 1 > /dev/null", cwd=tmp_path)
    assert ended.stderr == ""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_do_not_matter(closed, raw, tmp_path):
    assert shell(f"cli shard raw -o out {closed}", cwd=tmp_path).returncode == 0
    assert (tmp_path / "out" / "manifest.json").exists()


def test_what_an_encoding_lacks_is_escaped(raw, tmp_path):
    (raw / "a.jsonl").write_text('{"text":"é"}\n', "utf-8")
    subprocess.run([*CLI, "shard", "raw", "-o", "shards", "-q"], check=True)
    ended = shell("PYTHONIOENCODING=ascii cli inspect shards", cwd=tmp_path)
    assert (ended.returncode, ended.stdout.split("\n")[1]) == (0, '{"text":"\\xe9"}')


def test_control_characters_of_names_do_not_reach_the_terminal(raw, tmp_path):
    name = "a\x1b]0;title\x07\x1b[31m.jsonl"
    (raw / name).write_text('{"text":"x"}\n{"text":\n')
    for command in (
        ["shard", f"raw/{name}", "-o", "out"],
        ["count", f"raw/{name}", "--tokenizer", "bytes", "--on-bad-record", "quarantine"],
        ["shard", f"raw/{name}", "-o", "out-\x1b[31m", "--on-bad-record", "quarantine"],
        ["verify", "out-\x1b[31m"],
    ):
        ended = subprocess.run([*CLI, *command], capture_output=True, text=True, cwd=tmp_path)
        assert "\x1b" not in ended.stdout + ended.stderr
        assert "\\x1b[31m" in ended.stdout + ended.stderr
