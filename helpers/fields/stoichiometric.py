"""A field that keeps the books: learnt rates, known stoichiometry."""

import torch
from torch import Tensor, nn

from helpers.arguments import check_entries, check_like
from helpers.dynamics import jacobian
from helpers.fields.arguments import check_last, check_reactants, check_real_matrix
from helpers.fields.layers import softplus
from helpers.systems import multiply_factors


class StoichiometricField(nn.Module):
    """Which reactions there are is known, how fast they run is learnt.

    ::

        y' = S v,   v_r = softplus(g_r(t, y; θ)) · Π_d y_d^O_dr

    S_dr is how much of species d one event of reaction r makes (or, negative, uses up), g the network given
    as `rates`, and O_dr how many of species d must meet for it: the product, mass action's, is there only
    where `reactants` are given.

    What is guaranteed, whatever the parameters θ are:

    - *Bookkeeping.* With L S = 0, L y keeps its initial value: (L y)' = L S v = 0. It does so in every
      Runge-Kutta method as well, to rounding. `conserved_quantities` finds L.
    - *Direction.* No reaction runs backwards where y ≥ 0; one that can is two columns of S.
    - *No debts*, only with `reactants`: a reaction stops when something that it uses up is absent, so
      that the exact solution from y ≥ 0 stays there. A solver keeps to this within its tolerance. Without
      `reactants`, v_r > 0 even at y_d = 0, and amounts can become negative.

    Parameters
    ----------
    S : Tensor (D, R)
        Stoichiometry, in amounts per event. Integers take the dtype of the network's weights.
    rates : torch.nn.Module
        g, from (t, y (..., D)) to (..., R), any real numbers: `MLPField(D, outputs=R)`, say. A raw
        rate near 0 is a rate near ln 2 = 0.69 per unit of time.
    reactants : Tensor (D, R), whole numbers, optional
        O, at least 1 wherever S is negative; (-S).clamp(min=0) says that nothing but what is used up
        must be there. A catalyst is a reactant that S does not show.

    Raises
    ------
    ValueError
        If S or the reactants are no finite matrices of one shape, a reaction uses up what is not among its
        reactants, `rates` is no module, or it has weights of another dtype or device than S.

    Source: Feinberg (2019), Foundations of Chemical Reaction Network Theory, Springer.
    """

    def __init__(self, S: Tensor, rates: nn.Module, reactants: Tensor | None = None) -> None:
        super().__init__()
        check_real_matrix("S", S, "(D, R)")
        if not isinstance(rates, nn.Module):
            raise ValueError(
                f"rates must be a torch.nn.Module, or its weights would not be trained: got {rates!r}"
            )
        weight = next(rates.parameters(), None)
        if not S.is_floating_point():
            S = S.to(torch.get_default_dtype() if weight is None else weight)
        elif weight is not None:
            check_like("S", S, "the weights of rates", weight)
        self.raw_rates = rates
        self.register_buffer("S", S)
        self.register_buffer("orders", None if reactants is None else _orders(reactants, S))

    def rates(self, t: float | Tensor, y: Tensor, *inputs: Tensor) -> Tensor:
        """The rate v (..., R) of every reaction, in events per unit of time."""
        v = softplus(self._raw(t, y, *inputs))
        return v if self.orders is None else v * _monomials(y, self.orders)

    def forward(self, t: float | Tensor, y: Tensor, *inputs: Tensor) -> Tensor:
        """y' = S v (..., D) at time t, a number or (B,), and amounts y (..., D).

        Inputs, where the network takes some, are passed on to it.
        """
        return self.rates(t, y, *inputs) @ self.S.mT

    def jacobian(self, t: float | Tensor, y: Tensor, *inputs: Tensor) -> Tensor:
        """∂y'/∂y = S ∂v/∂y (..., D, D), with the network's own `jacobian` where it has one."""
        raw = self._raw(t, y, *inputs)
        if hasattr(self.raw_rates, "jacobian"):
            slopes = self.raw_rates.jacobian(t, y, *inputs)  # (..., R, D)
        else:
            slopes = jacobian(lambda y: self._raw(t, y, *inputs), y)
        slopes = torch.sigmoid(raw).unsqueeze(-1) * slopes  # softplus' is the logistic function
        if self.orders is not None:
            together = _monomials(y, self.orders).unsqueeze(-1)
            slopes = slopes * together + softplus(raw).unsqueeze(-1) * _monomial_jacobian(y, self.orders)
        return self.S @ slopes

    def _raw(self, t: float | Tensor, y: Tensor, *inputs: Tensor) -> Tensor:
        """g(t, y) (..., R)."""
        check_last("y", y, len(self.S), "species")
        check_like("y", y, "S", self.S)
        raw = self.raw_rates(t, y, *inputs)
        if raw.shape != (*y.shape[:-1], self.S.shape[1]):
            raise ValueError(
                f"rates must return one number for each of {self.S.shape[1]} reactions, "
                f"{(*y.shape[:-1], self.S.shape[1])}: got shape {tuple(raw.shape)}"
            )
        return raw


def _orders(reactants: Tensor, S: Tensor) -> Tensor:
    """Check O (D, R), and return it as exponents (R, D), a row for each reaction."""
    check_reactants(reactants, S)
    orders = reactants.to(S)
    check_entries("reactants", orders, (orders >= 1) | (S >= 0), "be at least 1 where S is negative")
    return orders.mT


def _monomials(y: Tensor, exponents: Tensor) -> Tensor:
    """m_j = Π_d y_d^e_jd, from y (..., D) and whole exponents (M, D) to (..., M); 0⁰ is 1."""
    return multiply_factors(y.unsqueeze(-2) ** exponents)


def _monomial_jacobian(y: Tensor, exponents: Tensor) -> Tensor:
    """∂m_j/∂y_d = e_jd y_d^(e_jd - 1) Π_{k≠d} y_k^e_jk, (..., M, D)."""
    base = y.unsqueeze(-2)
    powers = base**exponents  # (..., M, D)
    slopes = exponents * base ** (exponents - 1).clamp(min=0)
    own = torch.eye(y.shape[-1], dtype=torch.bool, device=y.device)
    return multiply_factors(torch.where(own, slopes.unsqueeze(-2), powers.unsqueeze(-2)))
