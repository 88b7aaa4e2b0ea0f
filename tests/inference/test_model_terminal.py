"""The chat in a pseudo-terminal, as a user sees it, and with a pipe; one process each."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from small_models import answer, question

pytestmark = pytest.mark.train
pexpect = pytest.importorskip("pexpect")

CTRL_C, CTRL_D, CTRL_R, UP = "\x03", "\x04", "\x12", "\x1b[A"
SECONDS = 120


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def terminal(answering, home):
    """A chat in a terminal that shows no colours, so that lines can be found."""
    import os

    environment = {**os.environ, "HOME": str(home), "NO_COLOR": "1", "TERM": "xterm"}
    words = ["-m", "bloomdata", "chat", str(answering), "--max-new-tokens", "200"]
    child = pexpect.spawn(sys.executable, words, env=environment, encoding="utf-8", timeout=SECONDS)
    child.expect_exact("Ctrl-D leaves.")
    child.expect_exact(">>> ")
    yield child
    child.close(force=True)


def said(child, line):
    """What is shown for a line."""
    child.sendline(line)
    child.expect_exact(line)
    child.expect_exact(">>> ")
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", child.before).strip()


def test_a_chat_in_a_terminal(terminal, home):
    assert said(terminal, question(2)) == answer(2)
    # The line before is called back by the arrow key, and one further back by Ctrl-R.
    terminal.send(f"{UP}\r")
    terminal.expect_exact(answer(2))
    terminal.expect_exact(">>> ")
    terminal.send(f"{CTRL_R}Letter\r")
    terminal.expect_exact(answer(2))
    terminal.expect_exact(">>> ")
    assert said(terminal, "/reset") == "This is a new conversation."
    # Several lines between quotes.
    terminal.sendline('"""Letter 1?')
    terminal.expect_exact("... ")
    terminal.sendline('"""')
    terminal.expect_exact(">>> ")
    assert "<human>: Letter 1?\r\n\r\n<bot>:" in said(terminal, "/raw_prompt")
    # Ctrl-C discards a line, ends an answer, and does not leave.
    terminal.send(f"half a line{CTRL_C}")
    terminal.expect_exact(">>> ")
    said(terminal, "/set temperature 50")
    terminal.sendline("/raw_say It")
    terminal.expect(r"\r\n.*\S")
    terminal.send(CTRL_C)
    terminal.expect_exact(">>> ")
    said(terminal, "/set temperature 0")
    said(terminal, "/reset")
    assert said(terminal, question(3)) == answer(3)
    terminal.send(CTRL_D)
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    assert question(2) in (home / ".bloomdata_history").read_text("utf-8")


def test_lines_of_a_pipe_are_answered_without_prompts_or_colours(answering):
    lines = f"{question(2)}\n".encode() + b"\xff\n" + f"/reset\n{question(0)}\n/tokens\n".encode()
    words = [sys.executable, "-m", "bloomdata", "chat", str(answering)]
    found = subprocess.run(words, input=lines, capture_output=True, check=True, timeout=SECONDS)
    shown = found.stdout.decode().splitlines()
    assert shown[:4] == [
        answer(2),
        "error: the line is not UTF-8 (byte 0); it was skipped",
        "This is a new conversation.",
        answer(0),
    ]
    assert re.fullmatch(r"Conversation: \d+ of 256 tokens\.", shown[4])
