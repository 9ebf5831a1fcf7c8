"""What a gradient rule's own byte code tells of it, so that its author need declare nothing.

:func:`reads` finds which inputs a rule reads, for their values or only for their shape, so that an array that no rule
reads is not kept alive; :func:`arithmetic` gives the text of a rule that is plain arithmetic, so that
the fast code can put it in place of a call, and :func:`over_one_another` the steps of such a text that can
share one array. Whatever is not plainly recognised, of a later Python say, is kept, and called: slower, and as right.
"""

from __future__ import annotations

import ast
import dis
import re
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["SHAPE", "UNUSED", "USED", "arithmetic", "over_one_another", "reads"]

UNUSED, SHAPE, USED = 0, 1, 2
_SHAPE_ATTRIBUTES = frozenset({"shape", "dtype", "ndim", "size"})

# The instructions of CPython 3.11 to 3.14 that rules are made of: those that put parameters on the stack, those that do
# other things with local variables, and those that do neither. A rule with any other instruction, of a later Python
# say, counts as reading everything.
_LOADS = frozenset(
    {"LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW"}
)
_ON_LOCALS = frozenset(
    """STORE_FAST DELETE_FAST LOAD_FAST_AND_CLEAR STORE_FAST_LOAD_FAST STORE_FAST_STORE_FAST
    LOAD_CLOSURE LOAD_DEREF STORE_DEREF MAKE_CELL""".split()
)
_ON_NEITHER = frozenset(
    """BINARY_OP BINARY_SLICE BINARY_SUBSCR BUILD_LIST BUILD_MAP BUILD_SLICE BUILD_STRING BUILD_TUPLE CALL
    CALL_FUNCTION_EX
    CALL_INTRINSIC_1 CALL_KW COMPARE_OP CONTAINS_OP CONVERT_VALUE COPY COPY_FREE_VARS END_FOR FORMAT_SIMPLE
    FORMAT_VALUE FOR_ITER GET_ITER
    IS_OP JUMP_BACKWARD JUMP_FORWARD KW_NAMES LIST_APPEND LIST_EXTEND LIST_TO_TUPLE LOAD_ATTR LOAD_CONST LOAD_GLOBAL
    LOAD_METHOD
    LOAD_SMALL_INT MAKE_FUNCTION NOP NOT_TAKEN POP_ITER POP_JUMP_FORWARD_IF_FALSE POP_JUMP_FORWARD_IF_NONE
    POP_JUMP_FORWARD_IF_NOT_NONE
    POP_JUMP_FORWARD_IF_TRUE POP_JUMP_IF_FALSE POP_JUMP_IF_NONE POP_JUMP_IF_NOT_NONE POP_JUMP_IF_TRUE POP_TOP PRECALL
    PUSH_NULL
    RAISE_VARARGS RESUME RETURN_CONST RETURN_VALUE SET_FUNCTION_ATTRIBUTE STORE_SUBSCR SWAP TO_BOOL UNARY_NEGATIVE
    UNARY_NOT
    UNPACK_SEQUENCE""".split()
)


def reads(rule: Callable[..., Any], skip: int, count: int) -> tuple[int, ...]:
    """How ``rule`` uses each of its ``count`` parameters after the first ``skip``: not, for its shape, or in full.

    Read off the rule's own byte code, so that an author declares nothing and an array that no rule reads is not kept
    alive. Whatever is not plainly recognised counts as used in full.
    """
    code = getattr(rule, "__code__", None)
    if code is None or code.co_argcount < skip + count:
        return (USED,) * count
    names = code.co_varnames[skip : skip + count]
    use = {name: USED if name in code.co_cellvars else UNUSED for name in names}
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "EXTENDED_ARG")]
    for here, following in zip(instructions, [*instructions[1:], None], strict=True):
        if here.opname in _ON_NEITHER:
            continue
        if here.opname not in _LOADS and here.opname not in _ON_LOCALS:
            return (USED,) * count
        touched = here.argval if isinstance(here.argval, tuple) else (here.argval,)
        for place, name in enumerate(touched):
            if name not in use:
                continue
            by_shape = (
                here.opname in _LOADS
                and place == len(touched) - 1
                and following is not None
                and following.opname == "LOAD_ATTR"
                and following.argval in _SHAPE_ATTRIBUTES
            )
            use[name] = max(use[name], SHAPE if by_shape else USED)
    return tuple(use[name] for name in names)


_ARITHMETIC = frozenset({"+", "-", "*", "/"})
_SILENT = frozenset({"RESUME", "CACHE", "NOP", "NOT_TAKEN", "EXTENDED_ARG"})


def arithmetic(rule: Callable[..., Any], names: Sequence[str]) -> str | None:
    """The rule as an expression in ``names``, its parameters in order, if it is nothing but sums and products of them;
    else None.

    A machine with a stack, run on text instead of numbers. An instruction that is not recognised, on a newer Python
    say, gives None: the rule is then called and its result looked at, which is slower and as right.
    """
    code = getattr(rule, "__code__", None)
    if (
        code is None
        or code.co_argcount != len(names)
        or code.co_freevars
        or code.co_cellvars
        or code.co_kwonlyargcount
        or code.co_flags & 0x0C
    ):
        return None
    text = dict(zip(code.co_varnames, names, strict=False))
    stack: list[str] = []
    for step in dis.get_instructions(code):
        if step.opname in _SILENT:
            continue
        if step.opname in _LOADS:
            loaded = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            if not all(name in text for name in loaded):
                return None
            stack += [text[name] for name in loaded]
        elif step.opname in ("LOAD_CONST", "LOAD_SMALL_INT") and step.argval.__class__ in (int, float):
            stack.append(f"({step.argval!r})")
        elif step.opname == "BINARY_OP" and step.argrepr in _ARITHMETIC and len(stack) >= 2:
            right, left = stack.pop(), stack.pop()
            stack.append(f"({left} {step.argrepr} {right})")
        elif step.opname == "UNARY_NEGATIVE" and stack:
            stack.append(f"(-{stack.pop()})")
        elif step.opname == "RETURN_VALUE" and len(stack) == 1:
            return stack[0] if "g" in re.findall(r"\w+", stack[0]) else None
        else:
            return None
    return None


def _operand(part: Any, name: str) -> str:
    """A number is looked up as an array of ``name``'s dtype, which NumPy takes half a microsecond sooner."""
    return f"arrays[{part.value!r}, {name}.dtype]" if isinstance(part, ast.Constant) else str(part.id)


_UFUNCS: dict[type, str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.USub: "negative",
}


def over_one_another(text: str, name: str) -> tuple[str, list[str], str] | None:
    """An expression of :func:`arithmetic` in steps, each of which can be written over the result of the one before, in
    an array called ``name``.

    Returns
    -------
    (str, list of str, str) or None
        The innermost step, which makes the array; the other steps, as calls of ufuncs; the same as one expression in
        ``name``. None where there are no others, or a step needs the results of two.
    """
    tree: Any = ast.parse(text, mode="eval")
    place, field, calls = tree, "body", list[str]()
    while True:
        step = getattr(place, field)
        fields = tuple(f for f in ("operand", "left", "right") if hasattr(step, f))
        inner = [f for f in fields if not isinstance(getattr(step, f), ast.Name | ast.Constant)]
        if len(inner) > 1 or not (inner or calls):
            return None
        if not inner:
            break
        operands = [name if f in inner else _operand(getattr(step, f), name) for f in fields]
        calls.insert(0, f"{_UFUNCS[type(step.op)]}({', '.join([*operands, name])})")
        place, field = step, inner[0]
    setattr(place, field, ast.Name(name))
    return ast.unparse(step), calls, ast.unparse(tree)
