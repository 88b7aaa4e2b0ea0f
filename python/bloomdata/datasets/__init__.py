"""Packed files as data sets: documents, rows, samples, and blends of these. Loaders are in `loader`.

- `opening`: `open`, which detects the format.
- Documents: `indexed_dataset`, `indexed_writer` (Megatron pairs), `token_rows` (documents joined into rows on reading).
- Rows: `packed` (with `packed_files`, `hdf5`), `label_rules` (which targets count), `unshifted` (labels for models of
  transformers), `denoise` (denoising tasks).
- Judged answers: `preferences` (pairs of rows, or rows with a label).
- Megatron's samples: `gpt_dataset`, `megatron_blend`, `blend_groups` (named ranges of shares), `megatron_cache`.
- AscendSpeed's samples of instructions: `mtf_dataset`.
- Blends: `blend` (with `blend_plan`, `blend_weights`), `permutation` (orders in constant memory).
- `samples`: the interface that all of them share.
"""
