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


def digits(*arrays) -> int:
    """How many digits leave 50 of the smallest number beside the largest."""
    sizes = np.concatenate([np.abs(np.ravel(np.asarray(array, dtype=float))) for array in arrays])
    sizes = sizes[(sizes > 0) & np.isfinite(sizes)]
    return 50 + 3 * int(np.log10(sizes.max()) - np.log10(sizes.min())) if sizes.size else 50


def dense_gaussian(model: dict, y, observed) -> dict[str, np.ndarray]:
    """Log-likelihood, smoothed means and covariances of one series (T, D), written out at once."""
    with mpmath.workdps(digits(*model.values())):
        return _dense_gaussian(model, y, observed)


def _dense_gaussian(model: dict, y, observed) -> dict[str, np.ndarray]:
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
    before = [
        [abs(part[a]) + mpmath.sqrt(blocks[t][t][a, a]) for a in range(H)] for t, part in enumerate(means)
    ]
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
        "before": np.array(before, dtype=float),
        "log-likelihood": np.asarray(float(likelihood)),
        "mean": np.array(means, dtype=float),
        "covariance": np.array(covariances, dtype=float),
    }


KNOWN = 1e-8
"""Times the size of a state before the data: a state that they tell exactly is known to 1e-16 of that."""


FLOOR = (
    "transition",
    "observation",
    "observation_covariance",
    "initial_covariance",
    "transition_covariance",
)


def floor(A, C, R, P, Q) -> float:
    """The share of a variance that a filter loses to rounding where it subtracts what readings tell of it.

    That is a unit in the last place times how far variances lie above the noise, as `kalman_filter` says, or
    how near two sensors are to reading the same. Of one state with one sensor, it is a unit squared. At most
    three quarters of the digits may be lost: from there on helpers must refuse or warn.
    """
    eps = np.finfo(float).eps
    assert np.abs(A).max() < 1e5  # or variances grow in a step by more than there are digits
    with np.errstate(all="ignore"):
        told = np.max([C**2 @ np.diagonal(covariance) for covariance in (P, Q, A @ P @ A.T)], 0)
        noise = np.where(np.diagonal(R) > 0, np.diagonal(R), C**2 @ np.diagonal(Q))
    if not (np.isfinite(told).all() and np.isfinite(noise).all()):
        return 1e-4
    ratio = np.max(told / np.maximum(noise, 1e-300), where=noise > 0, initial=1.0)
    if C.shape == (1, 1):
        return min(20 * eps * eps * ratio, 1e-4)
    apart = min(_independence(C, R, covariance) for covariance in (P, Q))
    return min(20 * eps * max(ratio, 1 / apart), 1e-4)


def _independence(C, R, P) -> float:
    """|S| over the product of its diagonal, S = C P Cᵀ + R; 1 where it vanishes."""
    with mpmath.workdps(digits(C, R, P)):
        C, R, P = (mpmath.matrix(part.tolist()) for part in (C, R, P))
        S = C * P * C.T + R
        diagonal = mpmath.fprod(S[i, i] for i in range(S.rows))
        share = mpmath.det(S) / diagonal if diagonal else 0
        return float(share) if share > 1e-30 else 1.0


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
        eps = 1e-8 + floor(*(model[name] for name in FLOOR))
        deviation = np.sqrt(np.maximum(np.diagonal(right["covariance"], axis1=-2, axis2=-1), 0.0))
        deviation = deviation + KNOWN * right["before"]
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
    deviation = np.sqrt(np.einsum("kii->ki", Q))
    scale = deviation[:, :, None] * deviation[:, None]  # a product of variances may underflow
    halving = 1e-10 * (1 + float((rates.abs().max() * gaps[1:].max()) if len(gaps) > 1 else 0.0))
    return first_complaint(
        differs("A", answer[0], A, halving), differs("Q", answer[1], Q, halving * scale + 1e-300)
    )


def _as_matrices(arguments: dict, names: str) -> list[mpmath.matrix]:
    arrays = [arguments[name].double().numpy() for name in names]
    assert all(array.ndim == 2 for array in arrays)
    return [mpmath.matrix(array.tolist()) for array in arrays]


def _as_array(matrix: mpmath.matrix) -> np.ndarray:
    return np.array(matrix.tolist(), dtype=float)


def _own_scale(covariance: np.ndarray) -> np.ndarray:
    deviation = np.sqrt(np.diagonal(covariance))
    return deviation[:, None] * deviation


def _within(what: str, found, function, arguments: dict, names: str) -> str | None:
    """A complaint where a covariance is further from function(matrices) than its condition explains."""
    arrays = {name: arguments[name].double().numpy() for name in names}
    random = np.random.default_rng(0)
    with mpmath.workdps(digits(*arrays.values())):
        right = _as_array(function(*_as_matrices(arguments, names)))
        moved = {name: torch.from_numpy(_perturb(array, random)) for name, array in arrays.items()}
        other = _as_array(function(*_as_matrices(moved, names)))
    known = KNOWN * np.abs(arrays["A"]) @ np.sqrt(np.diagonal(right))
    own = _own_scale(right + np.diag(known**2))
    allowed = 1e-8 * own + 100 * np.abs(right - other) + 1e-300
    return differs(what, found, right, allowed)


def stationary_complaint(arguments: dict, answer) -> str | None:
    """Against the solution of all H² equations."""
    return _within("covariance", answer, _lyapunov, arguments, "AQ")


def _lyapunov(A: mpmath.matrix, Q: mpmath.matrix) -> mpmath.matrix:
    """P = A P Aᵀ + Q."""
    H = A.rows
    pairs = list(itertools.product(range(H), repeat=2))
    equations = mpmath.eye(H * H)
    for (row, (i, j)), (column, (k, m)) in itertools.product(enumerate(pairs), repeat=2):
        equations[row, column] -= A[i, k] * A[j, m]
    solved = mpmath.lu_solve(equations, mpmath.matrix([Q[i, j] for i, j in pairs]))
    return mpmath.matrix([[solved[i * H + j] for j in range(H)] for i in range(H)])


def steady_state_complaint(arguments: dict, answer) -> str | None:
    """Against the filter run until nothing moves."""
    return _within("covariance", answer, _riccati, arguments, "ACQR")


def _riccati(A, C, Q, R) -> mpmath.matrix:
    P = Q
    for _ in range(400):
        K = _gain(P, C, R)
        before, P = P, A * (P - K * C * P) * A.T + Q
        scale = [[mpmath.sqrt(P[i, i] * P[j, j]) for j in range(P.rows)] for i in range(P.rows)]
        pairs = itertools.product(range(P.rows), repeat=2)
        if all(abs(P[i, j] - before[i, j]) <= mpmath.mpf("1e-25") * scale[i][j] for i, j in pairs):
            return P
    raise ArithmeticError("a slow filter")


def _gain(P, C, R) -> mpmath.matrix:
    return P * C.T * mpmath.inverse(C * P * C.T + R)


def step_complaint(arguments: dict, answer) -> str | None:
    """Of the mean (H,) and covariance (H, H) after one prediction and one update."""
    given = {name: arguments[name].double().numpy() for name in ("mean", "covariance", *"AQyCR")}
    assert given["mean"].ndim == given["y"].ndim == 1 and all(given[n].ndim == 2 for n in "AQCR")
    random = np.random.default_rng(0)

    def step(mean, covariance, A, Q, y, C, R):
        mean, covariance, A, Q, y, C, R = (
            mpmath.matrix(part.tolist()) for part in (mean, covariance, A, Q, y, C, R)
        )
        mean, P = A * mean, A * covariance * A.T + Q
        K = _gain(P, C, R)
        size = [abs(mean[i]) + mpmath.sqrt(P[i, i]) for i in range(P.rows)]
        return _as_array(mean + K * (y - C * mean))[:, 0], _as_array(P - K * C * P), np.array(size, float)

    with mpmath.workdps(digits(*given.values())):
        mean, covariance, size = step(**given)
        other = step(**{name: _perturb(array, random) for name, array in given.items()})
    deviation = np.sqrt(np.maximum(np.diagonal(covariance), 0.0)) + KNOWN * size
    eps = 1e-8 + floor(*(given[name] for name in ("A", "C", "R", "covariance", "Q")))
    allowed = eps * (np.abs(mean) + deviation) + 100 * np.abs(mean - other[0]) + 1e-15 * size  # of m⁻
    own = eps * deviation[:, None] * deviation + 100 * np.abs(covariance - other[1])
    told = given["C"] ** 2 @ size**2  # of which a reading without noise leaves rounding
    if (np.diagonal(given["R"]) < np.finfo(float).eps ** 2 * told).any():
        own = own + 1e-14 * size[:, None] * size
    return first_complaint(
        differs("mean", answer[0], mean, allowed), differs("covariance", answer[1], covariance, own)
    )


def coordinates_complaint(arguments: dict, answer) -> str | None:
    """Σ = L Lᵀ with L = diag(exp(d)) (I + S), 2 × 2."""
    first, second, below = (mpmath.mpf(number) for number in arguments["unconstrained"].double().tolist())
    root = mpmath.diag([mpmath.exp(first), mpmath.exp(second)]) * mpmath.matrix([[1, 0], [below, 1]])
    right = _as_array(root * root.T)
    tolerance = 1e-5 if answer.dtype == torch.float32 else 1e-11
    return differs("covariance", answer, right, tolerance * _own_scale(right))


def gain_complaint(arguments: dict, answer) -> str | None:
    """Of a network's states (B, T, H): the filter with the gain that it settles to."""
    names = {"A": "transition", "C": "observation", "Q": "transition_covariance"}
    names["R"] = "observation_covariance"
    given = {letter: arguments[name] for letter, name in names.items()}
    x, start = arguments["x"].double().numpy(), arguments["initial_mean"].double().numpy()
    with mpmath.workdps(digits(*(matrix.numpy() for matrix in given.values()))):
        A, C, Q, R = _as_matrices(given, "ACQR")
        P = _riccati(A, C, Q, R)
        K, A, C = _as_array(_gain(P, C, R)), _as_array(A), _as_array(C)
    states = []
    for series in x:
        state, path = start, []
        for reading in series:
            state = A @ state + K @ (reading - C @ A @ state)
            path.append(state)
        states.append(path)
    size = np.abs(K) @ np.abs(x).max((0, 1)) + np.abs(A) @ (np.abs(start) + np.abs(states).max((0, 1)))
    eps = 1e-7 + floor(*(arguments[name].double().numpy() for name in FLOOR))
    return differs("states", answer, states, eps * np.broadcast_to(size, np.shape(states)) + 1e-300)


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
