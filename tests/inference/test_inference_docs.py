"""Commands of the README and of docs/inference.md parse, and the verbs are listed without torch."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bloomdata.cli.parser import parse

ROOT = Path(__file__).parents[2]
VERBS = {"generate", "chat", "serve"}


@pytest.mark.parametrize("page", ["README.md", "docs/inference.md"])
def test_all_commands_of_a_page_parse(page):
    text = (ROOT / page).read_text("utf-8").replace("…", "host")
    lines = re.findall(r"^\$ (bloomdata-cli .*)$|`(bloomdata-cli [^`]*)`", text, re.MULTILINE)
    ours = [one or other for one, other in lines if (one or other).split()[1] in VERBS]
    found = [parse(shlex.split(line, comments=True)[1:]).verb for line in ours]
    assert set(found) == VERBS


def test_help_of_the_program_and_of_its_verbs_loads_no_torch():
    for words in (["--help"], ["chat", "--help"]):
        code = (
            "import sys\n"
            "from bloomdata.cli import main\n"
            "try:\n"
            f"    main({words!r})\n"
            "except SystemExit:\n"
            "    pass\n"
            "assert not {'torch', 'transformers', 'numpy', 'rich'} & set(sys.modules), sorted(sys.modules)\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
