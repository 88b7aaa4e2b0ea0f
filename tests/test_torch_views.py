"""Tensors, torch's own loader, and the Trainer of transformers. Run by `make test-peers`, which installs torch."""

import numpy as np
import pytest

import bloomdata
from bloomdata.errors import ConfigError
from sample_files import LENGTH, numbered, random_types, write_rows

pytestmark = pytest.mark.peers

ROWS = 40


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    ids = np.random.default_rng(0).integers(3, 60, (ROWS, LENGTH))
    return bloomdata.open(write_rows(tmp_path_factory.mktemp("rows") / "a.hdf5", ids, random_types(ROWS, LENGTH, 2)))


def test_tensors_are_what_the_arrays_are(torch, rows):
    arrays = bloomdata.DataLoader(rows, batch_size=4)
    for options in ({"format": "torch"}, {"device": "cpu"}):
        tensors = bloomdata.DataLoader(rows, batch_size=4, **options)
        for batch, tensor in zip(arrays.batch(3).items(), tensors.batch(3).items(), strict=True):
            assert batch[0] == tensor[0]
            assert isinstance(tensor[1], torch.Tensor)
            assert torch.equal(tensor[1], torch.from_numpy(batch[1]))
        assert len(list(tensors)) == 10
    kinds = {name: str(tensor.dtype) for name, tensor in tensors.batch(0).items()}
    assert kinds["labels"] == "torch.int64"
    assert kinds["loss_weights"] == "torch.float32"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("workers", "method"), [(0, None), (2, "fork"), (2, "spawn")])
def test_torchs_loader_takes_the_view(torch, rows, workers, method):
    from bloomdata.torch_views import TorchDataset

    view = TorchDataset(bloomdata.BlendedDataset([(rows, 1)], shuffle=False))
    loader = torch.utils.data.DataLoader(view, batch_size=8, num_workers=workers, multiprocessing_context=method)
    batches = list(loader)
    whole = view.dataset.read_batch(np.arange(ROWS))
    for name in view.columns:
        assert torch.equal(torch.cat([batch[name] for batch in batches]), torch.from_numpy(whole[name]))
    assert torch.equal(view[-1]["labels"], torch.from_numpy(whole["labels"][-1]))
    with pytest.raises(IndexError):
        view[ROWS]


def test_boundaries_are_no_column_of_a_sample(torch, rows):
    from bloomdata.torch_views import TorchDataset

    with pytest.raises(ConfigError, match="belongs to a batch"):
        TorchDataset(rows, ["cu_seqlens"])
    with pytest.raises(ConfigError, match="no \\['x'\\]"):
        TorchDataset(rows, ["x"])[0]


def test_labels_for_the_trainer_are_not_shifted(torch, rows, tmp_path):
    from bloomdata.torch_views import trainer_dataset

    view = trainer_dataset(rows)
    shifted = rows.read_batch(np.arange(ROWS))["labels"]
    aligned = torch.stack([sample["labels"] for sample in view.__getitems__(list(range(ROWS)))]).numpy()
    assert (aligned[:, 1:] == shifted[:, :-1]).all()
    assert (aligned != -100).sum() > ROWS
    blend = bloomdata.BlendedDataset([(rows, 1), (numbered(tmp_path / "b.hdf5", 5), 1)])
    with pytest.raises(ConfigError, match="are shifted"):
        trainer_dataset(blend)


@pytest.mark.filterwarnings("ignore")
def test_the_trainer_trains_on_a_view_with_the_loss_of_the_labels(torch, rows, tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from bloomdata.torch_views import trainer_dataset

    torch.manual_seed(0)
    config = transformers.BloomConfig(vocab_size=64, hidden_size=16, n_layer=1, n_head=2)
    model = transformers.BloomForCausalLM(config)
    sample = trainer_dataset(rows)[3]
    with torch.no_grad():
        theirs = model(input_ids=sample["input_ids"][None], labels=sample["labels"][None]).loss
        logits = model(input_ids=sample["input_ids"][None]).logits[0]
    ours = torch.nn.functional.cross_entropy(logits, torch.from_numpy(rows.read_batch([3])["labels"][0]))
    assert torch.allclose(theirs, ours)
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=3,
        per_device_train_batch_size=8,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
    )
    result = transformers.Trainer(model=model, args=arguments, train_dataset=trainer_dataset(rows)).train()
    assert result.global_step == 3
    assert 0 < result.training_loss < 10


def test_ranks_are_those_of_torchs_group_unless_told(torch, rows, tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        assert (bloomdata.DataLoader(rows, batch_size=4).rank, bloomdata.DataLoader(rows, batch_size=4).world_size) == (
            0,
            1,
        )
        told = bloomdata.DataLoader(rows, batch_size=4, rank=1, world_size=2)
        assert (told.rank, told.world_size) == (1, 2)
    finally:
        torch.distributed.destroy_process_group()
