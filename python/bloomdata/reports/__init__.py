"""What runs return: the books, as text and as a web page.

- `report`: reports of `shard`, `prepare`, `pack`, `merge`. `token_counts`: what `count` returns.
- `html_report` (with `html_charts`, `html_style`): the books as one web page.
- `metrics`: the table of generative_data_prep. `units`: numbers of bytes for people.
"""
