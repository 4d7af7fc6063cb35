"""Names of public functions, apart from each other by blanks, and what draws a call of them."""

import fuzz_dynamics
import fuzz_gaussian
import fuzz_hmm
import fuzz_observation
import fuzz_odes
import fuzz_recurrent
import fuzz_series
import fuzz_systems

ROOMS = (
    fuzz_series,
    fuzz_observation,
    fuzz_systems,
    fuzz_gaussian,
    fuzz_hmm,
    fuzz_recurrent,
    fuzz_dynamics,
    fuzz_odes,
)
BUILDERS = {names: build for room in ROOMS for names, build in room.BUILDERS.items()}
