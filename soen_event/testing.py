"""Property tests of the physics: Hypothesis strategies for parts, networks and photon trains, and the laws that every run obeys.

Check the laws on a network of your own::

    >>> import soen_event as se
    >>> with se.Network() as net:
    ...     parts = se.Synapse("s1", "d1"), se.Dendrite("d1", beta_over_2pi=100)
    >>> verdicts = se.testing.check_laws(net, {"s1": [1.0, 5.0]}, duration=10.0)
    >>> verdicts["energy"]
    'holds'

or on all kinds of photon trains (``laws_hold(net)``), or write a property of random networks::

    @se.testing.given_network(max_dendrites=3)
    def test_my_law(network, photons, duration): ...

A law is a function ``law_x(network, photons, duration, run=...)``. It raises :class:`LawBroken` with a sentence that names part, time and
values; it returns ``None`` if it was checked and held, or a sentence that says why it says nothing about this network. ``run`` is called
like :func:`~soen_event.simulate` (or, for the laws in :data:`HELD`, like :class:`~soen_event.Simulation`), so that a law can be put to any
other engine. Whatever has to be random inside a law (times to split at, an order) follows from the network, so a failure repeats.

Needs Hypothesis: ``pip install "soen-event[testing]"``.
"""
