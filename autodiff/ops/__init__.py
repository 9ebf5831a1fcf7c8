"""Elementary primitives: one line each, a NumPy forward and one gradient rule per argument.

Rules are written ``rule(g, out, *inputs, **attrs)`` in plain NumPy. Derivatives are textbook formulas (Abramowitz and
Stegun, chapter 4; for matrices Giles 2008, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation"). The values chosen at kinks are listed in docs/kinks.md.
"""
