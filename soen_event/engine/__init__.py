"""The two engines: a readable one on SimPy and a compiled one, the same to the bit.

Where to look first: a photon enters in ``events.happen`` (``photon_arrives``, ``hotspot_begins``), a fluxon is made in
``events.quantum_in`` and, where the current flows, counted in ``events.touch_flow``; a soma fires in ``events.spike``, its light sets
out in ``windows.launch``; a weight changes in ``program``. ``objects`` and ``reference`` say the same in objects.
"""
