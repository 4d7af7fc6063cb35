"""What is known of a hidden Markov state: from the past (filter), and from the whole series (smoother).

The recursions stand here as equations, on log probabilities. Where no transition is forbidden or nearly so,
`scaled` runs them on probabilities, to the same results and faster.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from helpers.series import IrregularBatch
from helpers.statespace.hmm.model import HMM, Observations, check_observations, refuse_impossible
from helpers.statespace.hmm.scaled import safe_interval, scaled_forward, scaled_smooth


def predict(log_alpha: Tensor, log_transition: Tensor) -> Tensor:
    """Let the state jump, from (B, K) to (B, K).

    ::

        p_t(j) = Σ_i α_{t-1}(i) A_ij
    """
    return torch.logsumexp(log_alpha.unsqueeze(-1) + log_transition, -2)


def update(log_prediction: Tensor, log_evidence: Tensor) -> tuple[Tensor, Tensor]:
    """Weigh each state by how well it explains the observation: log α (B, K) and log c (B,).

    ::

        α_t(j) = p_t(j) e_t(j) / c_t,   c_t = Σ_j p_t(j) e_t(j),   e_t(j) = p(y_t | j)

    Where no state can explain it, log c_t is -inf, and log α_t is 0 for every state, so that the rest stays
    finite.
    """
    log_joint = log_prediction + log_evidence
    log_c = log_joint.logsumexp(-1, keepdim=True)
    return torch.where(log_c == -torch.inf, 0.0, log_joint - log_c), log_c.squeeze(-1)


def _relative(log_evidence: Tensor) -> tuple[Tensor, Tensor]:
    """Log evidence less its largest of each step, which keeps float32's digits, and that largest (B, T)."""
    largest = log_evidence.amax(-1).clamp(min=torch.finfo(log_evidence.dtype).min)
    return log_evidence - largest.unsqueeze(-1), largest


def forward(log_initial: Tensor, log_transition: Tensor, log_evidence: Tensor) -> tuple[Tensor, Tensor]:
    """From log e (B, T, K) the filtered log α (B, T, K), and log c (B, T), the steps' log-likelihood.

    Predict and update in turn, on log probabilities: with a forbidden transition, a state of probability
    1e-1000 may be the only one that survives the next step, and only its logarithm can be stored.
    """
    log_evidence, largest = _relative(log_evidence)
    log_alphas, log_cs = [], []
    log_prediction = log_initial
    for log_e in log_evidence.unbind(1):
        log_alpha, log_c = update(log_prediction, log_e)
        log_prediction = predict(log_alpha, log_transition)
        log_alphas.append(log_alpha)
        log_cs.append(log_c)
    return torch.stack(log_alphas).transpose(0, 1), torch.stack(log_cs, 1) + largest


def backward(log_transition: Tensor, log_evidence: Tensor) -> Tensor:
    """log w (B, T, K), what the present and the future say of the state, but for a factor at each step.

    ::

        w_t(j) = e_t(j) b_t(j),   b_t(i) = Σ_j A_ij w_{t+1}(j),   b_{T-1} = 1

    This is the forward recursion of the reversed series, with A transposed.
    """
    log_evidence, _ = _relative(log_evidence)
    log_ws = []
    log_b = torch.zeros_like(log_evidence[:, 0])
    for log_e in reversed(log_evidence.unbind(1)):
        log_w, _ = update(log_b, log_e)
        log_b = predict(log_w, log_transition.T)
        log_ws.append(log_w)
    return torch.stack(log_ws[::-1]).transpose(0, 1)


def smooth(
    log_initial: Tensor, log_transition: Tensor, log_evidence: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Let past and future meet.

    ::

        P(h_{t-1} = i, h_t = j | y) ∝ α_{t-1}(i) A_ij w_t(j),   N_ij = Σ_t P(h_{t-1} = i, h_t = j | y)

    Returns
    -------
    probability : Tensor (B, T, K)
        P(h_t = k | y).
    pair_counts : Tensor (B, K, K)
        N, of transitions into the steps that are `valid` (B, T).
    log_c : Tensor (B, T)
        The steps' log-likelihood.
    """
    log_alpha, log_c = forward(log_initial, log_transition, log_evidence)
    log_w = backward(log_transition, log_evidence)
    probability = log_alpha.exp()  # its last step is the smoothed one already
    pair_counts = torch.zeros_like(log_transition).repeat(len(log_alpha), 1, 1)
    for t in range(1, log_alpha.shape[1]):
        log_pair = log_alpha[:, t - 1].unsqueeze(-1) + log_transition + log_w[:, t].unsqueeze(-2)
        pair = log_pair.flatten(-2).softmax(-1).unflatten(-1, log_transition.shape)  # (B, K, K)
        probability[:, t - 1] = pair.sum(-1)
        pair_counts += pair * valid[:, t, None, None]
    return probability, pair_counts, log_c


def smooth_fast(
    log_initial: Tensor, log_transition: Tensor, log_evidence: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What `smooth` returns, by the scaled recursions where they are safe."""
    if interval := safe_interval(log_transition):
        return scaled_smooth(log_initial, log_transition, log_evidence, valid, interval)
    return smooth(log_initial, log_transition, log_evidence, valid)


@dataclass(frozen=True, eq=False)
class HMMFiltered:
    """What is known of the state from the past and the present, step by step.

    Attributes
    ----------
    probability : Tensor (B, T, K)
        α, P(h_t = k | y_0 … y_t).
    predicted : Tensor (B, T, K)
        p, P(h_t = k | y_0 … y_{t-1}); π at step 0.
    step_log_likelihood : Tensor (B, T)
        log c, log p(y_t | y_0 … y_{t-1}); 0 where nothing was observed.
    """

    probability: Tensor
    predicted: Tensor
    step_log_likelihood: Tensor

    @property
    def log_likelihood(self) -> Tensor:
        """log p(y_0 … y_{T-1}) of each series, shape (B,)."""
        return self.step_log_likelihood.sum(-1)


@torch.no_grad()
def hmm_filter(
    hmm: HMM, y: Tensor | IrregularBatch, mask: Tensor | None = None, lengths: Tensor | None = None
) -> HMMFiltered:
    """Predict the state, then weigh each value by how well it explains what was seen.

    ::

        predict  p_t(j) = Σ_i α_{t-1}(i) A_ij,   p_0 = π
        update   α_t(j) = p_t(j) p(y_t | j) / c_t,   log p(y) = Σ_t log c_t

    The result carries no gradient; that of the log-likelihood is the matter of
    `hmm_log_likelihood`.

    Parameters
    ----------
    y : Tensor (B, T, D), or (B, T) of integers for a categorical emission, or IrregularBatch
        The observations; of a batch, which has its own mask and lengths, steps count and times do not.
    mask : Tensor, the shape of y, bool, optional
        True where observed. Missing entries are marginalised exactly; what stands there is never read.
    lengths : Tensor (B,), integers, optional
        Steps of each series, the rest being padding. There the filter goes on to predict.

    Raises
    ------
    ValueError
        Naming the bad argument and place, or the series and step at which y has probability 0.

    Source: Rabiner (1989), Proceedings of the IEEE 77(2), eqs. 19-21, 91-92 and 103.
    """
    data = check_observations(hmm, y, mask, lengths)
    logs = hmm.log_initial, hmm.log_transition, hmm.log_evidence_in_blocks(data)
    if interval := safe_interval(hmm.log_transition):
        probability, log_c = scaled_forward(*logs, interval)
    else:
        log_alpha, log_c = forward(*logs)
        probability = log_alpha.exp()
    refuse_impossible(log_c)
    prior = hmm.initial.expand(len(y), 1, -1)
    predicted = torch.cat([prior, probability[:, :-1] @ hmm.transition], 1)
    return HMMFiltered(probability, predicted, log_c)


@dataclass(frozen=True, eq=False)
class HMMSmoothed:
    """What is known of the state from the whole series.

    Attributes
    ----------
    probability : Tensor (B, T, K)
        P(h_t = k | y_0 … y_{T-1}).
    pair_counts : Tensor (B, K, K)
        Expected number of transitions from the row's state to the column's within the series' length.
    log_likelihood : Tensor (B,)
        log p(y_0 … y_{T-1}).
    """

    probability: Tensor
    pair_counts: Tensor
    log_likelihood: Tensor


def hmm_smoother(
    hmm: HMM, y: Tensor | IrregularBatch, mask: Tensor | None = None, lengths: Tensor | None = None
) -> HMMSmoothed:
    """Let the future speak too: the forward recursion meets the same recursion run backward.

    ::

        b_t(i) = Σ_j A_ij p(y_{t+1} | j) b_{t+1}(j),   P(h_t = k | y) ∝ α_t(k) b_t(k)

    Parameters, treatment of missing entries and errors are those of `hmm_filter`. In padding the probability
    is the filter's prediction.

    Source: Rabiner (1989), Proceedings of the IEEE 77(2), eqs. 24-27 and 37-38.
    """
    return smooth_observations(hmm, check_observations(hmm, y, mask, lengths))


@torch.no_grad()
def smooth_observations(hmm: HMM, data: Observations) -> HMMSmoothed:
    """`hmm_smoother` of data that have been checked."""
    logs = hmm.log_initial, hmm.log_transition, hmm.log_evidence_in_blocks(data)
    probability, pair_counts, log_c = smooth_fast(*logs, data.valid)
    refuse_impossible(log_c)
    return HMMSmoothed(probability, pair_counts, log_c.sum(-1))
