"""Converts checkpoints of BLOOM- and Llama-like models, tensor by tensor: a model need not fit into memory.

- `tensor_parallel`: `tp`, shards for tensor parallelism and back. `ranks`: parts of tensors, and tensors of parts.
- `ascend_speed`: `ascend`, AscendSpeed's files for tensor and pipeline parallelism, and back.
- `stage_files`: `stages`, OpenChatKit's files of layers and of pipeline stages, and back.
- `mind_formers`: `mindformers`, BLOOM under MindFormers' names, and back. `mindspore_files`, `mindspore_strategies`,
  `protobuf`: MindSpore's files.
- `distributed_checkpoint`: `dcp`, folders of torch.distributed.checkpoint. `adapters`: `lora`, merges adapters of peft.
- `vocabulary`: `grow`, more rows for added tokens. `meta_llama`: Meta's own files of Llama.
- `archive_parts`: `join`, the parts of a split archive. `part_names`: their order.
- `layouts`: tables of model families. `checkpoints`: folders of Hugging Face. `tensors`: a tensor that is read when it
  is needed. `safetensors_files`, `torch_files`: files of tensors.
- `run`: the frame of all conversions. `output`: the output folder. `logits`: compares both sides. `report`: what is
  returned.

torch is imported when a conversion starts, transformers and peft only where they are named.
"""

from __future__ import annotations

from bloomdata.convert.adapters import lora
from bloomdata.convert.archive_parts import JoinReport, join
from bloomdata.convert.ascend_speed import ascend
from bloomdata.convert.distributed_checkpoint import dcp
from bloomdata.convert.mind_formers import mindformers
from bloomdata.convert.report import ConversionReport
from bloomdata.convert.stage_files import stages
from bloomdata.convert.tensor_parallel import tp
from bloomdata.convert.vocabulary import grow

__all__ = ["ConversionReport", "JoinReport", "ascend", "dcp", "grow", "join", "lora", "mindformers", "stages", "tp"]
