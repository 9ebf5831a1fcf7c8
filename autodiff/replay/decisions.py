"""What decides whether a plan holds comes before what it changes: passes over its list of calls.

A replay that finds another truth than the recorded call gives up, and the call is made eagerly from the beginning. By
then no generator may have moved on, and nothing that the outside can see may have been written into, such as a running
mean, whose new value goes where the last replay has put the old one.
"""

from __future__ import annotations

from autodiff.replay.recorder import Op, reads

__all__ = ["ahead_of_draws", "ahead_of_writes"]


def _last_guard(ops: list[Op]) -> int:
    return max((i for i, op in enumerate(ops) if op.kind == "guard"), default=-1)


def _lets_go(op: Op) -> bool:
    """Whether it sets a gradient to None."""
    return op.kind == "bind" and op.args[0] is None


def ahead_of_draws(ops: list[Op]) -> tuple[list[Op], bool]:
    """Move what decides ahead of random draws, and ahead of letting go of gradients, whose memory can be used from then
    on.

    Returns
    -------
    list of Op
    bool
        Whether that cannot be done and a diverging replay must wind generators back.
    """
    end = _last_guard(ops)
    draws = any(op.kind == "draw" for op in ops[: end + 1])
    if not draws and not any(map(_lets_go, ops[: end + 1])):
        return ops, False
    wanted: set[int] = set()
    storages: set[int] = set()
    chosen: set[int] = set()
    for i in range(end, -1, -1):
        op = ops[i]
        storages_out = {s.storage.index for s in op.outs() if s.storage is not None and s.storage.made}
        if not (
            op.kind == "guard"
            or wanted & {s.index for s in op.outs()}
            or storages & (storages_out | {s.index for s in op.writes})
        ):
            continue
        if op.kind in ("draw", "host"):
            return ops, draws
        chosen.add(i)
        wanted |= {s.index for s in reads(op)}
        storages |= {s.storage.index for s in reads(op) if s.storage is not None and s.storage.made}
    if any(ops[i].writes for i in chosen):
        return ops, draws  # moving a write ahead of other reads would change them
    return [ops[i] for i in sorted(chosen)] + [op for i, op in enumerate(ops) if i not in chosen], False


def ahead_of_writes(ops: list[Op]) -> tuple[list[Op], set[int]]:
    """Move calls whose results are bound to tensors or gradients, and all that follows from them, behind the last
    decision.

    Gradients that the step lets go of first of all stay where they are until then, too.

    Returns
    -------
    list of Op
    set of int
        Storages for which that cannot be done; they must have new memory in every replay.
    """
    end = _last_guard(ops)
    storages = [op.args[0].storage for op in ops if op.kind == "bind" and op.args[0] is not None]
    bound = {storage.index for storage in storages if storage is not None and storage.made}
    late: set[int] = set()
    stuck: set[int] = set()
    for index in sorted(bound):
        found = _following(ops[: end + 1], late | {index})
        if found is None:
            stuck.add(index)
        else:
            late.add(index)
    moved = _following(ops[: end + 1], late) or set()
    moved |= {i for i, op in enumerate(ops[: end + 1]) if _lets_go(op)}
    first, then = ([op for i, op in enumerate(ops[: end + 1]) if (i in moved) is wanted] for wanted in (False, True))
    return first + then + ops[end + 1 :], stuck


def _following(ops: list[Op], storages: set[int]) -> set[int] | None:
    """Places of the calls that write into some storages, and of all that must come after these; None if a decision or
    an effect is among them.
    """
    found: set[int] = set()
    made: set[int] = set()
    read: set[int] = set()
    written = set(storages)
    for i, op in enumerate(ops):
        takes = reads(op)
        sources = {s.storage.index for s in takes if s.storage is not None}
        gives = {s.storage.index for s in op.outs() if s.storage is not None} | {s.index for s in op.writes}
        follows = (
            gives & written
            or sources & written
            or any(s.index in made for s in takes)
            or {s.index for s in op.writes} & read
        )
        if not follows:
            continue
        if op.kind != "call":
            return None
        found.add(i)
        made |= {s.index for s in op.outs()}
        read |= sources
        written |= {s.index for s in op.writes}
    return found
