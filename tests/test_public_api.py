"""The three packages: who imports whom, which names there are, and what runs without training (features.md S0.01-S0.04, S0.22)."""

import ast
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import soen_event as se
from hardware.chip import IDEAL
from hardware.deployment import deploy
from hardware.quantize import Levels

ROOT = Path(__file__).parent.parent
MAY = {
    "soen_event": {"soen_event"},
    "hardware": {"soen_event", "hardware"},
    "training": {"soen_event", "hardware", "training"},
}
MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for package in MAY
    for path in (ROOT / package).rglob("*.py")
    if path.name != "__main__.py"
)


def imported(tree, at_load):
    """First words of what a module imports: when it is loaded, or at any time. Imports for type checkers do not count."""
    found, waiting = set(), list(ast.iter_child_nodes(tree))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not (at_load and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
            waiting += ast.iter_child_nodes(node)
    return found & set(MAY)


def arrows(module, source):
    """Imports that a module may not have."""
    package, tree = module.split(".")[0], ast.parse(source)
    wrong = imported(tree, at_load=True) - MAY[package]
    if package == "hardware":
        wrong |= imported(tree, at_load=False) - MAY[package]
    elif package == "soen_event" and module != "soen_event.cli":
        wrong |= imported(tree, at_load=False) & {"training"}
    return wrong


def source_of(module):
    path = ROOT / module.replace(".", "/")
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()


@pytest.mark.parametrize("module", MODULES)
def test_s0_01_imports_follow_the_arrows(module):
    """S0.01: soen_event <- hardware <- training; the command line alone reaches training, inside its commands."""
    assert arrows(module, source_of(module)) == set()


def test_s0_01_a_wrong_arrow_is_seen():
    """S0.01: the law above can fail."""
    assert arrows("soen_event.plan", "import training.twin") == {"training"}
    assert arrows("soen_event.plan", "def f():\n    from training import fit") == {"training"}
    assert arrows("soen_event.cli", "def f():\n    from training import fit") == set()
    assert arrows("soen_event.cli", "try:\n    from training import fit\nexcept ImportError: ...") == {"training"}
    assert arrows("hardware.chip", "class A:\n    def f(self):\n        import training") == {"training"}
    assert arrows("hardware.chip", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import training") == set()


@pytest.mark.parametrize("module", MODULES)
def test_s0_01_s0_22_every_public_name_resolves(module):
    """S0.01, S0.22: every module is documented, every name of an ``__all__`` is there, and is told what it is."""
    found = importlib.import_module(module)
    assert found.__doc__, module
    names = getattr(found, "__all__", ())
    assert len(names) == len(set(names))
    for name in names:
        value = getattr(found, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{module}.{name}"


def test_s0_22_training_re_exports_what_its_modules_define():
    """S0.22: the short names are the very things of their modules; a wrong one is told."""
    import training

    for name in training.__all__:
        value = getattr(training, name)
        home = importlib.import_module(value.__module__)
        assert getattr(home, value.__name__) is value and home.__name__.startswith("training.")
    assert set(training.__all__) <= set(dir(training))
    with pytest.raises(AttributeError, match="no attribute 'Trainr'"):
        _ = training.Trainr


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("losses", "CrossEntropy"), ("objective", "Sum"), ("callbacks", "CallbackList"), ("loop", "Trainer"),
        ("config", "load"), ("twin", "Twin"), ("data", "DataLoader"), ("optim", "Adam"), ("schedules", "Cosine"),
        ("metrics", "Accuracy"), ("surrogates", "sigmoid"),
    ],
)  # fmt: skip
def test_s0_02_every_concern_has_its_module(module, name):
    """S0.02: losses, callbacks, the loop, configurations, the model, data and what a run needs beside them."""
    assert name in dir(importlib.import_module(f"training.{module}"))
    assert {each.name for each in pkgutil.iter_modules([str(ROOT / "training")])} >= {module}


# ---------------------------------------------------------------------------------------------- the engine only runs

PHOTONS = {"s0": [3.0, 8.0, 40.0], "s1": [4.0, 9.0]}


def net():
    with se.Network() as made:
        for k in range(2):
            se.Dendrite(f"d{k}", ib=1.75, beta_over_2pi=100, tau=50.0)
            se.Synapse(f"s{k}", f"d{k}", weight=1.0)
        se.Neuron("n", soma=se.Soma(threshold=0.05))
        for k in range(2):
            se.Coupling(f"d{k}", "n", J=0.7)
    return made


def test_s0_03_engines_have_no_loss_and_no_gradient():
    """S0.03: neither engine, its state, its plan nor a simulation has anything of training."""
    from soen_event.engine import compiled, reference, state

    words = ("loss", "grad", "backward", "optimi", "surrogate")
    simulation = se.Simulation(net(), PHOTONS, record=("spikes", "currents"))
    simulation.run(50.0)
    things = [
        compiled, reference, state, compiled.CompiledEngine, reference.ReferenceEngine, se.Simulation, simulation,
        simulation.recording(), *vars(simulation).values(),
    ]  # fmt: skip
    for thing in things:
        for name in dir(thing):
            if name not in ("LOSS", "loss_db"):  # of light
                assert not any(word in name.lower() for word in words), (thing, name)


BARE = """
import json, sys
class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "training":
            raise ImportError("training is not here")
sys.meta_path.insert(0, Refuses())
import soen_event as se
from hardware.chip import Chip
from hardware.deployment import deploy
from hardware.instrument import VirtualChip
from hardware.quantize import Levels
net = se.Network.load(sys.argv[1])
found = {}
for engine in ("reference", "compiled"):
    for resolution in ("fluxon", "flow"):
        rec = se.simulate(net, json.loads(sys.argv[2]), 120.0, engine=engine, resolution=resolution, seed=3)
        found[engine + resolution] = [rec.spikes["n"].tolist(), rec.fluxon_count["d0"]]
fitted = deploy(net, Chip(weights=Levels.bits(4, 0.0, 1.0))).network
found["fitted"] = fitted.parameters()["weights"].tolist()
try:
    import training
except ImportError:
    found["training"] = "not here"
found["loaded"] = sorted(name for name in sys.modules if name.split(".")[0] == "training")
print(json.dumps(found))
"""


def test_s0_03_a_deployed_network_runs_without_training(tmp_path):
    """S0.03: trained, deployed and stored, a network runs and is fitted to a chip where ``training`` can not be imported."""
    from training.twin import Twin

    twin = Twin(net(), dt=1.0, outputs=["n"], readout="current", trainable=("weights", "J"))
    twin.parameters()["weights"] *= 1.125
    twin.parameters()["J"] -= 0.0625
    path = tmp_path / "net.yaml"
    twin.deploy().save(path)
    out = subprocess.run(
        [sys.executable, "-c", BARE, path, json.dumps(PHOTONS)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert out.returncode == 0, out.stderr
    found = json.loads(out.stdout)
    assert found["training"] == "not here" and found["loaded"] == []
    assert found["fitted"] == deploy(twin.network, _four_bits()).network.parameters()["weights"].tolist()
    for engine in ("reference", "compiled"):
        for resolution in ("fluxon", "flow"):
            rec = se.simulate(twin.network, PHOTONS, 120.0, engine=engine, resolution=resolution, seed=3)
            assert found[engine + resolution] == [rec.spikes["n"].tolist(), rec.fluxon_count["d0"]]
    assert len(found["compiledfluxon"][0]) >= 1


def _four_bits():
    from hardware.chip import Chip

    return Chip(weights=Levels.bits(4, 0.0, 1.0))


# ---------------------------------------------------------------------------------------------- weights alone


def deployed(twin, tmp_path, name):
    """All that a deployment is, as bytes: the network's file, its arrays, and what a chip makes of them."""
    network = twin.deploy()
    network.save(tmp_path / f"{name}.yaml")
    parts = [(tmp_path / f"{name}.yaml").read_bytes()]
    for chip in (IDEAL, _four_bits()):
        fitted = deploy(network, chip)
        parts += [array.tobytes() for array in fitted.network.parameters().values()]
        parts.append(json.dumps(fitted.report.to_dict(), sort_keys=True).encode())
    return b"".join(parts)


def test_s0_04_two_histories_with_equal_parameters_deploy_alike(tmp_path):
    """S0.04: other data, optimizer, loss, schedule and number of steps, the same parameters at the end: equal bytes."""
    from training.loop import Trainer
    from training.twin import Twin

    rng = np.random.default_rng(0)
    x = (rng.random((12, 30, 2)) < 0.2).astype(float)
    y = np.arange(12) % 2
    twins = [Twin(net(), dt=1.0, outputs=["d0", "d1"], trainable=("weights", "J", "phi_offset")) for _ in range(3)]
    quiet = {"progress": False}
    Trainer(twins[0], "adam", "cosine_annealing", ["accuracy"], loss="cross_entropy", seed=1, **quiet).fit(
        (x, y), epochs=3
    )
    Trainer(twins[1], "sgd", loss="mse", seed=2, clip_norm=1.0, **quiet).fit((x[:5], rng.random((5, 2))), epochs=1)
    Trainer(twins[2], "lion", loss="cross_entropy", seed=3, **quiet).fit((x[4:], y[4:]), epochs=2)
    before = [deployed(twin, tmp_path, f"before{k}") for k, twin in enumerate(twins)]
    assert len(set(before)) == 3  # other parameters are seen
    for other in twins[1:]:
        for name, array in other.parameters().items():
            array[...] = twins[0].parameters()[name]
    assert {deployed(twin, tmp_path, f"after{k}") for k, twin in enumerate(twins)} == {before[0]}
