"""What users give, checked and described for the core. Nothing here reads data.

- `checks`: numbers, choices, threads. `paths`: where outputs may lie.
- `inputs`: paths or one table; `tables`: tables in memory, told apart and validated.
- `tokenizer_options`, `template_options`: tokenizers and chat templates as the core takes them.
- `pack_config`: the options of `pack`, which `count`, `plan` and others share.
- `one_file`: one file as the output of a verb that writes shards.
"""
