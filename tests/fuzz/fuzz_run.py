"""Spoil one argument of a call, and judge what comes: `python tests/fuzz/fuzz_run.py --calls 10000`."""

import argparse
import copy
import dataclasses
import linecache
import math
import multiprocessing
import pickle
import re
import signal
import sys
import traceback
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from numbers import Real
from pathlib import Path

import numpy as np
import torch
from fuzz_calls import BUILDERS, ROOMS
from fuzz_draw import Call, Draw
from fuzz_oracles import differs
from torch import Tensor, nn

from helpers.odes import SolveError

HERE = str(Path(__file__).parent)
HELPERS = str(Path(__file__).parents[2] / "helpers")
SECONDS = 20
"""Longer than a call may take."""
CLEAR = (ValueError, TypeError, FloatingPointError, SolveError)
SINGLE, DOUBLE = 1e-3, 1e-9

# What can be done to an argument.


def _as_tensor(change: Callable) -> Callable:
    """Change a floating-point tensor that has entries; leave everything else."""

    def apply(draw: Draw, value):
        usable = isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 0
        return change(draw, value) if usable else None

    return apply


def _any_tensor(change: Callable) -> Callable:
    return lambda draw, value: change(draw, value) if isinstance(value, Tensor) else None


def _number(replacement) -> Callable:
    """Put another number in the place of one."""

    def apply(draw: Draw, value):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return replacement(value) if callable(replacement) else replacement

    return apply


def _entry(number: float) -> Callable:
    def change(draw: Draw, value: Tensor) -> Tensor:
        value = value.clone(memory_format=torch.contiguous_format)
        value.view(-1)[draw.whole(0, value.numel() - 1)] = torch.tensor(number).double().to(value.dtype)
        return value

    return _as_tensor(change)


def _strided(draw: Draw, value: Tensor) -> Tensor | None:
    if not value.ndim:
        return None
    return (
        torch.stack([value, torch.zeros_like(value)], -1).flatten(-2)[..., ::2]
        if value.is_floating_point()
        else None
    )


SAME = {
    "not contiguous": _as_tensor(_strided),
    "with requires_grad": _as_tensor(lambda draw, value: value.clone().requires_grad_()),
    "as a list": _any_tensor(lambda draw, value: value.tolist()),
    "as a numpy array": _any_tensor(lambda draw, value: value.numpy()),
    "as a numpy number": _number(
        lambda value: np.float64(value) if isinstance(value, float) else np.int64(value)
    ),
    "as a tensor without axes": _number(lambda value: torch.tensor(value, dtype=torch.float64)),
}
"""The argument says the same in another form: the answer must be the same, or the form be refused."""
SPOILT = {
    "NaN entry": _entry(math.nan),
    "infinite entry": _entry(math.inf),
    "minus infinite entry": _entry(-math.inf),
    "huge entry": _entry(1e300),
    "float32 beside float64": _as_tensor(
        lambda draw, value: value.float() if value.dtype == torch.float64 else None
    ),
    "times 1e300": _as_tensor(lambda draw, value: value * 1e300),
    "times 1e150": _as_tensor(lambda draw, value: value * 1e150),
    "times 1e-300": _as_tensor(lambda draw, value: value * 1e-300),
    "times 1e9": _as_tensor(lambda draw, value: value * 1e9),
    "times 1e-9": _as_tensor(lambda draw, value: value * 1e-9),
    "subnormal": _as_tensor(lambda draw, value: value * 1e-155 * 1e-155),
    "zeros": _as_tensor(lambda draw, value: torch.zeros_like(value)),
    "negative": _as_tensor(lambda draw, value: -value),
    "another axis": _any_tensor(lambda draw, value: value.unsqueeze(0)),
    "an axis less": _any_tensor(lambda draw, value: value[0] if value.ndim and len(value) else None),
    "first axis longer": _any_tensor(
        lambda draw, value: torch.cat([value, value[:1]]) if value.ndim else None
    ),
    "last axis longer": _any_tensor(
        lambda draw, value: torch.cat([value, value[..., :1]], -1) if value.ndim else None
    ),
    "first axis empty": _any_tensor(lambda draw, value: value[:0] if value.ndim else None),
    "last axis empty": _any_tensor(lambda draw, value: value[..., :0] if value.ndim else None),
    "transposed": _any_tensor(
        lambda draw, value: value.mT if value.ndim > 1 and value.shape[-1] != value.shape[-2] else None
    ),
    "integers": _as_tensor(lambda draw, value: torch.ones_like(value).long()),
    "floats for integers or bools": _any_tensor(
        lambda draw, value: value.double() if not value.is_floating_point() else None
    ),
    "short integers": _any_tensor(
        lambda draw, value: value.to(torch.int8) if value.dtype == torch.int64 else None
    ),
    "half precision": _as_tensor(lambda draw, value: value.half()),
    "complex": _as_tensor(lambda draw, value: value.to(torch.complex128)),
    "bool": _as_tensor(lambda draw, value: value > 0),
    "None": lambda draw, value: NONE,
    "a word": lambda draw, value: "three",
    "an empty list": lambda draw, value: [],
    "an object": lambda draw, value: object(),
    "NaN": _number(math.nan),
    "infinity": _number(math.inf),
    "zero": _number(0),
    "minus one": _number(-1),
    "1e300": _number(1e300),
    "1e-310": _number(1e-310),
    "True": _number(True),
    "half of one": _number(0.5),
}
NONE = object()
MATRICES = {
    "indefinite": lambda draw, value: (
        value - (1 + 2 * value.abs().max()) * torch.eye(value.shape[-1]).double()
    ),
    "asymmetric": lambda draw, value: (
        value + value.abs().max() * torch.ones_like(value).triu(1)
        if value.shape[-1] > 1 and value.any()
        else None
    ),
}
"""A covariance that is none: it must be refused."""
OTHER_TYPES = (
    "integers",
    "floats for integers or bools",
    "short integers",
    "half precision",
    "complex",
    "bool",
)
"""Oracles speak of float32 and float64."""
WHOLE = ("as it is", "all in float32", "in inference mode", "pickle and deepcopy of the answer")
KINDS = (*WHOLE, *SAME, *SPOILT, *MATRICES)


SHAPES = tuple(kind for kind in SPOILT if "axis" in kind or kind == "transposed")
TYPES = (
    *SAME,
    *OTHER_TYPES,
    "float32 beside float64",
    "None",
    "a word",
    "an empty list",
    "an object",
    "True",
)
VALUES = tuple(kind for kind in (*SPOILT, *MATRICES) if kind not in (*SHAPES, *TYPES))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one call went: `what` is `right`, `answered`, `refused`, `unclear` or `silent`."""

    names: str
    kind: str
    argument: str
    what: str
    detail: str
    seed: int

    @property
    def wrong(self) -> bool:
        """Whether that must not be."""
        return self.what in ("unclear", "silent")


def fuzz(seed: int) -> Outcome:
    """Draw a public function, a call of it, and something to do to it; do it, and judge what comes."""
    draw, names, call, kind, argument = spoil(seed)
    what, detail = _judge(call, draw, kind, argument)
    return Outcome(names, kind, argument, what, detail, seed)


def spoil(seed: int) -> tuple[Draw, str, Call, str, str]:
    """Draw a public function, a call of it, and what to do to which argument."""
    draw = Draw(seed)
    names = draw.choice(list(BUILDERS))
    call = BUILDERS[names](draw)
    possible = [(kind, "") for kind in WHOLE] * 2
    for name, value in call.arguments.items():
        table = {**SAME, **SPOILT, **(MATRICES if name in call.covariances else {})}
        possible += [(kind, name) for kind, change in table.items() if change(Draw(0), value) is not None]
    return draw, names, call, *draw.choice(possible)


def _judge(call: Call, draw: Draw, kind: str, argument: str) -> tuple[str, str]:
    arguments = dict(call.arguments)
    if argument:
        spoilt = {**SAME, **SPOILT, **MATRICES}[kind](draw, arguments[argument])
        arguments[argument] = None if spoilt is NONE else spoilt
    elif kind == "all in float32":
        arguments = {name: _single(value) for name, value in arguments.items()}
    before = copy.deepcopy(arguments) if kind != "with requires_grad" else arguments
    try:
        answer, warned = _answer(call, arguments, kind == "in inference mode")
    except Exception as error:  # whatever comes is judged
        return _clear(error, call)
    if complaint := _changed(before, arguments):
        return "silent", complaint
    if kind in MATRICES:
        return "silent", "answered"
    if warned:
        return "answered", "with a warning that names an argument"
    if (kind, argument) == ("NaN", "t"):
        return "answered", ""
    return _answered(call, kind, argument, arguments, answer)


def _answered(call: Call, kind: str, argument: str, arguments: dict, answer) -> tuple[str, str]:
    if kind == "pickle and deepcopy of the answer":
        try:
            again = (pickle.loads(pickle.dumps(answer)), copy.deepcopy(answer))
        except Exception as error:
            return "unclear", f"{type(error).__name__}: {error}"
        complaint = _same(again[0], answer, 0.0) or _same(again[1], answer, 0.0)
        return ("silent", complaint) if complaint else ("right", "")
    if kind in (*SAME, "all in float32", "in inference mode"):
        if kind == "all in float32" and call.random:
            return "answered", ""
        tolerance = SINGLE if kind == "all in float32" else DOUBLE
        expected, _ = _answer(call, call.arguments, False)
        if kind == "all in float32" and (not _is_moderate(expected) or not _is_moderate(call.arguments)):
            return "answered", ""
        complaint = _same(answer, expected, tolerance)
        return ("silent", complaint) if complaint else ("right", "")
    if kind not in OTHER_TYPES and (complaint := _opinion(call, arguments, answer)):
        return ("silent", complaint) if complaint != "right" else ("right", "")
    if any(tensor.isnan().any() for tensor in _tensors(answer)) and _all_finite(arguments):
        return "silent", "NaN from finite numbers"
    if (
        kind in ("NaN entry", "NaN")
        and "mask" not in arguments
        and argument not in call.unread
        and all(tensor.isfinite().all() for tensor in _tensors(answer))
    ):
        return "silent", "finite numbers from NaN"
    return "answered", ""


def _answer(call: Call, arguments: dict, inference: bool) -> tuple[object, bool]:
    """The answer, and whether it came with a warning that begins with an argument's name."""
    with torch.inference_mode(inference), warnings.catch_warnings(record=True) as given, _limit(SECONDS):
        warnings.simplefilter("always")
        if inference:
            arguments = {n: v.clone() if isinstance(v, Tensor) else v for n, v in arguments.items()}
        answer = call.function(**arguments)
    return answer, any(str(warning.message).startswith(tuple(call.arguments)) for warning in given)


def _opinion(call: Call, arguments: dict, answer) -> str | None:
    """The oracle's complaint, `right`, or None where it has no opinion."""
    masked = (*(MASKED if "mask" in arguments else ("states",)), *call.unread)
    if call.oracle is None or not _all_finite({n: v for n, v in arguments.items() if n not in masked}):
        return None
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return call.oracle(arguments, answer) or "right"
    except Exception:  # an oracle need not understand everything
        return None


def _clear(error: Exception, call: Call) -> tuple[str, str]:
    """Whether helpers raised it on purpose, and named an argument."""
    words = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[
        :120
    ]
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    file, line = frames[-1]
    outside = [not name.startswith(HELPERS) for name, _ in frames]
    called_back = any(name.startswith(HERE) and False in outside[:i] for i, (name, _) in enumerate(frames))
    if file.startswith(HERE) or called_back:
        return "answered", "the caller's own function failed"
    on_purpose = file.startswith(HELPERS) and linecache.getline(file, line).strip().startswith("raise")
    if not (isinstance(error, CLEAR) and on_purpose):
        place = f"{Path(file).name}:{line}"
        return "unclear", f"{words} ({place})"
    names = (*call.arguments, *call.also)
    named = isinstance(error, SolveError) or any(re.search(rf"\b{re.escape(n)}\b", str(error)) for n in names)
    return ("refused", words) if named else ("unclear", f"names no argument: {words}")


def _changed(before: dict, after: dict) -> str | None:
    """Which argument the call has written into."""
    for name, value in before.items():
        same = (
            not isinstance(value, Tensor)
            or torch.equal(torch.nan_to_num(value.detach()), torch.nan_to_num(after[name].detach()))
            if not (isinstance(value, Tensor) and value.is_complex())
            else True
        )
        if not same:
            return f"{name} was changed in place"
    return None


def _single(value):
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


def _tensors(answer) -> list[Tensor]:
    """All floating-point tensors and numbers in an answer, in their order."""
    if isinstance(answer, Tensor):
        return (
            [answer.detach()]
            if answer.is_floating_point()
            else [torch.view_as_real(answer.detach().to(torch.complex128))]
        )
    if isinstance(answer, Real):
        return [torch.tensor(answer, dtype=torch.float64)]
    if isinstance(answer, nn.Module):
        return _tensors(list(answer.state_dict().values()))
    if dataclasses.is_dataclass(answer):
        return _tensors([getattr(answer, field.name) for field in dataclasses.fields(answer)])
    parts = (
        answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list | tuple) else ()
    )
    return [tensor for part in parts for tensor in _tensors(part)]


def _same(found, expected, tolerance: float) -> str | None:
    found, expected = _tensors(found), _tensors(expected)
    if len(found) != len(expected):
        return f"{len(found)} tensors, not {len(expected)}"
    largest = max((float(a[a.isfinite()].abs().max()) for a in expected if a.isfinite().any()), default=0.0)
    allowed = np.asarray(tolerance * largest)
    complaints = (differs("answer", a, b, allowed) for a, b in zip(found, expected, strict=True))
    return next((complaint for complaint in complaints if complaint), None)


def _all_finite(arguments: dict) -> bool:
    """Whether every number is finite; NaN behind a mask counts as what it is."""
    return all(tensor.isfinite().all() for tensor in _tensors(arguments))


def _is_moderate(answer) -> bool:
    """Whether float32 can be expected to resolve it."""
    numbers = [tensor.abs()[tensor != 0] for tensor in _tensors(answer)]
    return all(((n > 1e-2) & (n < 1e2)).all() for n in numbers)


MASKED = ("y", "x", "values")
"""What may hold NaN behind a mask."""


class _limit:
    """Raise `TimeoutError` in the block after some seconds."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        def give_up(*_):
            raise TimeoutError(f"no answer within {self.seconds} s")

        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(self.seconds)

    def __exit__(self, *_) -> None:
        signal.alarm(0)


def fuzz_apart(seeds: Iterable[int]) -> Iterator[Outcome]:
    """The outcomes of many seeds from another process; one that torch brings down counts as unclear."""
    seeds, context = deque(seeds), multiprocessing.get_context("fork")
    while seeds:
        receiver, sender = context.Pipe(duplex=False)
        worker = context.Process(target=_send, args=(sender, tuple(seeds)))
        worker.start()
        sender.close()
        try:
            while seeds:
                yield receiver.recv()
                seeds.popleft()
        except EOFError:
            yield _crash(seeds.popleft())
        worker.join()


def _send(sender, seeds: tuple[int, ...]) -> None:
    for seed in seeds:
        sender.send(fuzz(seed))


def _crash(seed: int) -> Outcome:
    _, names, _, kind, argument = spoil(seed)
    return Outcome(names, kind, argument, "unclear", "the process died", seed)


def main() -> int:
    """Run many calls, print each kind of fault once, and return how many kinds there are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a function's name")
    parser.add_argument("--room", default="", help="functions of one file of calls, as in fuzz_ROOM.py")
    options = parser.parse_args()
    counts, faults = Counter(), {}
    seeds = range(options.seed, options.seed + options.calls)
    wanted = [
        names
        for room in ROOMS
        for names in room.BUILDERS
        if options.only in names and room.__name__.endswith(options.room)
    ]
    chosen = [seed for seed in seeds if Draw(seed).choice(list(BUILDERS)) in wanted]
    for outcome in fuzz_apart(chosen):
        counts[outcome.what] += 1
        if outcome.wrong:
            key = outcome.names, outcome.argument, outcome.kind
            faults.setdefault(key, []).append(outcome)
    for (names, argument, kind), found in sorted(faults.items()):
        first = found[0]
        print(f"{first.what}\t{names}\t{argument}\t{kind}\t{len(found)} ×\tseed {first.seed}\t{first.detail}")
    print(
        ", ".join(f"{number} {what}" for what, number in sorted(counts.items())),
        f"; {len(faults)} kinds of fault",
    )
    return min(len(faults), 1)


if __name__ == "__main__":
    sys.exit(main())
