"""A way back of our own: which tensors a field's gradient goes to, and how autograd is told of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node, get_gradient_edge
from torch.overrides import TorchFunctionMode

from helpers.odes.gradient import Wanted
from helpers.odes.loop import Field, State
from helpers.odes.stepper import first_slope

PullBack = Callable[[Tensor], tuple[Tensor, tuple[Tensor | None, ...]]]
"""From the gradient of the answers to those of y₀ and of each parameter."""


class _Attached(torch.autograd.Function):
    """The answers, as a function of the first state and of parameters, whose gradient is `pull_back`."""

    @staticmethod
    def forward(ctx, pull_back: PullBack, answers: Tensor, y0: Tensor, *parameters: Tensor) -> Tensor:
        ctx.pull_back = pull_back
        ctx.save_for_backward(*parameters)
        return answers.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple:
        if torch.is_grad_enabled():
            raise ValueError(
                'gradient must be "direct" for second derivatives (create_graph=True): '
                "the other ways back cannot be differentiated"
            )
        _ = ctx.saved_tensors  # where torch refuses parameters that were changed in the meantime
        by_y0, by_parameters = ctx.pull_back(gradient)
        return None, None, by_y0, *by_parameters


def attach(pull_back: PullBack, answers: Tensor, y0: Tensor, parameters: "Parameters") -> Tensor:
    """The answers with a graph, which leads to y₀ and the parameters by way of `pull_back`."""
    return _Attached.apply(pull_back, answers, y0, *parameters.tensors)


@dataclass(frozen=True, eq=False)
class Parameters:
    """The tensors that a field's gradient goes to, beside the states.

    Attributes
    ----------
    tensors : tuple of Tensor
        They require a gradient.
    edges : set
        Where they stand in graphs.
    """

    tensors: tuple[Tensor, ...]
    edges: set

    def pull(
        self,
        outputs: Sequence[Tensor],
        states: Sequence[Tensor],
        cotangents: Sequence[Tensor],
        total: list[Tensor | None],
        place: str,
    ) -> list[Tensor]:
        """Vector–Jacobian products by the states; those by the parameters are added to `total`.

        Raises
        ------
        ValueError
            If the outputs depend on a tensor that requires a gradient and is none of the parameters.
        """
        pairs = [pair for pair in zip(outputs, cotangents, strict=True) if pair[0].requires_grad]
        if not pairs:
            return [torch.zeros_like(state) for state in states]
        outputs, cotangents = zip(*pairs, strict=True)
        self.refuse_unlisted(outputs, states, place)
        inputs = (*states, *self.tensors)
        found = torch.autograd.grad(outputs, inputs, cotangents, retain_graph=True, allow_unused=True)
        for k, gradient in enumerate(found[len(states) :]):
            if gradient is not None:
                total[k] = gradient if total[k] is None else total[k] + gradient
        by_states = zip(states, found, strict=False)
        return [torch.zeros_like(state) if each is None else each for state, each in by_states]

    def refuse_unlisted(self, outputs: Sequence[Tensor], states: Sequence[Tensor], place: str) -> None:
        """Refuse outputs of f that depend on a tensor that requires a gradient and is no parameter."""
        for leaf in walk((output.grad_fn for output in outputs), self.edges)[1]:
            if not any(leaf is state for state in states):
                raise ValueError(
                    f"params must hold every tensor that f reads and that requires a gradient: at {place} "
                    f"it depends on one of shape {tuple(leaf.shape)} that it did not read at the first and "
                    "the last state; pass them all as params, or detach it"
                )


def walk(roots: Iterable[Node | None], stops: set) -> tuple[set, list[Tensor]]:
    """The stops that the graphs of some nodes lead to, and the leaves that they reach without passing one."""
    waiting, seen = [(root, 0) for root in roots if root is not None], set()
    reached, leaves = set(), []
    while waiting:
        edge = waiting.pop()
        if edge in stops:
            reached.add(edge)
        elif edge[0] is not None and edge[0] not in seen:
            seen.add(edge[0])
            before = edge[0].next_functions
            if not before and hasattr(edge[0], "variable"):
                leaves.append(edge[0].variable)
            waiting += before
    return reached, leaves


def find_parameters(f: Field, wanted: Wanted, states: Iterable[State]) -> Parameters:
    """The tensors that were given; or those of the module that f is, and what f reads at some states.

    Raises
    ------
    ValueError
        If one is computed from another, whose gradient would count twice.
    """
    tensors = wanted.params
    if tensors is None:
        tensors = [tensor for state in states for tensor in tensors_read(f, state.t, state.y)]
        earlier = walk((tensor.grad_fn for tensor in tensors), set())[1]  # get theirs by way of these
        of_module = wanted.field.parameters() if isinstance(wanted.field, nn.Module) else ()
        tensors += [each for each in of_module if not any(each is leaf for leaf in earlier)]
    different = {id(tensor): tensor for tensor in tensors if tensor.requires_grad}
    parameters = Parameters(tuple(different.values()), {_edge(tensor) for tensor in different.values()})
    _refuse_ancestors(parameters)
    return parameters


def without_graph(state: State) -> State:
    """The state cut off from what it was computed from."""
    return replace(state, y=state.y.detach(), slope=None if state.slope is None else state.slope.detach())


def _refuse_ancestors(parameters: Parameters) -> None:
    for tensor in parameters.tensors:
        above = tensor.grad_fn.next_functions if tensor.grad_fn else ()
        if walk((node for node, _ in above), parameters.edges)[0] or parameters.edges & set(above):
            raise ValueError(
                f"params must not be computed from each other: f reads a tensor of shape "
                f'{tuple(tensor.shape)} and one that it was computed from; use gradient="direct", or '
                "compute it in f"
            )


def _edge(tensor: Tensor) -> tuple[Node, int]:
    edge = get_gradient_edge(tensor)
    return edge.node, edge.output_nr


class _Readings(TorchFunctionMode):
    """Notes the tensors that require a gradient among what torch's functions get."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: dict[int, Tensor] = {}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        for tensor in _tensors_in((args, kwargs)):
            if tensor.requires_grad:
                self.tensors.setdefault(id(tensor), tensor)
        return function(*args, **kwargs)


def _tensors_in(thing: object) -> Iterator[Tensor]:
    if isinstance(thing, Tensor):
        yield thing
    elif isinstance(thing, dict | list | tuple):
        for part in thing.values() if isinstance(thing, dict) else thing:
            yield from _tensors_in(part)


def tensors_read(f: Field, t: Tensor, y: Tensor) -> list[Tensor]:
    """The tensors, other than y, that f(t, y) depends on and that require a gradient.

    What existed before f was called is found as it is, wherever f has it from: a parameter, or a tensor that
    was computed from others, whose own graph then is not followed. What f reads unseen by torch's function
    modes (in compiled code) is found at the ends of the graph, if it is a leaf.
    """
    y = y.detach().requires_grad_()
    with torch.enable_grad():
        before = y.clone().grad_fn._sequence_nr()
        with _Readings() as readings:
            slope = first_slope(f, t, y)
    older = {
        _edge(tensor): tensor
        for tensor in readings.tensors.values()
        if tensor is not y and (tensor.is_leaf or tensor.grad_fn._sequence_nr() < before)
    }
    reached, leaves = walk([slope.grad_fn], set(older))
    return [older[edge] for edge in older if edge in reached] + [leaf for leaf in leaves if leaf is not y]
