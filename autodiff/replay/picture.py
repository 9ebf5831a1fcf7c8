"""A plan as a picture: one box per call, filled with the colour of the memory that its result lies in.

Boxes of one colour share the same bytes, one after another in time; that is how few bytes the plan needs. Results that
the outside sees have a thick frame, results that a call allocates anew have no colour.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Step", "plan_to_dot"]


@dataclass(frozen=True)
class Step:
    """One line of a plan.

    Parameters
    ----------
    text : str
        The line of Python.
    label : str
        The callable's name.
    takes : tuple of str
        Names that it reads.
    gives : tuple of str
        Names that it makes or writes into.
    place : tuple of str and int, or None
        Whose memory the result lies in ("" is the arena, others are results that the outside sees later) and where it
        begins there; None if it has memory of its own.
    owned : bool
        Whether the result has memory of its own, which the outside sees.
    facts : str
        Dtype and shape of the result.
    """

    text: str
    label: str
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    place: tuple[str, int] | None
    owned: bool
    facts: str


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def plan_to_dot(title: str, steps: list[Step]) -> str:
    """The picture in DOT, Graphviz's language.

    Examples
    --------
    >>> step = Step("np.exp(a0, b0)", "np.exp", ("a0",), ("b0",), ("", 0), False, "float64[3]")
    >>> print(plan_to_dot("double", [step]).splitlines()[3])
      s0 [label="np.exp\\nb0: float64[3]", tooltip="np.exp(a0, b0)", fillcolor="0.000 0.35 0.95"];
    """
    # Neighbouring places get hues far apart: steps of the golden ratio around the circle of colours.
    hues = {
        place: (i * 0.618034) % 1.0 for i, place in enumerate(sorted({s.place for s in steps if s.place is not None}))
    }
    lines = ["digraph {", f"  graph [label={_quoted(title)}, labelloc=t, fontname=Helvetica];"]
    lines.append('  node [shape=box, style="filled,rounded", fillcolor=white, fontname=Helvetica, fontsize=10];')
    made: dict[str, int] = {}
    for number, step in enumerate(steps):
        label = step.label + (f"\\n{step.gives[0]}: {step.facts}" if step.gives and step.facts else "")
        facts = [f'label="{label}"', f"tooltip={_quoted(step.text)}"]
        if step.place is not None:
            facts.append(f'fillcolor="{hues[step.place]:.3f} 0.35 0.95"')
        if step.owned:
            facts.append('fillcolor="lightgrey"')
            facts.append("penwidth=3")
        lines.append(f"  s{number} [{', '.join(facts)}];")
        for name in dict.fromkeys(step.takes):
            if name in made:
                lines.append(f"  s{made[name]} -> s{number} [label={_quoted(name)}, fontsize=8];")
            elif name[0] in "atnp":
                lines.append(f"  {name} [shape=ellipse]; {name} -> s{number};")
        for name in step.gives:
            made[name] = number
    return "\n".join([*lines, "}", ""])
