"""What a log is told of long work: how far it is, and about how long the rest takes."""

from evenhand.cli import screen


def test_a_log_says_how_long_the_rest_takes(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(screen.time, "monotonic", lambda: now[0])
    with screen.bars("parts") as shown:
        shown.started = shown.said = 0.0
        now[0] = 100.0
        shown.cell(1, 4, False)
        shown.cell(2, 4, True)
        shown.progress("patching", 10, 40)
        now[0] += 10.0
        shown.progress("patching", 20, 40)
        now[0] += 31.0
        shown.progress("patching", 30, 40)
    first, *rest = capsys.readouterr().err.splitlines()
    assert first == "patching: 10 of 40 (parts: 2 of 4, about 3 min left)"
    assert rest == ["patching: 30 of 40, about 20 s left (parts: 2 of 4, about 3 min left)"]
