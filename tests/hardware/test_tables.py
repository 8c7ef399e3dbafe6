"""Rate tables: generated, written, read, repaired, compared with junctions, and run on by both engines."""

import json
import math
import os
import time

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import soen_event as se
from hardware import circuit, tables
from hardware.tables import RateTable, export, generate, read_foreign
from soen_event import cli
from soen_event.engine.jit import compile_function
from soen_event.physics import family, rate_table, rtti, source, squid, tablefile

HALF_PI = math.pi / 2


@pytest.fixture(scope="module")
def ri():
    return generate()


@pytest.fixture(scope="module")
def line():
    return generate(kind="rtti")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A short RTTI family of another device."""
    return generate(kind="rtti", biases=[1.9, 1.95], beta_c=0.5)


# ---------------------------------------------------------------------------------------------------- generating


class TestGenerate:
    def test_ri_is_the_engines_table(self, ri):
        mine, engines = ri.source(), source.ri_table(se.Device())
        for one, other in zip(mine, engines, strict=True):
            assert np.array_equal(one, other)
        assert ri.rate(0.5, 1.26) == pytest.approx(0.259, abs=1e-3)  # physics.md 2.4
        assert ri.threshold([0.0, 0.2, 0.5]) == pytest.approx([2.0, 1.7391, 1.0472], abs=6e-5)  # physics.md 2.2

    def test_unequal_arms_shift_the_threshold(self):
        table = generate(beta_1=1.8, beta_2=2 * HALF_PI - 1.8)
        phi = np.linspace(-0.6, 0.6, 25)
        assert table.threshold(phi) == pytest.approx(squid.critical_current(phi, 1.8, 2 * HALF_PI - 1.8), abs=1e-5)

    def test_rtti_is_the_engines_table(self, line):
        for one, other in zip(line.source(2.0123), source.rtti_table(2.0123), strict=True):
            assert np.array_equal(one, other)
        assert line.threshold([0.25, 0.35, 0.483], ib=2.0) == pytest.approx([0.576, 1.296, 1.141], abs=1.5e-3)
        assert line.rate(0.35, [0.0, 0.97, 1.3], ib=2.0) == pytest.approx([0.283, 0.159, 0.0], abs=1.5e-3)

    def test_a_new_bias_costs_milliseconds(self, line):
        line.source(2.2001)
        start = time.process_time()
        for ib in (1.6201, 1.8802, 2.1103, 2.4404):
            source._rtti_table.__wrapped__(ib, 0.3, HALF_PI, HALF_PI)
        assert (time.process_time() - start) / 4 < 0.4  # 60 ms on a quiet core

    def test_another_device(self, small):
        """Against direct integration of the four junctions, at a bias in between."""
        integrate = compile_function(rtti.line_rate, persistent=True)
        constants = np.array([2 / math.pi, 2 / math.pi, 1 / math.pi, 1 / math.pi, 1.93, 0.35, 0.70, 2.0])
        error = []
        for phi in np.linspace(0.27, 0.57, 16):
            s = 0.4 * float(rtti.saturation(phi, 1.93))
            start = np.append(np.zeros(8), -1.0)
            error.append(small.rate(phi, s, ib=1.93) - integrate(start, s, phi, constants, 0.1, 1e-6, 5e4))
        assert np.abs(error).max() < 0.01 and np.sqrt(np.mean(np.square(error))) < 3e-3
        assert small.parameters["beta_c"] == 0.5 and small.biases == (1.9, 1.95)

    def test_threads_and_progress(self, small):
        told = []
        again = generate(
            kind="rtti",
            biases=[1.9, 1.95],
            beta_c=0.5,
            workers=2,
            progress=lambda done, whole: told.append((done, whole)),
        )
        assert again == small
        assert told[-1][0] == told[-1][1] > 50 and [t for t, _ in told] == sorted(t for t, _ in told)

    def test_ri_progress(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SOEN_CACHE_DIR", str(tmp_path))
        axes = {"n_a": 6, "n_y": 6, "a_bend": 0.15, "y_bend": 0.03, "u_max": 2.2, "n_level": 16}
        monkeypatch.setattr(source, "_AXES", axes)
        told = []
        one = generate(beta_c=0.41, progress=lambda *now: told.append(now))
        assert told[-1] == (7.0, 7.0)
        told.clear()
        assert generate(beta_c=0.41, progress=lambda *now: told.append(now), workers=2) == one
        assert told == []  # it was kept
        (kept,) = tmp_path.iterdir()
        kept.unlink()
        assert generate(beta_c=0.41, workers=2) == one

    @pytest.mark.parametrize(
        ("how", "message"),
        [
            ({"kind": "rttl"}, r"kind: 'rttl' is not known \(did you mean 'rtti'\?\)"),
            ({"beta_c": 0.0}, "beta_c: 0.0 is not from 0.01 to 100"),
            ({"beta_1": "wide"}, "beta_1: 'wide' is not from"),
            ({"beta_2": math.nan}, "beta_2: nan is not from"),
            ({"kind": "rtti", "beta_4": -1}, "beta_4: -1 is not from"),
            ({"kind": "rtti", "ib_3": 9.0}, "ib_3: 9.0 is not from -1 to 2"),
            ({"workers": 0}, "workers: 0 is not a whole number"),
            ({"workers": True}, "workers: True"),
            ({"biases": [1.8]}, "biases: an RI table serves every bias"),
            ({"kind": "rtti", "biases": [2.0]}, "are not two or more ascending"),
            ({"kind": "rtti", "biases": [2.0, 1.9]}, "are not two or more ascending"),
            ({"kind": "rtti", "biases": "all"}, "are not two or more ascending"),
            ({"device": 0.95}, "device: float is no Device"),
        ],
    )
    def test_nonsense(self, how, message):
        with pytest.raises(se.InputError, match=message):
            generate(**how)

    def test_all_faults_at_once(self):
        with pytest.raises(se.InputError) as caught:
            generate(kind="x", beta_c=-1, workers="many")
        assert len(caught.value.faults) == 3


class TestShipped:
    def test_files_are_small_whole_and_quick(self):
        folder = os.path.dirname(source.__file__)
        sizes = [os.path.getsize(os.path.join(folder, f"default_{name}.npz")) for name in ("ri", "rtti")]
        assert sum(sizes) < 1_000_000
        for name in ("ri", "rtti"):
            start = time.process_time()
            parameters, _ = tablefile.read(os.path.join(folder, f"default_{name}.npz"))
            assert time.process_time() - start < 0.25
            assert parameters["kind"] == name and parameters["beta_c"] == 0.3

    def test_rtti_is_what_the_generator_makes(self):
        """Columns of the shipped family, integrated again; its folds and edges, found again without it."""
        kept = source.shipped_family()
        integrate = compile_function(rtti.line_rate, persistent=True)
        rng = np.random.default_rng(5)
        for k in (0, 13, 25, 32):
            ib = float(kept.ib[k])
            constants = np.array([2 / math.pi, 2 / math.pi, 1 / math.pi, 1 / math.pi, ib, 0.35, 0.70, 1 / 0.3])
            for column in rng.integers(kept.start[k], kept.start[k + 1], 3):
                phi = float(kept.phi[column])
                top = float(rtti.saturation(phi, ib))
                for j in (12, 30, 47):
                    start = np.append(np.zeros(8), -1.0)
                    r = integrate(start, top - kept.a[j] ** 2, phi, constants, 0.1, 1e-7, 5e4)
                    assert kept.rate[j, column] == pytest.approx(r, rel=2e-3, abs=2e-5), (ib, phi, j)
            found = rtti.folds(np.arange(400) / 400, ib)
            assert rtti.saturation(np.arange(400) / 400, ib) == pytest.approx(found.s[:, 0], abs=1e-6)
            at = int(np.argmin(np.abs(kept.edge_ib - ib)))
            assert kept.edges[at] == pytest.approx(rtti.edges_of(float(kept.edge_ib[at]), rtti.Line()), abs=1e-4)

    def test_every_bias_of_the_row_is_its_own_table(self):
        """At a bias of the row nothing is interpolated in the bias."""
        kept = source.shipped_family()
        both = family.sampled(kept, float(kept.ib[20]))
        alone = family.sampled(kept._replace(ib=kept.ib), float(np.nextafter(kept.ib[20], 3.0)))
        assert np.abs(both["rate"] - alone["rate"]).max() < 1e-6


# ---------------------------------------------------------------------------------------------------- files


class TestFiles:
    @pytest.mark.parametrize("ending", ["npz", "h5", "hdf5"])
    def test_round_trip(self, ri, line, tmp_path, ending):
        for table in (ri, line):
            path = tmp_path / f"t.{ending}"
            assert table.save(path) == table.checksum
            again = RateTable.load(path)
            assert again == table and again.parameters == table.parameters and "RateTable" in repr(again)
            assert os.listdir(tmp_path) == [f"t.{ending}"]

    def test_the_checksum_is_that_of_the_contents(self, ri, tmp_path):
        assert ri.save(tmp_path / "t.npz") == ri.save(tmp_path / "t.h5")
        other = RateTable({**ri.parameters, "beta_c": 0.31}, ri.arrays)
        assert other.checksum != ri.checksum and other != ri
        rate = ri.arrays["rate"].copy()
        rate[3, 3] = np.nextafter(rate[3, 3], 1.0)
        assert RateTable(ri.parameters, {**ri.arrays, "rate": rate}) != ri

    @pytest.mark.parametrize("ending", ["npz", "h5"])
    def test_broken_files(self, ri, tmp_path, ending):
        path = tmp_path / f"t.{ending}"
        ri.save(path)
        whole = path.read_bytes()
        for at in np.linspace(0, len(whole) - 1, 60).astype(int).tolist():
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
            told = ""
            try:  # a byte that says nothing may be any
                same = RateTable.load(path) == ri
            except se.InputError as error:
                same, told = False, str(error)
            assert same or (str(path) in told and "\n" not in told)
        for part in (0, 10, len(whole) // 2, len(whole) - 3):
            path.write_bytes(whole[:part])
            with pytest.raises(se.InputError, match=r"can not be read|is not a rate table|is damaged"):
                RateTable.load(path)

    def test_files_that_are_something_else(self, tmp_path):
        np.savez(tmp_path / "plain.npz", phi=np.zeros(3))
        with h5py.File(tmp_path / "plain.h5", "w") as file:
            file["phi"] = np.zeros(3)
        np.save(tmp_path / "one.npy", np.zeros(3))
        (tmp_path / "one.npy").rename(tmp_path / "one.npz")
        for name in ("plain.npz", "plain.h5", "one.npz"):
            with pytest.raises(se.InputError, match="is not a rate table of this library; `soen table --from"):
                RateTable.load(tmp_path / name)
        with pytest.raises(se.InputError, match="there is no file"):
            RateTable.load(tmp_path / "nothing.npz")

    def test_a_later_version(self, ri, tmp_path, monkeypatch):
        monkeypatch.setattr(tablefile, "VERSION", 2)
        ri.save(tmp_path / "t.npz")
        monkeypatch.undo()
        with pytest.raises(se.InputError, match="is of version 2, this library reads version 1"):
            RateTable.load(tmp_path / "t.npz")

    def test_places_that_cannot_be_written_to(self, ri, tmp_path):
        with pytest.raises(se.InputError, match="does not end in"):
            ri.save(tmp_path / "t.csv")
        with pytest.raises(se.InputError, match="there is no folder"):
            ri.save(tmp_path / "nowhere" / "t.npz")

    def test_contents_are_judged(self, ri):
        for change, message in (
            ({"rate": ri.arrays["rate"][:-1]}, "rate: has shape"),
            ({"rate": np.full(ri.arrays["rate"].shape, np.nan)}, "rate: holds values that are not finite"),
            ({"gain": np.array(["a"])}, "gain: holds values that are not finite"),
        ):
            with pytest.raises(se.InputError, match=message):
                RateTable(ri.parameters, {**ri.arrays, **change})
        with pytest.raises(se.InputError, match="level: is missing"):
            RateTable(ri.parameters, {k: v for k, v in ri.arrays.items() if k != "level"})
        with pytest.raises(se.InputError, match="kind is 'ri' or 'rtti'"):
            RateTable({"kind": "pri"}, {})


class TestLookingUp:
    def test_shapes(self, ri, line):
        assert ri.rate(np.zeros((3, 1)), np.ones(4)).shape == (3, 4)
        assert np.ndim(ri.rate(0.3, 1.8)) == 0 and ri.threshold(np.zeros((2, 2))).shape == (2, 2)
        assert line.rate(0.3, [0.0, 0.1], ib=2).shape == (2,)

    @pytest.mark.parametrize("ib", [None, 1.4, 2.7, "2.0", math.nan])
    def test_a_bias_that_is_not_there(self, line, ib):
        for call in (lambda: line.rate(0.3, 0.1, ib), lambda: line.threshold(0.3, ib), lambda: line.source(ib)):
            with pytest.raises(se.InputError, match=r"is not in this table, which holds ib from 1\.5 to 2\.65"):
                call()

    def test_values_that_are_not_numbers(self, ri):
        for arguments in ((math.nan, 1.0), (0.1, [1.0, math.inf])):
            with pytest.raises(se.InputError, match="not finite"):
                ri.rate(*arguments)

    def test_compare(self, ri, line):
        same = ri.compare(ri)
        assert (same["rms"], same["max"], same["threshold"]) == (0.0, 0.0, 0.0)
        other = ri.compare(generate(se.Device(source="table", beta_c=0.3, beta_1=1.8, beta_2=2 * HALF_PI - 1.8)))
        assert other["threshold"] > 0.05 and other["max"] > other["rms"] > other["rms_away"] > 1e-3
        with pytest.raises(se.InputError, match="is no table of kind 'ri'"):
            ri.compare(line)

    def test_pictures(self, ri, line, tmp_path):
        left, right = ri.plot(tmp_path / "ri.png")
        assert left.get_title(loc="left").startswith("RI") and len(right.lines) == 5
        line.plot(tmp_path / "rtti.svg", ib=1.7)
        assert {p.name for p in tmp_path.iterdir()} == {"ri.png", "rtti.svg"}
        with pytest.raises(se.InputError, match="exists already"):
            ri.plot(tmp_path / "ri.png")
        ri.plot(tmp_path / "ri.png", overwrite=True)


# ---------------------------------------------------------------------------------------------------- foreign tables

# Layout, ending, and errors to the table that was exported on 51 x 63 points, 0.025 apart in current: rms and largest more than 0.05 above
# threshold, rms anywhere, threshold.
ROUND_TRIPS = [
    ("long", "csv"),
    ("matrix", "csv"),
    ("long", "npz"),
    ("matrix", "h5"),
    ("toolkit", "npz"),
    ("toolkit", "h5"),
]


class TestForeign:
    @pytest.mark.parametrize(("layout", "ending"), ROUND_TRIPS)
    def test_round_trip(self, ri, tmp_path, layout, ending):
        path = tmp_path / f"t.{ending}"
        export(ri, path, layout=layout)
        error = ri.compare(read_foreign(path))
        assert error["rms_away"] < 1.5e-4 and error["max_away"] < 3e-3
        assert error["rms"] < 1e-3 and error["max"] < 0.04 and error["threshold"] < 6e-3

    def test_the_toolkits_own_grid(self, ri, tmp_path):
        """physics.md 2.4: 201 fluxes, 201 currents; twelve times as fine at the onset as the table's own step would give."""
        phi, current = 0.0025 * np.arange(201), 0.95 + 0.00775 * np.arange(201)
        export(ri, tmp_path / "t.npz", layout="toolkit", phi=phi, current=current)
        found = read_foreign(tmp_path / "t.npz")
        error = ri.compare(found)
        assert error["rms"] < 2e-4 and error["max"] < 5e-3 and error["threshold"] < 1e-3
        # Bilinear interpolation of the same numbers smears the onset:
        from scipy.interpolate import RegularGridInterpolator

        rate = ri.rate(*np.meshgrid(phi, current))
        plain = RegularGridInterpolator((current, phi), rate)
        points = np.array([(float(ri.threshold(x)) + 0.002, x) for x in np.linspace(0.01, 0.45, 40)])
        exact = ri.rate(points[:, 1], points[:, 0])
        mine = np.abs(found.rate(points[:, 1], points[:, 0]) - exact).mean()
        assert mine < 0.3 * np.abs(plain(points) - exact).mean()

    @pytest.mark.parametrize("ending", ["csv", "npz", "h5"])
    def test_filling_loops(self, ri, tmp_path, ending):
        """As sim_soens tabulates (physics.md 2.5): at one bias, from an empty loop to saturation, only where it runs."""
        path = tmp_path / f"t.{ending}"
        export(ri, path, layout="filling", ib=1.8)
        found = read_foreign(path)
        assert any("below flux 0.18 nothing was measured" in note for note in found.notes)
        phi = np.linspace(0.2, 0.5, 31)
        assert found.threshold(phi) == pytest.approx(ri.threshold(phi), abs=3e-3)
        for s in (0.0, 0.05, 0.2):
            assert found.rate(phi, 1.8 - s) == pytest.approx(ri.rate(phi, 1.8 - s), abs=0.012)
        low = np.linspace(0.0, 0.18, 19)  # nothing measured there: thresholds of the static SQUID
        assert found.threshold(low) == pytest.approx(ri.threshold(low), abs=5e-3)

    def test_ragged_shuffled_points(self, ri, tmp_path):
        rng = np.random.default_rng(2)
        rows = []
        for phi in [*np.sort(rng.uniform(0.0, 0.5, 40)).tolist(), 0.0, 0.5]:
            i = np.sort(rng.uniform(0.9, 2.5, rng.integers(60, 90)))
            rows += [(phi, x, r) for x, r in zip(i, ri.rate(phi, i), strict=True)]
        rng.shuffle(rows)
        with open(tmp_path / "t.csv", "w") as file:
            file.write("# measured on Tuesday\nFlux; Current; Rate; comment\n")
            file.writelines(f"{a!r}; {b!r}; {c!r}; 1\n" for a, b, c in [tuple(map(float, row)) for row in rows])
        error = ri.compare(read_foreign(tmp_path / "t.csv"))
        assert error["rms_away"] < 2e-3 and error["threshold"] < 0.02

    @settings(max_examples=15)
    @given(noise=st.floats(0.0, 2e-3), seed=st.integers(0, 99))
    def test_noise_is_survived(self, ri, tmp_path_factory, noise, seed):
        phi, i = np.linspace(0, 0.5, 26), np.linspace(0.95, 2.5, 125)
        rate = ri.rate(*np.meshgrid(phi, i))
        rate += np.random.default_rng(seed).normal(0.0, noise, rate.shape)
        path = tmp_path_factory.mktemp("noise") / "t.npz"
        np.savez(path, phi=phi, i=i, r=rate)
        error = ri.compare(read_foreign(path))
        assert error["rms_away"] < 1e-3 + 2 * noise
        assert error["threshold"] < 0.03

    def test_both_signs_of_the_flux(self, ri, tmp_path):
        phi = np.linspace(-1.0, 1.0, 81)
        export(ri, tmp_path / "t.npz", layout="matrix", phi=phi)
        found = read_foreign(tmp_path / "t.npz")
        assert ri.compare(found)["rms_away"] < 3e-4
        assert any("folded into half a period" in note for note in found.notes)
        export(ri, tmp_path / "u.npz", layout="matrix", phi=phi)
        stored = dict(np.load(tmp_path / "u.npz"))
        np.savez(tmp_path / "u.npz", **{**stored, "phi": stored["phi"] + 0.05})
        with pytest.raises(se.InputError, match="rates at mirrored fluxes differ"):
            read_foreign(tmp_path / "u.npz")

    def test_unequal_arms_that_are_known(self, tmp_path):
        device = se.Device(beta_1=1.7, beta_2=2 * HALF_PI - 1.7)
        table = generate(device)
        export(table, tmp_path / "t.npz", phi=np.linspace(-0.5, 0.5, 201), current=np.linspace(0.95, 2.5, 125))
        found = read_foreign(tmp_path / "t.npz", device=device)
        assert table.compare(found)["rms_away"] < 4e-3
        assert found.parameters["beta_1"] == 1.7

    def test_repairs_are_told(self, ri, tmp_path):
        phi, i = np.linspace(0, 0.5, 26), np.linspace(0.95, 2.5, 63)
        rate = ri.rate(*np.meshgrid(phi, i))
        rate[10, 5] = math.nan
        rate[0, 3] = -0.0088  # physics.md 2.4: the toolkit's lowest
        rate[60, 7] -= 0.02
        np.savez(tmp_path / "t.npz", phi=phi, i=i, r=rate)
        found = read_foreign(tmp_path / "t.npz")
        notes = " ".join(found.notes)
        assert (
            "1 points that are not numbers" in notes and "1 rates slightly below zero" in notes and "levelled" in notes
        )
        assert ri.compare(found)["rms_away"] < 2e-3

    def test_names(self, ri, tmp_path):
        phi, i = np.linspace(0, 0.5, 26), np.linspace(0.95, 2.5, 63)
        rate = ri.rate(*np.meshgrid(phi, i))
        np.savez(tmp_path / "t.npz", fluss=phi, strom=i, tempo=rate.T)  # [flux, current] is told by its shape
        found = read_foreign(tmp_path / "t.npz", names={"phi": "fluss", "i": "strom", "r": "tempo"})
        assert ri.compare(found)["rms_away"] < 3e-4
        with pytest.raises(se.InputError) as caught:
            read_foreign(tmp_path / "t.npz")
        assert len(caught.value.faults) == 3 and "it has fluss, strom, tempo" in str(caught.value)
        with pytest.raises(se.InputError, match=r"there is no 'flus'.*did you mean 'fluss'"):
            read_foreign(tmp_path / "t.npz", names={"phi": "flus", "i": "strom", "r": "tempo"})

    def test_a_pickle_is_refused(self, tmp_path):
        ragged = np.empty(2, dtype=object)
        ragged[:] = [[1.0], [1.0, 2.0]]
        np.savez(tmp_path / "t.npz", phi=ragged, s=ragged, r=ragged)
        with pytest.raises(se.InputError, match="is a pickled object, which could run code"):
            read_foreign(tmp_path / "t.npz", ib=1.8)
        (tmp_path / "t.soen").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
        with pytest.raises(se.InputError, match="a pickle runs code"):
            read_foreign(tmp_path / "t.soen")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda p, i, r: (p, i, r * math.nan), "are not numbers; too many to leave out"),
            (lambda p, i, r: (p, i, -r), "is negative"),
            (lambda p, i, r: (p, i, r[::-1]), "the rate falls by .* make it grow"),
            (lambda p, i, r: (p, 100 * i, r), "currents reach 250; they are in units of I_c"),
            (lambda p, i, r: (2 * math.pi * 10 * p, i, r), "they are in Phi0, of order 1"),
            (lambda p, i, r: (p, i, 124 * r), "rates reach 110.043; r = 2 pi f tau_0 is of order 1"),
            (lambda p, i, r: (p, i, 1e-3 * r), "no rate is above"),
            (lambda p, i, r: (p[:15], i, r[:, :15]), "fluxes end at 0.28 Phi0; half a quantum must be reached"),
            (lambda p, i, r: (p[20:], i, r[:, 20:]), "they must begin at 0.35 or below"),
            (lambda p, i, r: (p[::8], i, r[:, ::8]), "4 fluxes have an onset"),
            (lambda p, i, r: (p, i[:30], r), "rates must be those of 30 currents and 26 fluxes"),
            (lambda p, i, r: (p[:3], i[:3], r[:3, :3]), "9 points are too few"),
        ],
    )
    def test_tables_that_cannot_be(self, ri, tmp_path, change, message):
        phi, i = np.linspace(0, 0.5, 26), np.linspace(0.95, 2.5, 63)
        p, c, r = change(phi, i, ri.rate(*np.meshgrid(phi, i)))
        np.savez(tmp_path / "t.npz", phi=p, i=c, r=r)
        with pytest.raises(se.InputError, match=message):
            read_foreign(tmp_path / "t.npz")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "holds 0 lines"),
            ("phi,i,r\n", "holds 1 lines"),
            ("0.1,1.5,0.2\n0.2,1.5,0.3\n", "has no header"),
            ("phi,i,r\n0.1,1.5,0.2\n0.2,1.5\n", "line 3 .*has 2 cells, the header 3"),
            ("phi,current\n0.1,1.5\n0.2,1.5\n", "there is no r"),
            ("phi,s,r\n0.1,0.0,0.2\n0.2,0.0,0.3\n", "gives no bias; give ib="),
            ("phi,i,r\na,b,c\nd,e,f\n", "are not numbers"),
        ],
    )
    def test_csv_that_is_none(self, tmp_path, text, message):
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(se.InputError, match=message):
            read_foreign(tmp_path / "t.csv")

    def test_other_files(self, tmp_path):
        (tmp_path / "t.npz").write_bytes(b"PK\x03\x04 nothing")
        (tmp_path / "t.h5").write_bytes(b"\x89HDF nothing")
        (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00\x01")
        for name in ("t.npz", "t.h5", "t.csv"):
            with pytest.raises(se.InputError, match=r"cannot be read|holds"):
                read_foreign(tmp_path / name)
        with pytest.raises(se.InputError, match=r"there is no file .*did you mean 't\.h5'|did you mean"):
            read_foreign(tmp_path / "t.h6")
        with pytest.raises(se.InputError) as caught:
            read_foreign(tmp_path / "t.npz", kind="x", ib=-1, noise="loud", names={"phase": "p"})
        assert len(caught.value.faults) == 4

    def test_rtti(self, line, tmp_path):
        """Exported at two biases on a grid of 0.01 Phi0, read back: within its steep edges the grid tells no more."""
        parts = []
        for ib in (2.0, 2.05):
            export(line, tmp_path / "one.npz", layout="long", ib=ib)
            parts.append(dict(np.load(tmp_path / "one.npz")))
        np.savez(tmp_path / "t.npz", **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        found = read_foreign(tmp_path / "t.npz", kind="rtti")
        assert found.biases == (2.0, 2.05)
        for ib in (2.0, 2.025, 2.05):
            phi = np.array([0.28, 0.31, 0.37, 0.40, 0.48, 0.52, 0.55])
            assert found.threshold(phi, ib) == pytest.approx(line.threshold(phi, ib), abs=0.02)
            for s in (0.0, 0.3, 0.8):
                assert found.rate(phi, s, ib) == pytest.approx(line.rate(phi, s, ib), abs=0.012)
            error = line.compare(found, ib=ib)
            assert error["rms_away"] < 1.2e-2
            assert found.rate([0.0, 0.15, 0.21, 0.7, 0.9], 0.0, ib) == pytest.approx(0.0, abs=0.0)
        with pytest.raises(se.InputError, match=r"which holds ib from 2 to 2\.05"):
            found.rate(0.3, 0.0, ib=1.9)

    def test_export_refuses(self, ri, line, tmp_path):
        for table, how, message in (
            (ri, {"layout": "wide"}, "layout: 'wide' is not known"),
            (ri, {"layout": "filling"}, "needs a bias"),
            (line, {"layout": "toolkit", "ib": 2.0}, "'toolkit' is for RI tables"),
            (line, {}, "is not in this table"),
        ):
            with pytest.raises(se.InputError, match=message):
                export(table, tmp_path / "t.npz", **how)
        with pytest.raises(se.InputError, match="does not end in"):
            export(ri, tmp_path / "t.xlsx")
        assert os.listdir(tmp_path) == []


# ---------------------------------------------------------------------------------------------------- running on it


def one(device, kind="ri", **more):
    with se.Network(device=device) as net:
        se.Synapse("s", "d")
        se.Dendrite("d", kind=kind, beta_over_2pi=100.0, tau=50.0, **more)
    return net


@pytest.fixture(scope="module")
def slower(ri, tmp_path_factory):
    """A table whose rates are half of the junctions'."""
    path = tmp_path_factory.mktemp("tables") / "slower.npz"
    RateTable(
        {**ri.parameters, "form": "samples", "beta_c": None}, {**ri.arrays, "rate": 0.5 * ri.arrays["rate"]}
    ).save(path)
    return path


class TestRunning:
    def test_both_engines_run_on_it(self, slower):
        net, photons = one(se.Device(rate_table=str(slower)), ib=1.8), {"s": [2.0]}
        runs = [se.simulate(net, photons, 20.0, engine=engine) for engine in ("compiled", "reference")]
        assert np.array_equal(runs[0].fluxons["d"], runs[1].fluxons["d"])
        usual = se.simulate(one(se.Device(), ib=1.8), photons, 20.0)
        spacing = [float(np.diff(run.fluxons["d"][:10]).mean()) for run in (usual, runs[0])]
        assert spacing[1] == pytest.approx(2.0 * spacing[0], rel=0.1)

    def test_the_same_table_gives_the_same_run(self, ri, line, tmp_path):
        for table, kind, ib in ((ri, "ri", 1.8), (line, "rtti", 2.0)):
            table.save(tmp_path / "t.h5")
            runs = [
                se.simulate(one(device, kind, ib=ib), {"s": [2.0]}, 30.0)
                for device in (se.Device(), se.Device(rate_table=str(tmp_path / "t.h5")))
            ]
            assert len(runs[0].fluxons["d"]) > 20
            assert np.array_equal(runs[0].fluxons["d"], runs[1].fluxons["d"])

    def test_a_table_serves_its_own_kind_only(self, slower):
        device = se.Device(rate_table=str(slower))
        assert np.array_equal(source.rtti_table(2.0, device).cells, source.rtti_table(2.0).cells)
        assert not np.array_equal(source.ri_table(device).cells, source.ri_table(se.Device()).cells)

    def test_a_foreign_table_of_junctions_gives_the_run_of_junctions(self, ri, tmp_path):
        export(ri, tmp_path / "t.csv", phi=np.linspace(0, 0.5, 101), current=np.linspace(0.95, 2.5, 156))
        read_foreign(tmp_path / "t.csv").save(tmp_path / "t.npz")
        photons = {"s": [2.0, 30.0]}
        for resolution in ("fluxon", "flow"):
            runs = [
                se.simulate(one(device, ib=1.7), photons, 60.0, resolution=resolution, record=("currents",))
                for device in (se.Device(), se.Device(rate_table=str(tmp_path / "t.npz")))
            ]
            t = np.linspace(0.0, 60.0, 601)
            s, again = (run.current("d", t) for run in runs)
            assert ((s - again) ** 2).sum() / (s**2).sum() < 1e-5
            assert abs(runs[0].fluxon_count["d"] - runs[1].fluxon_count["d"]) <= 1

    def test_a_network_file_names_it_beside_itself(self, slower, tmp_path):
        folder = tmp_path / "a"
        folder.mkdir()
        RateTable.load(slower).save(folder / "t.npz")
        text = "soen: 1\ndevice: {rate_table: t.npz}\nsynapses: [{id: s, target: d}]\ndendrites: [{id: d}]\n"
        (folder / "net.yaml").write_text(text)
        net = se.Network.load(folder / "net.yaml")
        assert net.device.rate_table_checksum == RateTable.load(slower).checksum
        assert len(se.simulate(net, {"s": [1.0]}, 5.0).fluxons["d"]) > 5
        for name in ("again.yaml", "again.json"):
            net.save(folder / name)
            assert "t.npz" in (folder / name).read_text() and str(folder) not in (folder / name).read_text()
            assert se.Network.load(folder / name) == net
        net.save(tmp_path / "up.yaml")
        assert "a/t.npz" in (tmp_path / "up.yaml").read_text()

    def test_a_missing_or_damaged_table_is_told_with_its_line(self, slower, tmp_path):
        text = "soen: 1\ndevice:\n  beta_c: 0.3\n  rate_table: t.npz\ndendrites: [{id: d}]\n"
        (tmp_path / "net.yaml").write_text(text)
        with pytest.raises(se.InputError, match=r"net\.yaml:4: device\.rate_table: there is no file .*t\.npz"):
            se.Network.load(tmp_path / "net.yaml")
        whole = slower.read_bytes()
        (tmp_path / "t.npz").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(se.InputError, match=r"net\.yaml:4: device\.rate_table: .* can not be read"):
            se.Network.load(tmp_path / "net.yaml")
        (tmp_path / "t.npz").write_bytes(whole)
        se.Network.load(tmp_path / "net.yaml")
        (tmp_path / "net.yaml").write_text(text.replace("t.npz", "t.npz\n  rate_table_checksum: abc"))
        with pytest.raises(se.InputError, match=r"has the checksum .*, not abc"):
            se.Network.load(tmp_path / "net.yaml")
        (tmp_path / "t.npz").unlink()
        with pytest.raises(se.InputError, match="there is no file"):
            se.Network.load(tmp_path / "net.yaml")

    def test_a_recording_is_read_where_the_table_is_not(self, slower, tmp_path):
        (tmp_path / "t.npz").write_bytes(slower.read_bytes())
        rec = se.simulate(one(se.Device(rate_table=str(tmp_path / "t.npz"))), {"s": [1.0]}, 5.0)
        rec.save(tmp_path / "run.h5")
        (tmp_path / "t.npz").unlink()
        again = se.Recording.load(tmp_path / "run.h5")
        assert again.network.device.rate_table_checksum == RateTable.load(slower).checksum
        assert np.array_equal(again.fluxons["d"], rec.fluxons["d"])
        with pytest.raises(se.InputError, match="there is no file"):
            se.simulate(again.network, {"s": [1.0]}, 5.0)

    def test_a_table_of_other_junctions_is_refused(self, ri, tmp_path):
        ri.save(tmp_path / "t.npz")
        with pytest.raises(se.InputError) as caught:
            se.Device(rate_table=str(tmp_path / "t.npz"), beta_c=0.95, beta_1=1.2)
        assert [fault.split(":")[0] for fault in caught.value.faults] == ["Device.beta_c", "Device.beta_1"]
        with pytest.raises(se.InputError, match="'fit' and a rate_table of kind 'ri' exclude each other"):
            se.Device(rate_table=str(tmp_path / "t.npz"), source="fit")

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"rate_table": 7}, "rate_table: 7 is no path"),
            ({"rate_table": ""}, "rate_table: '' is no path"),
            ({"rate_table": "nowhere.npz"}, "there is no file"),
            ({"rate_table": "nowhere.npz", "rate_table_checksum": 7}, "rate_table_checksum: 7 is no text"),
            ({"rate_table_checksum": "abc"}, "there is no rate_table"),
        ],
    )
    def test_nonsense(self, given, message):
        with pytest.raises(se.InputError, match=message):
            se.Device(**given)

    def test_a_file_that_changes_is_read_again(self, ri, slower, tmp_path):
        path = tmp_path / "t.npz"
        path.write_bytes(slower.read_bytes())
        first = rate_table.kept(str(path))
        assert rate_table.kept(str(path)) is first
        ri.save(path)
        assert rate_table.kept(str(path)) == ri

    def test_those_who_use_none_read_none(self, monkeypatch):
        monkeypatch.setattr(rate_table, "kept", None)
        monkeypatch.setattr(tablefile, "read", None)
        source.ri_table(se.Device())
        assert len(se.simulate(one(se.Device()), {"s": [1.0]}, 5.0).fluxons["d"]) > 5

    def test_a_bias_outside_the_table(self, tmp_path, small):
        small.save(tmp_path / "t.npz")
        device = se.Device(rate_table=str(tmp_path / "t.npz"), beta_c=0.5)
        se.simulate(one(device, "rtti", ib=1.92), {}, 1.0)
        with pytest.raises(se.InputError, match=r"which holds ib from 1\.9 to 1\.95"):
            se.simulate(one(device, "rtti", ib=2.0), {}, 1.0)


class TestAgainstCircuit:
    """What it is for: RTTI dendrites in the engines against their junctions, without noise."""

    @pytest.mark.parametrize(
        ("ib", "beta", "pulse", "end", "most"),
        [
            (2.0, 1000.0, (2.0, 0.3, 1.0, 10.0), 25.0, 3e-5),
            (2.42, 300.0, (2.0, 0.4, 1.0, 6.0), 20.0, 3e-5),
            (2.2, 300.0, (2.0, -0.45, 1.0, 10.0), 20.0, 3e-5),
            (2.0, 100.0, (2.0, 0.25, 2.0, 20.0), 25.0, 3e-4),
        ],
    )
    def test_pulses(self, ib, beta, pulse, end, most):
        with se.Network() as net:
            se.Dendrite("d", kind="rtti", ib=ib, beta_over_2pi=beta, tau=50.0)
            se.Drive("d", pulses=[se.Pulse(*pulse)], arm="both")
        truth = circuit.simulate(net, duration=end, step=0.2, sample=0.05)
        s = truth.current("d")
        for resolution in ("fluxon", "flow"):
            rec = se.simulate(net, {}, end, resolution=resolution, record=("currents",))
            assert abs(rec.fluxon_count["d"] - truth.fluxon_count["d"]) <= 2
            assert ((s - rec.current("d", truth.times)) ** 2).sum() / (s**2).sum() < most


# ---------------------------------------------------------------------------------------------------- command line


def run(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        cli.main([*words])
    out, err = capsys.readouterr()
    return ended.value.code, out, err


class TestCommand:
    def test_make_and_read(self, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        code, out, _ = run(capsys, "table", "--kind", "ri", "--out", "t.npz", "--plot", "t.png", "--json")
        told = json.loads(out)
        assert code == 0 and told["checksum"] == RateTable.load("t.npz").checksum and told["kind"] == "ri"
        assert os.path.getsize("t.png") > 10_000
        export(RateTable.load("t.npz"), "f.csv", layout="matrix")
        code, out, _ = run(capsys, "table", "--from", "f.csv", "--out", "g.h5")
        assert code == 0 and "read from f.csv" in out and RateTable.load("g.h5").notes == ["read from f.csv"]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--out", "t.txt"], "--out: 't.txt' ends in none of .npz, .h5, .hdf5"),
            (["--out", "no/t.npz"], "--out: no/t.npz: "),
            (["--out", "t.npz", "--kind", "pri"], "--kind: 'pri' is not known"),
            (["--out", "t.npz", "--beta-c", "-1"], "--beta-c: -1.0 is not from"),
            (["--out", "t.npz", "--ib", "1.8"], "--ib: belongs to --from"),
            (["--out", "t.npz", "--from", "x.csv"], "--from: there is no file"),
            (["--out", "t.npz", "--plot", "t.bmp"], "--plot"),
            ([], "--out: missing"),
        ],
    )
    def test_nonsense(self, tmp_path, capsys, monkeypatch, words, message):
        monkeypatch.chdir(tmp_path)
        code, out, err = run(capsys, "table", *words)
        assert code == 2 and out == "" and message in err
        assert os.listdir(tmp_path) == []


def test_names_are_documented():
    for name in tables.__all__:
        assert getattr(tables, name).__doc__
