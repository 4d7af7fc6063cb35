"""A hidden Markov model's filter, written as the recurrent network that it is."""

import torch
from torch import Tensor, nn

from helpers.statespace.hmm import HMM
from helpers.statespace.hmm_observations import log_evidence, refuse_impossible, valid_steps
from helpers.statespace.hmm_probabilities import log_probability


class HMMAsRNN(nn.Module):
    r"""A recurrent network whose hidden state is the filtered distribution of a hidden Markov model.

    .. math::
        h_t = \operatorname{softmax}\left( \log p(x_t \mid \cdot) + \log(W_{hh} h_{t-1}) \right), \qquad
        W_{hh} = A^\top, \qquad W_{hh} h_{-1} := \pi

    The recurrent weights are linear, without bias or activation; the input acts as a multiplicative gate
    :math:`p(x_t \mid k)` on every unit; and the softmax normalises, so that it needs no :math:`c_t`.

    Parameters
    ----------
    hmm : HMM
        Its probabilities become the network's weights; its emission, unchanged, is the gate.
    """

    def __init__(self, hmm: HMM) -> None:
        super().__init__()
        self.W_hh = nn.Parameter(hmm.transition.detach().T.clone())
        self.first_prediction = nn.Parameter(hmm.initial.detach().clone())
        self.hmm = hmm

    def cell(self, log_gate: Tensor, prediction: Tensor) -> Tensor:
        """h_t (B, K) from the log gate (B, K) and the prediction W_hh h_{t-1} (B, K)."""
        return torch.softmax(log_gate + log_probability(prediction), -1)

    def forward(self, x: Tensor, mask: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """Hidden states (B, T, K) for inputs x; arguments and errors are those of `hmm_filter`."""
        log_gates = log_evidence(self.hmm, x, mask, valid_steps(x, lengths))
        prediction = self.first_prediction.expand(len(x), -1)
        hidden = []
        for log_gate in log_gates.unbind(1):
            h = self.cell(log_gate, prediction)
            prediction = h @ self.W_hh.T
            hidden.append(h)
        return _checked(torch.stack(hidden, 1))


def hmm_as_rnn(hmm: HMM) -> HMMAsRNN:
    """The recurrent network whose hidden state is, at every step, what `hmm_filter` knows of the state."""
    return HMMAsRNN(hmm)


def _checked(hidden: Tensor) -> Tensor:
    """The hidden states; an impossible observation leaves the softmax with 0 / 0."""
    possible = hidden.detach()[..., 0].isfinite()
    refuse_impossible(torch.where(possible, 0.0, -torch.inf))
    return hidden
