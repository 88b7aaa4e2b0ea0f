"""Retrieval: documents as an index of short passages with their vectors, and the passages nearest to a question.

- `building`: `build`, from files to a finished folder, in blocks that a killed run keeps. `folder`: its files, and
  whose it is; `growing`: while they grow. `passages`: documents cut into passages, and the file that holds them.
- `encoders`: opens what makes vectors of texts. `hash_encoder`: by hashing, which needs no model. `model_encoders`: by
  models; only here is torch used.
- `opening`: `open` and `query`. `search`: the nearest vectors, by a scan or by FAISS. `neighbours`: how far a hit
  reaches around itself.
- `report`: what the functions return.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bloomdata.lazy import lazily

if TYPE_CHECKING:
    from bloomdata.retrieval.building import build as build
    from bloomdata.retrieval.encoders import open_encoder as open_encoder
    from bloomdata.retrieval.opening import PassageIndex as PassageIndex
    from bloomdata.retrieval.opening import open as open  # noqa: A004 - as `bloomdata.open`
    from bloomdata.retrieval.opening import query as query

_PLACES = {
    "build": "building",
    "open_encoder": "encoders",
    "PassageIndex": "opening",
    "open": "opening",
    "query": "opening",
}
__all__ = list(_PLACES)
__getattr__ = lazily(__name__, _PLACES)
