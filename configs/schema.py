"""The JSON Schema of cameras.yaml, made from `settings`, and what it says of one place in the file.

``cameras.schema.json`` is its committed copy, for editors; a test keeps the two equal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import cast

from reid_pipeline.configs.settings import Settings

Location = tuple[str | int, ...]
Node = Mapping[str, object]


@cache
def camera_schema() -> Node:
    """The JSON Schema (draft 2020-12) of cameras.yaml."""
    schema = Settings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "cameras.yaml"}


def schema_text() -> str:
    """`camera_schema` as the text of ``cameras.schema.json``."""
    return json.dumps(camera_schema(), indent=2, ensure_ascii=False) + "\n"


def keys_at(location: Location) -> tuple[str, ...]:
    """Names the keys that may stand in the mapping at ``location``; empty where names are free.

    Example:
        >>> keys_at(("defaults", "detect"))
        ('fps',)
    """
    node = _node_at(location)
    return tuple(_mapping(_without_null(node), "properties")) if node else ()


def expectation_at(location: Location) -> str:
    """Says in words what may stand at ``location``.

    Args:
        location: Keys and list positions from the top of the file.

    Example:
        >>> expectation_at(("cameras", "lobby", "inputs", 0, "fps"))
        'a number > 0 and <= 1000, or null'
    """
    node = _node_at(location)
    return _describe(node) if node else "no such key"


def _node_at(location: Location) -> Node | None:
    node: Node | None = camera_schema()
    for step in location:
        if node is None:
            return None
        node = _child(node, step)
    return node


def _child(node: Node, step: str | int) -> Node | None:
    node = _without_null(node)
    if isinstance(step, int):
        prefix = _sequence(node, "prefixItems")
        found = prefix[step] if step < len(prefix) else node.get("items")
    else:
        names_are_free = _mapping(node, "patternProperties").values()
        found = _mapping(node, "properties").get(step) or next(iter(names_are_free), None)
    return _resolve(cast("Node", found)) if isinstance(found, Mapping) else None


def _without_null(node: Node) -> Node:
    """The mapping, where a mapping or null may stand."""
    return next((_resolve(each) for each in _sequence(node, "anyOf") if "$ref" in each), node)


def _resolve(node: Node) -> Node:
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return node
    return cast("Node", _mapping(camera_schema(), "$defs")[reference.rpartition("/")[2]])


def _sequence(node: Node, key: str) -> Sequence[Node]:
    return cast("Sequence[Node]", node.get(key, ()))


def _mapping(node: Node, key: str) -> Mapping[str, object]:
    return cast("Mapping[str, object]", node.get(key, {}))


def _describe(node: Node) -> str:
    if "anyOf" in node:
        return ", or ".join(_describe(_resolve(each)) for each in _sequence(node, "anyOf"))
    if "enum" in node:
        return "one of " + ", ".join(str(each) for each in cast("Sequence[object]", node["enum"]))
    kind = str(node.get("type"))
    describe = {
        "number": _describe_number,
        "integer": _describe_number,
        "string": _describe_text,
        "array": _describe_list,
        "object": _describe_keys,
    }
    return describe[kind](node) if kind in describe else {"boolean": "true or false"}.get(kind, kind)


def _describe_number(node: Node) -> str:
    names = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    bounds = [f"{sign} {node[name]}" for name, sign in names.items() if name in node]
    kind = "a whole number" if node.get("type") == "integer" else "a number"
    return " ".join([kind, " and ".join(bounds)]).strip()


def _describe_text(node: Node) -> str:
    examples = " or ".join(str(each) for each in cast("Sequence[object]", node.get("examples", ())))
    return f"text like {examples}" if examples else f"text{_lengths(node, 'Length', 'characters')}"


def _describe_list(node: Node) -> str:
    return f"a list{_lengths(node, 'Items', 'entries')}".replace(" 1 entries", " 1 entry")


def _describe_keys(node: Node) -> str:
    keys = ", ".join(_mapping(node, "properties"))
    return f"a mapping with some of the keys {keys}" if keys else "a mapping of one or more names to settings"


def _lengths(node: Node, what: str, unit: str) -> str:
    low, high = node.get(f"min{what}"), node.get(f"max{what}")
    if low is None:
        return ""
    if high is None:
        return f" of at least {low} {unit}" if low != 1 else f" of 1 or more {unit}"
    return f" of {low} {unit}" if low == high else f" of {low} to {high} {unit}"
