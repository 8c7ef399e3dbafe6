"""The reader of netlists and the solver of their elements, by themselves: what they understand, closed forms, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from hardware.netlist import number, read_netlist, wrapped
from hardware.nodal import solve
from soen_event.units import Phi0

JJ = ".model jj1 jj(rtype=0, icrit=100u, cap=0.15p, rn=2.5656)\n"


def deck(body, tran=".tran 0.05p 200p", head="* a netlist\n"):
    return read_netlist(f"{head}{body}\n{tran}\n.end\n")


class TestReading:
    def test_spellings(self):
        """Case, commas, spaces, continuations, suffixes, comments, parameters before and after their use."""
        found = deck(
            "b1 n1 0 99 jj1 area=2\nL1 n1\n+ 0 LVal\nI1 0 n1 PWL( 0 0 , 10p\n+ 1e-4 )\n"
            f"# a comment\n.PARAM lval = 5p\nr1 n1 0 2.5MEGohm\nc1 n1 0 .5P\n{JJ}.save v(99) i(l1)"
        )
        values = {name: element.value for name, element in found.elements.items()}
        assert values == {"B1": 2.0, "L1": 5e-12, "R1": 2.5e6, "C1": 0.5e-12, "I1": 0.0}
        assert found.elements["B1"].nodes == ("N1", "0", "99")
        assert found.elements["I1"].wave.values == (0.0, 0.0, pytest.approx(1e-11), 1e-4)
        assert found.nodes == ("N1",)
        assert found.probes == ("V(99)", "I(L1)")
        assert (found.step, found.stop, found.sample) == (
            pytest.approx(5e-14),
            pytest.approx(2e-10),
            pytest.approx(5e-14),
        )

    def test_tran_of_both(self):
        josim = deck("L1 1 0 1p\nI1 0 1 dc 1u", ".tran 0.05p 1n 0.2n 1p")
        wrspice = deck("L1 1 0 1p\nI1 0 1 1u", ".tran 1p 1n 0.2n 0.05p uic")
        for each in (josim, wrspice):
            told = each.step, each.sample, each.stop, each.start
            assert told == tuple(pytest.approx(x) for x in (5e-14, 1e-12, 1e-9, 2e-10))
        assert (josim.dialect, wrspice.dialect) == ("josim", "wrspice")

    @settings(max_examples=200, deadline=None)
    @given(st.floats(1e-30, 1e30), st.booleans())
    def test_numbers_come_back(self, value, negative):
        value = -value if negative else value
        text = f"L1 1 0 1\nI1 0 1 dc {number(value)}"
        assert deck(text).elements["I1"].wave.values[0] == pytest.approx(value, rel=1e-11)

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=60))
    def test_long_lines_come_back(self, values):
        points = " ".join(f"{k}p {number(v)}" for k, v in enumerate(values))
        text = wrapped(f"I1 0 1 pwl({points})")
        assert all(len(line) <= 100 for line in text.splitlines())
        found = deck(f"L1 1 0 1p\n{text}").elements["I1"].wave.values
        assert found[1::2] == pytest.approx(values, rel=1e-11, abs=1e-300)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("L1 1 0", "too short"),
            ("L1 1 0 five", "'FIVE' is no number"),
            ("L1 1 0 -1p", "not above 0"),
            ("L1 1 0 1p\nL1 1 0 2p", "is there already, in line 2"),
            ("L1 1 0 1p 3", "takes 1"),
            ("Q1 1 2 3 npn", "devices Q are not understood"),
            ("X1 1 2 sub", "devices X are not understood"),
            (".subckt sub 1 2", ".subckt is not understood"),
            ("L.1 1 0 1p", "is no name"),
            ("K1 L1 L2 0.5\nL1 1 0 1p", "there is no inductor L2"),
            ("K1 L1 L2 1.5\nL1 1 0 1p\nL2 1 0 1p", "k = 1.5"),
            ("B1 1 0 nojj", "there is no model NOJJ"),
            ("B1 1 0 jj1 ics=3", "ICS=3 is not understood"),
            ("B1 1 0 2 3 jj1", "a model"),
            (".model q npn(bf=3)", "a model reads"),
            (".model j jj(rtype=1)", "rtype=1"),
            (".model j jj(icrit)", "no name=number"),
            (".model j jj(rtype=0, icrit=0)", "critical current"),
            ("I1 0 1 sin(0 1 1g)", "sin is not understood"),
            ("I1 0 1 pwl(0 0 1p)", "pwl with 3 numbers"),
            ("I1 0 1 pwl(0 0 2p 1 1p 1)", "do not ascend"),
            ("I1 0 1 exp(0 1 1p)", "exp with 3"),
            ("I1 0 1 exp(0 1 1p 0 2p 1p)", "time constants above 0"),
            ("V1 1 0 5", "has to be 0 V"),
            ("F1 0 1 L9 2", "there is no device L9"),
            ("F1 0 1 2 3 4 5", "it takes 3"),
            (".param x", "no name=number"),
            ("+ 1 2", "begins with +"),
            ("L1 1 0 1\u00b5", "beyond ASCII"),
            ("* loop d1 current=L9 phase=1*B1", "names L9, which is no device"),
            ("* loop d1 current=L9", "is damaged"),
            ("* start soon", "is damaged"),
            (".tran 1p", "needs a step and an end"),
            (".tran 5p 1p", "ascending"),
        ],
    )
    def test_broken(self, body, message):
        head = "" if body[0] == "+" else "* title\n"
        with pytest.raises(se.InputError, match=message.replace("(", r"\(").replace(".", r"\.")):
            read_netlist(f"{head}{body}\n.tran 0.05p 1n\n")

    def test_more_refusals(self):
        with pytest.raises(se.InputError, match=r"no \.tran card"):
            read_netlist("* t\nL1 1 0 1p\n")
        with pytest.raises(se.InputError, match="is not text"):
            read_netlist(3)
        with pytest.raises(se.InputError) as error:
            read_netlist("* t\n" + "\n".join(f"L{k} 1 0 x" for k in range(30)))
        assert len(error.value.faults) == 21
        assert error.value.faults[0].startswith("line 2: ")

    def test_loops_of_the_comments(self):
        found = deck(
            "* loop a.b current=L1 phase=0.5*B1+0.5*B2\n* start 1e-11\nL1 1 0 1p\nB1 1 0 jj1\nB2 1 0 jj1\n" + JJ
        )
        assert found.loop("a.b").phases == (("B1", 0.5), ("B2", 0.5))
        assert found.start == 1e-11
        with pytest.raises(se.InputError, match=r"no loop 'a\.c' in the netlist"):
            found.loop("a.c")


class TestSolving:
    """Against closed forms."""

    def test_current_of_an_inductor_beside_a_resistor(self):
        """I (1 - exp(-t R/L))."""
        traces = solve(deck("I1 0 1 dc 1u\nR1 1 0 0.1\nL1 1 2 5p\nR2 2 0 0.1\n.print i(L1)", ".tran 0.05p 300p 0 1p"))
        expected = 0.5e-6 * (1.0 - np.exp(-traces.times * 1e-9 * 0.2 / 5e-12))
        assert traces.trace("I(L1)") == pytest.approx(expected, abs=1e-11)

    @settings(max_examples=15, deadline=None)
    @given(st.floats(1e-12, 1e-10), st.floats(1e-14, 1e-12))
    def test_an_inductor_and_a_capacitor_swing(self, L, C):
        """A step of current into both: i_L = I (1 - cos(t/sqrt(LC)))."""
        end = 3.0 * 2.0 * math.pi * math.sqrt(L * C)
        step = end / 3000
        text = f"I1 0 1 dc 1u\nL1 1 0 {L!r}\nC1 1 0 {C!r}\n.print i(L1)"
        traces = solve(deck(text, f".tran {step!r} {end!r}"), step=min(1.0, max(0.001, step * 1e12)))
        expected = 1e-6 * (1.0 - np.cos(traces.times * 1e-9 / math.sqrt(L * C)))
        assert traces.trace("I(L1)") == pytest.approx(expected, abs=3e-9)

    @pytest.mark.parametrize("k", [0.1, 0.6, 0.95])
    def test_a_transformer(self, k):
        """A ring coupled to a driven coil keeps its flux: i_2 = -k sqrt(L_1/L_2) i_1, and the coil's inductance is 1 - k^2 of it."""
        text = f"I1 0 1 pwl(0 0 100p 1u)\nL1 1 0 20p\nL2 2 0 5p\nL3 2 0 3p\nK1 L1 L2 {k}\n.print i(L2) p(1) i(L1)"
        traces = solve(deck(text))
        i1 = traces.trace("I(L1)")
        assert traces.trace("I(L2)") == pytest.approx(-k * math.sqrt(20.0 * 5.0) / 8.0 * i1, abs=1e-15)
        screened = 20e-12 * (1.0 - k * k * 5.0 / 8.0)
        assert traces.trace("P(1)") == pytest.approx(2.0 * math.pi / Phi0 * screened * i1, abs=1e-12)

    @pytest.mark.parametrize("source", ["F1 0 3 2 4 -2.5", "F1 0 3 L1 -2.5", "F1 0 3 V1 -2.5"])
    def test_controlled_sources_of_both_forms(self, source):
        short = "V1 2 4 0" if source.split()[3] == "V1" else ("R9 2 4 1e-9" if "L1" in source else "")
        text = f"I1 0 1 pwl(0 0 100p 1u)\nL1 1 2 5p\nL2 4 0 5p\n{source}\nL3 3 0 2p\n{short}\n.print i(L1) i(L3)"
        traces = solve(deck(text))
        assert traces.trace("I(L3)") == pytest.approx(-2.5 * traces.trace("I(L1)"), abs=1e-15)

    def test_a_junction(self):
        """Static: sin d = i. Running, strongly shunted: <v> = R sqrt(I^2 - I_c^2)."""
        model = ".model jj1 jj(rtype=0, icrit=100u, cap=0.05p, rn=1)\n"
        traces = solve(deck(f"I1 0 1 pwl(0 0 100p 60u)\nB1 1 0 jj1\n{model}.print p(B1)"))
        assert traces.trace("P(B1)")[-1] == pytest.approx(math.asin(0.6), abs=1e-6)
        traces = solve(deck(f"I1 0 1 dc 150u\nB1 1 0 jj1\n{model}.print p(B1)", ".tran 0.02p 500p"))
        phase, t = traces.trace("P(B1)"), traces.times * 1e-9
        some = t > 1e-10
        turns = np.floor(phase[some] / (2.0 * math.pi))
        at = t[some][np.flatnonzero(np.diff(turns)) + 1]
        rate = (len(at) - 1) / (at[-1] - at[0])
        assert rate * Phi0 == pytest.approx(math.sqrt(150e-6**2 - 100e-6**2), rel=2e-3)

    def test_shunts_inside_and_outside_are_the_same(self):
        josim = f"B1 1 0 jj1\nI1 0 1 pwl(0 0 50p 150u)\n{JJ}.print p(B1)"
        wrspice = "* dialect wrspice\nB1 1 0 7 jj1 area=0.1\nR1 1 0 2.5656\nI1 0 1 pwl(0 0 50p 150u)\n"
        wrspice += ".model jj1 jj(rtype=0, icrit=1m, cap=1.5p)\n.save v(7)"
        a, b = solve(deck(josim)), solve(deck(wrspice, ".tran 0.05p 200p 0 0.05p uic"))
        assert b.trace("P(B1)") == pytest.approx(a.trace("P(B1)"), abs=1e-6)
        assert a.trace("P(B1)")[-1] > 10.0

    def test_order_of_the_method(self):
        text = f"B1 1 0 jj1\nL1 1 0 20p\nI1 0 1 exp(0 300u 0 20p 1 20p)\n{JJ}.print p(B1)"

        def end(step):
            return solve(deck(text, f".tran {step}p 64p")).trace("P(B1)")[-1]

        truth = end(0.0125)
        errors = [abs(end(step) - truth) for step in (0.4, 0.2, 0.1)]
        orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
        assert orders.mean() == pytest.approx(4.0, abs=0.4)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("B1 1 0 jj1\nB2 1 0 jj1\n" + JJ, "no single solution"),
            ("L1 1 2 1p\nI1 1 2 dc 1u", "no single solution"),
            ("L1 1 0 1p\nI1 0 2 dc 1u\nI2 2 0 dc 1u", "no single solution"),
            ("L1 1 0 1p\nI1 0 1 dc 1u\n.print p(B7)", "nothing that P\\(B7\\) could record"),
            ("L1 1 0 1p\nI1 0 1 gauss(1u 0 1p 0)", "thermal noise"),
            ("L1 1 0 1p\nI1 0 1 dc 1u\n.temp 4.2", "thermal noise"),
            ("C1 1 0 1p\nF1 0 2 C1 3\nL2 2 0 1p\nI1 0 1 dc 1u\n.print i(C1)", "is not recorded here"),
        ],
    )
    def test_refusals(self, body, message):
        with pytest.raises(se.InputError, match=message):
            solve(deck(body))

    def test_nonsense(self):
        with pytest.raises(se.InputError, match="is not a Netlist"):
            solve("L1 1 0 1p")
        good = deck("L1 1 0 1p\nI1 0 1 dc 1u\n.print i(L1)")
        for how in ({"step": 0.0}, {"step": "x"}, {"sample": -1.0}, {"step": math.nan}):
            with pytest.raises(se.InputError, match=r"solve\."):
                solve(good, **how)
        with pytest.raises(se.InputError, match="too many"):
            solve(read_netlist(good.text.replace("200p", "1")), step=0.001, sample=0.001)
