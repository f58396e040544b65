"""Read a scenario file, or say everything that is wrong with it, each with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from evenhand.core.errors import UsageError
from evenhand.core.scenario import Scenario
from evenhand.scenarios._toml.build import build
from evenhand.scenarios._toml.checks import problems
from evenhand.scenarios._toml.lines import line_numbers, line_of, show
from evenhand.scenarios._toml.schema import Problem, parse

_HINTS = {
    r"illegal character '\n'": "is a closing quote missing?",
    "cannot overwrite a value": "the key or table is written twice",
    "unclosed array": "a comma or a closing ] is missing, here or above",
}
_PLACE = re.compile(r" \((?:at line (\d+), column (\d+)|at end of document)\)$")


def read_toml(path: Path) -> Scenario:
    """Read a scenario file; raises UsageError with every problem found, in the order of the lines."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")  # some editors put a byte-order mark first
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path}, line {line}: not UTF-8 (byte 0x{raw[error.start]:02x}); save the file with the encoding UTF-8"
        ) from None
    return parse_toml(text, str(path))


def parse_toml(text: str, source: str) -> Scenario:
    """Return the scenario a TOML text describes; `source` is the file name used in errors."""
    text = text.replace("\r\n", "\n")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(_broken(text, source, str(error))) from None
    parsed = parse(data)
    found = parsed if isinstance(parsed, list) else list(problems(parsed))
    if isinstance(parsed, list) or found:
        raise UsageError(_report(text, source, found))
    return build(parsed, source)


def _broken(text: str, source: str, message: str) -> str:
    """Say where TOML stops making sense, and quote that line."""
    place, lines = _PLACE.search(message), text.split("\n")
    line = int(place[1]) if place and place[1] else len(text.rstrip("\n").split("\n"))
    what = _PLACE.sub("", message)
    what = what[:1].lower() + what[1:]
    hint = f" ({_HINTS[what]})" if what in _HINTS else ""
    return f"{source}, line {line}: not valid TOML: {what}{hint}; the line reads: {lines[line - 1].strip()[:100]}"


def _report(text: str, source: str, found: Iterable[Problem]) -> str:
    lines = line_numbers(text)
    told = dict.fromkeys((line_of(lines, p.path), f"{show(p.path)}: {p.text}") for p in found)
    return "\n".join(f"{source}, line {line}: {what}" for line, what in sorted(told, key=lambda pair: pair[0]))
