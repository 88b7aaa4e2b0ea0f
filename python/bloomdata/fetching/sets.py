"""Sets of files with a name: `bloomdata.fetch("oig", ...)`.

Addresses are as their publishers gave them. No test fetches them, since tests run without a network: an address that
has moved since is an error that names it, or with `missing="report"` an entry of the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class FetchSet:
    """Files that belong together.

    Attributes:
        title: What its people call it.
        urls: Where its files are.
        checksums: Where the list of its checksums is, if there is one; used unless others are given.
        licence: Note on the licence of the data; no advice, and data sets change theirs.
        origin: Whose list of files it is.
        note: What else to know.
    """

    title: str
    urls: tuple[str, ...]
    checksums: str | None = None
    licence: str
    origin: str
    note: str = ""


_OIG = [
    "multi_news",
    "openai_summarize_tldr",
    "scitldr",
    "oa_v3_fixed_plus_safety_fixed",
    "soda_dialog",
    "unifiedskg_instructions_v2",
    "cot_instructions",
    "unatural_instructions",
    "squad_v2",
    "conv_finqa",
    "nq",
    "plot_screenplay_books_dialog",
    "oscar_en_sample_dialog",
    "ul2_plus_oscar_en_sample_dialog",
    "essays",
    "merged_code_xp3",
    "grade_school_math_instructions",
    "poetry_instructions",
    "chip2",
    "joke_explanations",
    "cuad",
    "p3",
    "ni",
    "flan",
    "basic",
]
_OIG_PACKED = {"p3", "ni", "flan"}

FETCH_SETS: Mapping[str, FetchSet] = MappingProxyType(
    {
        "oig": FetchSet(
            title="Open Instruction Generalist, the 25 files of BLOOMChat's first stage, in its order",
            urls=tuple(f"hf://datasets/laion/OIG/unified_{name}.jsonl{'.gz' * (name in _OIG_PACKED)}" for name in _OIG),
            licence="Apache-2.0 as a whole; its files come from sources with licences of their own",
            origin="data_prep/subsample_openchatkit.py of sambanova/bloomchat (BC-05)",
            note="4 of the names are not in the public listing, so that missing='report' is needed, as there (BC-08)",
        ),
        "oig_moderation": FetchSet(
            title="OIG-moderation, the later of its two versions",
            urls=("hf://datasets/ontocord/OIG-moderation/OIG_safety_v0.2.jsonl",),
            licence="Apache-2.0 as a whole; some of it comes from sources with licences of their own",
            origin="data/OIG-moderation/prepare.py of OpenChatKit (OC-01)",
        ),
        "oasst1": FetchSet(
            title="OASST1, messages of trees that are ready for export",
            urls=("hf://datasets/OpenAssistant/oasst1/2023-04-12_oasst_ready.messages.jsonl.gz",),
            licence="Apache-2.0",
            origin="OpenAssistant/oasst1 (BC-01)",
            note="train and validation together: BLOOMChat reads the train split alone",
        ),
        "dolly": FetchSet(
            title="databricks-dolly-15k",
            urls=("hf://datasets/databricks/databricks-dolly-15k/databricks-dolly-15k.jsonl",),
            licence="CC BY-SA 3.0",
            origin="databricks/databricks-dolly-15k (BC-03)",
        ),
        "pile": FetchSet(
            title="The Pile, training shards 00 to 29",
            urls=tuple(f"https://the-eye.eu/public/AI/pile/train/{number:02}.jsonl.zst" for number in range(30)),
            checksums="https://the-eye.eu/public/AI/pile/SHA256SUMS.txt",
            licence="none for the whole; each of its parts has its own",
            origin="data/download_the_pile.sh of s-JoL/Open-Llama (OL-04)",
            note="about 15 GB each; the host has taken the data down since 2023, mirrors have other addresses",
        ),
    }
)
