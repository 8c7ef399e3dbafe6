"""The same networks in Brian2, C++ standalone. Run by work_precision.py in a Python that has brian2 (which may be another environment).

    python brian.py problem.npz answer.npz DT METHOD FOLDER

What makes it quick: above steps of 0.02 ns a detector's flux is one exponential that a photon moves to where its hotspot leaves it, at
the moment at which a jump has the area of the true rise (shorter steps resolve the hotspot); the source function is a bilinear table of
128 x 128 cells over sqrt(u) and the flux (wrong by 4e-6 on average), looked up only above threshold; states are advanced by hand-written
updates in which every exponential is a constant; one thread, Brian's own compiler flags (-O3 -ffast-math -march=native). What helps its
accuracy: photons and delays are rounded to the nearest step without bias, spikes are placed by linear interpolation between steps.
METHOD is ``euler`` or ``midpoint`` (Runge-Kutta 2; Brian sums the flux of couplings once a step, so it is extrapolated to the middle).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

LOOKUP = """
static inline double fluxon_rate(const double phi, const double i) {
    double x = phi - floor(phi + 0.5);
    if (x < 0.0) x = -x;
    const double p = x * (N_LEVEL * 2.0);
    int k = (int) p;
    if (k >= N_LEVEL) k = N_LEVEL - 1;
    const double u = i - (levels[k] + (p - k) * (levels[k + 1] - levels[k]));
    if (u <= 0.0) return 0.0;
    const double q = sqrt(u) * (N_A / A_MAX);
    int j = (int) q;
    if (j >= N_A) j = N_A - 1;
    const double z = x * (N_X * 2.0);
    int m = (int) z;
    if (m >= N_X) m = N_X - 1;
    const double f = q - j, g = z - m;
    const double *row = rates + j * (N_X + 1) + m;
    const double low = row[0] + g * (row[1] - row[0]);
    const double high = row[N_X + 1] + g * (row[N_X + 2] - row[N_X + 1]);
    return low + f * (high - low);
}
"""


def write_header(path: str, levels: np.ndarray, rates: np.ndarray, a_max: float) -> None:
    with open(path, "w") as file:
        file.write("#pragma once\n#include <math.h>\n")
        file.write(
            f"#define N_LEVEL {len(levels) - 1}\n#define N_A {rates.shape[0] - 1}\n#define N_X {rates.shape[1] - 1}\n"
        )
        file.write(f"#define A_MAX {a_max!r}\n")
        for name, values in (("levels", levels), ("rates", rates.reshape(-1))):
            file.write(f"static const double {name}[] = {{{','.join(repr(float(v)) for v in values)}}};\n")
        file.write(LOOKUP)


def lag(rise: float, hotspot: float) -> float:
    """When a jump to the end of the rise has the rise's area."""
    return hotspot - (hotspot - rise * (1.0 - np.exp(-hotspot / rise))) / (1.0 - np.exp(-hotspot / rise))


def main(problem: str, answer: str, dt: float, method: str, folder: str) -> None:
    import brian2 as b

    p = dict(np.load(problem))
    os.makedirs(folder, exist_ok=True)
    write_header(os.path.join(folder, "source_table.h"), p["levels"], p["rates"], float(p["a_max"]))
    b.set_device("cpp_standalone", build_on_run=False)
    ns = b.units.allunits.nsecond
    b.defaultclock.dt = dt * ns

    @b.implementation(
        "cpp",
        "static inline double rate(double phi, double i) { return fluxon_rate(phi, i); }",
        headers=['"source_table.h"'],
        include_dirs=[os.path.abspath(folder)],
    )
    @b.check_units(phi=1, i=1, result=1)
    def rate(phi, i):  # type: ignore
        raise NotImplementedError

    def number(name: str) -> float:
        """A parameter that is the same for all parts."""
        values = np.unique(p[name])
        assert len(values) == 1, f"{name} differs between parts"
        return float(values[0])

    resolved = dt < 0.021
    constants = {"rate": rate, "step": dt, "ns": ns}
    # A loop called X: s_X' = drive_X r - leak_X s_X; a detector called X falls by fall_X in one step and by half_X in half of one.
    for x in ("d", "n", "r"):
        constants |= {f"{key}_{x}": number(f"{key}_{x}") for key in ("drive", "leak", "ib")}
    for x in ("d", "r"):
        rise, fall, hotspot, level = (number(f"{key}_{x}") for key in ("rise", "fall", "hotspot", "level"))
        back = 1.0 if resolved else np.exp((hotspot - lag(rise, hotspot)) / fall)
        kept = np.exp(-hotspot / rise)
        constants |= {
            f"fall_{x}": np.exp(-dt / fall),
            f"mid_fall_{x}": np.exp(-0.5 * dt / fall),
            f"kept_{x}": kept * back,
            f"gain_{x}": level * (1.0 - kept) * back,
            f"level_{x}": level,
            f"rise_{x}": np.exp(-dt / rise),
            f"mid_rise_{x}": np.exp(-0.5 * dt / rise),
            f"hotspot_{x}": hotspot,
        }
    constants |= {"J_r": number("J_r"), "threshold": number("threshold"), "offset_n": number("offset_n")}
    t_ref = number("t_ref")

    many, neurons = len(p["offset_d"]), len(p["threshold"])
    branched = len(p["inner_source"]) > 0
    d = b.NeuronGroup(
        many,
        "s : 1\n f : 1\n hot : 1\n offset : 1 (constant)\n fed : 1\n was : 1",
        namespace=constants,
        name="dendrites",
    )
    d.offset = p["offset_d"]
    d.hot = -1.0
    n = b.NeuronGroup(
        neurons,
        "s : 1\n before : 1\n r : 1\n f : 1\n hot : 1\n fed : 1\n was : 1\n ready : 1\n fraction : 1",
        threshold="s >= threshold",
        reset=f"""
        fraction = (threshold - before)/(s - before)
        ready = t/ns + step*fraction + {t_ref}
        s = 0
        {"hot = t/ns + step + hotspot_r" if resolved else "f = kept_r*f + gain_r"}
        """,
        namespace=constants,
        name="neurons",
    )
    n.ready = n.hot = -1.0

    def later(x: str) -> str:
        """Code that brings the flux of detectors x to the end of the step."""
        if not resolved:
            return f"f *= fall_{x}"
        return f"f = int(t/ns + 0.5*step < hot)*(level_{x} + (f - level_{x})*rise_{x} - fall_{x}*f) + fall_{x}*f"

    def middle(x: str) -> str:
        """Code for the flux of detectors x in the middle of the step."""
        if not resolved:
            return f"flux = mid_fall_{x}*f"
        return f"flux = int(t/ns + 0.5*step < hot)*(level_{x} + (f - level_{x})*mid_rise_{x} - mid_fall_{x}*f) + mid_fall_{x}*f"

    fed = "offset + fed" if branched else "offset"
    if method == "euler":
        d.run_regularly(
            f"s += step*(drive_d*rate({fed} + f, ib_d - s) - leak_d*s)\n {later('d')}", when="groups", order=0
        )
        n.run_regularly(
            f"""
            before = s
            s += int(t/ns >= ready)*step*(drive_n*rate(offset_n + fed + J_r*r, ib_n - s) - leak_n*s)
            r += step*(drive_r*rate(f, ib_r - r) - leak_r*r)
            {later("r")}
            """,
            when="groups",
            order=2,
        )
    else:
        fed_middle = f"{fed} + 0.5*(fed - was)" if branched else fed
        d.run_regularly(
            f"""
            half = s + 0.5*step*(drive_d*rate({fed} + f, ib_d - s) - leak_d*s)
            {middle("d")}
            s += step*(drive_d*rate({fed_middle} + flux, ib_d - half) - leak_d*half)
            {later("d")}
            {"was = fed" if branched else ""}
            """,
            when="groups",
            order=0,
        )
        # The somas come after the dendrites: ``was`` is what feeds them at the beginning of the step, ``fed`` at its end.
        n.run_regularly(
            f"""
            half_r = r + 0.5*step*(drive_r*rate(f, ib_r - r) - leak_r*r)
            before = s
            half = s + 0.5*step*(drive_n*rate(offset_n + was + J_r*r, ib_n - s) - leak_n*s)
            s += int(t/ns >= ready)*step*(drive_n*rate(offset_n + 0.5*(was + fed) + J_r*half_r, ib_n - half) - leak_n*half)
            {middle("r")}
            r += step*(drive_r*rate(flux, ib_r - half_r) - leak_r*half_r)
            {later("r")}
            was = fed
            """,
            when="groups",
            order=2,
        )
    sums = []
    for name, target in (("inner", d), ("outer", n)):
        if len(p[f"{name}_source"]):
            link = b.Synapses(d, target, "J : 1 (constant)\n fed_post = J*s_pre : 1 (summed)", name=f"{name}_couplings")
            link.connect(i=p[f"{name}_source"], j=p[f"{name}_target"])
            link.J = p[f"{name}_J"]
            link.summed_updaters["fed_post"].when = "groups"
            link.summed_updaters["fed_post"].order = 1
            sums.append(link)

    # A synapse acts at the end of the step in which its spike was found, so photons are given one step early.
    delay = 0.0 if resolved else lag(number("rise_d"), number("hotspot_d"))
    steps = np.rint((p["photon_time"] + delay) / dt).astype(np.int64) - 1
    steps, which = np.maximum(steps, 0), p["photon_target"]
    _, first = np.unique(np.stack([which, steps]), axis=1, return_index=True)
    source = b.SpikeGeneratorGroup(many, which[first], steps[first] * dt * ns, name="photons")
    hit = "f_post = kept_d*f_post + gain_d"
    if resolved:
        hit = "hot_post += int(t/ns + 1.5*step > hot_post)*(t/ns + step + hotspot_d - hot_post)"
    light = b.Synapses(source, d, on_pre=hit, namespace=constants, name="light")
    light.connect(j="i")
    parts = [d, n, source, light, *sums]
    if len(p["guide_source"]):
        guides = b.Synapses(n, d, on_pre=hit, namespace=constants, name="guides")
        guides.connect(i=p["guide_source"], j=p["guide_target"])
        guides.delay = (p["guide_delay"] + delay - 0.5 * dt) * ns
        parts.append(guides)
    spikes = b.SpikeMonitor(n, variables=("s", "before"), name="spikes")
    every = float(p["samples"][1] - p["samples"][0])
    sampled = []
    for group, name, rows in ((d, "s", p["watch_d"]), (n, "s", p["watch_n"]), (n, "r", p["watch_n"])):
        record = b.StateMonitor(group, name, record=rows, dt=every * ns, when="start", name=f"sampled_{len(sampled)}")
        sampled.append(record)
    network = b.Network(*parts, spikes, *sampled)
    clock = '{ timespec now; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); FILE *out = fopen("%s", "w"); '
    clock += 'fprintf(out, "%%.9f", now.tv_sec + 1e-9*now.tv_nsec); fclose(out); }'
    marks = [os.path.abspath(os.path.join(folder, name)) for name in ("begin", "end")]
    b.device.insert_code("before_network_run", clock % marks[0])
    b.device.insert_code("after_network_run", clock % marks[1])
    start = time.perf_counter()
    network.run(float(p["samples"][-1]) * ns + dt * ns)
    b.device.build(directory=os.path.join(folder, "code"), compile=True, run=False, with_output=False)
    compiled = time.perf_counter()
    b.device.run(with_output=False)
    begin, end = (float(Path(mark).read_text()) for mark in marks)
    at, s, before = spikes.t / ns, spikes.s[:], spikes.before[:]
    np.savez(
        answer,
        cpu=end - begin,
        compile=compiled - start,
        spike_time=at + dt * (number("threshold") - before) / (s - before),
        spike_neuron=np.asarray(spikes.i[:]),
        current=np.concatenate([record.__getattr__(v).T[1:] for record, v in zip(sampled, "ssr", strict=True)], axis=1),
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4], sys.argv[5])
