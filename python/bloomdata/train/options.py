"""The sections of a recipe for training, as frozen descriptions. Names and defaults of TOML are those of the fields."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """`[model]`: a folder of transformers, or a family with sizes for random weights.

    Attributes:
        path: Folder with `config.json` and weights.
        family: `bloom`, `llama`, `gpt_neox`, or another model type of transformers: random weights.
        sizes: Options of the family's configuration, as transformers names them: `hidden_size`, `vocab_size`, ...
        seed: Seed of random weights.
        dtype: Type of the weights that the optimizer updates.
        stable_embedding: A layer norm after the token embedding, whose weights are drawn by Xavier's rule. BLOOM has
            such a layer norm already.
        shared_embedding: Whether input and output embeddings are one matrix; by default as the configuration says.
        lora: Options of peft's `LoraConfig`: `r`, `lora_alpha`, `target_modules`, ...; only the adapter is trained.
        activation_checkpointing: Whether to compute activations again in the backward pass, to save memory.
        compile: Whether to compile the model by `torch.compile`.
    """

    path: str | None = None
    family: str | None = None
    sizes: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    stable_embedding: bool = False
    shared_embedding: bool | None = None
    lora: dict[str, Any] = field(default_factory=dict)
    activation_checkpointing: bool = False
    compile: bool = False


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """`[data]`: packed folders and how to draw from them.

    Attributes:
        sources: Packed folders and their weights.
        by: Unit of the weights, as for `BlendedDataset`.
        evaluation: Packed folders to evaluate, by name.
        sequence_length: Tokens of a row, for folders of Megatron files whose documents are joined; rows of other files
            must have this length.
        separator: Token ids before each of these documents.
        separate_documents: Whether documents of a row are kept apart; otherwise a row is one document, as most of the
            upstream projects have it.
        prompt_loss_weight: Loss weight of tokens in prompts, 0 or more.
        seed: Seed of the order of samples.
        shuffle: Whether to shuffle every epoch.
        skip: Ranges [start, end) of samples of the stream to leave out.
    """

    sources: dict[str, float] = field(default_factory=dict)
    by: Literal["samples", "tokens", "epochs"] = "samples"
    evaluation: dict[str, str] = field(default_factory=dict)
    sequence_length: int | None = None
    separator: list[int] = field(default_factory=list)
    separate_documents: bool = True
    prompt_loss_weight: float = 0.0
    seed: int = 0
    shuffle: bool = True
    skip: list[list[int]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """`[batch]`: rows of a step.

    Attributes:
        rows: Rows of a step over all ranks and microbatches.
        micro_rows: Rows that a rank computes at once; by default all of its share.
        ramp_start: Rows of the first steps; 0 for no ramp-up.
        ramp_increment: Rows by which the batch grows.
        ramp_samples: Samples over which it grows to `rows`, in equal parts.
    """

    rows: int = 8
    micro_rows: int | None = None
    ramp_start: int = 0
    ramp_increment: int = 0
    ramp_samples: int = 0


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions:
    """`[optimizer]`.

    Attributes:
        name: `adamw`; `adamw_8bit` of bitsandbytes; `muon` for matrices, with AdamW for the rest.
        learning_rate: Highest learning rate.
        muon_learning_rate: Highest learning rate of matrices under `muon`; by default `learning_rate`.
        betas: Of Adam.
        eps: Of Adam.
        weight_decay: For matrices; biases, norms and their like have none.
        clip_norm: Largest norm of all gradients together; 0 for none.
    """

    name: Literal["adamw", "adamw_8bit", "muon"] = "adamw"
    learning_rate: float = 1e-4
    muon_learning_rate: float | None = None
    betas: list[float] = field(default_factory=lambda: [0.9, 0.95])
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip_norm: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ScheduleOptions:
    """`[schedule]`: the learning rate as a function of samples.

    Attributes:
        name: `constant`, `linear`, `cosine`, `inverse_sqrt`, or `wsd`: warm-up, stable, decay.
        warmup_samples: Samples of the linear warm-up.
        decay_samples: Samples at which the decay ends, warm-up included; by default those of the stage.
        cooldown_samples: Samples of the decay of `wsd`, at the end.
        min_learning_rate: Floor of `linear`, `cosine`, `inverse_sqrt` and `wsd`.
    """

    name: Literal["constant", "linear", "cosine", "inverse_sqrt", "wsd"] = "cosine"
    warmup_samples: int = 0
    decay_samples: int | None = None
    cooldown_samples: int = 0
    min_learning_rate: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PrecisionOptions:
    """`[precision]`.

    Attributes:
        compute: Type of the forward and backward pass.
        scale_power: First loss scale of float16, as a power of two.
        scale_window: Steps without overflow before the scale doubles.
        scale_hysteresis: Overflows before the scale halves.
        scale_min: Lowest scale.
        deterministic: Whether to use only algorithms of torch that repeat bit for bit.
    """

    compute: Literal["float32", "bfloat16", "float16"] = "float32"
    scale_power: int = 16
    scale_window: int = 1000
    scale_hysteresis: int = 2
    scale_min: float = 1.0
    deterministic: bool = False


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """`[engine]`: for `--engine deepspeed`.

    Attributes:
        zero_stage: What ZeRO shards: 1 the optimizer, 2 gradients as well, 3 weights as well.
        offload: Whether to keep the optimizer in memory of the CPU.
    """

    zero_stage: Literal[1, 2, 3] = 1
    offload: bool = False


@dataclass(frozen=True, kw_only=True)
class GuardOptions:
    """`[guards]`: when to leave a step out, and when to stop.

    Attributes:
        max_non_finite: Steps in a row with an infinite or undefined loss or gradient before the run stops; each is
            left out.
        spike_deviations: A loss this many median absolute deviations above the median of the window is a spike; 0 for
            no such guard.
        spike_window: Steps of the window.
        on_spike: `stop` saves and stops; `skip` leaves the step out.
    """

    max_non_finite: int = 5
    spike_deviations: float = 0.0
    spike_window: int = 100
    on_spike: Literal["stop", "skip"] = "stop"


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions:
    """`[checkpoint]`.

    Attributes:
        every: Steps between checkpoints; 0 for one at the end only.
        keep: Newest checkpoints to keep; 0 for all.
        keep_every: Checkpoints at multiples of so many steps are kept for good; 0 for none.
        asynchronous: Whether to write while training goes on.
        max_failures: Checkpoints in a row that may fail, for a full disk, before the run stops.
        export: Whether to write a folder for transformers at the end.
    """

    every: int = 0
    keep: int = 2
    keep_every: int = 0
    asynchronous: bool = False
    max_failures: int = 3
    export: bool = True


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """`[log]`.

    Attributes:
        every: Steps between lines of the log.
        evaluate_every: Steps between evaluations; 0 for one at the end only.
        evaluate_rows: Most rows of each evaluation set; 0 for all.
        prompts: Texts to continue at every evaluation.
        max_new_tokens: Tokens of such a continuation.
        trackers: Any of `tensorboard`, `wandb`, `trackio`.
        project: Name of the project in trackers.
        profile_steps: Steps that torch's profiler records, after two; written to `profile.json`.
    """

    every: int = 1
    evaluate_every: int = 0
    evaluate_rows: int = 0
    prompts: list[str] = field(default_factory=list)
    max_new_tokens: int = 64
    trackers: list[str] = field(default_factory=list)
    project: str = "bloomdata"
    profile_steps: int = 0
