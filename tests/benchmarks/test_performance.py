"""The switches of autodiff.performance: what they say, that they work, and that importing them changes nothing."""

import gc
import json
import platform
import subprocess
import sys

import pytest

from autodiff import performance
from autodiff.core.errors import ArgumentError

AVX512 = frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "fma"})
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the switch is glibc's")


@pytest.mark.parametrize(
    ("core", "flags", "line"),
    [
        ("Haswell", AVX512, "export OPENBLAS_CORETYPE=SKYLAKEX"),
        ("Haswell", AVX512 - {"avx512vl"}, "# OpenBLAS uses its kernels for Haswell, and the processor has no AVX-512"),
        ("SkylakeX", AVX512, "# OpenBLAS uses its kernels for SkylakeX: leave"),
        (None, AVX512, "# no OpenBLAS"),
    ],
)
def test_the_hint_for_the_kernels(core, flags, line):
    text = performance._hints("glibc", core, flags)
    assert text.splitlines()[1].startswith("export MALLOC_MMAP_THRESHOLD_=")
    assert line in text
    assert ("export OPENBLAS" in text) == line.startswith("export")


def test_no_allocator_line_without_glibc():
    assert "MALLOC" not in performance._hints("musl", None, frozenset())


def test_hints_for_this_machine_are_comments_and_export_lines():
    done = subprocess.run([sys.executable, "-m", "autodiff.performance"], capture_output=True, text=True, check=True)
    assert done.stdout.strip()
    assert all(line.startswith(("# ", "export ")) for line in done.stdout.strip().splitlines())


@glibc
def test_tuned_malloc_keeps_large_blocks_in_the_process():
    # Counts the page faults of 50 temporaries of 8 MiB, with the switch and without.
    program = """
import json, resource, sys
import numpy as np
from autodiff import performance
if sys.argv[1] == "tuned":
    assert performance.tune_malloc() >= 32 * 2**20
x = np.ones(2**20)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        x + x
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
np.ones(2**10)
faults()
print(json.dumps(faults()))
"""

    def measured(word):
        command = [sys.executable, "-c", program, word]
        path = {"PYTHONPATH": ":".join(sys.path)}
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=path).stdout)

    plain, tuned = measured("plain"), measured("tuned")
    assert tuned < 100
    assert tuned <= plain


@pytest.mark.parametrize("threshold", [0, -1, 2**31, 1.5, True, None])
def test_a_threshold_that_malloc_could_not_take_is_refused(threshold):
    with pytest.raises(ArgumentError, match="number of bytes"):
        performance.tune_malloc(threshold)


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", ""))
    assert performance.tune_malloc() == 0


def test_rare_collections_restores_the_threshold_even_after_an_error():
    before = gc.get_threshold()
    seen = []

    def work():
        with performance.rare_collections(12_345):
            seen.append(gc.get_threshold()[0])
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert seen == [12_345]
    assert gc.get_threshold() == before
    with pytest.raises(ArgumentError), performance.rare_collections(0):
        pass
    assert gc.get_threshold() == before


def test_importing_sets_nothing():
    code = "import gc; t = gc.get_threshold(); import autodiff.performance; assert gc.get_threshold() == t"
    subprocess.run([sys.executable, "-c", code], check=True)
