"""Loops that load each other: the inductance matrix of collection loops, and what it does to currents.

Dendrites that couple into one part do so through one closed superconducting loop, the collection loop, of total inductance L_ct, which
couples to the part's SQUID with mutual inductance M_out (circuit.md 7, physics.md 5). A coupling J (Phi0 per unit s) then has a mutual
inductance M_n = J_n L_ct Phi0/(M_out I_c) with it, and a current in one dendrite changes the flux of all others::

    sum_m B_nm s_m' = r_n - alpha_n s_n          B_nm = -2 pi J_n J_m L_ct Phi0/(M_out^2 I_c)   for n != m

The diagonal of B is beta_eff: what a loop's inductance is with the collection loop in place. In units of tau_0 and I_c.

The part's SQUID belongs to it (reciprocity: what puts flux into an arm feels that arm's current). An arm's current is i/2 less
pi phi/(b + l), b the arm's inductance and l that of its junction (JUNCTION), so with t the part that is coupled to,
``B_tn = B_nt = -2 pi beta_1/(beta_1 + beta_2) J_n`` and B_nm has another term ``-2 pi^2 J_n J_m/(b + l)``, on the diagonal too. The
junction equations (:mod:`hardware.junctions`) have the arm's current itself, with its oscillation; l is chosen to agree with them.

Between fluxons s' = -B^-1 A s (A = diag alpha): each current is a sum of exponentials that all of them share. With
G = A^-1/2 B A^-1/2 = U T U^T (symmetric, so T are real time constants) one quantum that enters loop m gives loop n the current
``sum_k z_nk exp(-t/T_k)``, ``z_nk = 2 pi U_nk U_mk/(T_k sqrt(alpha_n alpha_m))``, which is 2 pi (B^-1)_nm at t = 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from soen_event.physics.squid import TWO_PI

if TYPE_CHECKING:
    from soen_event.device import Device

JUNCTION = 4.0  # in effect: that of a junction at rest near its critical current is 2, a running one screens less
SAME = 1e-9  # time constants that differ by less, relatively, are one
NOTHING = 1e-13  # amplitudes below this share of the quantum are left out


class Loading(NamedTuple):
    """Elements of B less the diagonal beta_eff, by rows: ``start`` (n + 1,), ``loop`` and ``B`` (pairs,), loops ascending in every row."""

    start: np.ndarray
    loop: np.ndarray
    B: np.ndarray


def stiffness(inductance: float, mutual: float, flux_quantum: float, critical_current: float) -> float:
    """L_ct Phi0/(M_out^2 I_c) of a collection loop, in SI units: B_nm = -2 pi J_n J_m times this."""
    return inductance * flux_quantum / (mutual * mutual * critical_current)


def reciprocal(device: Device) -> tuple[float, float]:
    """(feed, screen) of :func:`loading` for an RI target on junctions of ``device``."""
    b = 0.5 * (device.beta_1 + device.beta_2)
    return TWO_PI * device.beta_1 / (2.0 * b), 0.5 * TWO_PI * TWO_PI / (b + JUNCTION)


def loading(
    n: int,
    origin: np.ndarray,
    target: np.ndarray,
    J: np.ndarray,
    stiff: np.ndarray,
    feed: np.ndarray,
    screen: np.ndarray,
) -> Loading:
    """Elements of B of ``n`` loops, less beta_eff on its diagonal.

    ``origin``, ``target``, ``J``: of all couplings, (c,). Of every loop that may be coupled to, (n,): ``stiff``, :func:`stiffness` of its
    collection loop, 0 where there is none; ``feed`` and ``screen``: -B_tn/J_n, and the factor of -J_n J_m by which its SQUID screens.
    """
    loaded = np.flatnonzero(stiff[target] > 0.0) if len(target) else np.zeros(0, dtype=np.int64)
    loaded = loaded[np.lexsort((origin[loaded], target[loaded]))]
    one, other = pairs(target[loaded])
    a, b = loaded[one], loaded[other]
    to = target[a]
    value = -J[a] * J[b] * (np.where(origin[a] != origin[b], TWO_PI * stiff[to], 0.0) + screen[to])
    fed = loaded[origin[loaded] != target[loaded]]
    across = -feed[target[fed]] * J[fed]
    row = np.concatenate([origin[a], origin[fed], target[fed]])
    column = np.concatenate([origin[b], target[fed], origin[fed]])
    value = np.concatenate([value, across, across])
    row, column, value = row[value != 0.0], column[value != 0.0], value[value != 0.0]
    order = np.lexsort((column, row))
    row, column, value = row[order], column[order], value[order]
    new = np.ones(len(row), dtype=bool)
    new[1:] = (row[1:] != row[:-1]) | (column[1:] != column[:-1])
    total = np.zeros(int(new.sum()))
    np.add.at(total, np.cumsum(new) - 1, value)
    start = np.concatenate([[0], np.cumsum(np.bincount(row[new], minlength=n))]).astype(np.int64)
    return Loading(start, column[new].astype(np.int64), total)


def pairs(label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All ordered pairs of places that bear the same label, each place with itself too; labels in ascending order."""
    order = np.argsort(label, kind="stable")
    size = np.unique(label, return_counts=True)[1]
    many = np.repeat(size, size)
    first = np.repeat(np.cumsum(size) - size, size)
    within = np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many)
    return np.repeat(order, many), order[np.repeat(first, many) + within]


def eigen(G: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (k,) and orthonormal eigenvectors (k, k) of a symmetric matrix, by cyclic Jacobi rotations.

    Only additions, multiplications, divisions and square roots of single numbers: the same bits on every machine, which a
    library's factorisation does not promise.
    """
    A = np.array(G, dtype=float)
    k = len(A)
    U = np.eye(k)
    for _ in range(50):
        off = np.abs(A - np.diag(np.diag(A))).max(initial=0.0)
        if off <= 1e-15 * np.abs(np.diag(A)).max(initial=0.0):
            break
        for p in range(k - 1):
            for q in range(p + 1, k):
                if abs(A[p, q]) <= 1e-17 * np.sqrt(abs(A[p, p] * A[q, q])):
                    continue
                theta = (A[q, q] - A[p, p]) / (2.0 * A[p, q])
                t = (1.0 if theta >= 0.0 else -1.0) / (abs(theta) + np.sqrt(theta * theta + 1.0))
                c = 1.0 / np.sqrt(t * t + 1.0)
                s = t * c
                rows_p, rows_q = A[p].copy(), A[q].copy()
                A[p], A[q] = c * rows_p - s * rows_q, s * rows_p + c * rows_q
                columns_p, columns_q = A[:, p].copy(), A[:, q].copy()
                A[:, p], A[:, q] = c * columns_p - s * columns_q, s * columns_p + c * columns_q
                vectors_p, vectors_q = U[:, p].copy(), U[:, q].copy()
                U[:, p], U[:, q] = c * vectors_p - s * vectors_q, s * vectors_p + c * vectors_q
    return np.diag(A).copy(), U


def quantum_response(B: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What one quantum does to a group of loops: (T, z), time constants (k,) in tau_0, ascending, and z (to, from, k) in I_c.

    ``B``: (n, n) with its diagonal, symmetric and positive definite; ``alpha``: (n,), above 0.

    Raises ValueError if B is not positive definite (couplings tighter than mutual inductances can be).
    """
    root = 1.0 / np.sqrt(alpha)
    times, U = eigen(B * root[:, None] * root[None, :])
    if times.min() <= 0.0:
        raise ValueError("the inductance matrix is not positive definite")
    order = np.argsort(times, kind="stable")
    times, U = times[order], U[:, order]
    z = TWO_PI * (root[:, None] * U)[:, None, :] * (root[:, None] * U)[None, :, :] / times
    first = np.ones(len(times), dtype=bool)
    first[1:] = times[1:] > times[:-1] * (1.0 + SAME)
    groups = np.cumsum(first) - 1
    merged = np.zeros((*z.shape[:2], int(first.sum())))
    for k in range(len(times)):
        merged[:, :, groups[k]] += z[:, :, k]
    return times[first], merged
