"""Tables of model families: name, shape and split dimension of every tensor.

A shape is written in sizes of the configuration, `qkv hidden`. Tensor parallelism cuts the dimension that the table
names; tensors without one are replicated on all ranks. For BLOOM and GPT-NeoX the fused query, key and value is grouped
by head, so that a plain chunk of its rows holds whole heads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bloomdata.errors import ConfigError, CorruptDataError, UnsupportedFormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bloomdata.convert.tensors import LazyTensor


@dataclass(frozen=True)
class Rule:
    """What is known of a tensor.

    Attributes:
        shape: Its dimensions, as names of sizes.
        split: The dimension that tensor parallelism cuts, None for replicated tensors.
        optional: Whether models of the family may lack it.
    """

    shape: str
    split: int | None = None
    optional: bool = False


@dataclass(frozen=True)
class Layout:
    """A model family.

    Attributes:
        model_types: `model_type` in `config.json`.
        prefix: What stands before all names but that of the output head; files of bare models lack it.
        layers: Name of the list of layers.
        first: Tensors before the layers.
        layer: Tensors of a layer, without `layers.0.`.
        last: Tensors after the layers.
        head: Names of the output head; the first is what we write. Absent where it is tied to the embedding.
        buffers: Constants that old files hold beside the weights; they are left out.
    """

    model_types: tuple[str, ...]
    prefix: str
    layers: str
    first: Mapping[str, Rule]
    layer: Mapping[str, Rule]
    last: Mapping[str, Rule]
    head: tuple[str, ...] = ("lm_head.weight",)
    buffers: str = r"(?!)"

    @property
    def embedding(self) -> str:
        """Name of the token embedding, without the prefix."""
        return next(iter(self.first))

    def bare(self, name: str) -> str:
        """A name without the prefix."""
        return name.removeprefix(self.prefix)

    def full(self, bare: str) -> str:
        """A name as transformers writes it."""
        return bare if bare in self.head else self.prefix + bare

    def place(self, name: str) -> tuple[int | None, str]:
        """The layer of a tensor, and its name without it."""
        found = re.fullmatch(rf"{self.layers}\.(\d+)\.(.+)", self.bare(name))
        return (int(found[1]), found[2]) if found else (None, self.bare(name))

    def rule(self, name: str) -> Rule | None:
        """What is known of a tensor, None for names of no weight of the family."""
        number, rest = self.place(name)
        if number is not None:
            return self.layer.get(rest)
        if rest in self.head:
            return Rule("vocab hidden", 0, optional=True)
        return self.first.get(rest) or self.last.get(rest)

    def is_buffer(self, name: str) -> bool:
        """Whether the name is that of a constant which the model computes itself."""
        return re.fullmatch(self.buffers, self.place(name)[1]) is not None

    def names(self, num_layers: int) -> list[str]:
        """Bare names of all weights that a model must have."""
        rules = [(name, rule) for name, rule in self.first.items()]
        rules += [(f"{self.layers}.{n}.{name}", rule) for n in range(num_layers) for name, rule in self.layer.items()]
        return [name for name, rule in [*rules, *self.last.items()] if not rule.optional]


def _norms(*names: str) -> dict[str, Rule]:
    return {f"{name}.{part}": Rule("hidden") for name in names for part in ("weight", "bias")}


def _linear(name: str, rows: str, columns: str, split: int, *, bias_optional: bool | None = False) -> dict[str, Rule]:
    """A matrix and its bias, which is replicated where the columns are cut: it is added once, after the sum."""
    rules = {f"{name}.weight": Rule(f"{rows} {columns}", split)}
    if bias_optional is not None:
        rules[f"{name}.bias"] = Rule(rows, 0 if split == 0 else None, optional=bias_optional)
    return rules


BLOOM = Layout(
    model_types=("bloom",),
    prefix="transformer.",
    layers="h",
    first={"word_embeddings.weight": Rule("vocab hidden", 0), **_norms("word_embeddings_layernorm")},
    layer={
        **_norms("input_layernorm"),
        **_linear("self_attention.query_key_value", "qkv", "hidden", 0),
        **_linear("self_attention.dense", "hidden", "hidden", 1),
        **_norms("post_attention_layernorm"),
        **_linear("mlp.dense_h_to_4h", "mlp", "hidden", 0),
        **_linear("mlp.dense_4h_to_h", "hidden", "mlp", 1),
    },
    last=_norms("ln_f"),
    buffers=r"self_attention\.(masked_bias|bias)",
)
LLAMA = Layout(
    model_types=("llama", "mistral", "qwen2"),
    prefix="model.",
    layers="layers",
    first={"embed_tokens.weight": Rule("vocab hidden", 0)},
    layer={
        "input_layernorm.weight": Rule("hidden"),
        **_linear("self_attn.q_proj", "query", "hidden", 0, bias_optional=True),
        **_linear("self_attn.k_proj", "kv", "hidden", 0, bias_optional=True),
        **_linear("self_attn.v_proj", "kv", "hidden", 0, bias_optional=True),
        **_linear("self_attn.o_proj", "hidden", "query", 1, bias_optional=True),
        "post_attention_layernorm.weight": Rule("hidden"),
        **_linear("mlp.gate_proj", "mlp", "hidden", 0, bias_optional=True),
        **_linear("mlp.up_proj", "mlp", "hidden", 0, bias_optional=True),
        **_linear("mlp.down_proj", "hidden", "mlp", 1, bias_optional=True),
    },
    last={"norm.weight": Rule("hidden")},
    buffers=r"self_attn\.rotary_emb\.inv_freq",
)
GPT_NEOX = Layout(
    model_types=("gpt_neox",),
    prefix="gpt_neox.",
    layers="layers",
    first={"embed_in.weight": Rule("vocab hidden", 0)},
    layer={
        **_norms("input_layernorm", "post_attention_layernorm"),
        **_linear("attention.query_key_value", "qkv", "hidden", 0, bias_optional=True),
        **_linear("attention.dense", "hidden", "hidden", 1, bias_optional=True),
        **_linear("mlp.dense_h_to_4h", "mlp", "hidden", 0),
        **_linear("mlp.dense_4h_to_h", "hidden", "mlp", 1),
    },
    last=_norms("final_layer_norm"),
    head=("embed_out.weight", "lm_head.weight"),
    buffers=r"attention\.(masked_bias|bias|rotary_emb\.inv_freq)",
)
LAYOUTS = (BLOOM, LLAMA, GPT_NEOX)


@dataclass(frozen=True)
class Sizes:
    """Sizes of a model, from its `config.json`.

    Attributes:
        vocab: Size of the vocabulary.
        hidden: Size of hidden states.
        layers: Number of layers.
        heads: Number of attention heads.
        kv_heads: Number of heads of keys and values.
        head: Size of a head.
        mlp: Size inside the MLP.
        tied: Whether the output head is the embedding.
    """

    vocab: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    mlp: int
    tied: bool

    def shape(self, rule: Rule) -> tuple[int, ...]:
        """The shape of a tensor."""
        sizes = {
            "vocab": self.vocab,
            "hidden": self.hidden,
            "qkv": 3 * self.heads * self.head,
            "query": self.heads * self.head,
            "kv": self.kv_heads * self.head,
            "mlp": self.mlp,
        }
        return tuple(sizes[name] for name in rule.shape.split())


def layout_of(config: Mapping[str, Any], place: object) -> Layout:
    """The family of a model.

    Raises:
        UnsupportedFormatError: It is not in the tables.
    """
    model_type = config.get("model_type")
    for layout in LAYOUTS:
        if model_type in layout.model_types:
            return layout
    known = ", ".join(name for layout in LAYOUTS for name in layout.model_types)
    raise UnsupportedFormatError(f"{place}: model_type: expected one of {known}, found {model_type!r}")


def sizes_of(config: Mapping[str, Any], place: object) -> Sizes:
    """The sizes of a model.

    Raises:
        CorruptDataError: The configuration lacks one.
    """

    def number(*names: str, default: int | None = None) -> int:
        value = next((config[name] for name in names if config.get(name) is not None), default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CorruptDataError(f"{place}: {names[0]}: expected a number from 1 on, found {value!r}")
        return value

    # Old configurations of BLOOM and GPT-2 have names of their own; the first of these is what transformers writes.
    hidden, heads = number("hidden_size", "n_embed"), number("num_attention_heads", "n_head")
    is_bloom = config.get("model_type") == "bloom"
    return Sizes(
        vocab=number("vocab_size"),
        hidden=hidden,
        layers=number("num_hidden_layers", "n_layer"),
        heads=heads,
        kv_heads=number("num_key_value_heads", default=heads),
        head=number("head_dim", default=hidden // heads),
        mlp=4 * hidden if is_bloom else number("intermediate_size"),
        tied=bool(config.get("tie_word_embeddings", is_bloom)),
    )


def check_model(tensors: Mapping[str, LazyTensor], layout: Layout, sizes: Sizes, place: object) -> None:
    """Checks that all weights of a model are there, with the right shapes.

    Raises:
        CorruptDataError: A tensor is missing, or has another shape.
        UnsupportedFormatError: A tensor does not belong to the family.
    """
    for name, tensor in tensors.items():
        rule = layout.rule(name)
        number = layout.place(name)[0]
        if rule is None or (number is not None and number >= sizes.layers):
            raise UnsupportedFormatError(f"{tensor.place}: expected weights of {layout.model_types[0]}, found {name}")
        if tensor.shape != sizes.shape(rule):
            raise CorruptDataError(f"{tensor.place}: expected {list(sizes.shape(rule))}, found {list(tensor.shape)}")
    there = {layout.bare(name) for name in tensors}
    head = [] if sizes.tied or there.intersection(layout.head) else [layout.head[0]]
    missing = [name for name in [*layout.names(sizes.layers), *head] if name not in there]
    if missing:
        raise CorruptDataError(
            f"{place}: tensor {layout.full(missing[0])}: expected, found none ({len(missing)} missing)"
        )


def check_divides(parts: int, sizes: Sizes, option: str = "tensor_parallel") -> None:
    """Checks that every rank gets whole heads.

    Raises:
        ConfigError: The number of ranks does not divide them.
    """
    if parts < 1:
        raise ConfigError(f"{option}: expected a number from 1 on, got {parts}")
    whole = {"attention heads": sizes.heads, "key and value heads": sizes.kv_heads, "columns of the MLP": sizes.mlp}
    for words, count in whole.items():
        if count % parts:
            raise ConfigError(f"{option}: expected a divisor of {count} {words}, got {parts}")


def weights_only(tensors: Mapping[str, LazyTensor], layout: Layout) -> tuple[dict[str, LazyTensor], list[str]]:
    """The tensors without constants, and the names of those."""
    left_out = [name for name in tensors if layout.is_buffer(name)]
    return {name: tensor for name, tensor in tensors.items() if name not in left_out}, left_out


def last_names(layout: Layout) -> Iterable[str]:
    """Bare names of the tensors after the layers."""
    return (*layout.last, *layout.head)
