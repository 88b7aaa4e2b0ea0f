"""`shard` refuses options, inputs and folders by name, and before anything is written."""

import pytest

from bloomdata.errors import ConfigError, UnsupportedFormatError
from files import everything_in, write
from sharding import CONTENT, shard


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "in" / "a.jsonl", CONTENT)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_lines": 0}, "max_lines"),
        ({"max_lines": -1}, "max_lines"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"compression": "bzip2"}, "compression"),
        ({"level": 23}, "level"),
        ({"compression": "gzip", "level": 10}, "level"),
        ({"prefix": ""}, "prefix"),
        ({"prefix": "a/b"}, "prefix"),
        ({"digits": 0}, "digits"),
        ({"first_index": -1}, "first_index"),
        ({"on_bad_record": "skip"}, "on_bad_record"),
        ({"seed": -1}, "seed"),
        ({"splits": {"train": 0.5}}, "splits"),
        ({"splits": {"train": 1.5, "dev": -0.5}}, "splits"),
        ({"splits": {"train": float("nan")}}, "splits"),
        ({"splits": {"valid": 0.1, "train": 0.9}}, "splits"),
        ({"splits": {"dev": -1}}, "splits"),
        ({"splits": {"train": 5}}, "splits"),
        ({"num_threads": 0}, "num_threads"),
    ],
    ids=str,
)
def test_an_option_that_cannot_work_is_refused_by_name_before_anything_is_written(options, named, source, tmp_path):
    with pytest.raises(ConfigError, match=rf"\b{named}\b"):
        shard(source, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_inputs_that_cannot_be_read_are_refused_with_their_names(source, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl"):
        shard(str(tmp_path / "none.jsonl"), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"none\*\.jsonl"):
        shard(str(tmp_path / "none*.jsonl"), tmp_path / "out")
    with pytest.raises(UnsupportedFormatError, match=r"a\.csv"):
        shard(write(tmp_path / "a.csv", b"a,b\n"), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"named twice"):
        shard([source, source], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"none given"):
        shard([], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty"):
        shard(str(tmp_path / "empty"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_ours_is_left_alone(source, tmp_path):
    write(tmp_path / "out" / "thesis.txt", b"years of work")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r"an output of bloomdata, got .*out"):
            shard(source, tmp_path / "out", overwrite=overwrite)
    assert everything_in(tmp_path / "out") == {"thesis.txt": b"years of work"}
