"""Slow, obvious oracles, written from the documentation and never from the fast code.

- `jsonl`: files of records are written, and read as texts or reasons why there is none.
- `shard`: lines become shards; keys of splits and shuffles.
- `pack`: texts become Megatron bytes and HDF5 rows.
- `articles`: pairs of prompt and completion become articles.
- `megatron_order`: documents become samples in Megatron's order; blends.
- `rows`: articles become rows, by every packing.
- `prepare_oasst1`: messages become paths through their trees.
- `prepare_open_llama`, `prepare_chats`: records of the other sources become documents.
- `prepare_record`: what these have in common.
- `dedup_units`: texts become words, words become shingles. `minhash`: shingles become signatures.
- `exact_duplicates`, `near_duplicates`, `substring`: which documents, or parts of them, are dropped.
- `decontaminate`: which documents hold rows of evaluation sets.
- `order`: keyed orders, shares of a blend, labels of rows, streams of documents.
"""
