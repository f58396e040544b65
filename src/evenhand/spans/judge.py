"""Words that a language model behind an OpenAI-compatible endpoint marks as hateful, as the paper had GPT-4 do.

One request per text, `POST {url}/chat/completions` at temperature 0: an instruction (ours: the published one is not
known) and the text; the last JSON list of texts in the answer are phrases, which are looked for in the text. Phrases
that are not in it are dropped, and texts about which the answer is no such list (a refusal) are left without spans:
`lm.notify` is told how many. The texts are sent to that endpoint: use one you may send hate speech to.

An endpoint that is busy, breaks off or takes too long is asked again, after the seconds that it names (Retry-After) or
else after `pause`, twice as long each time.

With `kept` every answer is written to a JSON file as it comes and not asked for again: do so, because the same model
may answer otherwise tomorrow, and then the edit cannot be made again. Another instruction or model is another question.
What the file holds belongs to what a study's cell is known by: the run after one that added answers makes its cells
anew, once. Without it answers last as long as a study's unfinished cell does.
"""

from __future__ import annotations

import email.utils
import hashlib
import http.client
import json
import math
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.spans import Spans, joined, standing, words
from evenhand.lm.model import LM

INSTRUCTION = (
    "Which words of this text express hate, contempt, a threat or a stereotype? Leave out the words that only name the "
    "group. Answer with a JSON list of phrases copied exactly from the text, and with nothing else; [] where there is "
    "none."
)
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Answers = dict[str, list[str] | str]
"""Digest of a question → the phrases, or what was said in place of a list of them."""
_BUSY = (408, 425, 429, 500, 502, 503, 504, 529)
_BROKEN = (TimeoutError, ConnectionResetError, ConnectionAbortedError, BrokenPipeError, http.client.IncompleteRead,
           http.client.BadStatusLine)  # fmt: skip
_TOLD, _LONGEST = 5.0, 300.0
"""Seconds of waiting from which they are told, and over which it is given up."""


@dataclass(frozen=True)
class Judge:
    """What a judge behind an endpoint marks."""

    url: str = ""
    """Base address, such as `http://localhost:8000/v1`."""
    model: str = ""
    """Name of the model there."""
    key: str = "OPENAI_API_KEY"
    """Environment variable that holds the key, if the endpoint wants one."""
    instruction: str = INSTRUCTION
    kept: str = ""
    """File of answers (JSON); empty: they are not kept. `${VARIABLES}` come from the environment."""
    seconds: Seconds = 60.0
    """Longest wait for an answer."""
    tries: Annotated[int, Field(ge=1)] = 5
    """How often a text is asked about before it is given up."""
    pause: Seconds = 1.0
    """Before a text is asked about for the second time, seconds."""

    def select(self, lm: LM, texts: Sequence[Case], neutral: Sequence[str]) -> list[Spans]:
        """Return what is marked in each text.

        Raises UsageError without endpoint and for a file that cannot hold answers, CannotRun without an answer.
        """
        self._check()
        kept = os.path.expandvars(self.kept) or (lm.workplace and str(lm.workplace / "judge.json")) or ""
        answers = _read(kept)
        asked: list[list[str] | str] = []
        for i, case in enumerate(texts):
            lm.progress("asking the judge", i, len(texts))
            asked.append(self._answer(lm, case.prompt, answers, kept) if words(case.prompt) else [])
        lm.progress("asking the judge", len(texts), len(texts))
        found = [[standing(case.prompt, phrase) for phrase in each] if isinstance(each, list) else []
                 for case, each in zip(texts, asked, strict=True)]  # fmt: skip
        _tell(lm, [each for each in asked if isinstance(each, str)], len(texts), kept)
        if lost := sum(not places for few in found for places in few):
            lm.notify(f"judge: {lost} phrases it marked are not in their text, and are left out")
        return [joined(span for places in few for span in places) for few in found]

    def _check(self) -> None:
        if not self.url.startswith(("http://", "https://")) or not self.model:
            raise UsageError('spans: judge needs an endpoint and a model; set "url=http://localhost:8000/v1" and model')
        with suppress(ValueError):
            parts = urllib.parse.urlsplit(self.url)
            if parts.hostname and parts.port != 0 and self.url.isascii() and not any(map(str.isspace, self.url)):
                return
        raise UsageError(f"spans: judge: {self.url!r} is no address; expected one like http://localhost:8000/v1")

    def _answer(self, lm: LM, text: str, answers: Answers, kept: str) -> list[str] | str:
        name = hashlib.sha256(json.dumps([self.model, self.instruction, text]).encode()).hexdigest()
        if name not in answers:
            try:
                said = self._said(lm, text)
            except CannotRun as error:
                count = f"{len(answers)} answer(s)"
                safe = f"{count} in {kept} are not asked for again" if kept else f"kept=FILE would have kept {count}"
                raise CannotRun(f"{error}; {safe}" if answers else str(error)) from error
            phrases = _phrases(said)
            answers[name] = said if phrases is None else phrases
            _write(kept, answers)
        return answers[name]

    def _said(self, lm: LM, text: str) -> str:
        """What the judge says about a text; raises CannotRun where it says nothing."""
        request = self._request(text)
        for done in range(1, self.tries + 1):
            try:
                with _OPENER.open(request, timeout=self.seconds) as reply:
                    answer: Any = json.load(reply)
                said: object = answer["choices"][0]["message"]["content"]
                return said if isinstance(said, str) else json.dumps(said)
            except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
                wait, cause = _wait(error, self.pause * 2 ** (done - 1)), _cause(error)
                if wait is None or done == self.tries:
                    raise CannotRun(
                        f"spans: the judge at {request.full_url} gave no answer ({cause}); check url, model and the "
                        f"key in {self.key}, and run again"
                    ) from error
            if wait >= _TOLD:
                lm.notify(f"judge: it is busy and is asked again in {wait:.0f} s")
            time.sleep(wait)
        raise AssertionError("at least one try is made")

    def _request(self, text: str) -> urllib.request.Request:
        body = {"model": self.model, "temperature": 0,
                "messages": [{"role": "user", "content": f"{self.instruction}\n\nText: {text}"}]}  # fmt: skip
        headers = {"Content-Type": "application/json"}
        if secret := os.environ.get(self.key, "").strip():
            if not (secret.isascii() and secret.isprintable()):
                raise UsageError(f"spans: judge: {self.key} holds no key: expected plain characters on one line")
            headers["Authorization"] = f"Bearer {secret}"
        address = f"{self.url.rstrip('/')}/chat/completions"
        return urllib.request.Request(address, json.dumps(body).encode(), headers)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: urllib would send the key along, to whatever host."""

    def redirect_request(self, *given: Any, **more: Any) -> None:
        return


_OPENER = urllib.request.build_opener(_Stay)


def _wait(error: Exception, pause: float) -> float | None:
    """Seconds after which to ask again; None where that would not help or takes too long."""
    if isinstance(error, urllib.error.HTTPError):
        named = _named(error.headers.get("Retry-After", "")) if error.code in _BUSY else math.inf
        wait = pause if named is None else named
        return wait if wait <= _LONGEST else None
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return min(pause, _LONGEST) if isinstance(cause, _BROKEN) else None


def _named(after: str) -> float | None:
    """Seconds from now that a Retry-After names, as a number or as a date; None where it is neither."""
    with suppress(ValueError, TypeError):
        seconds = (
            float(after) if after[:1].isdigit() else email.utils.parsedate_to_datetime(after).timestamp() - time.time()
        )
        return max(0.0, seconds)
    return None


def _cause(error: Exception) -> str:
    """What went wrong, with what the endpoint says about it."""
    said = ""
    if isinstance(error, urllib.error.HTTPError):
        with suppress(OSError, http.client.HTTPException), error:
            said = error.read(400).decode(errors="replace")
    kind = "" if isinstance(error, OSError) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}{f': {said}' if said else ''}".split())


def _phrases(said: str) -> list[str] | None:
    """The last JSON list of texts in an answer; None where there is none."""
    found: list[str] | None = None
    at = said.find("[")
    while at >= 0:
        end = at + 1
        with suppress(ValueError, RecursionError):
            read, end = json.JSONDecoder().raw_decode(said, at)
            found = _texts(read) if _texts(read) is not None else found
        at = said.find("[", end)
    return found


def _texts(read: object) -> list[str] | None:
    items = cast("list[object]", read) if isinstance(read, list) else [None]
    texts = [each for each in items if isinstance(each, str)]
    return texts if len(texts) == len(items) else None


def _tell(lm: LM, refused: Sequence[str], count: int, kept: str) -> None:
    """Tell of answers that are no list; raises CannotRun where no other is there."""
    if not refused:
        return
    about = f"the first said {refused[0][:80]!r}, where a JSON list of phrases was expected"
    if len(refused) == count:
        raise CannotRun(
            f"spans: the judge answered with no list of phrases, not once in {count} texts: {about}. Try another "
            "instruction or model" + (f"; to ask the same again, remove {kept}" if kept else "")
        )
    lm.notify(f"judge: about {len(refused)} of {count} texts it gave no phrases, and they have no spans: {about}")


def _read(kept: str) -> Answers:
    """The answers in a file, none where it is not there; raises where it could not be written, before any is asked."""
    if not kept:
        return {}
    path = Path(kept)
    try:
        regular, there = path.is_file(), os.path.lexists(path)
        found: object = json.loads(path.read_text(encoding="utf-8")) if regular else {}
    except (OSError, ValueError) as error:
        raise UsageError(f"spans: {path}: expected the judge's answers as JSON ({error}); remove it") from error
    if there and not regular:
        raise UsageError(f"spans: judge: {path} is no regular file, so it cannot hold answers; name another as kept")
    answers = cast("dict[str, object]", found) if isinstance(found, dict) else None
    if answers is None or not all(isinstance(each, str) or _texts(each) is not None for each in answers.values()):
        raise UsageError(f"spans: {path}: expected the judge's answers, a list of phrases by question; remove it")
    if not there:
        _write(kept, {})
    return cast("Answers", answers)


def _write(kept: str, answers: Answers) -> None:
    if not kept:
        return
    path = Path(kept).resolve()
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(answers, indent=1, ensure_ascii=False), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise CannotRun(
            f"spans: {path}: the judge's answers cannot be kept ({error.strerror or error}); free some space or "
            "name another file, then run again: the answers in it are not asked for again"
        ) from error
