"""A judge behind an endpoint that is busy, breaks off or refuses, and the file its answers are kept in."""

from __future__ import annotations

import dataclasses
import email.utils
import json
import os
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun, UsageError
from evenhand.lm.model import LM
from evenhand.spans.judge import Judge
from evenhand.testing.tiny import tiny_lm

TEXTS = tuple(Case(str(i), f"{word} lamps are dull.", "texts") for i, word in enumerate(("All", "Some", "Old")))
DULL = [(("lamps are dull".find("dull") + len(case.prompt) - 15), len(case.prompt) - 1) for case in TEXTS]


@dataclasses.dataclass
class Endpoint:
    """What is done with each request, in turn (the last of them with all that follow), and what came."""

    url: str
    script: list[Any]
    came: list[tuple[str, str | None]] = dataclasses.field(default_factory=list)

    def next(self) -> Any:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """Says texts, answers numbers as statuses (with a Retry-After), sends bytes as they are."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            here.came.append((self.path, self.headers.get("Authorization")))
            step = here.next()
            if isinstance(step, bytes):
                self.wfile.write(step)
                return
            status, headers = step if isinstance(step, tuple) else (200, {})
            body = b"the model is asleep" if isinstance(step, tuple) else json.dumps(
                {"choices": [{"message": {"content": step}}]}).encode()  # fmt: skip
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    here = Endpoint(f"http://127.0.0.1:{server.server_port}/v1", ['["dull"]'])
    yield here
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def lm() -> LM:
    return tiny_lm("gpt2")


def asked(endpoint: Endpoint, lm: LM, **settings: Any) -> list[Any]:
    return Judge(endpoint.url, "small", **{"pause": 0.001} | settings).select(lm, TEXTS, ())


@pytest.mark.parametrize(
    "step",
    [
        (429, {}),
        (503, {"Retry-After": "soon"}),
        b"",
        b"no status\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 999\r\n\r\n{",
    ],
    ids=["busy", "unavailable", "hung up", "no status", "cut off"],
)
def test_an_endpoint_that_is_busy_or_breaks_off_is_asked_again(step: Any, endpoint: Endpoint, lm: LM) -> None:
    endpoint.script = ['["dull"]', step, step, '["dull"]']
    assert asked(endpoint, lm) == [(each,) for each in DULL]
    assert len(endpoint.came) == 5
    endpoint.script = [step]
    with pytest.raises(CannotRun, match=r"gave no answer.*run again$"):
        asked(endpoint, lm, tries=2)
    assert len(endpoint.came) == 7
    endpoint.script = ['["dull"]', step]
    with pytest.raises(CannotRun, match=r"run again; kept=FILE would have kept 1 answer"):
        asked(endpoint, lm, tries=1)


def test_it_waits_as_long_as_the_endpoint_names(endpoint: Endpoint, lm: LM, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    told: list[str] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    soon = email.utils.formatdate(time.time() + 100, usegmt=True)
    endpoint.script = [(429, {"Retry-After": "7"}), (429, {"Retry-After": soon}), (429, {}), (429, {}), '["dull"]']
    asked(endpoint, dataclasses.replace(lm, notify=told.append), pause=0.25)
    assert waited[0] == 7
    assert waited[1] == pytest.approx(100, abs=5)
    assert waited[2:] == [1, 2]
    assert [line.rpartition(" in ")[0] for line in told] == ["judge: it is busy and is asked again"] * 2
    endpoint.script = [(429, {"Retry-After": "86400"})]
    with pytest.raises(CannotRun, match="429"):
        asked(endpoint, lm)
    assert len(waited) == 4


@pytest.mark.parametrize("status", [400, 401, 404])
def test_what_asking_again_does_not_mend_is_told_at_once(status: int, endpoint: Endpoint, lm: LM) -> None:
    endpoint.script = [(status, {})]
    with pytest.raises(CannotRun, match=rf"{status}.*the model is asleep.*check url, model and the key"):
        asked(endpoint, lm)
    assert len(endpoint.came) == 1


def test_the_key_is_sent_to_no_other_address_and_never_shown(
    endpoint: Endpoint, lm: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "secret\n")
    endpoint.script = [(302, {"Location": endpoint.url.replace("127.0.0.1", "localhost")})]
    with pytest.raises(CannotRun, match="302"):
        asked(endpoint, lm, key="MY_KEY")
    assert endpoint.came == [("/v1/chat/completions", "Bearer secret")]
    monkeypatch.setenv("MY_KEY", "secret\nsecret")
    with pytest.raises(UsageError, match="MY_KEY holds no key") as caught:
        asked(endpoint, lm, key="MY_KEY")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://", "http://my host/v1", "http://host:port/v1", "http://hört/v1", "http://[/v1"]
)
def test_what_is_no_address_is_told(url: str, lm: LM) -> None:
    with pytest.raises(UsageError, match="is no address"):
        Judge(url, "small").select(lm, TEXTS, ())


@pytest.mark.parametrize(
    ("said", "marks"),
    [
        ('See [1] and [the text]: ["dull"]. Yes.', True),
        ('{"phrases": ["dull"]}', True),
        ('First ["lamps"], no: ["dull"]', True),
        ("[]", False),
        ('["lamps"] or rather []', False),
    ],
)
def test_the_last_list_of_texts_in_an_answer_counts(said: str, marks: bool, endpoint: Endpoint, lm: LM) -> None:
    endpoint.script = [said]
    assert asked(endpoint, lm) == [(each,) if marks else () for each in DULL]


@pytest.mark.parametrize("said", ["I cannot.", '[{"phrase": "dull"}]', None, "[[1]]", '["dull"'])
def test_texts_without_an_answer_have_no_spans_and_that_is_told(
    said: str | None, endpoint: Endpoint, lm: LM, tmp_path: Path
) -> None:
    told: list[str] = []
    kept = tmp_path / "kept.json"
    endpoint.script = ['["dull"]', said, '["dull"]']
    for _ in range(2):
        found = asked(endpoint, dataclasses.replace(lm, notify=told.append), kept=str(kept))
        assert found == [(DULL[0],), (), (DULL[2],)]
    assert len(endpoint.came) == 3
    assert len(told) == 2
    assert told[0].startswith("judge: about 1 of 3 texts it gave no phrases, and they have no spans: the first said")
    endpoint.script = [said]
    with pytest.raises(CannotRun, match="not once in 3 texts"):
        asked(endpoint, lm)


def test_answers_are_kept_as_they_come_also_when_it_is_stopped(endpoint: Endpoint, lm: LM, tmp_path: Path) -> None:
    kept = tmp_path / "a" / "kept.json"

    def stop(label: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asked(endpoint, dataclasses.replace(lm, progress=stop), kept=str(kept))
    assert list(json.loads(kept.read_text()).values()) == [["dull"]] * 2
    endpoint.script = [(429, {})]
    with pytest.raises(CannotRun, match=r"2 answer\(s\) in .*kept\.json are not asked for again"):
        asked(endpoint, lm, kept=str(kept), tries=1)
    endpoint.script = ['["dull"]']
    assert asked(endpoint, lm, kept=str(kept)) == [(each,) for each in DULL]
    assert len(endpoint.came) == 4


def test_without_a_file_answers_last_as_long_as_an_unfinished_cell(endpoint: Endpoint, lm: LM, tmp_path: Path) -> None:
    with lm.keeping(tmp_path / "cell"):
        first, again = asked(endpoint, lm), asked(endpoint, lm)
    assert first == again
    assert len(endpoint.came) == 3


@pytest.mark.parametrize("text", ["[]", '{"a": 1}', '{"a": [1]}', '"a"', "{", "\udcff"])
def test_what_holds_no_answers_is_not_taken_for_them(text: str, endpoint: Endpoint, lm: LM, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=r"kept\.json: expected the judge's answers"):
        asked(endpoint, lm, kept=str(kept))
    assert kept.read_bytes() == text.encode(errors="surrogateescape")
    assert not endpoint.came


def test_only_a_regular_file_holds_answers(endpoint: Endpoint, lm: LM, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for kept in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(UsageError, match="is no regular file"):
            asked(endpoint, lm, kept=str(kept))
    (tmp_path / "file").touch()
    with pytest.raises((UsageError, CannotRun), match="file"):
        asked(endpoint, lm, kept=str(tmp_path / "file" / "kept.json"))
    assert (tmp_path / "pipe").is_fifo()
    assert not endpoint.came


def test_a_link_to_the_file_stays_a_link(endpoint: Endpoint, lm: LM, tmp_path: Path) -> None:
    kept = tmp_path / "link.json"
    kept.symlink_to(tmp_path / "kept.json")
    (tmp_path / "kept.json").write_text("{}")
    asked(endpoint, lm, kept=str(kept))
    assert kept.is_symlink()
    assert len(json.loads(kept.read_text())) == 3
