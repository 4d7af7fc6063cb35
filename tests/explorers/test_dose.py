import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar

from helpers.explorers import dose, extreme_settings
from helpers.explorers.engine import BlittedFigure

RATES = [(1.5, 0.08), (0.1, 0.5), (3.0, 0.02), (0.3, 0.3), (0.3, 0.3 + 1e-9)]


@pytest.mark.parametrize(("absorption_rate", "elimination_rate"), RATES)
def test_curve_solves_the_two_rate_equations(absorption_rate, elimination_rate):
    def flow(_, amounts):
        gut, blood = amounts
        return [-absorption_rate * gut, absorption_rate * gut - elimination_rate * blood]

    solution = solve_ivp(flow, (0, 24), [4.0, 0.0], t_eval=dose.HOURS, rtol=1e-10, atol=1e-12)
    found = dose.concentration(dose.HOURS, absorption_rate, elimination_rate, 4.0)
    np.testing.assert_allclose(found, solution.y[1] / dose.VOLUME, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("absorption_rate", "elimination_rate"), RATES)
def test_no_other_hour_beats_the_peak(absorption_rate, elimination_rate):
    hour = dose.peak_hour(absorption_rate, elimination_rate)
    search = minimize_scalar(
        lambda hours: -float(dose.concentration(np.array(hours), absorption_rate, elimination_rate, 4.0)),
        bounds=(0, 10 * hour),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert hour == pytest.approx(search.x, rel=1e-5)


def test_equal_rates_peak_at_one_over_the_rate():
    assert dose.peak_hour(0.25, 0.25) == 4.0
    assert dose.peak_hour(0.25, 0.25 * (1 + 1e-12)) == pytest.approx(4.0, rel=1e-11)


def test_half_life_halves_the_tail():
    curve = dose.model(3.0, 0.25, 4.0)
    late = np.array([20.0, 20.0 + curve.half_life])
    before, after = dose.concentration(late, 3.0, 0.25, 4.0)
    assert after == pytest.approx(before / 2, rel=1e-9)


@pytest.mark.parametrize("settings", extreme_settings(dose.CONTROLS), ids=str)
def test_every_corner_is_finite_and_stays_on_the_figure(settings):
    curve = dose.model(**settings)
    assert np.isfinite(curve.concentration).all()
    picture = dose.Picture()
    picture.draw(curve)
    assert BlittedFigure(picture.figure, picture.moving).png()
    assert curve.concentration.max() <= picture.figure.axes[0].get_ylim()[1]
    assert 0 < curve.peak_hour <= 24
    assert "nan" not in picture.describe(curve)
