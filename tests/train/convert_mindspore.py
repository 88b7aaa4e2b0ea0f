"""Files that MindSpore 2.10 itself has written, compressed and in base64, and what they say.

Made with `mindspore.save_checkpoint`, `node_strategy_pb2` and `mindspore.merge_pipeline_strategys`. The cuts below were
applied by hand, and `mindspore.transform_checkpoints` then made the whole tensors of them.
"""

from __future__ import annotations

import base64
import zlib

# Stage -> name -> (shape, device matrix, tensor map, step and size of the parallel optimizer).
CUTS = {
    0: {
        "transformer.embedding.word_embedding.embedding_table": ((16, 8), [2, 4], [0, -1], 4, 2),
        "transformer.blocks.0.attention.dense1.weight": ((8, 8), [2, 4], [0, -1], 0, 0),
        "transformer.blocks.0.attention.projection.weight": ((8, 8), [2, 4], [-1, 0], 0, 0),
        "transformer.blocks.0.layernorm1.gamma": ((8,), [2, 4], [-1], 1, 2),
        "transformer.blocks.0.layernorm1.beta": ((8,), [2, 4], [-1], 1, 8),
        "g3": ((8,), [2, 4], [-1], 1, -1),
        "x3": ((8, 8), [2, 2, 2], [1, -1], 1, 2),
        "x4": ((8, 8), [8], [-1, -1], 1, 4),
        "x2d": ((8, 8), [2, 2, 2], [1, 0], 4, 2),
        "x2e": ((8, 8), [4, 2], [0, -1], 2, -1),
        "x2f": ((8, 8), [8], [-1, 0], 0, 0),
    },
    1: {
        "transformer.ln_f.gamma": ((8,), [2, 4], [-1], 0, 0),
        "transformer.head.weight": ((16, 8), [2, 4], [0, -1], 4, 2),
    },
}
_MERGED = (
    "eNqNksFPgzAUxgvpTFPjwR7MJDFmHnAe1sBmzEy869WDB0+krA+GQjGsyeZfPwu4DbJNLJfy8n2/fq+vxGLntKdyCT4jxGKYWARvSp4pobrkPNK+P9KF"
    "UIsoLzIoeKqCiMciywS7opjYxnZK1ptlOegGDZGHpsh5opdt6xyE5EtI4rlm17/eM4L23XhqO+/0wWu5IQtBykTFfJkXMtj9bneBFmEK3ehXytvoMM1n"
    "nwvucaE1KJ3kiktQC/D/lbbs9Y2OO5FfRf4Bs2q7h91BCWpgX+jtEWwqvqFQpuh3D8MyPT9Tt5sUgu4AEYdT7I3iCXP/kjVKd6V+NWEDemL05jPdWocz"
    "VujVvUHbhLCL5qUc0GNnQHtGP5asv2WXjxY1Ru3XEmBDExdXhx+YoN0M7NaWyFxEGePYbH4AFDQSbA=="
)
_STAGES = (
    "eNqFkrFOwzAQhp1g0MmIAQ8IWUIVqECHyqS0Q18AVgYGxsqpryGQ2Cix1PD01KmgtdTQ2sv59Pu7/3wGws/ZsbEaEw5AOIUIqHhjE1cpUy9sVWIlsUxR"
    "69xkcmkrPdseN9HMqbRA3mMUYqD8DAj8/K1IkBsyIAmdxuKFDUNwWtj5Zy0TqZxD43JrpEZT40guMc/e3X4gmRLxypIDwK/KfuB8He5At0ggAfSZ3XZC"
    "C/WNlfHJkcxUWSp+9Us63TUX+W6fWP8QJ0V3AANiyOJszO/2iYLUPYubMb9mJ17tt+8y6nbnsc3EY2MAfhE+RYeaih47ah41v9xw259CgtE+tALkA2+T"
    "rst2TCwOjfbbCwvffGvgv1msALkS48w=",
    "eNrjYBQS5GLNy09JNRTi4GAUYuFg5GCRMucSKylKzCtOyy/KTS3Sy8mLT9NLT8zNTRSS5WLhYOJgEeLm+A8DjFIMSgwaDAYMFgxSVlziyBozUhNT9MpT"
    "M9MzSoTkoTp5ORgw9bJYMAEASEUpqw==",
)
# a.weight: 0 to 5 as float32 (2, 3); b: ones as float16 (4,); c: ones as bfloat16 (4,); s: 3 as int32 ().
_CHECKPOINT = (
    "eNrjMubiSNQrT81MzygRUudg4mAWYnfLyU8sMTaSkmAAgwZ7IOEAREDcAMQLHLikuBiThEQ5WKBqDc2kOBhsIJBLmosxWUgMKMfhBJdssIdALiEuxmIh"
    "XiFWzzyQBSzMQJMB5h0W5Q=="
)


def _bytes(text):
    return zlib.decompress(base64.b64decode(text))


MERGED = _bytes(_MERGED)
STAGES = [_bytes(text) for text in _STAGES]
CHECKPOINT = _bytes(_CHECKPOINT)
