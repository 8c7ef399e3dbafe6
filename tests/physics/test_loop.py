"""The loop's kernels against brute-force integration of what they solve."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import ai_zeros, airy

from soen_event.device import Device
from soen_event.engine.jit import compile_function, compiled
from soen_event.engine.state import LOOP_PLAN, LOOP_STATE
from soen_event.physics import loop, source, squid

SOURCES = source.stack([source.ri_table(Device())])
FAST = compiled(loop)
LEVEL = compile_function(source.level)


def rk4(slope, y, span, n=2000):
    h = span / n
    for k in range(n):
        t = k * h
        k1 = slope(t, y)
        k2 = slope(t + h / 2, y + h / 2 * k1)
        k3 = slope(t + h / 2, y + h / 2 * k2)
        k4 = slope(t + h, y + h * k3)
        y += h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y


@given(z=st.floats(-2, 0.5), a=st.floats(-0.3, 0.3), turn=st.floats(1e-3, 3.0))
def test_saddle_node_is_the_solution(z, a, turn):
    # Stay clear of the blow-up, where the true solution is infinite.
    w = math.sqrt(abs(a)) + 1e-12
    if a > 0:
        turn = min(turn, 0.8 * (math.pi / 2 - math.atan(z / w)) / w)
    elif z > w:
        turn = min(turn, 0.8 * math.atanh(w / z) / w)
    expected = rk4(lambda t, y: a + y * y, z, turn)
    assert loop.saddle_node(z, a, turn) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(a=st.floats(-0.3, -1e-6), z=st.floats(-3, 0))
def test_a_long_rest_ends_at_the_stable_phase(a, z):
    assert loop.saddle_node(z, a, 1e6 / math.sqrt(-a)) == pytest.approx(-math.sqrt(-a), rel=1e-9)


def test_first_slip_after_a_ramp_follows_the_airy_law():
    """Latency 2.338 (gain du/dtau)^(-1/3) tau_0 (circuit.md 5); 2.338 is the first zero of Ai."""
    tau_0, gain = 1.28e-3, 0.27
    for u_slope in (0.05, 1.0, 20.0):  # 1/ns
        z, t = loop.airy_start(gain, u_slope, tau_0), 0.0
        for _ in range(10_000):
            r = 2.0 * math.sqrt(gain * u_slope * t)
            h, kind = loop.plan_rest(z, u_slope * t, u_slope, gain, tau_0, r, 0.0)
            if kind == loop.SLIP:
                t += h
                break
            z = loop.saddle_node(z, gain * u_slope * (t + h / 2), h / tau_0)
            t += h
        law = -ai_zeros(1)[0][0] * (gain * u_slope * tau_0) ** (-1 / 3) * tau_0
        assert t == pytest.approx(law, rel=0.01)
    values = airy(0.0)
    assert loop.airy_start(1.0, 1.0, 1.0) == pytest.approx(values[1] / values[0], abs=1e-6)
    assert loop.airy_start(1.0, -1.0, 1.0) == 0.0


@pytest.mark.parametrize("late", [-0.1, 0.0, 0.4])
@pytest.mark.parametrize("u", [1e-4, 1e-2, 0.3])
def test_a_constant_drive_slips_as_long_after_the_middle_as_its_turns_do(u, late):
    gain, tau_0, z, t = 0.26, 1.28e-3, 0.0, 0.0
    r = 1.9 * math.sqrt(gain * u)
    for _ in range(10_000):
        h, kind = loop.plan_rest(z, u, 0.0, gain, tau_0, r, late)
        t += h
        if kind == loop.SLIP:
            break
        z = loop.saddle_node(z, gain * u, h / tau_0)
    assert t == pytest.approx((math.pi - late) / r * tau_0, rel=1e-3)


@given(k=st.floats(1e-6, 1e-4), turns=st.floats(0.02, 0.98))
def test_a_last_turn_is_completed_if_three_quarters_of_it_are_done_when_threshold_is_crossed(k, turns):
    """z' = -k t + z^2 is Airy's equation; the n-th zero of Ai is at the phase (2/3) x^(3/2) = pi (n - 1/4) to 1 %."""
    assume(abs(turns - 0.75) > 0.07)
    # The running SQUID has slipped ``turns`` before t = 0, as its phase at the mean rate 2 sqrt(-k t) counts; it stalls at some a.
    root = k ** (1.0 / 3.0)
    start = (1.5 * math.pi * turns) ** (2.0 / 3.0) / root  # time of that slip before the crossing, in tau_0
    t, theta, z, running = -start, 0.0, -1.0, True
    while running and t < 0.0:
        a = -k * t
        if loop.stalls(theta, a, -k, 2.0 * math.sqrt(a)):
            z = loop.fallen_back(theta, a, 2.0 * math.sqrt(a), -k / a)
            running = False
        else:
            t += 0.01 / root
            theta = 4.0 / 3.0 * root**1.5 * (start**1.5 - max(-t, 0.0) ** 1.5)
    for _ in range(100_000):  # one that has not come to its bottleneck by then has not come far
        u = -k * t
        h, kind = loop.plan_rest(z, u, -k, 1.0, 1.0, 2.0 * math.sqrt(max(u, 0.0)), 0.0)
        if kind == loop.SLIP or (u < 0.0 and (z <= 0.0 or z * z <= -u)):
            break
        z = loop.saddle_node(z, u - 0.5 * k * h, h)
        t += h
    assert (kind == loop.SLIP) == (turns > 0.75)


@given(x=st.floats(-1.57, 1.57))
def test_tangent(x):
    assert loop.tangent(x) == pytest.approx(math.tan(x), rel=3e-9, abs=1e-300)


@given(a=st.floats(1e-6, 0.1), theta=st.floats(0.05, 6.2))
def test_where_a_running_squid_is_when_it_stops(a, theta):
    """At a constant drive z = sqrt(a) tan(sqrt(a) t) from the middle of the turn on, whatever part of the turn the bottleneck takes."""
    for part in (1.0, 0.9):
        w = math.sqrt(a)
        r = 2.0 * w * part
        x = (theta - math.pi) * w / r
        expected = min(max(w * math.tan(x), -1.0), 1.0) if abs(x) < math.pi / 2 else math.copysign(1.0, x)
        assert loop.fallen_back(theta, a, r, 0.0) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert loop.fallen_back(theta, 0.0, 0.1, 0.0) == loop.fallen_back(theta, 0.1, 0.0, 0.0) == -1.0


@given(u=st.floats(0.002, 2.0), phi=st.floats(-1.5, 1.5))
@settings(max_examples=30, deadline=None)
def test_late_and_lag_are_those_of_the_junctions(u, phi):
    y = abs(phi - round(phi))
    fold = squid.static_fold(y, math.pi / 2)
    late, lag = squid.turn_shape(float(fold["i"]) + u, y, math.pi / 2, 0.3, float(fold["d1"]), float(fold["d2"]), 0.05)
    found = loop.late_and_lag(SOURCES.rest, SOURCES.shape, SOURCES.scale, 0, phi, u, 0.3)
    assert found == pytest.approx((late, lag), abs=0.03 if y < 0.48 else 0.25)
    assert -1.7 < lag < 0.05


@given(
    r=st.floats(0.01, 0.8),
    g_phi=st.floats(-2, 2),
    g_i=st.floats(0, 3),
    phi_slope=st.floats(-0.5, 0.5),
    i_slope=st.floats(-0.1, 0.1),
    theta=st.floats(0, 6.2),
)
def test_a_step_of_the_phase_is_second_order_and_bounded(r, g_phi, g_i, phi_slope, i_slope, theta):
    tau_0 = 1.28e-3
    rate, curve, h, complete = loop.plan_run(r, g_phi, g_i, phi_slope, i_slope, 50.0, tau_0, 2 * math.pi - theta)
    assert rate == r / tau_0 and h >= 0.0
    moved = theta + rate * h + 0.5 * curve * h * h
    if complete:
        assert moved == pytest.approx(2 * math.pi, abs=1e-8)
    assert h <= loop.LONGEST + 1e-12 or complete
    assert abs(curve) * h <= loop.CHANGE * rate * (1 + 1e-9) or h <= loop.SHORTEST or complete


def table(row=0):
    return SOURCES.rest, SOURCES.shape, SOURCES.scale, SOURCES.levels, row


def state(**fields):
    """State of a loop, as the kernels read it."""
    me = np.zeros(1, dtype=np.dtype(LOOP_STATE)).view(np.recarray)[0]
    for name, value in fields.items():
        me[name] = value
    return me


MODES = st.lists(
    st.tuples(st.floats(-0.6, 0.6), st.sampled_from([0.02, 5.0, 20.0, 50.0, 250.0])), min_size=1, max_size=4
)


@given(
    modes=MODES,
    psi=st.floats(-1, 1),
    leak=st.floats(-1, 1),
    tau=st.floats(5, 500),
    dt=st.floats(1e-3, 300),
    offset=st.floats(-0.2, 0.2),
)
@settings(max_examples=60)
def test_leak_follows_the_phase(modes, psi, leak, tau, dt, offset):
    amplitude, taus = (np.array(c) for c in zip(*modes, strict=True))
    arm = np.zeros(len(taus), dtype=np.int64)
    flux = (amplitude, taus, arm, 0, len(taus))
    origin = FAST.rest_phase(*table(), offset, 1.7)
    psi = FAST.rest_phase(*table(), offset + amplitude.sum(), 1.7) - origin
    me = state(steady=offset, leak=leak, psi=psi)
    end, got = FAST.leak_after(me, *flux, *table(), 1.7, origin, tau, dt)
    times = dt * np.linspace(0, 1, 4001) ** 3
    expected, last = leak, psi
    for t0, t1 in itertools.pairwise(times):
        now = FAST.rest_phase(*table(), FAST.flux_at(me, *flux, t1)[0], 1.7) - origin
        expected, last = FAST.leaked(expected, last, now, 1 - math.exp(-(t1 - t0) / tau)), now
    assert end == pytest.approx(last, abs=1e-12)
    assert got == pytest.approx(expected, abs=0.12)  # rad: a fiftieth of a quantum


@given(
    modes=MODES,
    q=st.floats(0, 0.6),
    leak=st.floats(-0.5, 0.5),
    tau=st.sampled_from([10.0, 50.0, 250.0]),
    ib=st.floats(1.3, 1.99),
    offset=st.floats(-0.15, 0.15),
    slope=st.sampled_from([0.0, 0.0, 0.002, -0.002]),
)
@settings(max_examples=300)
def test_no_waking_is_missed(modes, q, leak, tau, ib, offset, slope):
    """Sampled finely, u never exceeds the edge before the time that the kernel names (and it names no time that is far too early)."""
    amplitude, taus = (np.array(c) for c in zip(*modes, strict=True))
    arm = np.zeros(len(taus), dtype=np.int64)
    beta = 2 * math.pi * 300
    origin = FAST.rest_phase(*table(), offset, ib)
    rest, shape, scale, levels, row = table()
    phis = np.linspace(0.0, 0.5, 501)
    rests = np.array([LEVEL(shape, scale, levels, row, p)[0] for p in phis]) > ib + 4.0 / beta
    high = float(phis[np.argmin(rests) - 1]) if not rests.all() else 1e9
    low = -high

    me = state(steady=offset, ext_slope=slope, q=q, leak=leak)
    my = np.zeros(1, dtype=np.dtype(LOOP_PLAN)).view(np.recarray)[0]
    my.row, my.tau, my.beta, my.ib, my.low, my.high, my.rest_origin = row, tau, beta, ib, low, high, origin

    def u_at(t, psi_first):
        phi = FAST.flux_at(me, amplitude, taus, arm, 0, len(taus), t)[0]
        psi = FAST.rest_phase(*table(), phi, ib) - origin
        e = math.exp(-t / tau)
        s = q * e + (psi - psi_first + (psi_first - leak) * e) / beta
        return ib - s - LEVEL(shape, scale, levels, row, phi)[0]

    psi_first = FAST.rest_phase(*table(), offset + amplitude.sum(), ib) - origin
    if u_at(0.0, psi_first) > -1e-6:
        return
    wait, kind = FAST.wake_after(me, my, amplitude, taus, arm, 0, len(taus), shape, scale, levels, rest, loop.NEVER)
    assert kind in (loop.NOTHING, loop.WAKE, loop.LOOK) and wait >= 0.0
    horizon = max(0.0, min(wait, 2000.0) - 2e-6)  # the kernel resolves one femtosecond
    for t in horizon * np.linspace(0, 1, 1500)[:-1] ** 2:
        assert u_at(t, psi_first) <= 1e-9
    if kind == loop.WAKE:
        fastest = 3.0 * np.abs(amplitude / taus).sum() + 1.0
        assert abs(u_at(wait, psi_first)) < 2e-6 * fastest


@pytest.mark.parametrize("below", [1e-12, 1e-9, 1e-7, 1e-3])
def test_constant_conditions_never_wake_and_never_poll(below):
    """Just below threshold with nothing on its way, a loop sleeps for ever."""
    import soen_event as se

    levels = [LEVEL(SOURCES.shape, SOURCES.scale, SOURCES.levels, 0, p)[0] for p in (0.16, 0.18)]
    assert levels[0] > 1.8 > levels[1]
    lo, hi = 0.16, 0.18
    for _ in range(60):
        mid = 0.5 * (lo + hi)
        lo, hi = (mid, hi) if LEVEL(SOURCES.shape, SOURCES.scale, SOURCES.levels, 0, mid)[0] > 1.8 else (lo, mid)
    with se.Network() as net:
        se.Dendrite("d", ib=1.8, phi_offset=lo - below)
    run = se.Simulation(net)
    assert run.run(1e6, events=100) == "done"
    assert run.event_count <= 2
