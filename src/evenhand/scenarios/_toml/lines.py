"""The line of every key and list entry of a TOML text; tomllib does not tell."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

KeyPath = tuple[str | int, ...]
"""Where a value stands: `("contexts", "service", "template")`, or `("groups", "white", 2)` for the third entry."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})' r"|'''.*?'''(?:'{0,2})" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'", re.DOTALL
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}\n#]+")


def line_numbers(text: str) -> dict[KeyPath, int]:
    """Return the line (from 1) on which each key, table header and list entry starts; the text must be valid TOML."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.found


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int:
    """Return the line of a key path, or of the nearest table around it when the key itself is not written."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return 1


def show(path: KeyPath) -> str:
    """Return a key path as one writes it: `contexts.service.options[1]` (entries counted from 1)."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            word = part if _BARE.fullmatch(part) else f'"{part}"'
            text += f".{word}" if text else word
    return text


class _Scanner:
    """Walks over valid TOML and notes where things stand; values are skipped, not read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: dict[KeyPath, int] = {}
        self._last: dict[KeyPath, int] = {}
        self._breaks = [m.start() for m in re.finditer("\n", text)]

    def document(self) -> None:
        """Scan headers and key/value statements to the end."""
        table: KeyPath = ()
        self._skip(_BLANK)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _header(self) -> KeyPath:
        start, many = self.at, self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        walked: list[str | int] = []
        parts = self._key()
        for i, part in enumerate(parts):
            walked.append(part)
            self._note(tuple(walked), start)
            if many and i == len(parts) - 1:
                self._last[tuple(walked)] = self._last.get(tuple(walked), -1) + 1
            if tuple(walked) in self._last:
                walked.append(self._last[tuple(walked)])
        path = tuple(walked)
        self.found[path] = self._line(start)
        self.at += 2 if many else 1
        return path

    def _pair(self, table: KeyPath) -> None:
        start, path = self.at, table
        for part in self._key():
            path = (*path, part)
            self._note(path, start)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            quoted = self.text[self.at] in "\"'"
            raw = self._take(_STRING if quoted else _BARE)
            parts.append(tomllib.loads(f"k = {raw}")["k"] if quoted else raw)
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def _value(self, path: KeyPath) -> None:
        opening = self.text[self.at]
        if opening in "\"'":
            self._take(_STRING)
        elif opening == "[":
            self._entries(path, "]")
        elif opening == "{":
            self._entries(path, "}")
        else:
            self._take(_SCALAR)

    def _entries(self, path: KeyPath, closing: str) -> None:
        """Scan the inside of an array or an inline table."""
        self.at += 1
        index = 0
        while True:
            self._skip(_BLANK)
            if self.text[self.at] == closing:
                self.at += 1
                return
            if self.text[self.at] == ",":
                self.at += 1
            elif closing == "}":
                self._pair(path)
            else:
                self._note((*path, index), self.at)
                self._value((*path, index))
                index += 1

    def _note(self, path: KeyPath, start: int) -> None:
        self.found.setdefault(path, self._line(start))

    def _line(self, position: int) -> int:
        return bisect_right(self._breaks, position - 1) + 1

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._take(pattern)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:  # the caller has checked the text with tomllib
            raise ValueError(f"not TOML near {self.text[self.at : self.at + 20]!r}")
        self.at = match.end()
        return match.group()
