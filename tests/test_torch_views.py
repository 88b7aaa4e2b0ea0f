"""Tensors, torch's own loader, and the Trainer of transformers. Run by `make test-peers`, which installs torch."""

import json
import os

import numpy as np
import pytest

import bloomdata
from bloomdata.errors import ConfigError
from sample_files import LENGTH, random_types, write_rows

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

    view = TorchDataset(bloomdata.BlendedDataset([(rows, 1)], shuffle=False), shift_labels=True)
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

    with pytest.raises(ConfigError, match="got cu_seqlens of a batch"):
        TorchDataset(rows, ["cu_seqlens"])
    with pytest.raises(ConfigError, match=r"columns: expected some of .*, got \['x'\]"):
        TorchDataset(rows, ["x"])[0]


def gathered(view, name="labels"):
    return np.stack([sample[name].numpy() for sample in view.__getitems__(list(range(len(view))))])


def test_labels_are_not_shifted_unless_asked_for(torch, rows, tmp_path):
    from bloomdata.torch_views import TorchDataset, trainer_dataset

    shifted = rows.read_batch(np.arange(ROWS))["labels"]
    blend = bloomdata.BlendedDataset([(rows, 1)], shuffle=False)
    for view in (trainer_dataset(rows), TorchDataset(rows), TorchDataset(rows.with_rules(shift_labels=False))):
        aligned = gathered(view)
        assert (aligned[:, 1:] == shifted[:, :-1]).all()
        assert (aligned != -100).sum() > ROWS
        kept = aligned != -100
        assert (aligned[kept] == gathered(view, "input_ids")[kept]).all()
    assert (gathered(TorchDataset(rows, shift_labels=True)) == shifted).all()
    assert (gathered(trainer_dataset(blend))[:, 1:] == shifted[blend.locate(np.arange(ROWS))[:, 2], :-1]).all()
    assert set(trainer_dataset(rows)[0]) == {"input_ids", "labels", "position_ids"}
    with pytest.raises(ConfigError, match="expected rows, windows"):
        trainer_dataset([1, 2])


def test_labels_of_megatron_windows_are_not_shifted_either(torch, raw):
    from bloomdata.torch_views import TorchDataset, trainer_dataset

    bloomdata.pack("raw", "documents", tokenizer="bytes", format="megatron")
    options = {"sequence_length": 8, "split": None, "num_samples": 6, "eod_token_id": 258, "eod_mask_loss": True}
    windows = bloomdata.GPTDataset("documents", **options)
    batch = windows.read_batch(np.arange(len(windows)))
    for dataset in (windows, bloomdata.MegatronBlend([windows], size=6), bloomdata.BlendedDataset([(windows, 1)])):
        view = trainer_dataset(dataset)
        ids, labels = gathered(view, "input_ids"), gathered(view)
        kept = labels != -100
        assert (labels[kept] == ids[kept]).all()
        assert (labels[:, 0] == -100).all()
        assert (
            0
            < (~kept[:, 1:]).sum()
            == (gathered(TorchDataset(dataset, shift_labels=True), "loss_weights")[:, :-1] == 0).sum()
        )
    assert (gathered(TorchDataset(windows, shift_labels=True)) == batch["labels"]).all()


def summed_loss(torch, model, ids, labels, **options):
    """Negative log-likelihood of all labels that count, and their number."""
    with torch.no_grad():
        logits = model(input_ids=ids, **options).logits[:, :-1].double()
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
    return loss.item(), int((labels[:, 1:] != -100).sum())


@pytest.mark.filterwarnings("ignore")
def test_a_packed_loss_is_that_of_the_documents_alone(torch, raw, tmp_path):
    """With `BLOOMDATA_STORIES260K` naming a folder with that model and its tokenizer, on it; else on random weights."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from bloomdata.torch_views import packed_collator, trainer_dataset

    folder = os.environ.get("BLOOMDATA_STORIES260K")
    tokenizer = folder or "bytes"
    if folder:
        model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    else:
        torch.manual_seed(0)
        size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        config = transformers.LlamaConfig(vocab_size=260, initializer_range=0.5, **size)
        model = transformers.LlamaForCausalLM(config).eval()
    stories = ["Once upon a time there was a girl. She had a red ball.", "Tom saw a dog.", "The sun was big and warm."]
    texts = [" ".join(stories[number % 3 :] + stories[: number % 2]) for number in range(20)]
    lines = [json.dumps({"text": text}) + "\n" for text in texts]
    (raw / "a.jsonl").write_text("".join(lines))
    bloomdata.pack("raw", "rows", tokenizer=tokenizer, sequence_length=256, packing="best_fit")
    bloomdata.pack("raw", "documents", tokenizer=tokenizer, format="megatron")

    documents = [torch.tensor(document.astype(np.int64))[None] for document in bloomdata.open("documents")]
    alone = [summed_loss(torch, model, ids, ids, use_cache=False) for ids in documents]
    count = sum(number for _, number in alone)
    expected = sum(loss for loss, _ in alone) / count

    view = trainer_dataset(bloomdata.open("rows"))
    batch = packed_collator([view[number] for number in range(len(view))])

    def packed(**options):
        loss, number = summed_loss(torch, model, batch["input_ids"], batch["labels"], **options)
        assert number == count
        return loss / number

    assert packed(position_ids=batch["position_ids"], use_cache=False) == pytest.approx(expected, rel=1e-6)
    assert model(**batch).loss.item() == pytest.approx(expected, rel=1e-5)
    assert abs(packed(use_cache=False) - expected) > 1e-3
    assert abs(packed(position_ids=batch["position_ids"], use_cache=True) - expected) > 1e-3

    options = {"per_device_eval_batch_size": len(view), "report_to": [], "use_cpu": True}
    arguments = transformers.TrainingArguments(output_dir=str(tmp_path / "trainer"), **options)
    trainer = transformers.Trainer(model=model, args=arguments, eval_dataset=view)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)


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
