"""Optics of lattices by pyAT, as a judge of ours.

    optics_pyat.py DIRECTORY FILE.lat...

Reads each lattice with pyAT's own reader of MAD-X, with 100 integration steps in each element, and
writes DIRECTORY/FILE.ref:

    tune X Y
    at PLACE S BETA_X BETA_Y ALPHA_X ALPHA_Y D_X D_PX      entry of an element, from 0
    response PLANE CORRECTOR MONITOR METRES_PER_RADIAN     by their numbers, from 0

Needs the package accelerator-toolbox; `cargo xtask optics` installs it.
"""

import sys
from pathlib import Path

import at
import numpy as np

STEPS = 100
# Radians: small against what sextupoles would notice.
KICK = 1e-7
# Numbers of the correctors whose response is told: beginning, middle and end of a ring.
CORRECTORS = (0, 1, -1)
# Monitors at which a response is told, at most.
MONITORS = 130


def elements(path):
    ring = at.load_madx(str(path), use="ring")
    ring.disable_6d()
    for element in ring:
        if hasattr(element, "NumIntSteps"):
            element.NumIntSteps = STEPS
    return ring


def judge(directory, path):
    ring = elements(path)
    ring.periodicity = 1
    everywhere = range(len(ring) + 1)
    _, data, optics = ring.get_optics(everywhere, get_chrom=False)
    tunes = optics["mu"][-1] / (2 * np.pi) if "mu" in optics.dtype.names else data.tune
    lines = ["tune {:.12f} {:.12f}".format(*tunes)]
    monitors = [n for n, e in enumerate(ring) if isinstance(e, at.Monitor)]
    correctors = [n for n, e in enumerate(ring) if isinstance(e, at.Corrector)]
    told = monitors if len(ring) > 400 else [n for n, e in enumerate(ring) if e.Length > 0]
    for n in told:
        at_n = optics[n]
        lines.append(
            f"at {n} {at_n.s_pos:.9f} {at_n.beta[0]:.9f} {at_n.beta[1]:.9f} "
            f"{at_n.alpha[0]:.9f} {at_n.alpha[1]:.9f} {at_n.dispersion[0]:.9f} {at_n.dispersion[1]:.9f}"
        )
    step = -(-len(monitors) // MONITORS)
    for plane in (0, 1):
        for number in sorted({c % len(correctors) for c in CORRECTORS} | {len(correctors) // 2}):
            element = ring[correctors[number]]
            orbits = []
            for sign in (1, -1):
                kick = [0.0, 0.0]
                kick[plane] = sign * KICK
                element.KickAngle = np.array(kick)
                _, orbit = at.find_orbit4(ring, 0.0, refpts=monitors)
                orbits.append(orbit[:, 2 * plane])
            element.KickAngle = np.zeros(2)
            response = (orbits[0] - orbits[1]) / (2 * KICK)
            for m, value in list(enumerate(response))[::step]:
                lines.append(f"response {'XY'[plane]} {number} {m} {value:.9f}")
    (directory / path.name).with_suffix(".ref").write_text("\n".join(lines) + "\n")
    print(f"{path.name}: {len(lines)} lines, tunes {tunes[0]:.9f} {tunes[1]:.9f}")


for name in sys.argv[2:]:
    judge(Path(sys.argv[1]), Path(name))
