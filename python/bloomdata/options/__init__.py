"""Options of users, checked and converted for the core. Nothing here reads data.

- `checks`: numbers, choices, threads. `paths`: where outputs may be.
- `inputs`: paths or one table; `tables`: tables in memory, identified and validated.
- `tokenizer_options`, `template_options`: the core's configuration of tokenizers and chat templates.
- `pack_config`: the options of `pack`, which `count`, `plan` and others share.
- `dedup_config`: those of `dedup`, which `signatures` has, too.
- `padded_vocabulary`: rows of an embedding that ranks share.
- `near`: how similar documents are found.
- `one_file`: a single output file for a verb that writes shards.
"""
