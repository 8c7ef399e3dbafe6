"""One photon into one dendrite: flux, fluxons and current.

python examples/one_photon/one_photon.py [picture.png]
"""

import sys
from pathlib import Path

import numpy as np

import soen_event as se

HERE = Path(__file__).parent


def main(picture: str | None = None) -> None:
    rec = se.simulate(
        HERE / "net.yaml", HERE / "photons.csv", duration=400.0, record=("fluxons", "photons", "currents")
    )
    fluxons = rec.fluxons["d1"]
    gaps = np.diff(fluxons)
    t = np.linspace(0.0, 400.0, 40_001)
    current = rec.current("d1", t)
    print(f"photon detected at {rec.detections['s1'][0]:.3f} ns")
    print(f"flux peaks at {rec.flux('d1', t).max():.3f} Phi0")
    print(
        f"{len(fluxons)} fluxons: the first after {fluxons[0] - 10.0:.3f} ns, the last after {fluxons[-1] - 10.0:.1f} ns"
    )
    print(f"fastest pair {1e3 * gaps.min():.1f} ps apart, slowest {1e3 * gaps.max():.0f} ps")
    print(
        f"current peaks at {current.max():.3f} I_c; 250 ns later {rec.current('d1', t[current.argmax()] + 250.0):.3f} I_c"
    )
    energy = rec.energy["loops"]["d1"]
    print(
        f"energy drawn {energy['drawn'] * 1e18:.0f} aJ: {energy['junctions'] * 1e18:.0f} aJ in the junctions, "
        f"{energy['leak'] * 1e18:.1f} aJ in the leak, {energy['stored'] * 1e18:.1f} aJ stored when it was last looked at"
    )
    if picture:
        figure = se.plotting.dendrite(rec, "d1")
        se.plotting.save(getattr(figure, "figure", figure), picture, overwrite=True)
        print(f"drawn to {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
