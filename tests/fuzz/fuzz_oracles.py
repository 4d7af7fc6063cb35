"""Right answers: dense Gaussians in 50 digits, sums over paths, DOP853, closed forms."""

import itertools

import mpmath
import numpy as np
import scipy.integrate
import scipy.linalg
import torch

mpmath.mp.dps = 50
PERTURBATION = 1e-14
"""Relative change of the inputs. What it changes in the right answer, times 100, nobody can be asked for."""


def differs(what: str, found, expected, tolerance=1e-9) -> str | None:
    """A complaint where found is not what was expected.

    A tolerance that is a number is relative to the largest entry; an array holds absolute ones.
    """
    if isinstance(found, torch.Tensor) and found.dtype == torch.float32 and np.isscalar(tolerance):
        tolerance = max(tolerance, 1e-5)
    found, expected = (np.asarray(_plain(array), dtype=float) for array in (found, expected))
    if not found.size and not expected.size:
        return None
    if found.shape != expected.shape:
        return f"{what} has shape {found.shape}, not {expected.shape}"
    if np.isscalar(tolerance):
        largest = np.max(np.abs(expected), where=np.isfinite(expected), initial=0.0)
        tolerance = tolerance * largest + 1e-300
    with np.errstate(invalid="ignore", over="ignore"):
        close = (np.abs(found - expected) <= tolerance) | (found == expected)
    close |= ~np.isfinite(expected)  # beyond the largest number, whatever came
    if close.all():
        return None
    place = tuple(int(i) for i in np.argwhere(~close)[0])
    return f"{what}{list(place)} is {found[place]:.6g}, not {expected[place]:.6g}"


def first_complaint(*complaints: str | None) -> str | None:
    """The first that is one."""
    return next((complaint for complaint in complaints if complaint), None)


def _plain(array):
    return array.detach().to(torch.float64).numpy() if isinstance(array, torch.Tensor) else array


# Linear-Gaussian models.

MATRICES = (
    "transition",
    "observation",
    "transition_covariance",
    "observation_covariance",
    "initial_mean",
    "initial_covariance",
)


def dense_gaussian(model: dict, y, observed) -> dict[str, np.ndarray]:
    """Log-likelihood, smoothed means and covariances of one series (T, D), written out at once."""
    A, C, Q, R, m, P = (mpmath.matrix(np.asarray(model[name]).tolist()) for name in MATRICES)
    steps, H = len(y), A.rows
    means, blocks = [m], [[P]]
    for _ in range(1, steps):
        means.append(A * means[-1])
        row = [A * block for block in blocks[-1]]
        blocks.append([*row, A * blocks[-1][-1] * A.T + Q])
    joint = mpmath.matrix(steps * H, steps * H)
    for i, j in itertools.product(range(steps), repeat=2):
        block = blocks[i][j] if i >= j else blocks[j][i].T
        for a, b in itertools.product(range(H), repeat=2):
            joint[i * H + a, j * H + b] = block[a, b]
    mean = mpmath.matrix([entry for part in means for entry in part])
    rows = [(t, d) for t in range(steps) for d in range(C.rows) if observed[t][d]]
    seen = mpmath.matrix(len(rows), steps * H)
    for row, (t, d) in enumerate(rows):
        for a in range(H):
            seen[row, t * H + a] = C[d, a]
    likelihood = mpmath.mpf(0)
    if rows:
        S, crossed = seen * joint * seen.T, joint * seen.T
        for i, (t, d) in enumerate(rows):
            for j, (s, e) in enumerate(rows):
                S[i, j] += R[d, e] if t == s else 0
        residual = mpmath.matrix([mpmath.mpf(float(y[t][d])) for t, d in rows]) - seen * mean
        root = mpmath.cholesky(S)
        log_determinant = 2 * sum(mpmath.log(root[i, i]) for i in range(len(rows)))
        solved = mpmath.lu_solve(S, residual)
        distance = (residual.T * solved)[0]
        likelihood = -(len(rows) * mpmath.log(2 * mpmath.pi) + log_determinant + distance) / 2
        mean, joint = mean + crossed * solved, joint - crossed * mpmath.inverse(S) * crossed.T
    covariances = [[[joint[t * H + a, t * H + b] for b in range(H)] for a in range(H)] for t in range(steps)]
    means = [[mean[t * H + a] for a in range(H)] for t in range(steps)]
    return {
        "log-likelihood": np.asarray(float(likelihood)),
        "mean": np.array(means, dtype=float),
        "covariance": np.array(covariances, dtype=float),
    }


def gaussian_answers(arguments: dict, parts: tuple[str, ...]) -> list[tuple[dict, dict]]:
    """Right answers and their uncertainty for each series."""
    model = {name: arguments[name].double().numpy() for name in MATRICES}
    assert model["transition"].ndim == 2 and model["initial_mean"].ndim == 1
    y, mask = arguments["y"].double().numpy(), arguments["mask"].numpy()
    assert y.shape == mask.shape and y.ndim == 3
    assert all(np.isfinite(matrix).all() for matrix in model.values()) and np.isfinite(y[mask]).all()
    random = np.random.default_rng(0)
    answers = []
    for series in range(len(y)):
        right = dense_gaussian(model, y[series], mask[series])
        other = dense_gaussian({n: _perturb(m, random) for n, m in model.items()}, y[series], mask[series])
        eps = 1e-8
        deviation = np.sqrt(np.maximum(np.diagonal(right["covariance"], axis1=-2, axis2=-1), 0.0))
        scales = {
            "log-likelihood": 1 + abs(right["log-likelihood"]),
            "mean": deviation + np.abs(right["mean"]),
            "covariance": deviation[..., :, None] * deviation[..., None, :],
        }
        doubt = {part: eps * scales[part] + 100 * np.abs(right[part] - other[part]) for part in parts}
        answers.append((right, doubt))
    return answers


def _perturb(matrix: np.ndarray, random) -> np.ndarray:
    noise = random.uniform(-1, 1, matrix.shape)
    if matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and (matrix == matrix.T).all():
        noise = np.tril(noise) + np.tril(noise, -1).T
    return matrix * (1 + PERTURBATION * noise)


def kalman_complaint(arguments: dict, answer: dict) -> str | None:
    """Of whatever the answer holds: log-likelihood (B,), mean (B, T, H), covariance (B, T, H, H)."""
    complaints = []
    for series, (right, doubt) in enumerate(gaussian_answers(arguments, tuple(answer))):
        for part, value in answer.items():
            found, expected, allowed = value[series], right[part], doubt[part]
            if part != "log-likelihood" and len(found) < len(expected):  # only the last step was kept
                expected, allowed = expected[-1:], allowed[-1:]
            complaints.append(differs(f"{part} of series {series}", found, expected, allowed))
    return first_complaint(*complaints)


def discretise_complaint(arguments: dict, answer) -> str | None:
    """For a diagonal F: A = exp(F Δ), Q_ij = N_ij (exp((f_i + f_j) Δ) − 1) / (f_i + f_j)."""
    F, L, q, gaps = (arguments[name].double() for name in ("F", "L", "spectral_density", "deltas"))
    rates = F.diagonal()
    assert F.ndim == L.ndim == q.ndim == 2 and gaps.ndim == 1 and torch.equal(F, rates.diag())
    noise = [[mpmath.mpf(float(entry)) for entry in row] for row in L @ q @ L.mT]
    A, Q = (np.zeros((len(gaps), *F.shape)) for _ in range(2))
    for k, gap in enumerate(gaps.tolist()):
        gap = mpmath.mpf(gap if k else 0.0)
        for i, j in itertools.product(range(len(F)), repeat=2):
            rate = mpmath.mpf(float(rates[i])) + mpmath.mpf(float(rates[j]))
            A[k, i, j] = float(mpmath.exp(float(rates[i]) * gap)) if i == j else 0.0
            Q[k, i, j] = float(noise[i][j] * (mpmath.expm1(rate * gap) / rate if rate else gap))
    scale = np.sqrt(np.einsum("kii,kjj->kij", Q, Q))
    halving = 1e-10 * (1 + float((rates.abs().max() * gaps[1:].max()) if len(gaps) > 1 else 0.0))
    return first_complaint(
        differs("A", answer[0], A, halving), differs("Q", answer[1], Q, halving * scale + 1e-300)
    )


# Hidden Markov models.


def path_sum_complaint(arguments: dict, answer: dict, emitted) -> str | None:
    """Of the log-likelihood (B,), smoothed probabilities (B, T, K) or the best path's (B,).

    `emitted` is log p(y | k) of one step: from the parameters, k, the step's values and its mask.
    """
    probabilities = {n: arguments[n].double().numpy() for n in ("initial", "transition")}
    y, mask = arguments["y"].double().numpy(), arguments["mask"].numpy()
    names = arguments.keys() - {"initial", "transition", "y", "mask"}
    emission = {n: arguments[n].double().numpy() for n in names if torch.is_tensor(arguments[n])}
    assert y.shape == mask.shape and y.ndim >= 2 and np.isfinite(y[mask]).all()
    random = np.random.default_rng(0)
    other = {name: _perturb(part, random) for name, part in emission.items()}
    complaints = []
    for series in range(len(y)):
        steps = list(zip(y[series], mask[series], strict=True))
        right = _path_sums(**probabilities, emitted=lambda k, at: emitted(emission, k, *at), steps=steps)
        near = _path_sums(**probabilities, emitted=lambda k, at: emitted(other, k, *at), steps=steps)
        for part, value in answer.items():
            doubt = 1e-9 * (1 + np.abs(right["log-likelihood"])) + 100 * np.abs(right[part] - near[part])
            what = f"{part} of series {series}"
            complaints.append(differs(what, value[series], right[part], np.asarray(doubt)))
    return first_complaint(*complaints)


def _path_sums(initial, transition, emitted, steps) -> dict[str, np.ndarray]:
    """All there is to know of a series, from all its paths, in 50 digits."""
    evidence = [[mpmath.exp(emitted(k, step)) for k in range(len(initial))] for step in steps]
    paths = list(itertools.product(range(len(initial)), repeat=len(steps)))
    weights = [_path(path, initial, transition, evidence) for path in paths]
    total = mpmath.fsum(weights)
    assert total > 0
    smoothed = np.zeros((len(steps), len(initial)))
    for path, weight in zip(paths, weights, strict=True):
        smoothed[range(len(steps)), path] += float(weight / total)
    return {
        "log-likelihood": np.asarray(float(mpmath.log(total))),
        "smoothed": smoothed,
        "filtered": smoothed[-1:],
        "best": np.asarray(float(mpmath.log(max(weights)))),
    }


def _path(path, initial, transition, evidence):
    weight = mpmath.mpf(float(initial[path[0]]))
    for before, after in itertools.pairwise(path):
        weight *= float(transition[before, after])
    for state, emitted in zip(path, evidence, strict=True):
        weight *= emitted[state]
    return weight


def symbol_log_probability(emission: dict, k: int, y, seen):
    """Of a symbol that a state shows."""
    probability = emission["probabilities"][k, int(y)] if seen else 1.0
    return mpmath.log(probability) if probability else -mpmath.inf


def counts_log_probability(emission: dict, k: int, y, seen):
    """Of counts (D,), each with a state's own rate."""
    rates = [(float(y[d]), float(emission["rate"][k, d])) for d in np.flatnonzero(seen)]
    if any(count and not rate for count, rate in rates):
        return -mpmath.inf
    return mpmath.fsum(poisson_log_probability(mpmath.mpf(n), mpmath.mpf(rate)) for n, rate in rates if rate)


def vector_log_density(emission: dict, k: int, y, seen):
    """Of the entries of a Gaussian vector that were seen."""
    seen = np.flatnonzero(seen)
    if not seen.size:
        return mpmath.mpf(0)
    residual = mpmath.matrix([mpmath.mpf(float(y[d])) - float(emission["mean"][k, d]) for d in seen])
    covariance = mpmath.matrix(emission["covariance"][k][np.ix_(seen, seen)].tolist())
    assert min(covariance[d, d] for d in range(seen.size)) > 1e-290  # below, few digits are left
    distance = (residual.T * mpmath.lu_solve(covariance, residual))[0]
    return -(distance + mpmath.log(mpmath.det(covariance)) + seen.size * mpmath.log(2 * mpmath.pi)) / 2


# Noise models, entry by entry in 50 digits.


def entries_complaint(what: str, found, function, *arrays, tolerance: float) -> str | None:
    """Where found is not function(entries), relative to each entry."""
    arrays = np.broadcast_arrays(*(_plain(array) for array in arrays))
    assert all(np.isfinite(array).all() for array in arrays)
    expected = np.array(
        [
            float(function(*map(mpmath.mpf, map(float, place))))
            for place in zip(*map(np.ravel, arrays), strict=True)
        ]
    )
    expected = expected.reshape(arrays[0].shape)
    return differs(what, found, expected, tolerance * np.abs(expected) + 1e-300)


def gaussian_log_density(value, mean, deviation):
    """Log N(value; mean, deviation²)."""
    return -((value - mean) ** 2) / deviation**2 / 2 - mpmath.log(2 * mpmath.pi) / 2 - mpmath.log(deviation)


def censored_log_density(value, mean, deviation, limit):
    """Log density above the limit; the log probability of lying below it elsewhere."""
    if value <= limit:
        below = (limit - mean) / deviation / mpmath.sqrt(2)
        return mpmath.log1p(-mpmath.erfc(below) / 2) if below > 0 else mpmath.log(mpmath.erfc(-below) / 2)
    return gaussian_log_density(value, mean, deviation)


def poisson_log_probability(count, mean):
    """Log p(count)."""
    return count * mpmath.log(mean) - mean - mpmath.loggamma(count + 1)


def negative_binomial_log_probability(count, mean, dispersion):
    """Log p(count); dispersion 0 is Poisson's."""
    if dispersion == 0:
        return poisson_log_probability(count, mean)
    size = 1 / dispersion
    with mpmath.workdps(400):  # size may be 1e300
        combinations = mpmath.loggamma(count + size) - mpmath.loggamma(size) - mpmath.loggamma(count + 1)
        odds = dispersion * mean
        return combinations + count * mpmath.log(odds / (1 + odds)) - size * mpmath.log1p(odds)


# Fields and solvers.


def dop853_complaint(arguments: dict, answer, field) -> str | None:
    """Against SciPy's DOP853, each sample alone; a state (D,) is one sample."""
    y0, t = arguments["y0"].double(), arguments["t"].double()
    one_state = y0.ndim == 1
    starts = y0.unsqueeze(0) if one_state else y0
    found = answer.y.double().unsqueeze(0) if one_state and answer.y.ndim == 2 else answer.y.double()
    assert starts.ndim == 2 and t.ndim == 1 and (torch.is_tensor(answer.status) and not answer.status.any())

    def slope(time, y):
        return field(torch.tensor([time], dtype=torch.float64), torch.from_numpy(y)[None])[0].numpy()

    complaints = []
    for sample, start in enumerate(starts):
        scale = max(float(start.abs().max()), 1.0)
        how = {"rtol": 1e-10, "atol": 1e-12 * scale, "method": "DOP853", "t_eval": t.numpy()}
        their = scipy.integrate.solve_ivp(slope, (float(t[0]), float(t[-1])), start.numpy(), **how)
        assert their.success
        largest = np.abs(their.y).max()
        allowed = 1e-3 * largest + 1e3 * arguments["atol"] + 1e3 * arguments["rtol"] * largest
        complaints.append(differs(f"y of sample {sample}", found[sample], their.y.T, np.asarray(allowed)))
    return first_complaint(*complaints)


def jacobian_complaint(field, t, y, found) -> str | None:
    """Against autograd."""
    y = y.double().detach()
    expected = torch.stack(
        [torch.autograd.functional.jacobian(lambda row: field(t, row[None])[0], row) for row in y]
    )
    assert y.ndim == 2 and expected.isfinite().all()
    return differs("jacobian", found, expected, 1e-9)
