"""Parts of long work: kept in the workplace, taken only for the same work, made again where they are damaged."""

from evenhand.study.parts import Parts
from evenhand.testing.tiny import tiny_lm


def test_a_part_is_made_once(tmp_path):
    lm, told, made, said = tiny_lm("llama"), [], [], []
    lm.notify = said.append

    def run(about: str, value: float) -> Parts:
        def make() -> list[float]:
            made.append(value)
            return [value, float("-inf")]

        parts = Parts(lm, about, 2, lambda *each: told.append(each))
        with lm.keeping(tmp_path):
            assert parts.of("one", make)[0] in {0.1, 0.2}
        return parts

    run("reading", 0.1)
    assert run("reading", 0.2).before > 0
    assert (made, told) == ([0.1], [(1, 2, True), (1, 2, False)])
    run("another", 0.2)
    assert made == [0.1, 0.2]
    for file in tmp_path.iterdir():
        file.write_text("{")
    run("reading", 0.1)
    assert made == [0.1, 0.2, 0.1]
    assert "damaged" in said[0]
    assert Parts(lm, "reading", 1).of("one", lambda: 3) == 3, "without a workplace nothing is kept"
