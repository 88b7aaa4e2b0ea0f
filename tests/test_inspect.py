"""`inspect`: rows, documents and lines as text, in colours where a terminal shows them."""

from __future__ import annotations

import json
import shutil
import sys

import pytest

import bloomdata
from bloomdata.cli import main

RECORDS = [
    [{"prompt": "ab", "completion": "c", "category": "code"}, {"prompt": "", "completion": "d", "category": "prose"}],
    {"prompt": "é", "completion": "x\ny"},
]
ROW = """\
--- row 0
[PROMPT 2]
ab
[COMPLETION 6]
 c<eos> d
[SEPARATOR 1] ========
<eos>
[PADDING 7]
"""
ROW_WITH_CATEGORIES = """\
--- row 0
[PROMPT 2, category code]
ab
[COMPLETION 3, category code]
 c<eos>
[COMPLETION 2, category prose]
 d
[SEPARATOR 1, category prose] ========
<eos>
[PADDING 8]
"""
OTHER_ROW = """\
--- row 1
[PROMPT 2, no category]
é
[COMPLETION 4, no category]
 x
y
[SEPARATOR 1, no category] ========
<eos>
[PADDING 9]
"""
