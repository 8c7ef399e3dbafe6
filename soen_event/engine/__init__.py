"""The two engines: a readable one on SimPy and a compiled one, the same to the bit."""
