"""Commands of the README and of the pages on models parse, and the verbs are listed without torch."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bloomdata.cli.parser import parse

ROOT = Path(__file__).parents[2]
ANSWERS = {"generate", "chat", "serve"}
PAGES = {
    "README.md": {*ANSWERS, "web", "retrieval", "evaluate"},
    "docs/inference.md": ANSWERS,
    "docs/web.md": {"web"},
    "docs/retrieval.md": {"retrieval", "web"},
    "docs/evaluation.md": {"evaluate"},
}


@pytest.mark.parametrize("page", PAGES)
def test_all_commands_of_a_page_parse(page):
    text = (ROOT / page).read_text("utf-8").replace("…", "host").replace("\\\n", " ")
    lines = re.findall(r"^\$ (bloomdata-cli .*)$|`(bloomdata-cli [^`]*)`", text, re.MULTILINE)
    commands = [shlex.split(one or other, comments=True)[1:] for one, other in lines]
    found = [parse(words).verb for words in commands if words[0] in PAGES["README.md"]]
    assert set(found) == PAGES[page]


def test_help_of_the_program_and_of_its_verbs_loads_no_torch():
    for words in (["--help"], ["chat", "--help"], ["web", "--help"]):
        code = (
            "import sys\n"
            "from bloomdata.cli import main\n"
            "try:\n"
            f"    main({words!r})\n"
            "except SystemExit:\n"
            "    pass\n"
            "assert not {'torch', 'transformers', 'gradio', 'faiss', 'numpy', 'rich'} & set(sys.modules)\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
