"""What makes a network a chip: the circuit behind the events, imperfect devices, and the limits of what can be built.

=============== ====================================================================================================
circuit         junction-level (RCSJ) circuits of whole networks, with thermal noise: the truth that events are judged by
fidelity        engine against circuit: one network, or a suite of random ones (``soen validate circuit``)
agreement       time steps against events: spikes matched, currents, answers
answers         two that answer the same questions: shares, their gap, and whether it is one
noise           Johnson noise of loops and noise of fluxes, as a stimulus
warm            engine against noisy circuits at a temperature (``soen validate noise``)
spice           netlists of networks for JoSIM and WRspice, and the traces that those write (``soen netlist``)
tables          source functions (rate tables) of any device from its junctions; writing, comparing, exporting them
foreign         rate tables that other people measured or computed, read and repaired
energy          where each joule of a run goes
quantize        weights on the levels that hardware has
spread          fabrication spread, dark counts, jitter
faults          dead and stuck parts, survival curves
placement       positions on a die or wafer, and with them delays and losses of waveguides
chip            what a real chip has: numbers, levels, rates, methods, each with its source; profiles and chip files
deployment      a network fitted to a chip, and a report of all that did not fit (``soen deploy``)
instrument      a chip on the bench: load, program, bias, light, run, read out, learn, reset; alone or in a SimPy process
montecarlo      many runs over points and seeds, on any number of workers, that survive a kill
workers         processes that go when the one that started them goes
=============== ====================================================================================================

Import the modules: ``from hardware import circuit``. Nothing here is loaded by ``import soen_event``.
"""
