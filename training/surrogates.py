"""Surrogate slopes of the spike: forward a step, exactly 0 or 1; backward a bounded slope instead of the step's.

``x`` is the distance above threshold, s - theta. Every surrogate is a small immutable object::

    slope = Sigmoid(alpha=4.0)           # or sigmoid(alpha=4.0), or make("sigmoid", alpha=4.0)
    z = slope.forward(x)                 # 1 where x >= 0 (x > 0 with strict=True), else 0; nan gives 0
    d = slope.backward(x)                # a new array
    slope.backward(x, out=buffer)        # in place; out may be x itself
    y = slope.smooth(x)                  # a curve whose exact derivative is backward: for checks of gradients

float32 stays float32, integers become float64. Formulas: features.md S0.20, S1.09-S1.11 and the list after S1.17. Three
differ from what other libraries compute: PiecewiseLeakyRelu has the slope 1/(2 w) of its own curve (not 1/w),
SquarewaveFourierSeries has all n terms (not n - 1), and the curve of QPseudoSpike has the slope that is stated.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf as _erf
from scipy.special import expit, ndtr

from soen_event.errors import InputError
from training.arguments import Faults, build
from training.registry import register
from training.surrogate import Surrogate, floats

__all__ = [
    "ERF",
    "S2NN",
    "Arctan",
    "EpropPsi",
    "GaussianGrad",
    "InvSquareGrad",
    "LeakyRelu",
    "LogTailedRelu",
    "MultiGaussianGrad",
    "NonzeroSignLog",
    "PiecewiseExp",
    "PiecewiseLeakyRelu",
    "PiecewiseQuadratic",
    "QPseudoSpike",
    "ReluGrad",
    "Sigmoid",
    "SlayerGrad",
    "SoftSign",
    "SquarewaveFourierSeries",
    "SuperSpike",
    "Surrogate",
    "Triangle",
    "arctan",
    "eprop_psi",
    "erf",
    "gaussian_grad",
    "inv_square_grad",
    "leaky_relu",
    "log_tailed_relu",
    "make",
    "multi_gaussian_grad",
    "nonzero_sign_log",
    "piecewise_exp",
    "piecewise_leaky_relu",
    "piecewise_quadratic",
    "psi",
    "q_pseudo_spike",
    "relu_grad",
    "s2nn",
    "sigmoid",
    "slayer_grad",
    "soft_sign",
    "squarewave_fourier_series",
    "super_spike",
    "triangle",
]

Array = NDArray[Any]


def _named(name: str, *aliases: str) -> Callable[[type], type]:
    return lambda cls: register("surrogate", name, cls.__name__, *aliases)(cls)


# --------------------------------------------------------------------------------------------- peaks at the threshold


@_named("sigmoid")
@dataclass(frozen=True)
class Sigmoid(Surrogate):
    """alpha sigma(alpha x) (1 - sigma(alpha x)); 0.711578 at 0.3 (S1.10)."""

    alpha: float = 4.0
    positive = ("alpha",)

    def _slope(self, u: Array) -> None:
        u *= 0.5 * self.alpha
        np.cosh(u, out=u)
        u *= u
        np.divide(0.25 * self.alpha, u, out=u)

    def _area(self, u: Array) -> Array:
        return expit(self.alpha * u) - 0.5


@_named("triangle")
@dataclass(frozen=True)
class Triangle(Surrogate):
    """(scale / width) max(0, 1 - |x| / width), at most ``clip`` if that is given (S0.20)."""

    width: float = 1.0
    scale: float = 1.0
    clip: float | None = None
    positive = ("width", "scale")

    def _judge(self, faults: Faults) -> None:
        if self.clip is not None:
            faults.number("clip", self.clip, above=0.0)

    def _slope(self, u: Array) -> None:
        top = self.scale / self.width
        u *= -top / self.width
        u += top
        np.maximum(u, 0.0, out=u)
        if self.clip is not None:
            np.minimum(u, self.clip, out=u)

    def _area(self, u: Array) -> Array:
        top = self.scale / self.width
        flat = 0.0 if self.clip is None else self.width * max(0.0, 1.0 - self.clip / top)
        level = top if self.clip is None else min(self.clip, top)
        u = np.minimum(u, self.width)
        beyond = np.maximum(u, flat)
        side = top * (beyond - flat) - 0.5 * top / self.width * (beyond**2 - flat**2)
        return np.minimum(u, flat) * level + side


@_named("relu_grad", "relu")
@dataclass(frozen=True)
class ReluGrad(Surrogate):
    """max(0, alpha (width - |x|)); 0.21 at 0.3 (S1.09)."""

    alpha: float = 0.3
    width: float = 1.0
    positive = ("alpha", "width")

    def _slope(self, u: Array) -> None:
        np.subtract(self.width, u, out=u)
        u *= self.alpha
        np.maximum(u, 0.0, out=u)

    def _area(self, u: Array) -> Array:
        u = np.minimum(u, self.width)
        return self.alpha * u * (self.width - 0.5 * u)


@_named("arctan", "atan")
@dataclass(frozen=True)
class Arctan(Surrogate):
    """alpha / (2 (1 + (pi/2 alpha x)^2)); 0.409143 at 0.3."""

    alpha: float = 1.0
    positive = ("alpha",)

    def _slope(self, u: Array) -> None:
        u *= 0.5 * math.pi * self.alpha
        u *= u
        u += 1.0
        np.divide(0.5 * self.alpha, u, out=u)

    def _area(self, u: Array) -> Array:
        return np.arctan(0.5 * math.pi * self.alpha * u) / math.pi


@_named("piecewise_quadratic")
@dataclass(frozen=True)
class PiecewiseQuadratic(Surrogate):
    """max(0, alpha - alpha^2 |x|); 0.7 at 0.3."""

    alpha: float = 1.0
    positive = ("alpha",)

    def _slope(self, u: Array) -> None:
        u *= -self.alpha * self.alpha
        u += self.alpha
        np.maximum(u, 0.0, out=u)

    def _area(self, u: Array) -> Array:
        u = np.minimum(self.alpha * u, 1.0)
        return u - 0.5 * u * u


@_named("piecewise_exp")
@dataclass(frozen=True)
class PiecewiseExp(Surrogate):
    """(alpha / 2) exp(-alpha |x|); 0.370409 at 0.3."""

    alpha: float = 1.0
    positive = ("alpha",)

    def _slope(self, u: Array) -> None:
        u *= -self.alpha
        np.exp(u, out=u)
        u *= 0.5 * self.alpha

    def _area(self, u: Array) -> Array:
        return -0.5 * np.expm1(-self.alpha * u)


@_named("soft_sign")
@dataclass(frozen=True)
class SoftSign(Surrogate):
    """alpha / (2 (1 + |alpha x|)^2); 0.295858 at 0.3."""

    alpha: float = 1.0
    positive = ("alpha",)

    def _slope(self, u: Array) -> None:
        u *= self.alpha
        u += 1.0
        u *= u
        np.divide(0.5 * self.alpha, u, out=u)

    def _area(self, u: Array) -> Array:
        return 0.5 * self.alpha * u / (1.0 + self.alpha * u)


@_named("erf")
@dataclass(frozen=True)
class ERF(Surrogate):
    """(alpha / sqrt(pi)) exp(-(alpha x)^2); 0.515630 at 0.3."""

    alpha: float = 1.0
    positive = ("alpha",)

    def _slope(self, u: Array) -> None:
        u *= self.alpha
        u *= u
        np.negative(u, out=u)
        np.exp(u, out=u)
        u *= self.alpha / math.sqrt(math.pi)

    def _area(self, u: Array) -> Array:
        return 0.5 * _erf(self.alpha * u)


@_named("q_pseudo_spike")
@dataclass(frozen=True)
class QPseudoSpike(Surrogate):
    """(1 + 2 |x| / (alpha + 1))^-alpha; 0.694444 at 0.3."""

    alpha: float = 2.0
    positive = ("alpha",)

    def _slope(self, u: Array) -> None:
        u *= 2.0 / (self.alpha + 1.0)
        u += 1.0
        np.power(u, -self.alpha, out=u)

    def _area(self, u: Array) -> Array:
        a = self.alpha
        log = np.log1p(2.0 * u / (a + 1.0))
        return 0.5 * (a + 1.0) * (log if a == 1.0 else np.expm1((1.0 - a) * log) / (1.0 - a))


@_named("slayer_grad", "slayer")
@dataclass(frozen=True)
class SlayerGrad(Surrogate):
    """exp(-alpha |x|); 0.740818 at 0.3 (S1.11)."""

    alpha: float = 1.0
    positive = ("alpha",)

    def _slope(self, u: Array) -> None:
        u *= -self.alpha
        np.exp(u, out=u)

    def _area(self, u: Array) -> Array:
        return -np.expm1(-self.alpha * u) / self.alpha


@_named("inv_square_grad", "super_spike", "SuperSpike")
@dataclass(frozen=True)
class InvSquareGrad(Surrogate):
    """SuperSpike: 1 / (1 + alpha |x|)^2; 0.001041 at 0.3 (S1.11)."""

    alpha: float = 100.0
    positive = ("alpha",)

    def _slope(self, u: Array) -> None:
        u *= self.alpha
        u += 1.0
        u *= u
        np.reciprocal(u, out=u)

    def _area(self, u: Array) -> Array:
        return u / (1.0 + self.alpha * u)


SuperSpike = InvSquareGrad


@_named("nonzero_sign_log")
@dataclass(frozen=True)
class NonzeroSignLog(Surrogate):
    """1 / (1/alpha + |x|)."""

    alpha: float = 1.0
    positive = ("alpha",)

    def _slope(self, u: Array) -> None:
        u += 1.0 / self.alpha
        np.reciprocal(u, out=u)

    def _area(self, u: Array) -> Array:
        return np.log1p(self.alpha * u)


@_named("piecewise_leaky_relu")
@dataclass(frozen=True)
class PiecewiseLeakyRelu(Surrogate):
    """1/(2 w) where |x| <= w, c elsewhere."""

    c: float = 0.01
    w: float = 1.0
    positive = ("w",)
    nonnegative = ("c",)

    def _slope(self, u: Array) -> None:
        near = u <= self.w
        u[...] = self.c
        u[near] = 0.5 / self.w

    def _area(self, u: Array) -> Array:
        return 0.5 * np.minimum(u / self.w, 1.0) + self.c * np.maximum(u - self.w, 0.0)


@_named("squarewave_fourier_series")
@dataclass(frozen=True)
class SquarewaveFourierSeries(Surrogate):
    """(4/T) sum over i = 1..n of cos((2 i - 1) 2 pi x / T). Periodic, and negative in places."""

    n: int = 2
    T: float = 8.0
    positive = ("T",)

    def _judge(self, faults: Faults) -> None:
        faults.whole("n", self.n, least=1, most=1000)

    def _slope(self, u: Array) -> None:
        angle = np.remainder(u, self.T) * (2.0 * math.pi / self.T)
        np.cos(angle, out=u)
        for i in range(2, self.n + 1):
            u += np.cos((2 * i - 1) * angle)
        u *= 4.0 / self.T

    def _area(self, u: Array) -> Array:
        angle = np.remainder(u, self.T) * (2.0 * math.pi / self.T)
        total = np.sin(angle)
        for i in range(2, self.n + 1):
            total = total + np.sin((2 * i - 1) * angle) / (2 * i - 1)
        return 2.0 / math.pi * total

    def smooth(self, x: ArrayLike) -> Array:
        """1/2 + (2/pi) sum of sin((2 i - 1) 2 pi x / T) / (2 i - 1)."""
        return 0.5 + self._area(floats(x))


@_named("gaussian_grad", "gaussian")
@dataclass(frozen=True)
class GaussianGrad(Surrogate):
    """alpha times the normal density of width sigma."""

    sigma: float = 0.5
    alpha: float = 0.5
    positive = ("sigma", "alpha")

    def _slope(self, u: Array) -> None:
        u *= 1.0 / self.sigma
        u *= u
        u *= -0.5
        np.exp(u, out=u)
        u *= self.alpha / (math.sqrt(2.0 * math.pi) * self.sigma)

    def _area(self, u: Array) -> Array:
        return self.alpha * (ndtr(u / self.sigma) - 0.5)


@_named("multi_gaussian_grad", "multi_gaussian")
@dataclass(frozen=True)
class MultiGaussianGrad(Surrogate):
    """scale ((1 + h) N(x; 0, sigma) - h N(x; sigma, s sigma) - h N(x; -sigma, s sigma)); negative far out."""

    h: float = 0.15
    s: float = 6.0
    sigma: float = 0.5
    scale: float = 0.5
    positive = ("s", "sigma", "scale")
    nonnegative = ("h",)

    def _parts(self) -> tuple[tuple[float, float, float], ...]:
        """Weight, centre and width of each of the three."""
        wide = self.s * self.sigma
        outer = -self.h * self.scale
        return ((1.0 + self.h) * self.scale, 0.0, self.sigma), (outer, self.sigma, wide), (outer, -self.sigma, wide)

    def _slope(self, u: Array) -> None:
        x = u.copy()
        u[...] = 0.0
        for weight, centre, width in self._parts():
            z = (x - centre) / width
            u += weight / (math.sqrt(2.0 * math.pi) * width) * np.exp(-0.5 * z * z)

    def _area(self, u: Array) -> Array:
        parts = self._parts()
        total: Array = sum(
            weight * (ndtr((u - centre) / width) - ndtr(-centre / width)) for weight, centre, width in parts
        )
        return total.astype(u.dtype)


@_named("eprop_psi", "eprop")
@dataclass(frozen=True)
class EpropPsi(Surrogate):
    """(scale / threshold) max(0, 1 - |x| / threshold), of e-prop (features.md S3.06)."""

    threshold: float = 1.0
    scale: float = 0.3
    positive = ("threshold", "scale")

    def _slope(self, u: Array) -> None:
        top = self.scale / self.threshold
        u *= -top / self.threshold
        u += top
        np.maximum(u, 0.0, out=u)

    def _area(self, u: Array) -> Array:
        u = np.minimum(u / self.threshold, 1.0)
        return self.scale * (u - 0.5 * u * u)


# --------------------------------------------------------------------------------------------- one side unlike the other


@_named("s2nn")
@dataclass(frozen=True)
class S2NN(Surrogate):
    """Slope of sigma(alpha x) below threshold, beta / (1 + x) above it."""

    alpha: float = 4.0
    beta: float = 1.0
    even = False
    positive = ("alpha", "beta")

    def _slope(self, u: Array) -> None:
        above = u >= 0.0
        far = self.beta / (1.0 + u[above])
        np.minimum(u, 0.0, out=u)
        np.negative(u, out=u)
        Sigmoid._slope(self, u)  # type: ignore[arg-type]
        u[above] = far

    def smooth(self, x: ArrayLike) -> Array:
        """sigma(alpha x) below, 1/2 + beta ln(1 + x) above."""
        values = floats(x)
        return np.where(
            values < 0.0, expit(self.alpha * values), 0.5 + self.beta * np.log1p(np.maximum(values, 0.0))
        ).astype(values.dtype)


@_named("leaky_relu")
@dataclass(frozen=True)
class LeakyRelu(Surrogate):
    """alpha below threshold, beta from it on."""

    alpha: float = 0.1
    beta: float = 1.0
    even = False
    nonnegative = ("alpha", "beta")

    def _slope(self, u: Array) -> None:
        above = u >= 0.0
        u[...] = self.alpha
        u[above] = self.beta

    def smooth(self, x: ArrayLike) -> Array:
        """alpha x below, beta x above."""
        values = floats(x)
        return self.alpha * np.minimum(values, 0.0) + self.beta * np.maximum(values, 0.0)


@_named("log_tailed_relu")
@dataclass(frozen=True)
class LogTailedRelu(Surrogate):
    """alpha up to threshold, 1 for 0 < x <= 1, 1/x beyond."""

    alpha: float = 0.0
    even = False
    nonnegative = ("alpha",)

    def _slope(self, u: Array) -> None:
        below = u <= 0.0
        np.maximum(u, 1.0, out=u)
        np.reciprocal(u, out=u)
        u[below] = self.alpha

    def smooth(self, x: ArrayLike) -> Array:
        """alpha x up to 0, x up to 1, 1 + ln x beyond."""
        values = floats(x)
        middle = np.clip(values, 0.0, 1.0)
        return self.alpha * np.minimum(values, 0.0) + middle + np.log(np.maximum(values, 1.0))


# --------------------------------------------------------------------------------------------- other ways to say it


def make(surrogate: Any, **options: Any) -> Surrogate:
    """A surrogate from its name, from ``{"name": ..., option: value}``, or the object itself.

    Raises:
        InputError: an unknown name or option, a value out of range, or a thing without forward and backward.
    """
    made = build("surrogate", surrogate, **options)
    if not all(callable(getattr(made, name, None)) for name in ("forward", "backward")):
        raise InputError(f"surrogate: {made!r} has no forward and backward; give a name or a Surrogate")
    return made


def psi(potential: ArrayLike, threshold: float = 1.0, scale: float = 0.3, refractory: ArrayLike | None = None) -> Array:
    """psi of e-prop from the potential itself, 0 where ``refractory`` is true (features.md S3.06).

    ``psi(0.5, threshold=0.61)`` is 0.403117.
    """
    slope = EpropPsi(threshold, scale).backward(floats(potential) - threshold)
    return slope if refractory is None else np.where(np.asarray(refractory, dtype=bool), slope.dtype.type(0), slope)


def _short(cls: type[Surrogate], name: str) -> Callable[..., Any]:
    fields = [f.name for f in dataclasses.fields(cls) if f.name != "strict"]

    def function(x: Any = None, *args: Any, **options: Any) -> Any:
        if len(args) > len(fields):
            raise InputError(f"{name}: {len(args)} options are given by place; it has {', '.join(fields)}")
        made = build("surrogate", cls.__name__, **dict(zip(fields, args, strict=False)), **options)
        return made if x is None else made.forward(x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"``{name}({fields[0]}=...)`` is a :class:`{cls.__name__}`; ``{name}(x, {fields[0]})`` its forward."
    )
    return function


arctan = _short(Arctan, "arctan")
eprop_psi = _short(EpropPsi, "eprop_psi")
erf = _short(ERF, "erf")
gaussian_grad = _short(GaussianGrad, "gaussian_grad")
inv_square_grad = _short(InvSquareGrad, "inv_square_grad")
leaky_relu = _short(LeakyRelu, "leaky_relu")
log_tailed_relu = _short(LogTailedRelu, "log_tailed_relu")
multi_gaussian_grad = _short(MultiGaussianGrad, "multi_gaussian_grad")
nonzero_sign_log = _short(NonzeroSignLog, "nonzero_sign_log")
piecewise_exp = _short(PiecewiseExp, "piecewise_exp")
piecewise_leaky_relu = _short(PiecewiseLeakyRelu, "piecewise_leaky_relu")
piecewise_quadratic = _short(PiecewiseQuadratic, "piecewise_quadratic")
q_pseudo_spike = _short(QPseudoSpike, "q_pseudo_spike")
relu_grad = _short(ReluGrad, "relu_grad")
s2nn = _short(S2NN, "s2nn")
sigmoid = _short(Sigmoid, "sigmoid")
slayer_grad = _short(SlayerGrad, "slayer_grad")
soft_sign = _short(SoftSign, "soft_sign")
squarewave_fourier_series = _short(SquarewaveFourierSeries, "squarewave_fourier_series")
super_spike = _short(InvSquareGrad, "super_spike")
triangle = _short(Triangle, "triangle")
