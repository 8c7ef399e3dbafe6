"""What makes a network a chip: circuits, spread, energy, placement. Filled in by later releases."""
