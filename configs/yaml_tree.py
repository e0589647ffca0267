"""YAML as plain values that remember their lines, with the environment filled in.

The reading is that of YAML 1.2: ``on`` and ``no`` are text, not flags; times stay text; every key is text. Nothing but
mappings, lists, text, numbers, true, false and null is made, whatever the tags say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import yaml

from reid_pipeline.configs.log import redact_url
from reid_pipeline.configs.schema import Location

MAX_NODES: Final = 100_000  # a site has some hundred; aliases of aliases grow without end
MAX_SHOWN: Final = 80

_PLACEHOLDER = re.compile(r"\{(REID_\w+)\}")
_INSIDE_USERINFO = re.compile(r"://[^/?#@\s]*$")


class _Loader(yaml.SafeLoader):
    """Resolves plain text as YAML 1.2 does."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own shape


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|Null|NULL|~|)$"), [*"nN~", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:[tT]rue|TRUE|[fF]alse|FALSE)$"), [*"tTfF"])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), [*"-+0123456789"])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
    [*"-+0123456789."],
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in the file: where, what stands there, and what is expected."""

    line: int
    location: Location
    value: str
    text: str

    def __str__(self) -> str:
        parts = (key_name(self.location), self.value, self.text)
        return ": ".join(" ".join(part.split()) for part in parts if part)


@dataclass(slots=True)
class YamlTree:
    """The content of a file.

    Attributes:
        value: What the file holds: mappings, lists, text, numbers, flags, None.
        lines: Line of each key and list entry, from 1.
        shown: What the file says at each place, before the environment was filled in: fit to be printed.
        literal_secrets: Places with an address whose password or token stands in the file itself.
        problems: Duplicate keys, unset variables, what YAML allows and a configuration does not.
    """

    value: object = None
    lines: dict[Location, int] = field(default_factory=dict)
    shown: dict[Location, str] = field(default_factory=dict)
    literal_secrets: list[Location] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, location: Location, text: str, value: str | None = None) -> Problem:
        """Describes a mistake at ``location``, which may be missing in the file."""
        nearest = location
        while nearest and nearest not in self.lines:
            nearest = nearest[:-1]
        if value is None:
            value = self.shown.get(location, "missing")
        return Problem(self.lines.get(nearest, 1), location, value, text)


def key_name(location: Location) -> str:
    """Writes a location as in messages.

    Example:
        >>> key_name(("cameras", "lobby", "inputs", 0, "fps"))
        'cameras.lobby.inputs[0].fps'
    """
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return text.removeprefix(".")


def read_tree(text: str, environment: Mapping[str, str]) -> YamlTree:
    """Reads one YAML document.

    Args:
        text: The document.
        environment: Values of ``{REID_...}``.

    Raises:
        yaml.MarkedYAMLError: The text is not YAML, or more than one document.
        yaml.reader.ReaderError: The text holds characters that YAML forbids.
    """
    reader = _TreeReader(environment)
    node = yaml.compose(text, Loader=_Loader)
    if node is not None:
        reader.tree.value = reader.read(node, ())
    return reader.tree


class _TreeReader:
    """Turns YAML nodes to values, top down."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.tree = YamlTree()
        self._environment = environment
        self._open: set[int] = set()  # the nodes that hold the current one
        self._count = 0

    def read(self, node: yaml.Node, location: Location) -> object:
        self.tree.lines.setdefault(location, node.start_mark.line + 1)
        self.tree.shown[location] = _show(node)
        self._count += 1
        if id(node) in self._open:
            raise yaml.MarkedYAMLError(problem="an alias that holds itself", problem_mark=node.start_mark)
        if self._count > MAX_NODES:
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_NODES} values", problem_mark=node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, location)
        self._open.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            value: object = [self.read(each, (*location, index)) for index, each in enumerate(node.value)]
        else:
            value = self._mapping(node, location)
        self._open.discard(id(node))
        return value

    def _mapping(self, node: yaml.Node, location: Location) -> dict[str, object]:
        values: dict[str, object] = {}
        for key, entry in node.value:
            line = key.start_mark.line + 1
            name = key.value if isinstance(key, yaml.ScalarNode) else _show(key)
            place = (*location, name)
            if name in values:
                text = f"given twice, first in line {self.tree.lines[place]}: expected one {name}"
                self.tree.problems.append(Problem(line, place, _show(entry), text))
                continue
            self.tree.lines[place] = line
            values[name] = self.read(entry, place)
        return values

    def _scalar(self, node: yaml.ScalarNode, location: Location) -> object:
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "str":
                return self._fill_in(node.value, location)
            case "null":
                return None
            case "bool":
                return node.value.lower() == "true"
            case "int" | "float":
                return float(node.value)
            case tag:
                self.tree.problems.append(self.tree.problem(location, f"expected a value without the tag {tag}"))
                return node.value

    def _fill_in(self, text: str, location: Location) -> str:
        """Puts the environment's values in place of ``{REID_...}``."""

        def value_of(match: re.Match[str]) -> str:
            value = self._environment.get(match[1])
            if value is None:
                expected = f"{match[1]} is not set: expected this variable in the environment"
                self.tree.problems.append(self.tree.problem(location, expected))
                return match[0]
            authority_left = re.split(r"[/?#\s]", text[match.end() :], maxsplit=1)[0]
            inside = _INSIDE_USERINFO.search(text[: match.start()]) and "@" in authority_left
            return _encode_userinfo(value) if inside else value

        if "://" in text and not _PLACEHOLDER.search(text) and redact_url(text) != text:
            self.tree.literal_secrets.append(location)
        return _PLACEHOLDER.sub(value_of, text)


def _encode_userinfo(value: str) -> str:
    """Percent-encodes a user name or password for a URL, unless that is done already."""
    return re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", quote(value, safe="%"))


def _show(node: yaml.Node) -> str:
    """What stands in the file, on one line, short and without passwords."""
    if isinstance(node, yaml.ScalarNode):
        text = redact_url(" ".join(node.value.split()))
        text = text or ("null" if node.tag.endswith(":null") else '""')
        return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    if isinstance(node, yaml.SequenceNode):
        return f"a list of {len(node.value)}"
    return f"a mapping of {len(node.value)}"
