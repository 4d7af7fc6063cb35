"""Chemical reactions read from text, such as `E + S <-> ES` or `2 A -> B`."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

ARROW = re.compile(r"<->|->")
TERM = re.compile(r"(?P<count>\d+)?\s*(?P<species>[^\W\d]\w*)")


@dataclass(frozen=True)
class Reaction:
    """One irreversible reaction.

    Attributes
    ----------
    reactants, products : Counter
        How many of each species are used and made. Either may be empty, not both.
    """

    reactants: Counter[str]
    products: Counter[str]

    def __str__(self) -> str:
        return f"{_side_text(self.reactants)} -> {_side_text(self.products)}".strip()


def parse_reactions(reactions: Sequence[str]) -> tuple[Reaction, ...]:
    """Read reactions; a reversible one becomes two, the forward one first.

    ::

        reaction = [side] ("->" | "<->") [side]
        side     = term {"+" term}
        term     = [whole number] species          species: a letter or _, then letters, digits or _

    Raises
    ------
    ValueError
        Naming the reaction and the part of it that does not follow these rules.
    """
    if isinstance(reactions, str) or not isinstance(reactions, Sequence):
        got = f"the one text {reactions!r}" if isinstance(reactions, str) else type(reactions).__name__
        raise ValueError(f"reactions must be a list of texts: got {got}")
    if len(reactions) == 0:
        raise ValueError("reactions must hold at least one reaction: got none")
    return tuple(step for place, text in enumerate(reactions) for step in _read(place, text))


def species_of(reactions: Sequence[Reaction]) -> tuple[str, ...]:
    """All species, in the order in which the reactions first name them."""
    named = (name for reaction in reactions for name in (*reaction.reactants, *reaction.products))
    return tuple(dict.fromkeys(named))


def _read(place: int, text: str) -> tuple[Reaction, ...]:
    """The one reaction of an arrow `->`, the two of an arrow `<->`."""
    if not isinstance(text, str):
        raise ValueError(f"reactions[{place}] must be a text: got {type(text).__name__}")
    where = f"reactions[{place}] = {text!r}"
    arrows = ARROW.findall(text)
    if len(arrows) != 1:
        raise ValueError(f"{where} must have one arrow, -> or <->: got {len(arrows)}")
    left, right = (_read_side(where, side) for side in ARROW.split(text))
    if not left and not right:
        raise ValueError(f"{where} must have a species on at least one side of its arrow")
    forward, backward = Reaction(left, right), Reaction(right, left)
    return (forward,) if arrows == ["->"] else (forward, backward)


def _read_side(where: str, side: str) -> Counter[str]:
    counts = Counter()
    for part in side.split("+") if side.strip() else ():
        term = TERM.fullmatch(part.strip())
        if term is None:
            found = repr(part.strip()) if part.strip() else f"nothing beside a + in {side.strip()!r}"
            raise ValueError(
                f"{where}: expected a species, with or without a whole number before it: got {found}"
            )
        count = int(term["count"] or 1)
        if count == 0:
            raise ValueError(f"{where}: a species must count at least once: got {part.strip()!r}")
        counts[term["species"]] += count
    return counts


def _side_text(side: Counter[str]) -> str:
    return " + ".join(name if count == 1 else f"{count} {name}" for name, count in side.items())
