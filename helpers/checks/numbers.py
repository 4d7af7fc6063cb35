"""Judging an answer that is one number: what is true, what to say when right, and the usual slips."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from helpers.checks.attempt import as_number, is_blank
from helpers.checks.verdict import Item, Verdict

Sentence = str | Callable[[float], str]  # a template of {answer} and {effect}, or a function of the answer
Test = Callable[[float], bool]


@dataclass(frozen=True)
class Number:
    """One number that is asked for, and what to say to each answer.

    Every sentence is a template in which `{answer:g}` is the answer and `{effect:.2f}` what it leads to, or a
    function that makes the sentence of the answer.

    Parameters
    ----------
    name : str
        Of the answer.
    truth : float
        The right number, or what `effect` must be at it.
    right : str or callable
        What to say of a right answer.
    slips : sequence of (float or callable, str or callable)
        Where each usual slip leads, as a number or a test of the answer, and what it is; the first counts.
    recipe : str or callable, or two
        How to find the right number; of two, what to say where the effect is too small and too large.
    within, relatively : float
        How far from the truth, or from a slip's number, the answer may be, as a number or as a share.
    effect : callable
        What the answer leads to, which is compared with `truth`; by default the answer itself.
    wrong : str or callable
        How what is said of a wrong answer begins, before the slip or the recipe.
    impossible : sequence of (callable, str or callable)
        Tests for answers that cannot be, and what to say instead of all else.
    form : str
        The format in which a prediction of it is written.
    """

    name: str
    truth: float
    right: Sentence
    slips: Sequence[tuple[float | Test, Sentence]] = ()
    recipe: Sentence | tuple[Sentence, Sentence] = ""
    within: float = 0.0
    relatively: float = 0.0
    effect: Callable[[float], float] = float
    wrong: Sentence = "{answer:g} is not it; "
    impossible: Sequence[tuple[Test, Sentence]] = ()
    form: str = "g"

    def judge(self, answer: object, prediction: object = None) -> Verdict:
        """What to say to an answer, and, where it is right, to what had been predicted."""
        if is_blank(answer):
            return Verdict(self.name)
        number = as_number(answer)
        passed, message = (
            self._judge(number, prediction) if number is not None else (False, "give one number")
        )
        return Verdict(self.name, (Item(passed, f"{self.name}: {message}"),))

    def _judge(self, answer: float, prediction: object) -> tuple[bool, str]:
        for is_impossible, sentence in self.impossible:
            if is_impossible(answer):
                return False, _say(sentence, answer)
        effect, predicted = self.effect(answer), as_number(prediction)
        if self._is_near(effect, self.truth):
            guess = "" if predicted is None else f"; you predicted {predicted:{self.form}}"
            return True, _say(self.right, answer, effect) + guess
        reason = self._slip(answer) or self._recipe(effect)
        return False, _say(self.wrong, answer, effect) + _say(reason, answer, effect)

    def _slip(self, answer: float) -> Sentence | None:
        """What leads to this answer, if that is known."""
        for slip, sentence in self.slips:
            if slip(answer) if callable(slip) else self._is_near(answer, slip):
                return sentence
        return None

    def _recipe(self, effect: float) -> Sentence:
        if isinstance(self.recipe, tuple):
            return self.recipe[0 if effect < self.truth else 1]
        return self.recipe

    def _is_near(self, number: float, other: float) -> bool:
        return math.isclose(number, other, rel_tol=self.relatively, abs_tol=self.within)


def _say(sentence: Sentence, answer: float, effect: float = math.nan) -> str:
    return sentence(answer) if callable(sentence) else sentence.format(answer=answer, effect=effect)
