"""A hidden Markov model's filter, written as the recurrent network that it is."""

from dataclasses import fields
from functools import partial

import torch
from torch import Tensor, nn

from helpers.series import IrregularBatch
from helpers.statespace.hmm.emissions import log_probability
from helpers.statespace.hmm.model import HMM, Emission, check_emitted, check_hmm, refuse_impossible


class HMMAsRNN(nn.Module):
    """A recurrent network whose hidden state is the filtered distribution of a hidden Markov model.

    ::

        h_t = softmax( log p(x_t | ·) + log(W_hh h_{t-1}) ),   W_hh = Aᵀ,   W_hh h_{-1} := π

    The recurrent weights are linear, without bias or activation; the input acts as a multiplicative gate
    p(x_t | k) on every unit; and the softmax normalises, so that it needs no c_t.

    Parameters
    ----------
    hmm : HMM
        Its probabilities become the network's weights; its emission is the gate, whose parameters are
        buffers: `to`, `float` and `state_dict` take them along, and an optimiser leaves them as they are.
    """

    def __init__(self, hmm: HMM) -> None:
        super().__init__()
        self.W_hh = nn.Parameter(hmm.transition.detach().T.clone())
        self.first_prediction = nn.Parameter(hmm.initial.detach().clone())
        self.gate = _Gate(hmm.emission)

    def cell(self, prediction: Tensor, log_gate: Tensor) -> Tensor:
        """h_t (B, K) from the prediction W_hh h_{t-1} (B, K) and the log gate (B, K)."""
        return torch.softmax(log_gate + log_probability(prediction), -1)

    def forward(
        self, x: Tensor | IrregularBatch, mask: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Hidden states (B, T, K) for inputs x; arguments and errors are those of `hmm_filter`."""
        emission = self.gate()
        data = check_emitted(emission, x, mask, lengths)
        prediction = self.first_prediction.expand(len(x), -1)
        hidden = []
        for log_gate in emission.log_prob(data.y, data.mask).unbind(1):
            h = self.cell(prediction, log_gate)
            prediction = h @ self.W_hh.T
            hidden.append(h)
        states = torch.stack(hidden, 1)
        possible = states.detach()[..., 0].isfinite()  # else the softmax was left with 0 / 0
        refuse_impossible(torch.where(possible, 0.0, -torch.inf))
        return states


class _Gate(nn.Module):
    """An emission whose tensors are buffers, under the names that they have in it."""

    def __init__(self, emission: Emission) -> None:
        super().__init__()
        parts = {field.name: getattr(emission, field.name) for field in fields(emission)}
        parameters = {name: part for name, part in parts.items() if isinstance(part, Tensor)}
        for name, parameter in parameters.items():
            self.register_buffer(name, parameter.detach().clone())
        self.build = partial(
            type(emission), **{name: parts[name] for name in parts.keys() - parameters.keys()}
        )

    def forward(self) -> Emission:
        """The emission of the buffers as they now are."""
        return self.build(**dict(self.named_buffers()))


def hmm_as_rnn(hmm: HMM) -> HMMAsRNN:
    """The recurrent network whose hidden state is, at every step, what `hmm_filter` knows of the state."""
    check_hmm(hmm)
    return HMMAsRNN(hmm)
