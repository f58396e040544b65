"""Words that a language model behind an OpenAI-compatible endpoint marks as hateful, as the paper had GPT-4 do.

One request per text, `POST {url}/chat/completions` at temperature 0: an instruction (ours: the published one is not
known) and the text; the answer is a JSON list of phrases, which are looked for in the text. Phrases that are not in it
are dropped, and `lm.notify` is told how many. The texts are sent to that endpoint: use one you may send hate speech to.

With `kept` every answer is written to a JSON file and not asked for again: do so, because the same model may answer
otherwise tomorrow, and then the edit cannot be made again. Another instruction or model is another question. What the
file holds belongs to what a study's cell is known by: the run after one that added answers makes its cells anew, once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.core.spans import Spans, joined, standing
from evenhand.lm.model import LM

INSTRUCTION = (
    "Which words of this text express hate, contempt, a threat or a stereotype? Leave out the words that only name the "
    "group. Answer with a JSON list of phrases copied exactly from the text, and with nothing else; [] where there is "
    "none."
)


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
    """File of answers (JSON); empty: they are not kept."""
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """Longest wait for an answer."""

    def select(self, lm: LM, texts: Sequence[Case], neutral: Sequence[str]) -> list[Spans]:
        """Return what is marked in each text; raises UsageError without endpoint, CannotRun without an answer."""
        if not self.url.startswith(("http://", "https://")) or not self.model:
            raise UsageError('spans: judge needs an endpoint and a model; set "url=http://localhost:8000/v1" and model')
        answers = self._read()
        lost = 0
        found: list[Spans] = []
        for i, case in enumerate(texts):
            lm.progress("asking the judge", i, len(texts))
            name = hashlib.sha256(json.dumps([self.model, self.instruction, case.prompt]).encode()).hexdigest()
            if name not in answers:
                answers[name] = self._asked(case.prompt)
                self._write(answers)
            places = [standing(case.prompt, phrase) for phrase in answers[name]]
            lost += sum(not each for each in places)
            found.append(joined(span for each in places for span in each))
        lm.progress("asking the judge", len(texts), len(texts))
        if lost:
            lm.notify(f"judge: {lost} phrases it marked are not in their text, and are left out")
        return found

    def _asked(self, text: str) -> list[str]:
        body = {"model": self.model, "temperature": 0,
                "messages": [{"role": "user", "content": f"{self.instruction}\n\nText: {text}"}]}  # fmt: skip
        headers = {"Content-Type": "application/json"}
        if secret := os.environ.get(self.key):
            headers["Authorization"] = f"Bearer {secret}"
        address = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.seconds) as reply:
                answer: Any = json.load(reply)
            said = str(answer["choices"][0]["message"]["content"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise CannotRun(
                f"spans: the judge at {address} gave no answer ({error}); check url, model and the key in {self.key}"
                + (", and run again: answers so far are kept" if self.kept else "")
            ) from error
        return _phrases(said, text)

    def _read(self) -> dict[str, list[str]]:
        path = Path(self.kept)
        if not self.kept or not path.is_file():
            return {}
        try:
            return cast("dict[str, list[str]]", json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise UsageError(f"spans: {path}: expected the judge's answers as JSON ({error}); remove it") from error

    def _write(self, answers: dict[str, list[str]]) -> None:
        if not self.kept:
            return
        path, partial = Path(self.kept), Path(f"{self.kept}.partial")
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


def _phrases(said: str, text: str) -> list[str]:
    """The list in an answer; raises CannotRun where there is none."""
    listed = re.search(r"\[.*\]", said, re.DOTALL)
    try:
        phrases: Any = json.loads(listed.group()) if listed else None
    except ValueError:
        phrases = None
    if not isinstance(phrases, list):
        raise CannotRun(
            f"spans: the judge answered {said[:80]!r} about {text[:40]!r}; expected a JSON list of phrases. Try "
            "another instruction or model"
        )
    return [str(each) for each in cast("list[object]", phrases)]
