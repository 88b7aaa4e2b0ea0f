"""Trees of messages against a recursive oracle: ties, cycles, missing parents, any order, and great depth."""

import json

from hypothesis import given
from hypothesis import strategies as st

import bloomdata
from reference import prepare_record
from reference.prepare_oasst1 import oasst1, oasst1_tree
from test_prepare_sources import read, without_details

NAMES = list("abcdefgh")
counts = st.integers(-1, 2)
emojis = st.one_of(
    st.none(),
    st.lists(st.tuples(st.sampled_from(["+1", "-1", "x"]), counts), max_size=3).map(
        lambda pairs: {"name": [name for name, _ in pairs], "count": [count for _, count in pairs]}
    ),
    st.dictionaries(st.sampled_from(["+1", "-1", "x"]), counts),
)
bodies = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["prompter", "assistant"] * 8 + ["system"]),
        "text": st.sampled_from(["a", " b\n", "", "\u2028"]),
        "lang": st.sampled_from(["en", "de"]),
        "deleted": st.sampled_from([False, False, True, None]),
        "rank": st.sampled_from([None, 0, 1, 2.0]),
        "emojis": emojis,
    }
)
options = st.fixed_dictionaries(
    {},
    optional={
        "best": st.sampled_from(["emoji", "rank"]),
        "lang": st.sampled_from([[], ["en"], ["de", "fr"]]),
        "end_on": st.sampled_from(["any", "assistant"]),
        "skip_deleted": st.booleans(),
    },
)


@st.composite
def messages(draw, parents):
    """Messages with any parent of `parents`; most names occur once."""
    names = draw(st.lists(st.sampled_from(NAMES), max_size=10, unique=draw(st.integers(0, 3)) > 0))
    return [{"message_id": name, "parent_id": draw(parents(names)), **draw(bodies)} for name in names]


def any_parent(names):
    return st.sampled_from([None, None, *names, *NAMES])


@st.composite
def forests(draw):
    """Messages whose parents are roots or come from the front of a list, shuffled."""
    drawn = [{"message_id": name, **draw(bodies)} for name in NAMES[: draw(st.integers(0, 8))]]
    for at, message in enumerate(drawn):
        message["parent_id"] = draw(st.sampled_from([None, *(other["message_id"] for other in drawn[:at] * 3)]))
    return draw(st.permutations(drawn))


@given(st.one_of(messages(any_parent), forests()), options)
def test_paths_equal_the_oracle(drawn, options):
    lines = [json.dumps(message) for message in drawn]
    assert without_details(read("oasst1", lines, **options)) == oasst1(lines, options)


trees = st.recursive(
    st.builds(lambda body: body, bodies),
    lambda trees: st.builds(
        lambda body, replies: body | {"replies": replies},
        bodies,
        st.one_of(st.lists(trees, max_size=4), st.lists(trees, max_size=4), st.none()),
    ),
    max_leaves=8,
)


@given(st.lists(trees, max_size=4), options)
def test_folded_trees_equal_the_oracle(drawn, options):
    lines = [json.dumps({"message_tree_id": "x", "prompt": tree}, indent=1) for tree in drawn]
    expected = prepare_record.outcomes(lambda record: oasst1_tree(record, options), lines)
    assert without_details(read("oasst1_trees", lines, **options)) == expected


@given(trees, options)
def test_a_tree_gives_the_same_conversation_folded_and_as_messages(tree, options):
    rows, waiting = [], [(tree, None)]
    while waiting:
        message, parent = waiting.pop(0)
        name = str(len(rows))
        rows.append(json.dumps({key: value for key, value in message.items() if key != "replies"} | {
            "message_id": name, "parent_id": parent,
        }))  # fmt: skip
        waiting += [(reply, name) for reply in message.get("replies") or []]
    flat = without_details(read("oasst1", rows, **options))
    [folded] = without_details(read("oasst1_trees", [json.dumps({"prompt": tree})], **options))
    if not any("bad" in outcome for outcome in flat):
        assert flat[0] == folded


def test_chains_of_a_hundred_thousand_messages_are_one_conversation():
    length = 100_000
    roles = ["prompter", "assistant"]
    parents = [None, *map(str, range(length - 1))]
    rows = [
        json.dumps({"message_id": str(at), "parent_id": parent, "role": roles[at % 2], "text": "x"})
        for at, parent in enumerate(parents)
    ]
    for lines in (rows, rows[::-1]):
        outcomes = read("oasst1", lines)
        [documents] = [outcome["documents"] for outcome in outcomes if "documents" in outcome]
        assert len(documents[0]["messages"]) == length
    assert all("bad" in outcome or "dropped" in outcome for outcome in read("oasst1", rows[1:]))


def test_trees_nested_a_hundred_thousand_deep_are_one_conversation():
    length = 100_000
    deep = '{"role":"prompter","text":"x","replies":[' * length + "]}" * length
    [outcome] = read("oasst1_trees", ['{"prompt":' + deep + "}"])
    assert len(outcome["documents"][0]["messages"]) == length
    [outcome] = read("oasst1_trees", ['{"prompt":' + deep[:-1] + "}"])
    assert outcome["bad"] == "malformed JSON"


def test_a_chain_of_many_messages_is_rendered_without_a_plan_of_it(tmp_path):
    """Plans take time with the square of the messages; the timeout of tests would show it."""
    chain = [
        {
            "message_id": str(n),
            "parent_id": str(n - 1) if n else None,
            "role": ("prompter", "assistant")[n % 2],
            "text": f" {n} ",
        }
        for n in range(20_000)
    ]
    (tmp_path / "chain.jsonl").write_text("".join(json.dumps(message) + "\n" for message in chain))
    bloomdata.prepare("oasst1", tmp_path / "chain.jsonl", tmp_path / "out.jsonl", style="text")
    text = json.loads((tmp_path / "out.jsonl").read_text())["text"]
    tags = ("<human>", "<bot>")
    assert text == "\n".join(f"{tags[n % 2]}:  {n} " for n in range(20_000)).strip()
