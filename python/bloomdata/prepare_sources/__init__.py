"""The sources of `prepare`, one small file each: their records, licence and options.

- `source`: the description of a source.
- `SOURCES`: all sources by name, in the order in which they are listed. The conversion of their records is in the core,
  in the file of the same name in `stages`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from bloomdata.prepare_sources import (
    alpaca,
    alpaca_pretrain,
    belle,
    belle_multiturn,
    bloomchat,
    camel,
    dolly,
    general_instruction,
    gpteacher,
    grade_school_math,
    instruct_to_code,
    leetcode_python,
    messages,
    moderation,
    moss,
    multiturn_chinese_vicuna,
    oasst1,
    oasst1_trees,
    oig,
    open_llama,
    pile,
    preference,
    prompt_completion,
    self_instruct,
    self_instruct_seed_tasks,
    sharegpt,
    stack_overflow_python,
    wudao,
    xp3,
)
from bloomdata.prepare_sources.source import Source

__all__ = ["SOURCES", "Source"]

SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        module.SOURCE.name: module.SOURCE
        for module in (
            oasst1,
            oasst1_trees,
            dolly,
            bloomchat,
            oig,
            moderation,
            wudao,
            pile,
            self_instruct,
            belle,
            belle_multiturn,
            sharegpt,
            instruct_to_code,
            xp3,
            camel,
            grade_school_math,
            open_llama,
            alpaca,
            gpteacher,
            self_instruct_seed_tasks,
            multiturn_chinese_vicuna,
            messages,
            prompt_completion,
            preference,
            general_instruction,
            alpaca_pretrain,
            moss,
            leetcode_python,
            stack_overflow_python,
        )
    }
)
