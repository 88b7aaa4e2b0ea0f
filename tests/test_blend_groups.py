"""Groups of weighted ranges: parsed as they are written, and blended as a slow loop blends the cut-out parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bloomdata import ConfigError, GPTDataset, MegatronBlend
from bloomdata.datasets.blend_groups import BlendPart, open_blend_groups, parse_blend_groups, read_blend_groups
from reference.megatron_order import blend
from token_pairs import documents_of, write_pair

TR11 = [
    "train: 0.7 0:0.95 en_text, 0.3 0:0.95 c/fr_text",
    "valid all: 1 0.95:1.0 en_text",
    " valid-fr :2 0.95:1 c/fr_text",
]


def test_groups_are_parsed_as_they_are_written():
    train, valid, french = parse_blend_groups(TR11)
    assert train.name == "train"
    assert train.parts == (BlendPart(0.7, 0.0, 0.95, "en_text"), BlendPart(0.3, 0.0, 0.95, "c/fr_text"))
    assert (valid.name, french.name) == ("valid all", "valid-fr")
    assert french.parts == (BlendPart(2.0, 0.95, 1.0, "c/fr_text"),)
    assert parse_blend_groups("a: 1 0:1 s3://b/c")[0].parts[0].path == "s3://b/c"


def test_a_file_holds_the_groups_in_quotes_on_one_line(tmp_path):
    path = tmp_path / "valid.txt"
    path.write_text("\n" + " ".join(f'"{group}"' for group in TR11) + "\n")
    assert read_blend_groups(path) == parse_blend_groups(TR11)
    for content, reason in [
        ("", "one line"),
        ('"a: 1 0:1 b"\n"c: 1 0:1 d"\n', "got 2"),
        ('"a: 1', "quot"),
        ("a", "NAME"),
    ]:
        path.write_text(content)
        with pytest.raises(ConfigError, match=f"valid.txt: .*{reason}"):
            read_blend_groups(path)


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        ("1 0:1 a", "expected NAME: WEIGHT"),
        (": 1 0:1 a", "expected NAME: WEIGHT"),
        ("a: 1 0:1", "got '1 0:1'"),
        ("a: 1 0:1 b,", "got ''"),
        ("a: 1 0.5 b", "got '1 0.5 b'"),
        ("a: x 0:1 b", "got 'x 0:1 b'"),
        ("a: 0 0:1 b", "weight above 0"),
        ("a: nan 0:1 b", "weight above 0"),
        ("a: 1 0.5:0.5 b", "START < END"),
        ("a: 1 0:1.5 b", "START < END"),
        ("a: 1 nan:1 b", "START < END"),
    ],
)
def test_groups_of_another_form_are_refused(group, reason):
    with pytest.raises(ConfigError, match=reason):
        parse_blend_groups(group)


def test_names_are_distinct_and_ranges_come_from_groups_alone(tmp_path):
    with pytest.raises(ConfigError, match="'a' twice"):
        parse_blend_groups(["a: 1 0:1 b", "a: 1 0:1 c"])
    with pytest.raises(ConfigError, match="none"):
        parse_blend_groups([])
    with pytest.raises(ConfigError, match="split"):
        open_blend_groups("a: 1 0:1 b", num_samples=1, sequence_length=8, split="1,1,1")
    pair = write_pair(tmp_path / "a", documents_of(0))
    with pytest.raises(ConfigError, match="split_range"):
        GPTDataset(pair, sequence_length=8, split_range=(0, 0.5))
    with pytest.raises(ConfigError, match="split_range"):
        GPTDataset(pair, sequence_length=8, split=None, split_range=(0.5, 0.4))
    with pytest.raises(ConfigError, match="split_range"):
        GPTDataset(pair, sequence_length=8, split=None, split_range=(0, 0.5)).save_indices(tmp_path)


shares = st.sampled_from([0, 0.05, 0.25, 0.5, 0.525, 0.95, 1])
parts = st.tuples(st.sampled_from([0.1, 0.25, 1, 7]), st.tuples(shares, shares).filter(lambda pair: pair[0] < pair[1]))


@settings(deadline=None, max_examples=40)
@given(chosen=st.lists(parts, min_size=1, max_size=4), num_samples=st.integers(1, 60), seed=st.integers(0, 3))
def test_a_group_is_the_blend_of_its_parts(chosen, num_samples, seed, tmp_path_factory):
    """Each part is a pair of its own, with the documents of the range and nothing else."""
    folder = tmp_path_factory.mktemp("parts")
    options = {"sequence_length": 8, "seed": seed, "separate_threshold": 0.95}
    described, alone = [], []
    total = sum(weight for weight, _ in chosen)
    for number, (weight, (start, end)) in enumerate(chosen):
        documents = [[*document, number] for document in documents_of(number, count=41)]
        whole = write_pair(folder / f"whole-{number}", documents)
        described.append(f"{weight} {start}:{end} {whole}")
        cut = documents[round(start * 41) : round(end * 41)]
        requested = num_samples if len(chosen) == 1 else -int(-num_samples * (weight / total) * 1.005 // 1)
        alone.append(GPTDataset(write_pair(folder / f"{number}", cut), num_samples=requested, split=None, **options))
    order = blend([weight / total for weight, _ in chosen], num_samples)
    text = f"train: {', '.join(described)}"
    if len(chosen) == 1:
        order = [(0, sample) for sample in range(len(alone[0]))]
    elif any(sample >= len(alone[source]) for source, sample in order):
        with pytest.raises(ConfigError, match="of data set"):
            open_blend_groups(text, num_samples=num_samples, **options)
        return
    group = open_blend_groups(text, num_samples=num_samples, **options)["train"]
    assert isinstance(group, GPTDataset if len(chosen) == 1 else MegatronBlend)
    assert len(group) == len(order)
    found = group.read_batch(np.arange(len(order)))["input_ids"].tolist()
    assert found == [alone[source][sample]["input_ids"].tolist() for source, sample in order]


@pytest.mark.parametrize("split_name", ["train", "valid", "test"])
def test_a_range_is_the_same_for_every_name(split_name, tmp_path):
    pair = write_pair(tmp_path / "a", documents_of(0))
    given = {"split": None, "split_range": (0.25, 0.5), "num_samples": 30, "sequence_length": 8}
    named = GPTDataset(pair, split_name=split_name, cache_folder=tmp_path / "cache", **given)
    assert named[7]["input_ids"].tolist() == GPTDataset(pair, **given)[7]["input_ids"].tolist()
    others = GPTDataset(pair, **given | {"split_range": (0.25, 0.75)})
    assert others.fingerprint != GPTDataset(pair, **given).fingerprint
