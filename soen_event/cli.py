"""The command ``soen``: run a network, look at it, check it, and check this installation.

Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failure (or a physics check that
failed), 2 bad input, 130 interrupted. Bad input is told without a traceback, one fault a line. With ``--json`` standard
output holds exactly one JSON object.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soen_event.errors import InputError, nearest

if TYPE_CHECKING:
    from soen_event.network import Network
    from soen_event.recording import Recording

__all__ = ["app", "main"]

FAILURE, BAD_INPUT, INTERRUPTED = 1, 2, 130
RUN_KINDS = ("overview", "raster", "traces", "dendrite", "network", "source")
NETWORK_KINDS = ("network", "source")
NETWORK_SUFFIXES = (".yaml", ".yml", ".json")

app = typer.Typer(
    name="soen",
    help="Simulate superconducting optoelectronic networks, event by event.\n\n"
    "Start with [bold]soen validate[/bold] to see that this installation computes the right physics, then "
    "[bold]soen run net.yaml --photons photons.csv --duration 400[/bold].",
    epilog="Times are in ns, fluxes in Phi0, currents in units of the critical current. "
    "Each command explains itself: soen run --help.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_ARGUMENT = re.compile(
    r"^(simulate|deploy|netlist|tables\.generate|read_foreign(?=\.\w+:)|Report\.table|plotting(\.\w+)?(?=\.\w+:))\."
)
Net = Annotated[str, typer.Argument(metavar="NET", help="Network file, .yaml or .json.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", metavar="", help="Let files that exist be replaced.")]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON object and nothing else.")]


class _Ended(Exception):
    """A command has told what there is to tell and ends with an exit code other than 0."""

    def __init__(self, code: int):
        super().__init__(code)
        self.code = code


# ---------------------------------------------------------------------------------------------- commands


@app.command()
def run(
    net: Net,
    duration: Annotated[
        str, typer.Option(metavar="NS", help="How long to run: a number of ns, or a quantity such as '2 us'.")
    ],
    photons: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Photons that arrive: .csv with the header synapse,time (ns), .npz or .h5."),
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="compiled (fast) or reference (plain Python); both give the same bits.")
    ] = "compiled",
    resolution: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="fluxon: every flux quantum is an event. flow: the continuous equation, to --tol; far cheaper where quanta are "
            "small and many. auto: for each loop what suits it.",
        ),
    ] = "fluxon",
    tol: Annotated[
        float, typer.Option(metavar="I_C", help="For flow and auto: largest error of a current, 1e-9 to 0.1.")
    ] = 1e-4,
    threads: Annotated[
        int, typer.Option(metavar="N", help="Threads of the compiled engine; the results do not depend on it.")
    ] = 1,
    seed: Annotated[str, typer.Option(metavar="N", help="Repeats a run exactly, where chance plays a part.")] = "0",
    record: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="What to keep, separated by commas: spikes, fluxons, photons, currents; or only some parts of a kind, "
            "as in currents:d1,currents:n1. Default: spikes, and fluxons that are events (with --plot all fluxons, photons).",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the recording to this HDF5 file while the run goes on.")
    ] = None,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Draw all recorded events to this .png, .pdf or .svg file.")
    ] = None,
    overwrite: Overwrite = False,
    json_: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Print errors only.")] = False,
) -> None:
    """Run a network on a file of photons and tell what happened.

    Example: soen run net.yaml --photons photons.csv --duration 400 --out run.h5 --plot run.png
    """
    inputs = [net] if photons is None else [net, photons]
    (length, wanted, number), network, stimulus, *_ = _gathered(
        lambda: _run_options(duration, engine, resolution, record, seed, plot is not None),
        lambda: _network(net),
        lambda: _stimulus(photons),
        lambda: _check_output("--out", out, overwrite, inputs),
        lambda: _check_picture("--plot", plot, overwrite, [*inputs, *([out] if out else [])]),
    )

    from soen_event.simulate import Simulation

    with _naming_options():
        held = Simulation(
            network, stimulus, engine=engine, resolution=resolution, tol=tol, threads=threads, record=wanted, seed=number,
            out=out, overwrite=overwrite, duration=length,
        )  # fmt: skip
    warnings = [] if quiet or json_ else list(held.plan.warnings)
    for warning in warnings[:5]:
        _tell(f"soen: warning: {warning}")
    if len(warnings) > 5:
        _tell(f"soen: warning: {len(warnings) - 5} more like these; soen check {net} tells all of them")
    start = time.process_time()
    with _progress(length, shown=not quiet) as progress:
        try:
            held.run(length, progress=progress)
            stopped = False
        except _Stopped:
            stopped = True
    spent = time.process_time() - start
    recording = held.finish()
    if plot is not None:
        from soen_event import plotting

        plotting.save(plotting.overview(recording), plot, overwrite=overwrite)
    if json_:
        _print_json(_told(recording, held.plan.warnings, out, spent))
    elif not quiet:
        _print_run(net, recording, spent, out, plot)
    if stopped:
        saved = f"{out} holds everything up to there" if out else "nothing was saved, because there was no --out"
        _tell(f"soen: interrupted at {recording.end:g} ns of {length:g} ns; {saved}")
        raise _Ended(INTERRUPTED)


@app.command()
def info(net: Net, json_: Json = False) -> None:
    """Describe a network: its device, how many parts of each kind, and the spread of their parameters."""
    network = _network(net)
    if not json_:
        print(network.summary())
        return
    import numpy as np

    spread = {
        name: {"count": len(array), "min": float(np.min(array)), "median": float(np.median(array)),
               "max": float(np.max(array))}
        for name, array in network.parameters().items()
        if len(array)
    }  # fmt: skip
    kinds = ("synapses", "dendrites", "neurons", "couplings", "waveguides", "drives")
    found: tuple[Any, ...] = network.sorted_parts()
    counts = {kind: len(members) for kind, members in zip(kinds, found, strict=True)}
    _print_json(
        {
            "name": network.name, "device": dict(network.device.as_dict()), "parts": counts, "parameters": spread,
            "faults": network.validate(), "warnings": network.warnings(),
        }
    )  # fmt: skip


@app.command()
def check(net: Net, json_: Json = False) -> None:
    """Check a network file: tell every fault and every warning. Exit code 2 if the network cannot be run."""
    from soen_event.plan import lower

    faults: list[str] = []
    warnings: list[str] = []
    notes: list[str] = []
    try:
        network = _network(net)
        faults = [f"{net}: {fault}" for fault in network.validate()]
        if not faults:
            warnings = network.warnings()
            lower(network)
            pulled = {pair: share for pair, share in network.loading().items() if share >= 0.01}
            if pulled:
                (one, other), share = next(iter(pulled.items()))
                notes.append(
                    f"{_count(len(pulled), 'pair')} of loops that couple into the same one would pull at each other's currents by 1 % or "
                    f"more on a chip, {other} at {one} by {100 * share:.2g} %; give the targets collection_inductance and "
                    "collection_mutual to include it"
                )
    except InputError as error:
        faults += error.faults
    if json_:
        _print_json({"ok": not faults, "faults": faults, "warnings": warnings, "notes": notes})
    else:
        for fault in faults:
            _tell(f"soen: error: {fault}")
        for warning in warnings:
            print(f"warning: {warning}")
        for note in notes:
            print(f"note: {note}")
        if not faults:
            print(f"{net}: can be run, {_count(len(warnings), 'warning')}")
    if faults:
        raise _Ended(BAD_INPUT)


@app.command()
def plot(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Recording (.h5), or a network file.", show_default=False)
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Of a recording: overview (all events; the default), raster (spikes), traces (currents of --ids), "
            "dendrite (flux, fluxons and current of one id). Of either: network (the graph; the default for network "
            "files), source (flux-current map of one id).",
            show_default=False,
        ),
    ] = None,
    ids: Annotated[
        str | None, typer.Option(metavar="LIST", help="Which dendrites or neurons, separated by commas.")
    ] = None,
    what: Annotated[str, typer.Option(metavar="NAME", help="For traces: current, flux or quanta.")] = "current",
    window: Annotated[
        str | None, typer.Option(metavar="FROM:TO", help="For overview and dendrite: which part of the run (ns).")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Picture file, .png, .pdf or .svg. Default: beside FILE, as .png.", show_default=False
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw a recording or a network.

    Example: soen plot run.h5 --kind dendrite --ids d1 --window 0:30
    """
    of_network = Path(file).suffix.lower() in NETWORK_SUFFIXES
    kinds = NETWORK_KINDS if of_network else RUN_KINDS
    chosen = kind or kinds[0]
    if chosen not in kinds:
        about = "a network file" if of_network else "a recording"
        raise InputError(f"--kind: {chosen!r} is no picture of {about}{nearest(chosen, kinds)}; give {_one_of(kinds)}")
    span = _span(window)
    names = [name.strip() for name in ids.split(",") if name.strip()] if ids is not None else None
    if names is not None and (not names or (chosen in ("dendrite", "source") and len(names) != 1)):
        needed = "one" if names else "at least one"
        raise InputError(f"--ids: {ids!r} names {_count(len(names), 'part')}; give {needed}")
    source = _network(file) if of_network else _recording(file)
    suffix = ".png" if kind is None or kind == kinds[0] else f"-{chosen}.png"
    target = out if out is not None else str(Path(file).with_name(Path(file).stem + suffix))
    _check_picture("--out", target, overwrite, [file])
    from soen_event import plotting

    with _naming_options():
        picture = _drawn(source, chosen, names, what, span, file)
    plotting.save(picture, target, overwrite=overwrite)
    print(target)


@app.command()
def validate(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[circuit|noise]",
            help="circuit: the engine against junction-level circuits. noise: against noisy ones, at a temperature.",
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", metavar="", help="Also the long checks, in a minute or so.")] = False,
    cases: Annotated[
        int | None, typer.Option("--cases", metavar="N", help="circuit: number of random cases; 40 if not given.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="circuit, noise: seed of the cases.")] = 0,
    temperature: Annotated[
        float | None,
        typer.Option("--temperature", metavar="K", help="noise: of the device, up to 20 K; 4.2 if not given."),
    ] = None,
    resolution: Annotated[
        str, typer.Option("--resolution", metavar="NAME", help="circuit: fluxon, flow or auto.")
    ] = "fluxon",
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="PNG", help="circuit: draw the case that agrees least.")
    ] = None,
    overwrite: Overwrite = False,
    json_: Json = False,
) -> None:
    """Check the physics of this installation against published and circuit-level numbers.

    "soen validate circuit" runs random dendrites, trees and neurons in the engine and as junction-level circuits, in about a
    minute, and holds the differences against what is promised. "soen validate noise" compares rates and intervals of fluxons near
    threshold, and the fluxons of pulses, with circuits that have thermal noise, in two or three minutes.

    Exit code 1 if a check fails.
    """
    if temperature is not None and what != "noise":
        raise InputError('soen validate: --temperature belongs to "soen validate noise"')
    if what == "noise":
        if cases is not None or plot is not None or resolution != "fluxon":
            raise InputError('soen validate: --cases, --plot and --resolution belong to "soen validate circuit"')
        _validate_noise(4.2 if temperature is None else temperature, seed, json_)
        return
    if what is not None:
        _validate_circuit(what, cases, seed, resolution, plot, overwrite, json_)
        return
    if cases is not None or plot is not None:
        raise InputError('soen validate: --cases and --plot belong to "soen validate circuit"')
    from soen_event import validate as physics_checks

    start = time.process_time()
    checks = []
    with _spinner() as show:
        for each in physics_checks.checks(full=full):
            show(each.section)
            checks.append(each)
    spent = time.process_time() - start
    right = all(each.ok for each in checks)
    if json_:
        _print_json({"ok": right, "full": full, "cpu_s": round(spent, 3), "versions": _versions(),
                     "checks": [each.as_dict() for each in checks]})  # fmt: skip
    else:
        console = _console()
        console.print(physics_checks.table(checks))
        failed = sum(not each.ok for each in checks)
        verdict = "all as expected" if right else f"[bold red]{failed} FAILED[/bold red]"
        more = "" if full else "; soen validate --full runs more"
        console.print(f"{len(checks)} checks, {verdict}, {spent:.0f} s of CPU{more}")
    if not right:
        raise _Ended(FAILURE)


def _validate_noise(temperature: float, seed: int, json_: bool) -> None:
    """The engine against circuits with thermal noise."""
    from hardware import warm

    with _spinner() as show:
        found = warm.report(temperature, seed, show=show)
    if json_:
        _print_json({**found.as_dict(), "versions": _versions()})
    else:
        print(found)
        print("\nall as promised" if found.ok else "\nFAILS: see the rows above")
    if not found.ok:
        raise _Ended(FAILURE)


def _validate_circuit(
    what: str, cases: int | None, seed: int, resolution: str, plot: str | None, overwrite: bool, json_: bool
) -> None:
    """The engine against junction-level circuits."""
    if what != "circuit":
        raise InputError(
            f'soen validate: {what!r} is unknown{nearest(what, ["circuit", "noise"])}; give "circuit", "noise", or nothing'
        )
    from hardware import fidelity
    from soen_event.physics.random import checked_seed
    from soen_event.simulate import RESOLUTIONS

    if resolution not in RESOLUTIONS:
        raise InputError(
            f"--resolution: {resolution!r} is unknown{nearest(resolution, RESOLUTIONS)}; choose one of {', '.join(RESOLUTIONS)}"
        )
    if plot is not None:
        _check_picture("--plot", plot, overwrite, [])
    with _spinner() as show:
        found = fidelity.suite(40 if cases is None else cases, checked_seed(seed), resolution=resolution, show=show)
    if plot is not None:
        worst = max((report for _, report in found.reports), key=lambda each: max(row.chi2 for row in each.loops))
        worst.plot(plot, overwrite=overwrite)
    if json_:
        _print_json({**found.as_dict(), "versions": _versions()})
    else:
        print(found)
    if not found.ok:
        raise _Ended(FAILURE)


@app.command()
def deploy(
    net: Net,
    chip: Annotated[
        str,
        typer.Option(metavar="CHIP", help="ideal, ascr_y1, nist_spiking, or a chip file (.yaml).", show_default=False),
    ],
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the deployed network to this file, .yaml or .json.")
    ] = None,
    ports: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Which line each synapse hangs on: .csv with the header synapse,line."),
    ] = None,
    on_excess: Annotated[
        str, typer.Option(metavar="NAME", help="More connections than places: prune the weakest, or refuse.")
    ] = "prune",
    rounding: Annotated[str, typer.Option(metavar="NAME", help="Of weights: nearest or stochastic.")] = "nearest",
    seed: Annotated[str, typer.Option(metavar="N", help="Of stochastic rounding and spread.")] = "0",
    spread: Annotated[
        bool, typer.Option("--spread", metavar="", help="With the published fabrication spread: one chip of many.")
    ] = False,
    temperature: Annotated[
        str | None, typer.Option(metavar="K", help="Default: the chip's, if the engines run at it.", show_default=False)
    ] = None,
    method: Annotated[
        str | None, typer.Option(metavar="NAME", help="A learning method that is to run on the chip.")
    ] = None,
    most: Annotated[int, typer.Option(metavar="N", help="Findings of one kind that are printed.")] = 8,
    overwrite: Overwrite = False,
    json_: Json = False,
) -> None:
    """Fit a network to a chip: move, round, merge and prune what does not fit, and tell all of it.

    Without --out it only tells. Exit code 2 if something cannot be made to fit; nothing is written then.

    Example: soen deploy net.yaml --chip ascr_y1 --out deployed.yaml
    """
    from hardware import chip as chips
    from hardware import deployment
    from hardware.quantize import ROUNDINGS
    from hardware.spread import Spread

    for option, value, known in (("--on-excess", on_excess, deployment.ON_EXCESS), ("--rounding", rounding, ROUNDINGS)):
        if value not in known:
            raise InputError(f"{option}: {value!r} is unknown{nearest(value, known)}; give {_one_of(known)}")
    inputs = [path for path in (net, chip, ports) if path is not None]
    network, limits, lines, number, _ = _gathered(
        lambda: _network(net),
        lambda: chips.find(chip),
        lambda: _lines(ports),
        lambda: _seed(seed),
        lambda: _check_output("--out", out, overwrite, inputs),
    )
    if out is not None and Path(out).suffix.lower() not in NETWORK_SUFFIXES:
        raise InputError(f"--out: {out}: unknown ending {Path(out).suffix!r}; give {_one_of(NETWORK_SUFFIXES)}")
    options: dict[str, Any] = {
        "ports": lines, "on_excess": on_excess, "rounding": rounding, "seed": number, "method": method,
        "temperature": None if temperature is None else _number_or_text(temperature),
    }  # fmt: skip
    with _naming_options():
        report = deployment.check(network, limits, **options)
        table = report.table(most)
        found = (
            deployment.deploy(network, limits, **options, spread=Spread() if spread else None) if report.fits else None
        )
    if found is not None and out is not None:
        found.save(out, overwrite=overwrite)
    if json_:
        told = report.to_dict() if found is None else found.to_dict()
        _print_json({"file": net, **told, "out": out if found is not None else None})
    else:
        print(table)
        if found is not None and out is not None:
            print(f"written to {out}")
    for finding in report.of("refused"):
        _tell(f"soen: error: {net}: {finding.sentence()}")
    if found is None:
        raise _Ended(BAD_INPUT)


@app.command()
def netlist(
    net: Net,
    duration: Annotated[
        str, typer.Option(metavar="NS", help="What the netlist covers: a number of ns, or a quantity such as '0.1 us'.")
    ],
    out: Annotated[str, typer.Option(metavar="FILE", help="Write the netlist to this file.")],
    photons: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Photons that arrive: .csv with the header synapse,time (ns), .npz or .h5."),
    ] = None,
    dialect: Annotated[str, typer.Option(metavar="NAME", help="josim or wrspice.")] = "josim",
    parts: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Dendrites and neurons, separated by commas. Default: all.", show_default=False
        ),
    ] = None,
    step: Annotated[float, typer.Option(metavar="PS", help="Of the integration, 0.001 to 1.")] = 0.05,
    sample: Annotated[float, typer.Option(metavar="PS", help="Between the rows that the program writes.")] = 0.5,
    temperature: Annotated[
        float | None,
        typer.Option(metavar="K", help="Thermal noise, 0 to 20. Default: the network's.", show_default=False),
    ] = None,
    probes: Annotated[
        str, typer.Option(metavar="LIST", help="Of currents, phases, inputs, voltages; separated by commas.")
    ] = "currents,phases",
    spikes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Recording of a run with photons: what its detectors saw is what they see here. Default: the circuit is run first, "
            "where spikes matter.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[str, typer.Option(metavar="N", help="Of that run.")] = "0",
    overwrite: Overwrite = False,
    json_: Json = False,
) -> None:
    """Write a network, or a part of it, as a netlist of Josephson junctions for JoSIM or WRspice.

    Example: soen netlist net.yaml --photons photons.csv --duration 50 --dialect josim --out deck.cir
    """
    inputs = [each for each in (net, photons, spikes) if each is not None]
    (length, _, number), network, stimulus, run, _ = _gathered(
        lambda: _run_options(duration, "compiled", "fluxon", None, seed, False),
        lambda: _network(net),
        lambda: _stimulus(photons),
        lambda: None if spikes is None else _recording(spikes),
        lambda: _check_output("--out", out, overwrite, inputs),
    )
    from hardware import spice

    with _spinner() as show, _naming_options():
        show("what light does")
        deck = spice.netlist(
            network, stimulus, length, dialect=dialect, parts=None if parts is None else _words(parts), step=step, sample=sample,
            temperature=temperature, probes=_words(probes), spikes=run, seed=number,
        )  # fmt: skip
    deck.save(out, overwrite=overwrite)
    if json_:
        kinds = sorted({element.kind for element in deck.elements.values()})
        counts = {kind: sum(element.kind == kind for element in deck.elements.values()) for kind in kinds}
        loops = {name: {"current": loop.current, "phases": dict(loop.phases)} for name, loop in deck.loops.items()}
        _print_json({"out": out, "dialect": deck.dialect, "duration_ns": deck.duration, "start_s": deck.start, "elements": counts,
                     "nodes": len(deck.nodes), "loops": loops, "warnings": list(deck.warnings)})  # fmt: skip
        return
    for warning in deck.warnings:
        _tell(f"soen: warning: {warning}")
    written = f"{_count(len(deck.loops), 'loop')}, {_count(len(deck.elements), 'element')}, {deck.duration:g} ns"
    print(f"{out}: {written}; the network's t = 0 is at {deck.start * 1e9:g} ns")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


@app.command()
def bench(json_: Json = False) -> None:
    """Measure how many events this machine simulates a second, on two fixed networks.

    CPU time of one thread, without compilation; the best of three runs.
    """
    rows = [_measured("compiled", 100, 300.0), _measured("reference", 1, 100.0)]
    ratio = rows[1]["cpu_s"] / rows[1]["events"] * rows[0]["events"] / rows[0]["cpu_s"]
    if json_:
        _print_json({"engines": rows, "ratio": ratio, "versions": _versions()})
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("engine", "dendrites", "events", "CPU s", "fluxons per CPU s", "us per event"):
        table.add_column(name, justify="left" if name == "engine" else "right")
    for row in rows:
        table.add_row(
            row["engine"], str(row["dendrites"]), f"{row['events']:,d}", f"{row['cpu_s']:.3f}",
            f"{row['fluxons_per_cpu_s']:,.0f}", f"{1e6 * row['cpu_s'] / row['events']:.3f}",
        )  # fmt: skip
    console = _console()
    console.print(table)
    console.print(f"compiled over reference: {ratio:.0f} x an event")


@app.command()
def table(
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="Table to write: .npz, .h5 or .hdf5.")],
    foreign: Annotated[
        str | None, typer.Option("--from", metavar="FILE", help="Read other people's rates: .csv, .npz, .h5 or .hdf5.")
    ] = None,
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="ri or rtti.")] = "ri",
    beta_c: Annotated[
        float | None, typer.Option("--beta-c", metavar="X", help="Damping of the junctions (0.3).")
    ] = None,
    beta_1: Annotated[
        float | None, typer.Option("--beta-1", metavar="X", help="First arm of the SQUID (1.5708).")
    ] = None,
    beta_2: Annotated[float | None, typer.Option("--beta-2", metavar="X", help="Second arm (1.5708).")] = None,
    ib: Annotated[float | None, typer.Option("--ib", metavar="X", help="Bias of rates over s that name none.")] = None,
    workers: Annotated[int, typer.Option("--workers", metavar="N", help="Threads.")] = 1,
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="FILE", help="Picture to write: .png, .pdf or .svg.")
    ] = None,
    overwrite: Overwrite = False,
    json_: Json = False,
) -> None:
    """Make a rate table: how fast a dendrite's SQUID makes fluxons at every flux and current.

    From junctions (seconds; half a minute for rtti), or from rates that somebody else computed or measured (--from). A network runs on
    it with "device: {rate_table: FILE}".
    """
    from hardware import tables
    from soen_event.device import Device
    from soen_event.physics import tablefile

    faults = []
    if Path(out).suffix.lower() not in tablefile.SUFFIXES:
        faults.append(f"--out: {out!r} ends in none of {', '.join(tablefile.SUFFIXES)}; give such a name")
    with _collected(faults):
        _check_output("--out", out, overwrite, [] if foreign is None else [foreign])
    if foreign is None and ib is not None:
        faults.append("--ib: belongs to --from; a table from junctions serves every bias")
    if plot is not None:
        with _collected(faults):
            _check_picture("--plot", plot, overwrite, [out])
    if faults:
        raise InputError(faults)
    start = time.perf_counter()
    try:
        with _naming_options(), _spinner() as show:
            if foreign is None:
                made = tables.generate(
                    kind=kind,
                    beta_c=beta_c,
                    beta_1=beta_1,
                    beta_2=beta_2,
                    workers=workers,
                    progress=lambda done, all_: show(f"rates, {done / all_:.0%}"),
                )
            else:
                given = {"beta_c": beta_c, "beta_1": beta_1, "beta_2": beta_2}
                known = {name: value for name, value in given.items() if value is not None}
                made = tables.read_foreign(foreign, kind=kind, ib=ib, device=Device.from_dict(known) if known else None)
            checksum = made.save(out)
            if plot is not None:
                made.plot(plot, overwrite=overwrite)
    except InputError as error:
        renamed = (fault.replace("--path:", "--from:").replace("--beta_", "--beta-") for fault in error.faults)
        raise InputError(renamed) from error
    spent = time.perf_counter() - start
    if json_:
        _print_json({"table": out, "kind": made.kind, "parameters": made.parameters, "checksum": checksum,
                     "notes": made.notes, "plot": plot, "seconds": round(spent, 3), "versions": _versions()})  # fmt: skip
        return
    console = _console()
    console.print(f"{made!r}", markup=False)
    for note in made.notes:
        console.print(f"  {note}", markup=False)
    console.print(f"written to {out} ({spent:.1f} s), checksum {checksum}", markup=False)


@contextmanager
def _collected(faults: list[str]) -> Iterator[None]:
    """Put the faults of a check among others."""
    try:
        yield
    except InputError as error:
        faults += error.faults


@app.command()
def train(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="What to train, on what, how: .yaml or .json.", show_default=False)
    ],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes, such as training.max_epochs=5.", show_default=False),
    ] = None,
    check_only: Annotated[bool, typer.Option("--check", metavar="", help="Check the file and stop.")] = False,
    resume: Annotated[bool, typer.Option("--resume", metavar="", help="Finish a run that ended early.")] = False,
    json_: Json = False,
) -> None:
    """Train a network's time-stepped twin as a configuration file says.

    Ctrl-C ends a run after the present update, with its state kept; --resume finishes it.

    Example: soen train config.yaml training.max_epochs=5 training.optimizer.lr=0.01
    """
    from training import config as configuration

    given = [*(changes or ()), *(["logging.resume=true"] if resume else [])]
    chosen = configuration.load(config, [*given, *(["logging.progress=false"] if json_ else [])])
    if check_only:
        if json_:
            _print_json({"ok": True, "config": chosen.plain()})
        else:
            print(f"{config}: can be run")
        return
    from training import experiment

    start = time.perf_counter()
    outcomes = experiment.run(chosen)
    spent = time.perf_counter() - start
    if json_:
        _print_json({"name": chosen.name, "runs": [each.as_dict() for each in outcomes], "seconds": round(spent, 3),
                     "versions": _versions()})  # fmt: skip
    else:
        for each in outcomes:
            values = {**each.as_dict()["last"], **{f"test_{name}": value for name, value in each.test.items()}}
            told = ", ".join(f"{name} {value:.4g}" for name, value in values.items() if isinstance(value, float))
            print(f"seed {each.seed}: {_count(len(each.history), 'epoch')}, {told}")
            print(f"  kept in {each.folder}")
    if not all(each.finished for each in outcomes):
        _tell(f"soen: stopped early; soen train {config} --resume goes on")
        raise _Ended(INTERRUPTED)


@app.command()
def schema() -> None:
    """Print the JSON Schema of network files, for editors and for programs that write them."""
    from soen_event.files import schema as network_schema

    print(json.dumps(network_schema(), indent=1))


def _print_version(wanted: bool) -> None:
    if wanted:
        from soen_event import __version__

        print(f"soen-event {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _common(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", metavar="", help="Print the version.", callback=_print_version, is_eager=True),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", metavar="", help="Show the traceback of a failure (also: SOEN_DEBUG=1).")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


# ---------------------------------------------------------------------------------------------- what is given


def _gathered(*readers: Any) -> list[Any]:
    """The results of all functions; the faults of all of them are raised together."""
    results, faults = [], []
    for read in readers:
        try:
            results.append(read())
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    return results


@contextmanager
def _naming_options() -> Iterator[None]:
    """Call the arguments of functions by the names that they have on the command line."""
    try:
        yield
    except InputError as error:
        raise InputError([_ARGUMENT.sub("--", fault) for fault in error.faults]) from error


def _run_options(
    duration: str, engine: str, resolution: str, record: str | None, seed: str, drawn: bool
) -> tuple[float, dict[str, Any] | None, int]:
    """The duration in ns, what to record and the seed, judged together with the choices of engine and resolution."""
    from soen_event import units
    from soen_event.simulate import ENGINES, RECORDABLE, RESOLUTIONS

    faults = []
    length = 0.0
    try:
        length = units.parse(_number_or_text(duration), "time", "--duration")
        if not length > 0.0:
            faults.append(f"--duration: {duration} is not above 0; give a time in ns, or a quantity such as '2 us'")
    except InputError as error:
        faults += error.faults
    if engine not in ENGINES:
        faults.append(f"--engine: {engine!r} is unknown{nearest(engine, ENGINES)}; give {_one_of(ENGINES)}")
    if resolution not in RESOLUTIONS:
        faults.append(
            f"--resolution: {resolution!r} is unknown{nearest(resolution, RESOLUTIONS)}; give {_one_of(RESOLUTIONS)}"
        )
    wanted: dict[str, Any] = {}
    for word in (record if record is not None else "spikes,fluxons,photons").split(","):
        name, _, part = word.strip().partition(":")
        if name not in RECORDABLE:
            faults.append(f"--record: {name!r} is unknown{nearest(name, RECORDABLE)}; give {_one_of(RECORDABLE)}")
        elif not part:
            wanted[name] = None
        elif wanted.get(name, ()) is not None:
            wanted.setdefault(name, []).append(part)
    number = 0
    try:
        number = _seed(seed)
    except InputError as error:
        faults += error.faults
    if faults:
        raise InputError(faults)
    return length, wanted if record is not None or drawn else None, number


def _seed(text: str) -> int:
    from soen_event.physics.random import checked_seed

    try:
        return checked_seed(int(text) if text.strip().lstrip("+-").isdecimal() and len(text) < 100 else text)
    except InputError as error:
        raise InputError([f"--{fault}" for fault in error.faults]) from None


def _lines(path: str | None) -> dict[str, str] | None:
    """The line of each synapse, from a CSV file."""
    import csv

    if path is None:
        return None
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as trouble:
        raise InputError(f"--ports: {path}: cannot be read ({trouble}); give a CSV file") from None
    if not rows or rows[0] != ["synapse", "line"]:
        raise InputError(f"--ports: {path}:1: the header is not synapse,line; write it there")
    lines: dict[str, str] = {}
    faults = []
    for number, row in enumerate(rows[1:], 2):
        if len(row) != 2 or not all(row):
            faults.append(f"--ports: {path}:{number}: {','.join(row)!r} is not a synapse and its line; correct it")
        elif row[0] in lines:
            faults.append(f"--ports: {path}:{number}: {row[0]!r} comes a second time; remove one")
        else:
            lines[row[0]] = row[1]
    if faults:
        raise InputError(faults[:20])
    return lines


def _number_or_text(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _span(window: str | None) -> tuple[float, float] | None:
    if window is None:
        return None
    first, colon, last = window.partition(":")
    try:
        if colon:
            return float(first), float(last)
    except ValueError:
        pass
    raise InputError(f"--window: {window!r} is no interval; give two times in ns, such as 0:30")


def _one_of(words: tuple[str, ...]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]])


def _network(path: str) -> Network:
    from soen_event.network import Network

    return Network.load(path)


def _stimulus(path: str | None) -> Any:
    from soen_event.stimulus import Stimulus

    return Stimulus.coerce(path)


def _recording(path: str) -> Recording:
    from soen_event.recording import Recording

    return Recording.load(path)


def _same(a: str, b: str) -> bool:
    return os.path.realpath(a) == os.path.realpath(b)


def _check_output(option: str, path: str | None, overwrite: bool, inputs: list[str]) -> None:
    """Refuse an output path before anything runs."""
    if path is None:
        return
    target = Path(path)
    reason = ""
    if target.is_dir():
        reason = "is a folder; give the name of a file"
    elif not target.parent.is_dir():
        reason = f"there is no folder {target.parent}; make it first"
    elif any(_same(path, other) for other in inputs):
        reason = "is another file of this command; choose another name"
    elif target.exists() and not overwrite:
        reason = "exists already; choose another name or add --overwrite"
    if reason:
        raise InputError(f"{option}: {path}: {reason}")


def _check_picture(option: str, path: str | None, overwrite: bool, inputs: list[str]) -> None:
    if path is None:
        return
    from soen_event.plotting import check_target

    _check_output(option, path, overwrite, inputs)
    try:
        check_target(path, overwrite)
    except InputError as error:
        raise InputError([f"{option}: {fault}" for fault in error.faults]) from error


# ---------------------------------------------------------------------------------------------- what is told


def _drawn(
    source: Any, kind: str, names: list[str] | None, what: str, span: tuple[float, float] | None, file: str
) -> Any:
    from soen_event import plotting

    if kind == "network":
        return plotting.network(source if Path(file).suffix.lower() in NETWORK_SUFFIXES else source.network)
    if kind == "source":
        from soen_event.plan import lower

        plan = lower(source) if Path(file).suffix.lower() in NETWORK_SUFFIXES else source.plan
        return plotting.source_map(plan, names[0] if names else None)
    if kind == "overview":
        return plotting.overview(source, span)
    if kind == "raster":
        return plotting.raster(source, names)
    recorded = [name for name in source.loop_ids if name in (source.provenance.get("record") or {}).get("currents", ())]
    if not recorded:
        remedy = "run it again with --record spikes,fluxons,currents"
        raise InputError(f"--kind: {kind!r} needs currents, and {file} holds none; {remedy}")
    if kind == "traces":
        return plotting.traces(source, names or recorded, what)
    if names is None and len(recorded) != 1:
        raise InputError(f"--ids: {file} holds {_count(len(recorded), 'loop')} with currents; name one, as in --ids d1")
    return plotting.dendrite(source, (names or recorded)[0], span)


def _told(recording: Recording, warnings: Any, out: str | None, spent: float) -> dict[str, Any]:
    """The JSON object of ``soen run``."""
    provenance = recording.provenance
    return {
        "status": recording.status,
        "duration_ns": recording.duration,
        "seed": recording.seed,
        "engine": provenance["engine"],
        "resolution": provenance["resolution"],
        "events": recording.event_counts,
        "spikes": {name: [round(t, 6) for t in times.tolist()] for name, times in recording.spikes.items()},
        "fluxons": dict(recording.fluxon_count),
        "energy_J": recording.energy,
        "provenance": {key: value for key, value in provenance.items() if key not in ("network", "drives")},
        "warnings": list(warnings),
        "out": out,
        "cpu_s": round(spent, 6),
    }


def _print_run(net: str, recording: Recording, spent: float, out: str | None, plot: str | None) -> None:
    counts = recording.event_counts
    told = recording.provenance
    detectors = set(recording.detector_ids)
    spikes = zip(recording.neuron_ids, recording.spike_counts().tolist(), strict=True)
    own = sum(count for name, count in spikes if f"{name}.refractory.synapse" in detectors)
    photons = counts["photons"] - own  # what a soma sends to its own refractory dendrite is no light
    whole = recording.end >= recording.duration
    print(
        recording.status if whole else f"the run was stopped at t = {recording.end:g} ns of {recording.duration:g} ns"
    )
    lost = counts["photons"] - counts["detections"]
    rows = [
        ("network", net),
        ("engine", f"{told['engine']}, {told['resolution']} resolution, seed {recording.seed}, {spent:.3g} s of CPU"),
        ("photons", f"{photons:,d}" + (f", {lost:,d} of them not detected" if lost else "")),
        ("fluxons", f"{counts['fluxons']:,d} in {_count(len(recording.loop_ids), 'loop')}"),
        ("spikes", f"{counts['spikes']:,d} of {_count(len(recording.neuron_ids), 'neuron')}"),
        ("energy", f"{_joules(recording.energy['total']['drawn'])} drawn from the biases of the loops"),
    ]
    fired = [(name, times) for name, times in recording.spikes.items() if len(times)]
    for name, times in fired[:10]:
        when = " ".join(f"{t:.3f}" for t in times[:8]) + (" ..." if len(times) > 8 else "")
        rows.append((f"  {name}", f"{when} ns"))
    if len(fired) > 10:
        rows.append(("  ...", f"{len(fired) - 10} more neurons spiked"))
    rows += [(word, path) for word, path in (("saved", out), ("drawn", plot)) if path is not None]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"  {name:{width}}  {text}")


def _joules(energy: float) -> str:
    for unit, size in (("pJ", 1e-12), ("fJ", 1e-15)):
        if energy >= size:
            return f"{energy / size:.4g} {unit}"
    return f"{energy / 1e-18:.4g} aJ"


def _count(count: int, word: str) -> str:
    return f"{count:,d} {word}{'' if count == 1 else 's'}"


def _print_json(data: Mapping[str, Any]) -> None:
    print(json.dumps(data, allow_nan=False))


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _console() -> Any:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 116, highlight=False)


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import version

    from soen_event import __version__

    others = {name: version(name) for name in ("numpy", "numba")}
    return {"soen_event": __version__, **others, "python": platform.python_version(), "machine": platform.machine()}


def _measured(engine: str, dendrites: int, duration: float) -> dict[str, Any]:
    """CPU time of a fixed network: dendrites with a detector each, one photon in 20 ns on average."""
    from soen_event.network import Network
    from soen_event.parts import Dendrite, Synapse
    from soen_event.simulate import Simulation
    from soen_event.stimulus import poisson

    network = Network()
    for k in range(dendrites):
        network.add(Dendrite(f"d{k}", beta_over_2pi=1000.0, tau=50.0))
        network.add(Synapse(f"s{k}", f"d{k}"))
    photons = poisson([f"s{k}" for k in range(dendrites)], 0.05, duration, seed=1)
    best, counts = float("inf"), {}
    for _ in range(3):
        held = Simulation(network, photons, engine=engine, record=("spikes",))
        start = time.process_time()
        held.run(duration)
        best, counts = min(best, time.process_time() - start), held.finish().event_counts
    return {"engine": engine, "dendrites": dendrites, "duration_ns": duration, "events": counts["events"],
            "fluxons": counts["fluxons"], "cpu_s": best, "fluxons_per_cpu_s": counts["fluxons"] / best}  # fmt: skip


# ---------------------------------------------------------------------------------------------- while it runs


class _Stopped(Exception):
    """Ctrl-C was pressed; raised between two chunks of events, where the run is whole."""


@contextmanager
def _progress(length: float, shown: bool) -> Iterator[Any]:
    """A function for ``progress=``: it draws a bar (on a terminal only) and stops the run after Ctrl-C.

    The first Ctrl-C lets the events in hand be finished and saved; a second one stops at once.
    """
    pressed: list[bool] = []

    def on_interrupt(number: int, frame: Any) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(True)

    bar = task = None
    if shown and sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), TextColumn("{task.completed:.6g} of {task.total:.6g} ns"), TimeRemainingColumn())
        bar = Progress(*columns, console=Console(stderr=True), transient=True)
        task = bar.add_task("", total=length)

    def progress(done: float, total: float) -> None:
        if bar is not None and task is not None:
            bar.update(task, completed=done)
        if pressed:
            raise _Stopped

    try:
        before: Any = signal.signal(signal.SIGINT, on_interrupt)
    except ValueError:  # not in the main thread
        before = None
    try:
        if bar is not None:
            bar.start()
        yield progress
    finally:
        if bar is not None:
            bar.stop()
        if before is not None:
            signal.signal(signal.SIGINT, before)


@contextmanager
def _spinner() -> Iterator[Any]:
    """A function that shows what is being done; silent without a terminal."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("checking ...") as status:
        yield lambda text: status.update(f"checking: {text} ...")


# ---------------------------------------------------------------------------------------------- errors


def _usage_fault(error: Any) -> list[str]:
    """What is wrong with the words of the command line, and the nearest that would be right."""
    context = getattr(error, "ctx", None)
    place = context.command_path if context is not None else "soen"
    options = [word for each in (context.command.params if context is not None else ()) for word in each.opts]
    option = getattr(error, "option_name", None)
    parameter = getattr(error, "param", None)
    kind = type(error).__name__
    if kind == "NoSuchOption":
        known = [word for word in options if word.startswith("-")] + ["--help"]
        text = f"{option}: there is no such option{nearest(str(option), known)}"
    elif kind == "MissingParameter" and parameter is not None:
        is_option = parameter.param_type_name == "option"
        name = parameter.opts[0] if is_option else (parameter.metavar or parameter.name.upper())
        told = (getattr(parameter, "help", None) or "a value").rstrip(".")
        text = f"{name}: missing; wanted: {told[0].lower()}{told[1:]}"
    else:
        text = str(error.format_message()).rstrip(".")
    return [f"{text}; see {place} --help"]


def _failed(error: BaseException, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exception(error)
    told = " ".join(str(error).split()) or "no message"
    how = "" if debug else "; run it again with --debug for the traceback"
    _tell(f"soen: failure: {type(error).__name__}: {told}{how}")
    return FAILURE


def _exit_code(arguments: list[str]) -> int:
    debug = "--debug" in arguments or os.environ.get("SOEN_DEBUG", "") not in ("", "0")
    words = [word for word in arguments if word != "--debug"]
    faults: list[str]
    try:
        code = typer.main.get_command(app)(args=words, prog_name="soen", standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # Typer makes this of KeyboardInterrupt
            _tell("soen: interrupted; nothing was saved")
        return code if isinstance(code, int) else 0
    except _Ended as ended:
        sys.stdout.flush()
        return ended.code
    except InputError as error:
        faults = error.faults
        if debug:
            import traceback

            traceback.print_exception(error)
    except (KeyboardInterrupt, typer.Abort):
        _tell("soen: interrupted; nothing was saved")
        return INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
            return _failed(error, debug)
        faults = _usage_fault(error)
    for fault in faults:
        _tell(f"soen: error: {fault}")
    return BAD_INPUT


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command ``soen``; ends the process with the command's exit code."""
    sys.exit(_exit_code(list(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    main()
