"""The reading of reactions: every text that follows the rules, and a plain no to the others."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.systems import MassAction

NAMES = st.from_regex(r"[A-Za-zα-ω_][A-Za-z0-9_]{0,4}", fullmatch=True)
SIDES = st.lists(st.tuples(st.integers(1, 12), NAMES, st.sampled_from(["", " "])), max_size=4)
SPACES = st.sampled_from(["", " ", "  "])


def parse_reactions(reactions):
    """The irreversible reactions that a system reads from texts."""
    return MassAction(reactions, 1.0).steps


def format_side(side, space):
    """One of the ways to write a side; a 1 may be left out."""
    return f"{space}+{space}".join(
        f"{count}{gap}{name}" if count > 1 or gap else name for count, name, gap in side
    )


def count_species(side):
    counts = Counter()
    for count, name, _ in side:
        counts[name] += count
    return counts


@settings(deadline=None, max_examples=200)
@given(left=SIDES, right=SIDES, space=SPACES, both_ways=st.booleans())
def test_what_is_written_is_read(left, right, space, both_ways):
    arrow = "<->" if both_ways else "->"
    text = f"{space}{format_side(left, space)}{space}{arrow}{space}{format_side(right, space)}{space}"
    if not left and not right:
        with pytest.raises(ValueError, match="a species on at least one side"):
            parse_reactions([text])
        return
    forward, *backward = parse_reactions([text])
    assert (forward.reactants, forward.products) == (count_species(left), count_species(right))
    assert [(step.reactants, step.products) for step in backward] == [
        (count_species(right), count_species(left))
    ] * both_ways
    assert parse_reactions([str(forward)]) == (forward,)
    assert set(MassAction([text], 1.0).species) == set(count_species(left) + count_species(right))


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="AB2 0+-<>.*", max_size=12))
def test_any_other_text_is_refused_by_name(text):
    """Either it is read, and then what it was read as says the same; or the error quotes it."""
    try:
        steps = parse_reactions([text])
    except ValueError as error:
        assert f"reactions[0] = {text!r}" in str(error)
    else:
        assert parse_reactions([str(steps[0])]) == steps[:1]
        side = r" *(0*[1-9]\d* *)?[AB][AB20]* *"
        assert re.fullmatch(rf"({side}(\+{side})*| *)<?->({side}(\+{side})*| *)", text)


def test_the_same_species_twice_adds_up():
    (step,) = parse_reactions(["A + 2 A -> B + A"])
    assert step.reactants == {"A": 3} and step.products == {"A": 1, "B": 1}
    assert str(step) == "3 A -> B + A"


def test_species_come_in_the_order_in_which_they_are_named():
    assert MassAction(["S + E <-> ES", "ES -> E + P"], 1.0).species == ("S", "E", "ES", "P")
    assert MassAction(["-> B", "A + B ->"], 1.0).species == ("B", "A")


MISTAKES = {
    "A": "reactions[1] = 'A' must have one arrow, -> or <->: got 0",
    "": "reactions[1] = '' must have one arrow, -> or <->: got 0",
    "A <- B": "reactions[1] = 'A <- B' must have one arrow, -> or <->: got 0",
    "A -> B -> C": "reactions[1] = 'A -> B -> C' must have one arrow, -> or <->: got 2",
    " -> ": "reactions[1] = ' -> ' must have a species on at least one side of its arrow",
    "A + -> B": "'A + -> B': expected a species, with or without a whole number before it: "
    "got nothing beside a + in 'A +'",
    "A -> B ++ C": "got nothing beside a + in 'B ++ C'",
    "A -> 1.5 B": "got '1.5 B'",
    "A -> -2 B": "got '-2 B'",
    "A -> B C": "got 'B C'",
    "A -> 2": "got '2'",
    "A --> B": "got 'A -'",
    "A* -> B": "got 'A*'",
    "0 A -> B": "reactions[1] = '0 A -> B': a species must count at least once: got '0 A'",
}


@pytest.mark.parametrize("text", MISTAKES, ids=repr)
def test_mistakes_are_named(text):
    with pytest.raises(ValueError, match=re.escape(MISTAKES[text])):
        parse_reactions(["A -> B", text])


def test_reactions_are_a_list_of_texts():
    with pytest.raises(ValueError, match="reactions must be a list of texts: got the one text 'A -> B'"):
        parse_reactions("A -> B")
    with pytest.raises(ValueError, match="reactions must hold at least one reaction: got none"):
        parse_reactions([])
    with pytest.raises(ValueError, match=r"reactions\[1\] must be a text: got int"):
        parse_reactions(["A -> B", 3])
