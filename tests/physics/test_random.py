"""Addressed random numbers: the published Philox vectors, independence of addresses, and the distributions.

Statistical tests fix their seed and reject at a false-alarm probability of 1e-6 each (``ALARM``).
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from soen_event.engine.jit import compiled
from soen_event.errors import InputError
from soen_event.physics import random
from soen_event.physics.elementary import log
from soen_event.physics.random import (
    DETECTION,
    EMISSION_TIME,
    JITTER,
    LOSS,
    PHOTON_NUMBER,
    block,
    checked_seed,
    exponential,
    log_factorial,
    normal,
    normal_quantile,
    part_key,
    philox4x32,
    poisson,
    uniform,
)

ALARM = 1e-6
SEED = 20240628
FAST = compiled(random)
PURPOSES = {name: value for name, value in vars(random).items() if name.isupper() and not name.startswith("_")}

words32 = st.integers(0, 2**32 - 1)
addresses = st.tuples(
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**48 - 1),
    st.integers(0, 2**48 - 1),
    st.integers(0, 2**8 - 1),
    st.integers(0, 2**24 - 1),
)


def sample(kernel, count, *rest, part=part_key("s1"), purpose=DETECTION):
    """``count`` draws at consecutive event ordinals of one part."""
    return np.array([kernel(SEED, part, n, purpose, 0, *rest) for n in range(count)])


# -------------------------------------------------------------------------------------------------------- the generator


def textbook_philox(counter, key):
    """The algorithm as Salmon et al. write it, on unbounded integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return tuple(c)


@pytest.mark.parametrize("kernel", [philox4x32, FAST.philox4x32], ids=["plain", "compiled"])
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_answers_of_random123(kernel, counter, key, expected):
    """The vectors ``philox4x32 10`` of Random123's kat_vectors."""
    arguments = [int(word, 16) for word in (counter + " " + key).split()]
    assert list(kernel(*arguments)) == [int(word, 16) for word in expected.split()]


@settings(deadline=None)  # the first call compiles
@given(st.tuples(words32, words32, words32, words32), st.tuples(words32, words32))
def test_products_in_halves_equal_the_textbook(counter, key):
    expected = textbook_philox(counter, key)
    assert philox4x32(*counter, *key) == expected
    assert FAST.philox4x32(*counter, *key) == expected


@given(addresses)
def test_an_address_fills_key_and_counter_without_overlap(address):
    """Every bit of the address reaches the generator, so no two addresses in range share their numbers."""
    seed, part, ordinal, purpose, draw = address
    counter = (part & 0xFFFFFFFF) | ordinal << 32 | (part >> 32) << 80 | draw << 96 | purpose << 120
    expected = textbook_philox([counter >> 32 * n & 0xFFFFFFFF for n in range(4)], [seed & 0xFFFFFFFF, seed >> 32])
    assert block(*address) == expected


# ----------------------------------------------------------------------------------- the same bits compiled, and pinned


@settings(deadline=None)  # the first call compiles
@given(addresses, st.sampled_from([0.0, 1e-3, 0.7, 5.0, 9.99, 10.0, 33.0, 1e4]))
def test_compiled_copies_give_the_same_bits(address, mean):
    for name in ("uniform", "exponential", "normal"):
        assert getattr(FAST, name)(*address) == getattr(random, name)(*address)
    assert FAST.poisson(*address, mean) == poisson(*address, mean)


def test_golden_draws():
    """The layout of an address is a promise: with the same seed these values never change between versions.

    Computed once with this file; words 0-1 of the first line are the first known answer of Random123.
    """
    assert uniform(0, 0, 0, 0, 0) == float.fromhex("0x1.989fa35785a72p-2")
    address = (0, part_key("n1"), 0, DETECTION, 0)
    assert uniform(*address) == float.fromhex("0x1.b401ffad5ce07p-1")
    assert exponential(*address) == float.fromhex("0x1.490a74bf41bf0p-3")
    assert normal(*address) == float.fromhex("0x1.0b10bc83f2126p+0")
    assert (poisson(*address, 5.0), poisson(*address, 1000.0)) == (7, 1054)
    address = (2**63 - 1, part_key("s1"), 12345, PHOTON_NUMBER, 3)
    assert uniform(*address) == float.fromhex("0x1.bd63931b847f1p-1")
    assert (poisson(*address, 5.0), poisson(*address, 1000.0)) == (8, 1041)
    assert uniform(7, 2**47 + 5, 2**40 + 1, JITTER, 2**24 - 1) == float.fromhex("0x1.a971df96c4a48p-4")


def test_part_keys_are_stable_and_apart():
    keys = [part_key(id) for id in ("n1", "d1", "", "Σ")]
    assert keys == [194136438718351, 123162434658691, 274220907289053, 196513634155318]
    many = {part_key(f"s{n}") for n in range(10_000)}
    assert len(many) == 10_000
    assert all(0 <= key < 2**48 for key in many)


def test_purposes_are_distinct_bytes():
    assert len(set(PURPOSES.values())) == len(PURPOSES) == 12
    assert all(0 < value < 256 for value in PURPOSES.values())


# -------------------------------------------------------------------------------------------------------------- uniform


@given(addresses)
def test_uniform_never_reaches_its_ends(address):
    u = uniform(*address)
    assert 0.0 < u < 1.0
    assert (u * 2.0**53) % 2.0 == 1.0


def test_extreme_words_stay_inside():
    assert random._unit(0, 0) == 2.0**-53
    assert random._unit(0xFFFFFFFF, 0xFFFFFFFF) == 1.0 - 2.0**-53
    assert 0.0 < -log(1.0 - 2.0**-53) < -log(2.0**-53) < 36.8


def test_uniform_is_uniform():
    """Chi-square over 64 cells, and the same for the low bits that a coarse histogram does not see."""
    u = sample(FAST.uniform, 40_000)
    for cells in (u * 64.0, (u * 2.0**20) % 64.0, (u * 2.0**46) % 64.0):
        counts = np.bincount(cells.astype(int), minlength=64)
        assert stats.chisquare(counts).pvalue > ALARM


def test_neighbouring_addresses_are_independent():
    """Draws that differ in one component of the address only: no correlation, and uniform pairs."""
    count = 20_000
    base = sample(FAST.uniform, count)
    others = {
        "seed": np.array([FAST.uniform(SEED + 1, part_key("s1"), n, DETECTION, 0) for n in range(count)]),
        "part": sample(FAST.uniform, count, part=part_key("s2")),
        "ordinal": np.roll(base, 1),
        "purpose": sample(FAST.uniform, count, purpose=LOSS),
        "draw": np.array([FAST.uniform(SEED, part_key("s1"), n, DETECTION, 1) for n in range(count)]),
    }
    for name, other in others.items():
        assert abs(np.corrcoef(base, other)[0, 1]) * math.sqrt(count) < stats.norm.isf(ALARM / 2), name
        pairs = np.bincount((base * 8).astype(int) * 8 + (other * 8).astype(int), minlength=64)
        assert stats.chisquare(pairs).pvalue > ALARM, name


def test_a_draw_does_not_depend_on_other_draws():
    """The defect this design excludes: a stream whose numbers move when somebody else draws first."""
    before = uniform(SEED, part_key("n1"), 3, EMISSION_TIME, 0)
    for n in range(100):
        poisson(SEED, part_key("newcomer"), n, PHOTON_NUMBER, 0, 25.0)
    assert uniform(SEED, part_key("n1"), 3, EMISSION_TIME, 0) == before


# -------------------------------------------------------------------------------------------------- other distributions


def test_exponential_distribution():
    x = sample(FAST.exponential, 40_000, purpose=EMISSION_TIME)
    assert x.min() > 0.0
    assert stats.kstest(x, stats.expon.cdf).pvalue > ALARM


def test_normal_distribution():
    x = sample(FAST.normal, 40_000, purpose=JITTER)
    assert stats.kstest(x, stats.norm.cdf).pvalue > ALARM
    assert abs(np.mean(x**4) - 3.0) < stats.norm.isf(ALARM / 2) * math.sqrt(96.0 / x.size)  # var x^4 = 105 - 9


def test_normal_quantile_against_scipy():
    tail = 10.0 ** -np.arange(1.0, 16.0)
    p = np.concatenate([np.linspace(1e-4, 0.9999, 4000), tail, 1.0 - tail])
    got = np.array([normal_quantile(float(x)) for x in p])
    np.testing.assert_allclose(got, special.ndtri(p), rtol=3e-15)
    assert normal_quantile(0.5) == 0.0


@given(st.integers(0, 2**52 - 1))
def test_normal_quantile_is_odd(n):
    u = (2 * n + 1) * 2.0**-53
    assert normal_quantile(u) == pytest.approx(-normal_quantile(1.0 - u), rel=1e-15)


def test_log_factorial_against_scipy():
    for k in [*range(300), 10_000, 10**6, 10**9]:
        assert log_factorial(k) == pytest.approx(special.gammaln(k + 1.0), rel=1e-14, abs=1e-12)


@pytest.mark.parametrize("mean", [0.05, 1.0, 5.0, 9.99, 10.0, 12.5, 40.0, 1000.0, 1e4])
def test_poisson_distribution(mean):
    """Chi-square over cells of at least 8 expected counts; 10 and above use another method than below."""
    count = 30_000
    k = sample(FAST.poisson, count, mean, purpose=PHOTON_NUMBER)
    width = max(1, int(math.sqrt(mean) / 4.0))
    edges = np.arange(0, int(mean + 10.0 * math.sqrt(mean) + 20.0), width)
    cumulative = stats.poisson.cdf(edges - 1, mean)
    expected = count * np.diff(np.append(cumulative, 1.0))
    observed = np.bincount(np.searchsorted(edges, k, side="right") - 1, minlength=edges.size)
    big = expected >= 8.0
    first, last = np.flatnonzero(big)[[0, -1]]
    expected = np.concatenate([[expected[:first].sum()], expected[first : last + 1], [expected[last + 1 :].sum()]])
    observed = np.concatenate([[observed[:first].sum()], observed[first : last + 1], [observed[last + 1 :].sum()]])
    keep = expected > 0.5
    expected, observed = expected[keep], observed[keep]
    assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > ALARM
    assert abs(k.mean() - mean) < stats.norm.isf(ALARM / 2) * math.sqrt(mean / count)


def test_poisson_at_the_ends():
    address = (SEED, part_key("s1"), 0, PHOTON_NUMBER, 0)
    assert poisson(*address, 0.0) == poisson(*address, -1.0) == poisson(*address, math.nan) == 0
    assert poisson(*address, 1e-300) == 0
    assert abs(poisson(*address, 1e8) - 1e8) < 6e4


@given(st.integers(0, 1000), st.floats(0.0, 9.9), st.floats(0.0, 0.09))
def test_poisson_by_inversion_grows_with_the_mean(ordinal, mean, more):
    """With one number and one inverse distribution function, a brighter pulse never holds fewer photons."""
    address = (SEED, part_key("s1"), ordinal, PHOTON_NUMBER, 0)
    assert poisson(*address, mean + more) >= poisson(*address, mean)


# ----------------------------------------------------------------------------------------------------------------- seed


@given(st.integers(0, 2**63 - 1))
def test_whole_numbers_are_seeds(seed):
    assert checked_seed(seed) == seed
    assert type(checked_seed(np.int64(seed))) is int


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, 1.0, "0", None, True, math.nan])
def test_other_things_are_not_seeds(seed):
    with pytest.raises(InputError, match=r"^seed: .*from 0 to 2\*\*63 - 1"):
        checked_seed(seed)
