"""URLs as outputs are refused where a verb cannot write to them: a local folder named `s3:` would be a surprise.

What runs in parts writes to stores: `storage`.
"""

from pathlib import Path

import pytest

import bloomdata
import bloomdata.gdp
from bloomdata import ConfigError

VERBS = {
    "dedup": lambda url: bloomdata.dedup("raw", url),
    "decontaminate": lambda url: bloomdata.decontaminate("raw", url, evaluations="raw"),
    "merge": lambda url: bloomdata.merge(["a", "b"], url),
    "fetch": lambda url: bloomdata.fetch("raw/a.jsonl", url),
    "train_tokenizer": lambda url: bloomdata.train_tokenizer("raw", url, vocab_size=300),
    "extend_vocabulary": lambda url: bloomdata.extend_vocabulary("a", "b", url),
    "convert_sentencepiece": lambda url: bloomdata.convert_sentencepiece("a.model", url),
    "pack_moderation": lambda url: bloomdata.pack_moderation(
        "raw", f"{url}.jsonl", tokenizer="bytes", sequence_length=8
    ),
    "gdp": lambda url: bloomdata.gdp.pipeline("raw/a.jsonl", url, pretrained_tokenizer="bytes", max_seq_length=8),
    "writer": lambda url: bloomdata.IndexedDatasetWriter(url, vocab_size=300),
    "report": lambda url: bloomdata.shard("raw", "shards").save_html(f"{url}.html"),
}


@pytest.mark.parametrize("url", ["s3://bucket/out", "gs://bucket/out", "https://host/out", Path("s3://bucket/out")])
@pytest.mark.parametrize("verb", VERBS)
def test_a_url_is_refused_and_nothing_is_written(verb, url, raw, tmp_path):
    with pytest.raises(ConfigError, match="expected a path on this machine, got"):
        VERBS[verb](url)
    assert {path.name for path in tmp_path.iterdir()} <= {"raw", "shards"}


@pytest.mark.parametrize("verb", [bloomdata.shard, bloomdata.signatures])
def test_the_web_is_no_store_to_write_to(verb, raw, tmp_path):
    with pytest.raises(ConfigError, match=r"output: expected a path on this machine, or one in a store such as s3://"):
        verb("raw", "https://host/out")
    assert {path.name for path in tmp_path.iterdir()} <= {"raw", "shards"}


def test_a_colon_in_a_name_is_no_url(raw, tmp_path):
    for name in ("a:b", "12:30/out", "C:/out"):
        bloomdata.shard("raw", name)
        assert (tmp_path / name / "manifest.json").exists()
