"""What an edit cost, in words."""

from __future__ import annotations

from evenhand.judge.verdict import Harm, Judgement
from evenhand.report import words


def cost(judgement: Judgement) -> str:
    """What the edit cost: every harm beyond its limit, what happened to neutral text, and what hardly changed."""
    if not judgement.harms:
        return "what it cost was not measured"
    most = 1 if judgement.kind == "broken" else 2
    harms = [harm_words(h) for h in judgement.harms if h.severity and h.severity <= most]
    small = [harm_words(h) for h in judgement.harms if h.measure == "perplexity" and not h.severity]
    calm = {h.measure for h in judgement.harms} - {h.measure for h in judgement.harms if h.severity}
    names = {"valid": "the share of valid answers", "inlier": "the usual range of answers", "accuracy": "accuracy"}
    kept = [names[m] for m in ("valid", "inlier", "accuracy") if m in calm]
    parts = [f"the cost: {words.listing(harms, 5)}"] if harms else []
    parts += [words.listing(small, 5)] if small else []
    parts += [f"{words.listing(kept)} hardly changed"] if kept else []
    return "; ".join(parts) or "nothing else was measured"


def harm_words(harm: Harm) -> str:
    """Return one harm in words."""
    before, after = harm.before.value, harm.after.value
    if harm.measure == "perplexity":
        levels = " to ".join(dict.fromkeys((words.figure(before), words.figure(after))))
        return f"text “{harm.context}” became {_harder(after / before)} (perplexity {levels})"
    moved = "fell" if after < before - 0.0005 else "rose" if after > before + 0.0005 else "stayed"
    shares = f"{moved} from {words.percent(before)} to {words.percent(after)}"
    if moved == "stayed":
        shares = f"stayed at {words.percent(before)}"
    if harm.measure == "accuracy":
        return f"accuracy on “{harm.context}” {shares}"
    if harm.measure == "options":
        return f"the probability of the offered answers in “{harm.context}” {shares}"
    if harm.measure == "valid":
        return f"valid answers in “{harm.context}” {shares}"
    return f"answers in the usual range in “{harm.context}” {shares}"


def _harder(ratio: float) -> str:
    """How much harder to predict a text became, in words."""
    if ratio >= 2:
        return f"{words.figure(ratio)} times as hard to predict"
    if abs(ratio - 1) < 0.0005:
        return "no harder to predict"
    return f"{words.percent(abs(ratio - 1))} {'harder' if ratio > 1 else 'easier'} to predict"
