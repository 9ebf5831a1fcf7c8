"""``python -m benchmarks.gradbench``: GradBench's protocol, one JSON message a line on standard input.

A message has an ``id`` and a ``kind``. ``start`` and ``analysis`` are acknowledged. ``define`` asks whether a module (a
task) is known. ``evaluate`` names a module and a function and carries an ``input``, in which ``min_runs`` and
``min_seconds`` say how often the evaluation is repeated; the reply holds the output and the time of each run in
nanoseconds, without the conversion of input and output. A failure is a reply as well, with the error's text.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from typing import Any, TextIO

from benchmarks.gradbench import bundle, hand, lstm, mixture, nested, scalars, sums
from benchmarks.gradbench.task import Function

TASKS: dict[str, dict[str, Function]] = {
    **scalars.TASKS,
    **sums.TASKS,
    **mixture.TASKS,
    **lstm.TASKS,
    **bundle.TASKS,
    **hand.TASKS,
    **nested.TASKS,
}


def evaluate(function: Function, given: Any) -> dict[str, Any]:
    """Run a function as often as its input asks for.

    Parameters
    ----------
    function : Function
    given : JSON value
        The message's input.

    Returns
    -------
    dict
        ``success``, ``output`` and ``timings``, as in the protocol.
    """
    options = given if isinstance(given, dict) else {}
    runs, seconds = options.get("min_runs", options.get("runs", 1)), options.get("min_seconds", 0)
    arguments = function.read(given)
    timings: list[dict[str, Any]] = []
    spent = 0
    while len(timings) < runs or spent < seconds * 1e9:
        started = time.perf_counter_ns()
        result = function.run(*arguments)
        taken = time.perf_counter_ns() - started
        spent += taken
        timings.append({"name": "evaluate", "nanoseconds": taken})
    return {"success": True, "output": function.write(result), "timings": timings}


def reply(message: dict[str, Any]) -> dict[str, Any]:
    """The answer to one message."""
    answer: dict[str, Any] = {"id": message["id"]}
    kind = message.get("kind")
    if kind == "start":
        return answer | {"tool": "autodiff"}
    if kind == "define":
        return answer | {"success": message["module"] in TASKS}
    if kind == "evaluate":
        try:
            return answer | evaluate(TASKS[message["module"]][message["function"]], message["input"])
        except KeyError as error:
            return answer | {"success": False, "error": f"nothing is known of {error}"}
        except Exception:
            return answer | {"success": False, "error": traceback.format_exc()}
    return answer


def serve(lines: TextIO, out: TextIO) -> None:
    """Answer every line of ``lines`` on ``out``."""
    for line in lines:
        if line.strip():
            print(json.dumps(reply(json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
