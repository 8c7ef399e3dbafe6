"""Everything that finds weights: the time-stepped twin, gradients and local rules. Filled in by later releases."""
