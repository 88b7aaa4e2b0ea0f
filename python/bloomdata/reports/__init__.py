"""The results of runs, as text and as a web page.

- `report`: reports of `shard`, `prepare`, `dedup`, `decontaminate`, `pack`, `merge`. `token_counts`: the result of
  `count`.
- `html_report` (with `html_charts`, `html_dedup`, `html_matches`, `html_unread`, `html_style`): a report as one web
  page. `unread_keys`: keys of records that nothing read.
- `metrics`: the metrics table of generative_data_prep. `units`: readable numbers of bytes.
"""
