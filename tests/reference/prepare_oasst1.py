"""Paths through trees of messages as SYSTEMS.md 1.1 gives them: recursive, with lists of children."""

from __future__ import annotations

from typing import Any

from reference.prepare_record import WRONG, BadError, parse_object, text

ROLES = {"prompter": "user", "assistant": "assistant"}


def number(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is int or (type(value) is float and value.is_integer()):
        return int(value)
    raise BadError(WRONG)


def score(emojis: Any) -> int:
    if emojis is None:
        return 0
    if not isinstance(emojis, dict):
        raise BadError(WRONG)
    if not isinstance(emojis.get("name"), list):
        return (number(emojis.get("+1")) or 0) - (number(emojis.get("-1")) or 0)
    names, counts = emojis["name"], emojis["count"]
    if len(names) != len(counts):
        raise BadError(WRONG)
    total = 0
    for name, sign in (("+1", 1), ("-1", -1)):
        if name in names:
            total += sign * (number(counts[names.index(name)]) or 0)
    return total


def node(message: dict[str, Any], options: dict[str, Any], *, is_root: bool) -> dict[str, Any]:
    """What paths need of a message; `rank` is made so that the greatest is wanted."""
    role = text(message, "role")
    if role not in ROLES:
        raise BadError(WRONG)
    found = {"role": ROLES[role], "content": text(message, "text")}
    if options.get("best", "emoji") == "emoji":
        preference = (0, score(message.get("emojis")))
    else:
        rank = number(message.get("rank"))
        preference = (0, 0) if rank is None else (1, -rank)
    deleted = message.get("deleted") if options.get("skip_deleted") else False
    if deleted not in (None, True, False) or (isinstance(deleted, int) and not isinstance(deleted, bool)):
        raise BadError(WRONG)
    is_unwanted = bool(is_root and options.get("lang")) and text(message, "lang") not in options["lang"]
    return {"message": found, "preference": preference, "deleted": bool(deleted), "unwanted": is_unwanted}


def best_path(root: Any, nodes: Any, children: Any) -> list[Any]:
    """Names along the path. `max` takes the first of equals."""
    path = [root]
    while replies := [child for child in children[path[-1]] if not nodes[child]["deleted"]]:
        path.append(max(replies, key=lambda child: nodes[child]["preference"]))
    return path


def fates_of_tree(root: Any, nodes: Any, children: Any, options: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """Fates of a root and of all below it."""
    below, waiting = [], [root]
    while waiting:
        below.append(waiting.pop())
        waiting.extend(children[below[-1]])
    if nodes[root]["unwanted"]:
        return {name: {"dropped": "language left out"} for name in below}
    fates = {name: {"dropped": "deleted" if nodes[name]["deleted"] else "not on the best path"} for name in below}
    if nodes[root]["deleted"]:
        return fates
    path = best_path(root, nodes, children)
    if options.get("end_on") == "assistant":
        while path and nodes[path[-1]]["message"]["role"] == "user":
            fates[path.pop()] = {"dropped": "question without an answer"}
    for name in path:
        fates[name] = {"joined": True}
    if path:
        messages = [nodes[name]["message"] for name in path]
        fates[root] = {"documents": [{"messages": messages, "strip": True}]}
    return fates


def oasst1(records: list[str], options: dict[str, Any]) -> list[dict[str, Any]]:
    """Fates of records that are one message each."""
    nodes, parents, fates, order = {}, {}, {}, []
    for at, record in enumerate(records):
        try:
            message = parse_object(record)
            name = text(message, "message_id")
            parent = None if message.get("parent_id") is None else text(message, "parent_id")
            found = node(message, options, is_root=parent is None)
        except BadError as bad:
            fates["line", at] = {"bad": str(bad)}
            order.append(("line", at))
            continue
        if name in nodes:
            fates["line", at] = {"bad": WRONG}
            order.append(("line", at))
            continue
        nodes[name], parents[name] = found, parent
        order.append(name)
    children = {name: [child for child in nodes if parents[child] == name] for name in nodes}
    for name in nodes:
        if parents[name] is None:
            fates.update(fates_of_tree(name, nodes, children, options))
    for name in nodes.keys() - fates.keys():
        above, seen = parents[name], set()
        while above in nodes and above not in seen and above != name:
            seen.add(above)
            above = parents[above]
        is_bad = above == name or parents[name] not in nodes
        fates[name] = {"bad": WRONG} if is_bad else {"dropped": "below a bad message"}
    return [fates[name] for name in order]


def oasst1_tree(record: str, options: dict[str, Any]) -> dict[str, Any]:
    """The fate of a record that is a whole tree."""
    tree = parse_object(record)
    if "prompt" not in tree:
        raise BadError("missing field")
    if not isinstance(tree["prompt"], dict):
        raise BadError(WRONG)
    nodes: list[dict[str, Any]] = []
    children: list[list[int]] = []

    def walk(message: Any, parent: int | None) -> None:
        if not isinstance(message, dict):
            raise BadError(WRONG)
        nodes.append(node(message, options, is_root=parent is None))
        children.append([])
        if parent is not None:
            children[parent].append(len(nodes) - 1)
        at, replies = len(nodes) - 1, message.get("replies")
        if not isinstance(replies, list | None):
            raise BadError(WRONG)
        for reply in replies or []:
            walk(reply, at)

    walk(tree["prompt"], None)
    return fates_of_tree(0, nodes, children, options)[0]
