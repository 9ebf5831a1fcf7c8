"""How the library works, to be read from top to bottom: errors, graph, modes, op, backward, pytree. NumPy only."""
