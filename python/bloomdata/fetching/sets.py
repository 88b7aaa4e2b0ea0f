"""Named sets of files: `bloomdata.fetch("oig", ...)`.

The URLs are those of the publishers. Tests run without a network and do not fetch them: a URL that has moved raises an
error that names it, or with `missing="report"` is listed in the report.
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
        title: Name that its publishers use.
        urls: URLs of its files.
        checksums: URL of its list of checksums, if any; used unless other checksums are given.
        licence: Note on the licence of the data. It is not legal advice, and licences may change.
        origin: Project that the list of files is from.
        note: Further remarks.
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
            licence="Apache-2.0 as a whole; its files come from data sets with their own licences",
            origin="data_prep/subsample_openchatkit.py of sambanova/bloomchat",
            note="4 of the names are not in the public listing; missing='report' skips them, as BLOOMChat does",
        ),
        "oig_moderation": FetchSet(
            title="OIG-moderation, the later of its two versions",
            urls=("hf://datasets/ontocord/OIG-moderation/OIG_safety_v0.2.jsonl",),
            licence="Apache-2.0 as a whole; some of it comes from data sets with their own licences",
            origin="data/OIG-moderation/prepare.py of togethercomputer/OpenChatKit",
        ),
        "oasst1": FetchSet(
            title="OASST1, messages of trees that are ready for export",
            urls=("hf://datasets/OpenAssistant/oasst1/2023-04-12_oasst_ready.messages.jsonl.gz",),
            licence="Apache-2.0",
            origin="OpenAssistant/oasst1, as sambanova/bloomchat uses it",
            note="train and validation together; BLOOMChat reads only the train split",
        ),
        "dolly": FetchSet(
            title="databricks-dolly-15k",
            urls=("hf://datasets/databricks/databricks-dolly-15k/databricks-dolly-15k.jsonl",),
            licence="CC BY-SA 3.0",
            origin="databricks/databricks-dolly-15k, as sambanova/bloomchat uses it",
        ),
        "pile": FetchSet(
            title="The Pile, training shards 00 to 29",
            urls=tuple(f"https://the-eye.eu/public/AI/pile/train/{number:02}.jsonl.zst" for number in range(30)),
            checksums="https://the-eye.eu/public/AI/pile/SHA256SUMS.txt",
            licence="none for the whole; each part has its own",
            origin="data/download_the_pile.sh of s-JoL/Open-Llama",
            note="about 15 GB each; the host took the data down in 2023, mirrors have other URLs",
        ),
    }
)
