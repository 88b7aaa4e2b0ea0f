"""Answers of a model: as transformers gives them, the same in any batch, with and without keys and values kept."""

from __future__ import annotations

import json
import threading

import pytest
import torch
import transformers
from small_models import answer, question

import bloomdata
from bloomdata.cli import main
from bloomdata.errors import ConfigError, CorruptDataError, MismatchError
from bloomdata.inference import generate, generate_file, load, open_chat, stream
from bloomdata.inference.running import PrefixCache

pytestmark = pytest.mark.train
PROMPTS = ["<human>: Letter 2?\n<bot>:", "", "It", "<human>: Letter 0?\n<bot>: It is a.\n<human>: Letter 3?\n<bot>:"]
SAMPLED = {"temperature": 1.5, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.1, "max_new_tokens": 24}


@pytest.fixture(scope="module")
def model(answering):
    return load(answering)


def test_greedy_answers_are_those_of_transformers(model, answering):
    theirs = transformers.AutoModelForCausalLM.from_pretrained(answering)
    tokenizer = transformers.AutoTokenizer.from_pretrained(answering)
    for prompt in filter(None, PROMPTS):
        ids = tokenizer(prompt, return_tensors="pt")
        expected = theirs.generate(
            ids["input_ids"], attention_mask=ids["attention_mask"], do_sample=False, max_new_tokens=20
        )
        (ours,) = generate(model, prompt, template="none", max_new_tokens=20)
        assert [*ours.prompt_ids, *ours.ids] == expected[0].tolist()


def test_a_model_answers_by_its_own_template(model):
    found = generate(model, [question(number) for number in range(4)])
    assert [one.text for one in found] == [answer(number) for number in range(4)]
    assert {one.reason for one in found} == {"end"}
    turns = [("user", question(1)), ("assistant", answer(1)), ("user", question(3))]
    messages = [{"role": role, "content": content} for role, content in turns]
    assert generate(model, messages)[0].text == answer(3)
    assert generate(model, question(2), preset="bloomchat-greedy", max_new_tokens=20)[0].text == answer(2)


@pytest.mark.parametrize("settings", [{"max_new_tokens": 24}, SAMPLED])
def test_answers_are_the_same_in_any_batch_and_as_a_stream(model, settings):
    options = {"template": "none", "num_samples": 2, "logprobs": True, **settings}
    batched = generate(model, PROMPTS, batch_tokens=100_000, **options)
    alone = generate(model, PROMPTS, batch_tokens=1, **options)
    assert [one.ids for one in batched] == [one.ids for one in alone]
    assert [one.key for one in batched] == [(index, sample) for index in range(4) for sample in range(2)]
    for ours, other in zip(batched, alone, strict=True):
        assert len(ours.logprobs) == len(ours.ids)
        assert ours.logprobs == pytest.approx(other.logprobs, abs=1e-3)
    assert "".join(stream(model, PROMPTS[0], template="none", **settings)) == next(
        one.text for one in generate(model, PROMPTS[:1], template="none", **settings)
    )


def test_seeds_decide_what_is_sampled(model):
    def texts(seed):
        return [one.ids for one in generate(model, ["It"] * 2, template="none", seed=seed, num_samples=3, **SAMPLED)]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)
    assert len(set(texts(1))) > 3


def test_logprobs_are_those_of_the_model(model):
    (found,) = generate(model, "It", template="none", logprobs=True, **SAMPLED)
    ids = torch.tensor([[*found.prompt_ids, *found.ids]])
    with torch.no_grad():
        logprobs = model.network(ids).logits[0].log_softmax(-1)
    start = len(found.prompt_ids)
    expected = [float(logprobs[start + at - 1, token]) for at, token in enumerate(found.ids)]
    assert list(found.logprobs) == pytest.approx(expected, abs=1e-3)


def test_samples_have_the_frequencies_of_the_model(model):
    """The first token of many samples against its probabilities: a bound of five deviations."""
    (first,) = generate(model, "It", template="none", max_new_tokens=1)
    found = generate(model, "It", template="none", temperature=3.0, top_k=5, max_new_tokens=1, num_samples=600)
    with torch.no_grad():
        logits = model.network(torch.tensor([first.prompt_ids])).logits[0, -1] / 3.0
    best = logits.topk(5)
    probabilities = best.values.softmax(0).tolist()
    counts = [sum(one.ids == (token,) for one in found) for token in best.indices.tolist()]
    assert sum(counts) == 600
    for count, probability in zip(counts, probabilities, strict=True):
        assert abs(count - 600 * probability) < 5 * (600 * probability * (1 - probability)) ** 0.5 + 1


def test_a_stop_string_ends_an_answer_and_is_not_shown(model):
    whole = generate(model, PROMPTS[3], template="none", max_new_tokens=30)[0].text
    for stop in ("is", "s d", "."):
        (found,) = generate(model, PROMPTS[3], template="none", stop=[stop], max_new_tokens=30)
        assert found.text == whole[: whole.index(stop)]
        assert found.reason == "end"
        assert "".join(stream(model, PROMPTS[3], template="none", stop=[stop], max_new_tokens=30)) == found.text


def test_a_stream_ends_when_it_is_told_or_closed(model):
    stopped = threading.Event()
    pieces = []
    for piece in stream(model, "It", template="none", stopped=stopped, max_new_tokens=200):
        pieces.append(piece)
        stopped.set()
    assert len(pieces) <= 2
    running = stream(model, "It", template="none", max_new_tokens=200)
    next(running)
    running.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "bloomdata-generate"]


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"temperature": 1.2, "seed": 4}])
def test_a_chat_with_keys_and_values_kept_answers_as_one_without(model, settings):
    kept, fresh = open_chat(model, max_new_tokens=12, **settings), open_chat(model, max_new_tokens=12, **settings)
    for number in (2, 0, 3):
        fresh.backend._memory = PrefixCache()
        assert "".join(kept.reply(question(number))) == "".join(fresh.reply(question(number)))
    assert kept.backend._memory._cache.get_seq_length() > 20
    kept.reset()
    assert "".join(kept.reply(question(1))) == "".join(
        open_chat(model, max_new_tokens=12, **settings).reply(question(1))
    )


def test_the_beginning_that_prompts_share_is_computed_once(model, monkeypatch):
    chat = open_chat(model)
    computed = []
    hook = model.network.register_forward_pre_hook(
        lambda _, args, kwargs: computed.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    for number in (2, 0):
        computed.clear()
        assert "".join(chat.reply(question(number))) == answer(number)
        prompt = chat.last.ending.num_prompt_tokens
    hook.remove()
    # What is new: the token that ended the answer before, and the question.
    assert computed[0] < prompt / 2


def test_a_model_error_is_the_callers_and_the_chat_goes_on(model, monkeypatch):
    chat = open_chat(model)
    monkeypatch.setattr(model.network, "generate", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(chat.reply("Hi"))
    monkeypatch.undo()
    assert "".join(chat.reply(question(1))) == answer(1)


def test_a_prompt_that_does_not_fit_the_window_is_an_error_with_both_counts(model):
    long = "x " * 300
    with pytest.raises(MismatchError, match=r"has \d+ tokens, and 246 fit beside the answer"):
        generate(model, long, max_new_tokens=10)
    with pytest.raises(MismatchError, match=r"has \d+ tokens, and 246 fit beside the answer"):
        generate(model, long, template="none", max_new_tokens=10)
    for template in ("none", None):
        (found,) = generate(model, long, template=template, max_new_tokens=10, truncate_turn="left")
        assert 240 < len(found.prompt_ids) <= 246
    with pytest.raises(ConfigError, match="max_new_tokens: 256 leaves no room"):
        generate(model, "x", max_new_tokens=256)


def test_a_batch_that_does_not_fit_the_memory_is_halved_and_one_row_is_an_error(model, monkeypatch, tmp_path):
    whole, most = model.network.generate, [2]

    def limited(ids, **options):
        if ids.shape[0] > most[0]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return whole(ids, **options)

    monkeypatch.setattr(model.network, "generate", limited)
    asked = [question(number % 4) for number in range(7)]
    assert [one.text for one in generate(model, asked)] == [answer(number % 4) for number in range(7)]
    most[0] = 0
    with pytest.raises(ConfigError, match=r'use dtype="int8".*CUDA out of memory'):
        generate(model, asked)
    (tmp_path / "lines.txt").write_text("x\ny\n", "utf-8")
    assert generate_file(model, tmp_path / "lines.txt", tmp_path / "out.jsonl").counts["errors"] == 2


def test_a_refused_prompt_is_not_answered(model):
    moderation = bloomdata.inference.Moderation(judge=lambda text: "3" in text, refusal="No.")
    found = generate(model, [question(3), question(1)], moderation=moderation)
    assert [(one.text, one.reason) for one in found] == [("No.", "refused"), (answer(1), "end")]
    chat = open_chat(model, moderation=moderation)
    assert list(chat.reply(question(3))) == ["No."]


# --- files -----------------------------------------------------------------------------------------------------------

LINES = [
    b'{"prompt": "Letter 1?", "id": 7}',
    b"",
    b'{"prompt": 5}',
    b"{",
    b"\xff",
    b'{"prompt": "", "id": 8}',
    b'{"messages": [{"role": "user", "content": "Letter 3?"}]}',
    b'{"prompt": "' + b"x " * 300 + b'"}',
    b'{"prompt": "x", "generated": "y"}',
    b'{"prompt": "half a pair: \\ud800"}',
    b'{"messages": [5]}',
]


@pytest.fixture
def prompts(tmp_path):
    (tmp_path / "prompts.jsonl").write_bytes(b"\n".join(LINES) + b"\n")
    return tmp_path / "prompts.jsonl"


def lines_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_file_is_answered_in_its_order_with_errors_counted(model, prompts, tmp_path):
    output = tmp_path / "answers.jsonl"
    report = generate_file(model, prompts, output, max_new_tokens=20)
    assert report.counts["records"] == 10
    assert report.counts["answered"] == 3
    assert report.counts["errors"] == 7
    found = lines_of(output)
    assert found[0] == {"prompt": "Letter 1?", "id": 7, "generated": "It is b.", "finish_reason": "end"}
    assert found[5]["generated"] == "It is d."
    assert [bool(line.get("error")) for line in found] == [
        False,
        True,
        True,
        True,
        False,
        False,
        True,
        True,
        True,
        True,
    ]
    assert "line 4: offset 48: " in found[2]["error"]
    assert 'a field "generated" already' in found[7]["error"]
    again = generate_file(model, prompts, output, max_new_tokens=20, batch_tokens=1)
    assert again.was_finished
    assert again.counts == report.counts
    with pytest.raises(MismatchError, match="options max_new_tokens: got 21, found 20"):
        generate_file(model, prompts, output, max_new_tokens=21)
    assert generate_file(model, prompts, output, max_new_tokens=21, overwrite=True).counts["answered"] == 3


def test_a_killed_run_resumes_with_what_is_left(model, prompts, tmp_path):
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    options = {"temperature": 1.0, "max_new_tokens": 8, "num_samples": 2, "batch_tokens": 1}
    generate_file(model, prompts, whole, **options)

    def kill(_total, _read, answered, _written):
        if answered == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_file(model, prompts, killed, on_progress=kill, **options)
    assert not killed.exists()
    journal = tmp_path / "killed.jsonl.unfinished"
    journal.write_bytes(journal.read_bytes() + b'{"index": 6, "lin')
    with pytest.raises(MismatchError, match="options temperature"):
        generate_file(model, prompts, killed, **{**options, "temperature": 2.0})
    seen = []
    generate_file(model, prompts, killed, on_progress=lambda *counts: seen.append(counts[2]), **options)
    assert seen == [7, 8, 9, 10]
    assert killed.read_bytes() == whole.read_bytes()
    assert not journal.exists()


def test_a_file_of_another_is_not_overwritten(model, prompts, tmp_path):
    (tmp_path / "mine.jsonl").write_text("mine")
    with pytest.raises(ConfigError, match="was not written by generate"):
        generate_file(model, prompts, tmp_path / "mine.jsonl")


def test_the_forms_of_megatron_and_mindformers(model, tmp_path):
    report = generate_file(model, None, tmp_path / "samples.jsonl", preset="megatron", max_new_tokens=6, num_samples=3)
    assert report.counts["answered"] == 1
    samples = lines_of(tmp_path / "samples.jsonl")
    assert len(samples) == 3
    assert all(line.keys() == {"text", "length", "finished"} for line in samples)
    (tmp_path / "lines.txt").write_text("<human>: Letter 2?\n\n", "utf-8")
    generate_file(model, tmp_path / "lines.txt", tmp_path / "mind.jsonl", preset="mindformers", max_new_tokens=30)
    first, empty = lines_of(tmp_path / "mind.jsonl")
    assert first["text_generation_text"][0].startswith("<human>: Letter 2?")
    assert first["text_generation_text"][0].endswith("</s>")
    assert empty["prompt"] == ""


def test_the_command_answers_one_prompt_several_and_a_file(answering, prompts, tmp_path, capsys):
    assert main(["generate", str(answering), "--prompt", "Letter 1?"]) == 0
    assert capsys.readouterr().out == "It is b.\n"
    assert main(["generate", str(answering), "--prompt", "Letter 1?", "Letter 2?", "--json"]) == 0
    assert [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()] == ["It is b.", "It is c."]
    output = str(tmp_path / "out.jsonl")
    assert (
        main(["generate", str(answering), "--input", str(prompts), "-o", output, "--json", "--max-new-tokens", "9"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["records"] == 10
    judge = ["--moderation", "builtins:bool", "--refusal", "No."]
    assert main(["generate", str(answering), "--prompt", "Letter 1?", *judge]) == 0
    assert capsys.readouterr().out == "No.\n"
    assert main(["generate", str(answering)]) == 1
    assert "--prompt: expected either prompts, or an output" in capsys.readouterr().err


# --- loading ---------------------------------------------------------------------------------------------------------


def test_int8_takes_the_same_tokens_as_float32_with_less_memory(answering, model):
    small = load(answering, dtype="int8")
    found = generate(small, [question(number) for number in range(4)])
    assert [one.text for one in found] == [answer(number) for number in range(4)]
    assert small.network.get_memory_footprint() < model.network.get_memory_footprint()


def test_an_adapter_is_applied(answering, model, tmp_path):
    import peft

    network = transformers.AutoModelForCausalLM.from_pretrained(answering)
    adapted = peft.get_peft_model(network, peft.LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False))
    adapted.save_pretrained(tmp_path)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        expected, plain = adapted(ids).logits, model.network(ids).logits
        found = load(answering, adapter=tmp_path).network(ids).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found, plain, atol=1e-2)
    with pytest.raises(ConfigError, match=r"adapter: expected a folder with adapter_config.json"):
        load(answering, adapter=answering)


def copied(answering, tmp_path):
    for path in answering.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def test_a_half_folder_is_an_error_that_says_what_is_missing(answering, tmp_path):
    with pytest.raises(ConfigError, match=r"expected a folder with config.json, found no folder"):
        load(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"expected a folder with config.json, found none in"):
        load(tmp_path)
    folder = copied(answering, tmp_path)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptDataError, match="damaged weights"):
        load(folder)
    weights.unlink()
    with pytest.raises(ConfigError, match="no file named"):
        load(folder)
    from safetensors.torch import load_file, save_file

    tensors = load_file(answering / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(CorruptDataError, match=r"found none that fit for model.layers.1.mlp.up_proj.weight"):
        load(folder)


def test_a_cut_gguf_and_the_tokenizer_of_another_model_are_refused(answering, tmp_path):
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(16))
    with pytest.raises((CorruptDataError, ConfigError), match="model: "):
        load(tmp_path / "cut.gguf")
    folder = copied(answering, tmp_path)
    definition = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    definition["model"]["vocab"]["zzz"] = 5000
    (folder / "tokenizer.json").write_text(json.dumps(definition), "utf-8")
    with pytest.raises(MismatchError, match="the tokenizer has 5001 ids, and the model"):
        load(folder)


def test_options_of_devices_are_checked(answering):
    for message, options in {
        "max_memory_fraction: expected more": {"max_memory_fraction": 0},
        "gpu_memory: expected id:GiB": {"gpu_memory": ["all"]},
        "gpu_memory: found no accelerator 99": {"gpu_memory": ["99:1"]},
        "dtype: expected one of": {"dtype": "int4"},
    }.items():
        with pytest.raises(ConfigError, match=message):
            load(answering, **options)


def test_a_model_without_a_template_chats_with_a_named_default_and_says_so(answering, tmp_path, caplog):
    folder = copied(answering, tmp_path)
    (folder / "chat_template.jinja").unlink()
    chat = open_chat(folder)
    assert "has no chat template; this chat has human_bot" in caplog.text
    assert "".join(chat.reply(question(2))) == answer(2)
    assert generate(load(folder), "It", max_new_tokens=2)[0].prompt_ids == tuple(
        bloomdata.Tokenizer(folder).encode("It").tolist()
    )
