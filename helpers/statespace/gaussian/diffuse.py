"""A flat prior, exactly: components of the first state about which nothing is known.

The state is written h_t + J_t δ with a flat prior on δ (k,). Given δ the model is an ordinary one, so the
same filter, with the same gains, carries h and the k columns of J (de Jong's augmented filter). What the
innovations e_t + E_t δ say of δ adds up::

    M_t = Σ_{s ≤ t} E_sᵀ S_s⁻¹ E_s,   s_t = −Σ_{s ≤ t} E_sᵀ S_s⁻¹ e_s

and δ given y_0 … y_t has mean M_t⁻¹ s_t and covariance M_t⁻¹. The log-likelihood is log ∫ p(y | δ) dδ.

A flat prior plus noise is flat still. So h_0 may keep a variance in the diffuse directions, which changes
nothing but keeps every S positive definite, even without observation noise.

Until the data have fixed a direction, variances along it are infinite and means stay at the prior mean. Of
directions that the whole series never fixes (a sensor that was never read) the log-likelihood says nothing:
it is the density of the data under a flat prior on the others. A step's log-likelihood is 0 until the data
have fixed all of δ that they ever fix; the step which does so has that of all so far.

Source: de Jong (1991), The diffuse Kalman filter, Annals of Statistics 19(2).
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from helpers.observation import LOG_TWO_PI
from helpers.statespace.gaussian.model import LinearGaussian
from helpers.statespace.matrices import symmetric, whiten

FAR = 1e4  # times what is left of e' S⁻¹ e that may be explained by where the series started


@dataclass(frozen=True, eq=False)
class DiffusePosterior:
    """What is known of δ after each step.

    Attributes
    ----------
    mean : Tensor (T, M, k, N)
    covariance : Tensor (T, M, k, k)
        Of the directions that are known.
    unknown : Tensor (T, M, k, k)
        Projector on the directions of which nothing is known.
    start : Tensor (M, k, N)
        The mean while nothing is known.
    """

    mean: Tensor
    covariance: Tensor
    unknown: Tensor
    start: Tensor

    def at_the_end(self) -> "DiffusePosterior":
        """What is known after the last step, as a sequence of one step."""
        return DiffusePosterior(self.mean[-1:], self.covariance[-1:], self.unknown[-1:], self.start)

    def one_step_earlier(self) -> "DiffusePosterior":
        """What was known before each step: nothing before step 0."""
        identity = torch.eye(self.unknown.shape[-1], dtype=self.mean.dtype, device=self.mean.device)
        return DiffusePosterior(
            torch.cat([self.start.unsqueeze(0), self.mean[:-1]]),
            torch.cat([torch.zeros_like(self.covariance[:1]), self.covariance[:-1]]),
            torch.cat([identity.expand_as(self.unknown[:1]), self.unknown[:-1]]),
            self.start,
        )


def diffuse_directions(model: LinearGaussian) -> Tensor:
    """J_0, shape (H, k): one column for each diffuse component, as long as the model's noise is large."""
    if model.diffuse is None:
        return model.transition.new_zeros(model.state_size, 0)
    return torch.diag(_noise_of_states(model))[:, model.diffuse]


@torch.no_grad()
def _noise_of_states(model: LinearGaussian) -> Tensor:
    """What each component of h_0 must have for a deviation to be told from noise by the best sensor (H,).

    With more, the digits of a precise sensor would be lost beside a flat prior's part in S; with less, S may
    be singular. Only the order of magnitude matters.
    """
    read, moved = (
        _largest(part.diagonal(dim1=-2, dim2=-1))
        for part in (model.observation_covariance, model.transition_covariance)
    )
    weight = _largest(model.observation.square(), axes=2)  # (D, H)
    noise = (read + weight @ moved).unsqueeze(-1)
    told = torch.where((weight > 0) & (noise > 0), noise / weight, torch.inf).amin(0)
    size = torch.maximum(read.max(), moved.max())
    told = torch.where(told.isfinite(), told, size if size > 0 else 1.0)
    return told.clamp(min=torch.finfo(told.dtype).tiny).sqrt()


def _largest(stack: Tensor, axes: int = 1) -> Tensor:
    """The largest of each entry over series and steps."""
    return stack.reshape(-1, *stack.shape[stack.ndim - axes :]).amax(0)


def initial_covariance(model: LinearGaussian) -> Tensor:
    """P_0, shape (B or 1, H, H), with a variance J_0 J_0ᵀ added in the diffuse directions."""
    covariance = model.known_initial_covariance
    if model.diffuse is not None:
        directions = diffuse_directions(model)
        covariance = covariance + directions @ directions.T
    return covariance if covariance.ndim == 3 else covariance.unsqueeze(0)


def initial_means(model: LinearGaussian, series: int) -> Tensor:
    """m_0 of each series, followed by the columns of J_0, shape (1 + k, B, H)."""
    mean = model.initial_mean.expand(series, -1).unsqueeze(0)
    return torch.cat([mean, diffuse_directions(model).T.unsqueeze(1).expand(-1, series, -1)])


def pad_for_directions(model: LinearGaussian, rows: Tensor) -> Tensor:
    """Data (B, T, n), followed by the zeros that the columns of J see instead, shape (1 + k, B, T, n)."""
    unknown = 0 if model.diffuse is None else int(model.diffuse.sum())
    return pad(rows.unsqueeze(0), (0, 0) * 3 + (0, unknown))


def marginalise(
    model: LinearGaussian, steps: Tensor, whitened: Tensor, start: Tensor | None = None
) -> tuple[Tensor, DiffusePosterior]:
    """Average the likelihood over δ, and say what is known of δ after each step.

    ::

        log ∫ p(y_0 … y_t | J_0 δ) d(J_0 δ)
            = log p(y_0 … y_t | δ = 0) + ½ s_tᵀ M_t⁻¹ s_t − ½ log |M_t| + ½ k log 2π + log |J_0|

    in the k directions that are known: there M_t is inverted, and its determinant taken.

    Parameters
    ----------
    steps : Tensor (T, M, N)
        Log-likelihood of each step given δ = 0.
    whitened : Tensor (T, M, D, N + k)
        S^(-1/2) e, followed by S^(-1/2) E.
    start : Tensor (M, k, N), optional
        δ of the given mean, if the filter began elsewhere (see `start_nearer`).

    Returns
    -------
    steps, posterior : Tensor (T, M, N) and DiffusePosterior
        The log-likelihood of each step.
    """
    directions, series = diffuse_directions(model), steps.shape[-1]
    own, carried = whitened[..., :series], whitened[..., series:]
    precision = symmetric((carried.mT @ carried).cumsum(0))
    evidence = -(carried.mT @ own).cumsum(0)
    mean, covariance, unknown, log_determinant = _solve(precision, evidence)
    known = carried.shape[-1] - unknown.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True).round()
    size = _log_size(directions, unknown.detach())
    gained = 0.5 * ((evidence * mean).sum(-2) - log_determinant + known * LOG_TWO_PI + size)
    so_far = torch.where(known == known[-1:], steps.cumsum(0) + gained, 0.0)
    steps = so_far.diff(dim=0, prepend=torch.zeros_like(so_far[:1]))
    start = torch.zeros_like(mean[0]) if start is None else start
    return steps, DiffusePosterior(mean + unknown @ start, covariance, unknown, start)


def _log_size(directions: Tensor, unknown: Tensor) -> Tensor:
    """Twice the logarithm of the volume of J_0 beside that of its unknown directions, (T, M, 1).

    Those span N, and the volume of J_0 over that of J_0 N is what the known directions have in the space of
    states in which all that J_0 N reaches counts as one point.
    """
    squares = directions.square().sum(0).unsqueeze(-1)  # (k, 1): J_0 has orthogonal columns
    return squares.log().sum() - _log_volume(squares, unknown)


def _log_volume(squares: Tensor, projector: Tensor) -> Tensor:
    """log |Vᵀ diag(squares) V| for an orthonormal V of which V Vᵀ is the projector, (T, M, 1)."""
    log_volume = projector.new_zeros(*projector.shape[:-2], 1)
    some = (projector != 0).flatten(-2).any(-1)
    inside = projector[some]
    squares = squares.expand_as(projector[..., :1])[some]
    identity = torch.eye(projector.shape[-1], dtype=projector.dtype, device=projector.device)
    matrix = identity - inside + inside @ (squares * inside)
    log_volume[some] = torch.linalg.slogdet(matrix).logabsdet.unsqueeze(-1)
    return log_volume


def _solve(precision: Tensor, evidence: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean and covariance of δ where it is known, the projector on where it is not, and log |M|.

    Computed with each component measured in its own standard deviations, M = D C D, whose precisions may be
    far apart. With V the null directions of C, |M| in the others is |D|² |C| |Vᵀ D⁻² V|.
    """
    scale, vanishing, unknown = _unknown(precision.detach())
    root = torch.linalg.cholesky(scale * precision * scale.mT + vanishing)
    covariance = scale * (torch.cholesky_inverse(root) - vanishing) * scale.mT
    known = torch.eye(scale.shape[-2], dtype=scale.dtype, device=scale.device) - unknown
    covariance = known @ covariance @ known
    log_determinant = 2 * (root.diagonal(dim1=-2, dim2=-1) / scale.squeeze(-1)).log().sum(-1, keepdim=True)
    log_determinant = log_determinant + _log_volume(scale.square(), vanishing)
    return covariance @ evidence, covariance, unknown, log_determinant


@torch.no_grad()
def start_nearer(
    model: LinearGaussian, innovation: Tensor, covariance: Tensor, series: int
) -> tuple[LinearGaussian, Tensor] | None:
    """The model from where the data say that it started, if the given mean is far from there; else None.

    A flat prior has no mean: `initial_mean` is only where it is counted from. From far away the digits of the
    data would be lost beside the distance.

    Parameters
    ----------
    innovation, covariance : Tensor (T, M, D, N + k) and (T, M, D, D)
        Means as columns, and S.
    series : int
        B.

    Returns
    -------
    model, start : LinearGaussian and Tensor (M, k, N)
        And δ of the given mean, from there.
    """
    directions = diffuse_directions(model)
    count = innovation.shape[-1] - directions.shape[1]
    whitened = whiten(covariance, innovation)[0]
    own, carried = whitened[..., :count], whitened[..., count:]
    total = own.square().sum((0, -2))  # (M, N)
    if not (total > FAR * len(whitened)).any():
        return None
    evidence = -(carried.mT @ own).sum(0)
    shift, *_ = _solve(symmetric((carried.mT @ carried).sum(0)), evidence)  # (M, k, N)
    explained = (evidence * shift).sum(-2)
    if not (explained > FAR * ((total - explained).clamp(min=0.0) + len(whitened))).any():
        return None
    rows = shift.permute(0, 2, 1).reshape(series, -1)
    return replace(model, initial_mean=model.initial_mean + rows @ directions.T), -shift


def _unknown(precision: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """In which directions a precision M (..., k, k), at most 1, vanishes but for rounding.

    That is judged with each component measured in its own standard deviations, so that a sensor which says
    little says it beside one that says much.

    Returns
    -------
    scale, vanishing, unknown : Tensor (..., k, 1), (..., k, k) and (..., k, k)
        Standard deviations D⁻¹, and projectors on the null directions of D⁻¹ M D⁻¹ and of M.
    """
    eps = torch.finfo(precision.dtype).eps
    size = precision.diagonal(dim1=-2, dim2=-1)
    scale = torch.where(size > (16 * eps) ** 2, size, 1.0).rsqrt().unsqueeze(-1)
    values, vectors = torch.linalg.eigh(scale * precision * scale.mT)
    vanishes = (values < eps**0.75).unsqueeze(-2)  # ascending: these come first
    along = torch.where(vanishes, scale * vectors, 0.0)
    null = torch.linalg.qr(along / along.norm(dim=-2, keepdim=True).clamp(min=eps)).Q * vanishes
    return scale, (vectors * vanishes) @ vectors.mT, null @ null.mT


def include_diffuse(
    columns: Tensor, covariance: Tensor, posterior: DiffusePosterior
) -> tuple[Tensor, Tensor]:
    """Mean and covariance of h + J δ, from those of h, J, and what is known of δ.

    Parameters
    ----------
    columns : Tensor (T, M, n, N + k)
        Means of h, and J.
    covariance : Tensor (T, M, n, n)
        Of h given δ.
    """
    series = posterior.mean.shape[-1]
    mean, carried = columns[..., :series], columns[..., series:]
    return mean + carried @ posterior.mean, covariance + diffuse_covariance(carried, carried, posterior)


def diffuse_covariance(left: Tensor, right: Tensor, posterior: DiffusePosterior) -> Tensor:
    """Covariance of J δ with J' δ: infinite where it depends on what is unknown of δ."""
    finite = left @ posterior.covariance @ right.mT
    endless = left @ posterior.unknown @ right.mT
    size = left.square().sum(-1).unsqueeze(-1) * right.square().sum(-1).unsqueeze(-2)
    slack = torch.finfo(endless.dtype).eps ** 0.75 * size.sqrt()
    return torch.where(endless.abs() > slack, torch.inf * endless.sign(), finite)
