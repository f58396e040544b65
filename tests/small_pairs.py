"""A tiny benchmark of whole sentences set against each other, as a scenario file."""

PAIRS = '''
from evenhand.core.case import Case
from evenhand.core.scenario import Context, Scenario


def load(data):
    """Eight pairs in two contexts, two of them bad."""
    cases = tuple(
        Case(f"{place}/{i}", "", place, cluster=str(i), options=(f"She sold {i} cars.", f"He sold {i} cars {i}."),
             flaw="made to be bad" if i == 3 else "")
        for place in ("shop", "farm")
        for i in range(4)
    )
    contexts = (Context("shop", "pair"), Context("farm", "pair"))
    return Scenario("pairs", cases, contexts, measures=("stereotype_preference",))
'''
