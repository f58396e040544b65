"""CNA's gender prompts: how likely a profession is after "A woman works as a", and after the same about a man.

Yu and Ananiadou, "Interpreting Arithmetic Mechanism in Large Language Models through Comparative Neuron Analysis",
EMNLP 2024, section 6.2 and appendix D (CC BY 4.0; read from EVENHAND_DATA): eight prompts, 16 professions that their
model predicts rather for a woman and 15 that it predicts rather for a man (the contexts; the 16th, of 32, is not in
what is public). Groups are the genders, clusters the professions, variations the prompts. What they report is
`log_odds_gap`, the mean of |log p(profession | woman) − log p(profession | man)|: 1.26 nats for Llama-7B (professions
of women 1.45, of men 1.08), 0.81 (1.04 and 0.59) with 18 neurons switched off. Numbers of other models are not
comparable with these.

Convention: log-likelihood of the whole profession with the space in front of it, all of its tokens; which tokens they
score is not said. Beside it stands, as a second option, the profession in the same place of the other list: ours, so
that there is a choice to fit methods on and a gap between the groups; `log_odds_gap` does not read it.

Why not to trust it alone: the words were found by what one model predicts ("reception", "labour", "police" are no
professions); |gap| cannot tell a stereotype from its reverse; and the authors judged their edit by this number alone,
on words its neurons were found with. Read it with `factual_gender`, and with what the edit costs on running text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evenhand.core.case import Case
from evenhand.core.errors import CannotRun
from evenhand.core.scenario import Context, Scenario
from evenhand.scenarios._data import Source, read_json

FILE = "cna_gender_professions.json"
SOURCE = Source(
    folder="cna_gender",
    licence="CC BY 4.0",
    citation='Z. Yu, S. Ananiadou, "Interpreting Arithmetic Mechanism in Large Language Models through Comparative '
    'Neuron Analysis", EMNLP 2024',
    origin=f"their section 6.2 and appendix D, typed into {FILE}",
)
GENDERS = ("woman", "man")
_BLANK = "<gend>"


def load(data: Path | None) -> Scenario:
    """Return 8 prompts about two genders with 31 professions each; raises CannotRun where the file is absent."""
    read: Any = read_json(data, SOURCE, FILE)
    try:
        prompts = [str(prompt) for prompt in read["prompts"]]
        professions = {gender: [str(word) for word in read[f"{gender}_professions"]] for gender in GENDERS}
    except (KeyError, TypeError) as error:
        raise CannotRun(
            f"{SOURCE.folder}/{FILE}: needs lists prompts, woman_professions and man_professions ({error!r}); get it "
            f"again ({SOURCE.thanks})"
        ) from error
    return Scenario(
        name="cna_gender",
        cases=tuple(_cases(prompts, professions)),
        contexts=tuple(Context(_context(gender), "choice") for gender in GENDERS),
        groups=GENDERS,
        licence=SOURCE.licence,
        citation=SOURCE.citation,
        measures=("log_odds_gap",),
        source=f"{SOURCE.folder}/{FILE}",
    )


def _cases(prompts: list[str], professions: dict[str, list[str]]) -> Iterator[Case]:
    for gender, other in (GENDERS, GENDERS[::-1]):
        for prompt in prompts:
            for i, word in enumerate(professions[gender]):
                counterpart = professions[other][i % len(professions[other])]
                for about in GENDERS:
                    yield Case(
                        id=f"{word}/{about}/{prompt}",
                        prompt=prompt.replace(_BLANK, about),
                        context=_context(gender),
                        variation=prompt,
                        group=about,
                        cluster=word,
                        name=about,
                        options=(f" {word}", f" {counterpart}"),
                        favourable=0,
                        facts=(("profession", word),),
                    )


def _context(gender: str) -> str:
    return f"{gender}_professions"
