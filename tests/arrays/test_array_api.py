"""The array API standard: every function of it takes the standard's arguments and gives what NumPy's own gives, in the
dtype that the standard asks for, and is differentiable where NumPy's function is.

The signatures are those of array-api-strict, the standard's reference implementation, written out below: a name, its
positional-only arguments, its keywords.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff.testing import check_gradients

if not hasattr(np, "unstack"):
    pytest.skip("the standard needs NumPy 2.1", allow_module_level=True)

xp = ad.tensor(0.0).__array_namespace__()
A = np.array([[0.5, -1.5, 2.0], [1.25, 0.25, -0.75]])
SQUARE = np.array([[2.0, 0.5, 0.1], [0.5, 1.5, -0.3], [0.1, -0.3, 1.0]])
INTS = np.array([3, 1, 2])
BOOLS = np.array([True, False, True])

UNARY = (
    "abs acos acosh asin asinh atan atanh ceil conj cos cosh exp expm1 floor imag isfinite isinf isnan log log10 log1p"
)
UNARY += " log2 negative positive real reciprocal round sign signbit sin sinh sqrt square tan tanh trunc"
BINARY = "add atan2 copysign divide equal floor_divide greater greater_equal hypot less less_equal logaddexp maximum"
BINARY += " minimum multiply nextafter not_equal pow remainder subtract"
BITS = "bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor"
DOMAIN = {"acos": 0.4, "asin": 0.4, "atanh": 0.4, "acosh": 3.0}


def calls() -> dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]]:
    """The standard's calls of every function, by name; those of an extension under "linalg.name"."""
    table: dict[str, Any] = {}
    positive = np.abs(A) + 0.1
    for name in UNARY.split():
        table[name] = [((positive * DOMAIN.get(name, 1.0) if name != "acosh" else positive + 1.0,), {})]
    for name in BINARY.split():
        table[name] = [((positive, positive[:, ::-1] + 0.53), {}), ((positive, 2.0), {}), ((2.0, positive), {})]
    for name in BITS.split():
        table[name] = [((INTS, INTS[::-1].copy()), {}), ((INTS, 1), {})]
    for name in ("logical_and", "logical_or", "logical_xor"):
        table[name] = [((BOOLS, ~BOOLS), {}), ((BOOLS, True), {})]
    table["bitwise_invert"], table["logical_not"] = [((INTS,), {})], [((BOOLS,), {})]
    reduce = [((A,), {}), ((A,), {"axis": 0}), ((A,), {"axis": (0, 1), "keepdims": True})]
    for name in ("max", "mean", "min", "prod", "sum", "count_nonzero", "all", "any"):
        table[name] = list(reduce)
    table["sum"] += [((A,), {"dtype": np.float32})]
    for name in ("std", "var"):
        table[name] = [*reduce, ((A,), {"correction": 1.0, "axis": 1})]
    for name in ("argmax", "argmin"):
        table[name] = [((A,), {}), ((A,), {"axis": 1, "keepdims": True})]
    for name in ("cumulative_sum", "cumulative_prod"):
        table[name] = [((INTS * 1.0,), {}), ((A,), {"axis": 1, "include_initial": True, "dtype": np.float32})]
    ends = {"prepend": np.zeros((2, 1)), "append": np.ones((2, 1))}
    table["diff"] = [((A,), {}), ((A,), {"axis": 0, "n": 1}), ((A,), {"axis": -1, "n": 2, **ends})]
    table["nonzero"] = [((A,), {})]
    table["where"] = [((A > 0, A, A * 2), {}), ((A > 0, A, 0.0), {})]
    for name in ("unique_all", "unique_counts", "unique_inverse", "unique_values"):
        table[name] = [((np.array([3.0, 1.0, 2.0]),), {}), ((np.array([[3.0, 1.0], [3.0, np.nan]]),), {})]
    table["searchsorted"] = [
        ((np.array([1.0, 2.0]), A), {"side": "right"}),
        ((A[0], A[1]), {"sorter": np.argsort(A[0])}),
    ]
    for name in ("sort", "argsort"):
        table[name] = [((A,), {"axis": 0}), ((A,), {"stable": False})]
    table["take"] = [((A, np.array([1, 0])), {"axis": 1})]
    table["take_along_axis"] = [((A, np.array([[1], [0]])), {}), ((A, np.array([[1, 0, 1]])), {"axis": 0})]
    table["clip"] = [((A,), {"min": -1.0, "max": 1.0}), ((A, -1.0, None), {}), ((A,), {})]
    table["broadcast_arrays"] = [((A, A[0]), {})]
    table["broadcast_to"] = [((A, (2, 2, 3)), {})]
    table["concat"] = [(([A, A],), {"axis": 1}), (((A, A[0]),), {"axis": None})]
    table["stack"] = [(([A, A],), {"axis": 1})]
    table["unstack"] = [((A,), {}), ((A,), {"axis": 1})]
    table["expand_dims"] = [((A, 1), {}), ((A,), {"axis": -1})]
    table["flip"] = [((A,), {}), ((A,), {"axis": (0,)})]
    table["moveaxis"] = [((A, 0, 1), {}), ((A, (0, 1), (1, 0)), {})]
    table["permute_dims"] = [((A, (1, 0)), {}), ((A,), {"axes": (1, 0)})]
    table["repeat"] = [((A, 2), {}), ((A, np.array([1, 0, 2])), {"axis": 1})]
    table["reshape"] = [((A, (3, 2)), {}), ((A,), {"shape": (-1,), "copy": True})]
    table["roll"] = [((A, 1), {}), ((A,), {"shift": (1, 1), "axis": (0, 1)})]
    table["squeeze"] = [((A[:, None], 1), {}), ((A[:1],), {"axis": (0,)})]
    table["tile"] = [((A, (2, 1)), {})]
    table["tril"] = table["triu"] = [((A,), {}), ((A,), {"k": 1})]
    table["matrix_transpose"] = [((A,), {})]
    table["meshgrid"] = [((A[0], A[1]), {}), ((A[0], A[1]), {"indexing": "ij"})]
    table["matmul"] = [((A, A.T), {})]
    table["tensordot"] = [((A, A.T), {"axes": 1}), ((A, A), {"axes": ((1,), (1,))})]
    table["vecdot"] = [((A, A), {}), ((A, A), {"axis": 0})]
    for name in ("cholesky",):
        table[f"linalg.{name}"] = [((SQUARE,), {}), ((SQUARE,), {"upper": True})]
    for name in ("det", "eigvalsh", "inv", "pinv", "slogdet", "svdvals", "matrix_transpose", "matrix_rank"):
        table[f"linalg.{name}"] = [((SQUARE,), {})]
    table["linalg.eigh"] = table["linalg.qr"] = table["linalg.svd"] = [((SQUARE,), {})]
    table["linalg.qr"] = [((SQUARE,), {}), ((A.T,), {"mode": "complete"})]
    table["linalg.svd"] = [((SQUARE,), {}), ((A,), {"full_matrices": False})]
    table["linalg.pinv"] = [((A,), {}), ((A,), {"rtol": 1e-3})]
    table["linalg.matrix_rank"] = [((A,), {}), ((A,), {"rtol": 1e-3})]
    table["linalg.cross"] = [((A, A[::-1].copy()), {}), ((A.T, A.T[:, ::-1].copy()), {"axis": 0})]
    table["linalg.diagonal"] = [((A,), {}), ((A,), {"offset": 1})]
    table["linalg.trace"] = [((A,), {}), ((A,), {"offset": 1, "dtype": np.float32})]
    table["linalg.matrix_norm"] = [((A,), {}), ((A,), {"ord": "nuc", "keepdims": True}), ((A,), {"ord": 2})]
    table["linalg.vector_norm"] = [
        ((A,), {}),
        ((A,), {"axis": (0, 1), "keepdims": True}),
        ((A,), {"axis": 1, "ord": 1}),
    ]
    table["linalg.matrix_power"] = [((SQUARE, 3), {}), ((SQUARE, -1), {}), ((SQUARE, 0), {})]
    table["linalg.outer"] = [((A[0], A[1]), {})]
    table["linalg.solve"] = [((SQUARE, A.T), {}), ((SQUARE, A[0]), {})]
    for name in ("matmul", "tensordot", "vecdot"):
        table[f"linalg.{name}"] = table[name]
    for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
        table[f"fft.{name}"] = [((A,), {}), ((A,), {"n": 4, "axis": 0, "norm": "ortho"})]
    for name in ("fftn", "ifftn", "rfftn", "irfftn"):
        table[f"fft.{name}"] = [((A,), {}), ((A,), {"s": (3, 4), "axes": (0, 1), "norm": "forward"})]
    for name in ("fftshift", "ifftshift"):
        table[f"fft.{name}"] = [((A,), {}), ((A,), {"axes": 1})]
    return table


CALLS = calls()
MADE = "arange empty empty_like eye full full_like linspace ones ones_like zeros zeros_like asarray from_dlpack".split()
OTHERS = [*MADE, *"astype can_cast finfo iinfo isdtype result_type".split()]


def found(space: Any, name: str) -> Any:
    for part in name.split("."):
        space = getattr(space, part)
    return space


def tensors(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ad.tensor(value)
    return type(value)(map(tensors, value)) if isinstance(value, list | tuple) else value


def leaves(made: Any) -> list[Any]:
    return [leaf for part in made for leaf in leaves(part)] if isinstance(made, list | tuple) else [made]


def test_every_function_of_the_standard_is_called_below() -> None:
    named = {name for name in xp.__all__ if callable(getattr(xp, name)) and not isinstance(getattr(xp, name), np.dtype)}
    named -= {"__array_namespace_info__", "special"}
    named |= {f"linalg.{name}" for name in vars(xp.linalg)} | {f"fft.{name}" for name in vars(xp.fft)}
    assert named == set(CALLS) | set(OTHERS) | {"fft.fftfreq", "fft.rfftfreq"}


def test_the_standard_itself_lists_nothing_else() -> None:
    strict = pytest.importorskip("array_api_strict")
    for ours, theirs in ((xp, strict), (xp.linalg, strict.linalg), (xp.fft, strict.fft)):
        names = {name for name in theirs.__all__ if "array_api_strict" not in name.lower()}
        # Of a later version of the standard, and of that package alone.
        names -= {"broadcast_shapes", "isin", "Device", "ArrayAPIStrictFlags", "__version__"}
        assert [name for name in sorted(names) if not hasattr(ours, name)] == []


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_function_gives_numpys_values_of_the_standards_arguments(name: str) -> None:
    for args, words in CALLS[name]:
        got = found(xp, name)(*tensors(args), **{key: tensors(value) for key, value in words.items()})
        right = found(np, name)(*args, **words)
        assert getattr(got, "_fields", None) == getattr(right, "_fields", None)
        assert len(leaves(got)) == len(leaves(right))
        for ours, theirs in zip(leaves(got), leaves(right), strict=True):
            assert type(ours) is ad.Tensor, f"{name} gives {type(ours).__name__}"
            assert ours.dtype == theirs.dtype
            assert ours.shape == np.shape(theirs)
            np.testing.assert_allclose(ours.data, theirs, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_function_keeps_single_precision(name: str) -> None:
    for args, words in CALLS[name]:
        if "dtype" in words or any(getattr(value, "dtype", None) in (np.int64, np.bool_) for value in leaves(args)):
            continue

        def single(value: Any) -> Any:
            if isinstance(value, np.ndarray):
                return ad.tensor(value, dtype=np.float32)
            return type(value)(map(single, value)) if isinstance(value, list | tuple) else value

        made = found(xp, name)(
            *[single(arg) if not isinstance(arg, tuple) or name == "concat" else arg for arg in args],
            **{
                key: single(value) if isinstance(value, np.ndarray) and key != "sorter" else value
                for key, value in words.items()
            },
        )
        assert {leaf.dtype for leaf in leaves(made)} <= {np.dtype(kind) for kind in ("f4", "c8", "i8", "?")}


CONSTANT = "ceil floor trunc round equal not_equal less less_equal greater greater_equal floor_divide isfinite"
CONSTANT += (
    " isinf isnan signbit sign count_nonzero all any argmax argmin nonzero searchsorted argsort linalg.matrix_rank"
)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_function_is_differentiable_where_it_has_a_slope(name: str) -> None:
    args, words = CALLS[name][-1 if name in ("take_along_axis", "unstack") else 0]
    arrays = [place for place, arg in enumerate(args) if isinstance(arg, np.ndarray) and arg.dtype == float]
    function = found(xp, name)

    def floats(*values: Any) -> list[Any]:
        given = list(args)
        for place, value in zip(arrays, values, strict=True):
            symmetric = name in ("linalg.cholesky", "linalg.eigh", "linalg.eigvalsh")  # which they take for granted
            given[place] = (value + value.T) / 2 if symmetric else value
        made = [leaf for leaf in leaves(function(*given, **words)) if leaf.dtype.kind in "fc"]
        # Vectors are unique up to a sign alone.
        return [leaf for leaf in made if leaf.ndim == 1] if name in ("linalg.svd", "linalg.eigh") else made

    if not arrays:
        return
    inputs = [ad.tensor(args[place], requires_grad=True) for place in arrays]
    if name in CONSTANT.split():
        assert not any(leaf.requires_grad for leaf in floats(*inputs))
        return
    assert any(leaf.requires_grad for leaf in floats(*inputs))

    def total(*values: Any) -> Any:
        return sum(np.sum(np.cos(np.real(leaf)) + np.sin(np.imag(leaf))) for leaf in floats(*values))

    check_gradients(total, *[args[place] for place in arrays], order=1)


@pytest.mark.parametrize("name", ["sort", "argsort"])
def test_descending_order_is_stable(name: str) -> None:
    x = np.array([2.0, 1.0, 2.0, 3.0])
    right = {"sort": [3.0, 2.0, 2.0, 1.0], "argsort": [3, 0, 2, 1]}[name]
    assert getattr(xp, name)(ad.tensor(x), descending=True).tolist() == right


def test_a_sorted_elements_gradient_goes_to_its_place() -> None:
    x = ad.tensor([2.0, 1.0, 3.0], requires_grad=True)
    (xp.sort(x, descending=True) * np.array([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [10.0, 100.0, 1.0]


def test_of_equal_elements_the_first_has_the_gradient() -> None:
    x = ad.tensor([[3.0, 1.0], [3.0, 2.0]], requires_grad=True)
    found = np.unique_all(x)
    found.values.sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0], [0.0, 1.0]]
    assert found.inverse_indices.tolist() == [[2, 0], [2, 1]]


@pytest.mark.parametrize(
    ("made", "right"),
    [
        (lambda: xp.arange(3, dtype=xp.float32, device="cpu"), np.arange(3, dtype="f4")),
        (lambda: xp.eye(2, 3, k=1), np.eye(2, 3, k=1)),
        (lambda: xp.full((2,), 3, dtype=xp.int8, device="cpu"), np.full(2, 3, "i1")),
        (lambda: xp.full((2,), True), np.full(2, True)),
        (lambda: xp.full_like(xp.ones(2), 3, device="cpu"), np.full(2, 3.0)),
        (lambda: xp.linspace(0, 1, num=5, endpoint=False), np.linspace(0, 1, 5, endpoint=False)),
        (lambda: xp.ones_like(xp.zeros(2), dtype=xp.int32), np.ones(2, "i4")),
        (lambda: xp.zeros((), dtype=xp.complex64), np.zeros((), "c8")),
        (lambda: xp.asarray([[1, 2]], dtype=xp.uint8), np.array([[1, 2]], "u1")),
        (lambda: xp.asarray(True), np.array(True)),
        (lambda: xp.from_dlpack(np.ones(2), copy=True), np.ones(2)),
        (lambda: xp.astype(xp.ones(2), xp.int64, device="cpu"), np.ones(2, "i8")),
        (lambda: xp.fft.fftfreq(4, d=0.5, device="cpu"), np.fft.fftfreq(4, 0.5)),
        (lambda: xp.fft.rfftfreq(4, dtype=xp.float32), np.fft.rfftfreq(4).astype("f4")),
    ],
)
def test_arrays_are_made_as_the_standard_says(made: Any, right: Any) -> None:
    got = made()
    assert type(got) is ad.Tensor
    assert got.dtype == right.dtype
    np.testing.assert_allclose(got.data, right, rtol=1e-15)


def test_empty_arrays_have_the_shape_and_dtype_asked_for() -> None:
    assert xp.empty((2, 3), dtype=xp.float32).dtype == xp.empty_like(xp.ones((2, 3)), dtype=xp.float32).dtype
    assert xp.empty_like(xp.ones((2, 3))).shape == (2, 3)


def test_asarray_keeps_a_tensor_and_its_gradient() -> None:
    x = ad.tensor([1.0, 2.0], requires_grad=True)
    assert xp.asarray(x) is x
    assert xp.asarray(x, copy=True) is not x
    xp.asarray([x, x], dtype=xp.float32).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    assert xp.asarray(x, copy=False) is x
    with pytest.raises(ValueError, match="copy"):
        xp.asarray(x, dtype=xp.float32, copy=False)


@pytest.mark.parametrize("make", [xp.asarray, xp.from_dlpack])
def test_a_gradient_does_not_feel_what_becomes_of_the_array_that_a_tensor_was_made_of(make: Any) -> None:
    array, weight = np.ones(2), ad.tensor([1.0, 1.0], requires_grad=True)
    loss = (make(array) * weight).sum()
    array[0] = 100.0
    loss.backward()
    assert weight.grad.tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match="numbers of its own"):
        make(array, copy=False)


def test_the_limits_of_a_dtype_are_python_numbers() -> None:
    info = xp.finfo(xp.complex64)
    assert (info.bits, info.eps, info.dtype) == (32, float(np.finfo("f4").eps), xp.float32)
    assert {type(number) for number in (info.eps, info.max, info.min, info.smallest_normal)} == {float}
    assert xp.iinfo(ad.tensor([1], dtype=np.int8))[:3] == (8, 127, -128)


def test_dtypes_are_told_and_promoted() -> None:
    x = ad.tensor([1.0], dtype=np.float32)
    assert x.dtype == xp.float32
    assert hash(x.dtype) == hash(xp.float32)
    assert xp.isdtype(x.dtype, "real floating")
    assert xp.isdtype(xp.bool, ("bool", xp.int8))
    assert xp.result_type(x, 1.0, xp.int8) == xp.float32
    assert xp.can_cast(x, xp.float64)
    info = xp.__array_namespace_info__()
    assert info.default_device() == x.device
    assert info.dtypes(kind="bool") == {"bool": xp.bool}


SMALL = np.array([[3, 1, 2], [2, 2, 1]], np.int8)


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: m.sum(x, dtype=np.int8),
        lambda m, x: m.prod(x, axis=1, dtype=np.int16),
        lambda m, x: m.cumulative_sum(x, axis=0, dtype=np.int8, include_initial=True),
        lambda m, x: m.cumulative_prod(x, axis=1, dtype=np.uint8),
        lambda m, x: m.linalg.trace(x, dtype=np.int8),
        lambda m, x: np.add.reduce(x, dtype=np.int8),
        lambda m, x: m.vecdot(x, x),
        lambda m, x: m.clip(x),
        lambda m, x: m.clip(x, min=2),
        lambda m, x: m.clip(x, max=2),
        lambda m, x: m.repeat(x, np.array([1, 0, 2], np.int32), axis=1),
        lambda m, x: x >> 1,
        lambda m, x: 2 << x,
        lambda m, x: np.int8(96) >> x,
    ],
)
def test_integers_stay_in_the_dtype_asked_for(call: Any) -> None:
    """NumPy sums small integers in int64 and clips them at infinities where nothing else was said."""
    ours, theirs = call(xp, ad.tensor(SMALL)), call(np, SMALL)
    assert ours.dtype == theirs.dtype
    assert ours.tolist() == theirs.tolist()


def test_shifts_in_place_reach_the_views() -> None:
    x = ad.tensor(SMALL.copy())
    row = x[0]
    row <<= 2
    row >>= 1
    assert x.tolist() == [[6, 2, 4], [2, 2, 1]]


def test_unsigned_numbers_of_repeats_are_taken() -> None:
    assert xp.repeat(ad.tensor(SMALL[0]), xp.asarray([1, 0, 2], dtype=xp.uint64)).tolist() == [3, 2, 2]


@pytest.mark.parametrize(
    ("start", "stop"), [(9007200328482816.0, 1.0), (0.1, 0.7), (-3, 5), (np.float32(0.1), np.float32(1e8)), (1j, 2.0)]
)
@pytest.mark.parametrize("endpoint", [True, False])
def test_linspace_ends_where_it_is_told(start: Any, stop: Any, endpoint: bool) -> None:
    ours = ad.linspace(ad.tensor(start), stop, 7, endpoint)
    theirs = np.linspace(start, stop, 7, endpoint)
    assert ours.dtype == theirs.dtype
    assert ours.tolist() == theirs.tolist()
    check_gradients(lambda a, b: ad.linspace(a, b, 4, endpoint), 0.5, 2.0)


def test_linspace_of_integers_rounds_down() -> None:
    assert ad.linspace(ad.tensor(-2.5), 2.5, 4, dtype=int).tolist() == [-3, -1, 0, 2]


AXES = (
    "sum mean max prod cumsum squeeze flip sort argsort argmax diff std var median unstack expand_dims"
    " linalg.norm fft.fft fft.irfft"
)
FAR = {name: (lambda m, x, f=name: found(m, f)(x, axis=7)) for name in AXES.split()}
FAR |= {
    "take": lambda m, x: m.take(x, np.array([0]), axis=7),
    "take_along_axis": lambda m, x: m.take_along_axis(x, np.zeros((2, 3), int), axis=7),
    "moveaxis": lambda m, x: m.moveaxis(x, 7, 0),
    "swapaxes": lambda m, x: m.swapaxes(x, 7, 0),
    "stack": lambda m, x: m.stack([x, x], axis=7),
    "repeat": lambda m, x: m.repeat(x, 2, axis=7),
    "insert": lambda m, x: m.insert(x, 0, 1.0, axis=7),
    "vecdot": lambda m, x: m.vecdot(x, x, axis=7),
    "cross": lambda m, x: m.linalg.cross(x, x, axis=7),
    "apply_over_axes": lambda m, x: m.apply_over_axes(m.sum, x, [7]),
}


@pytest.mark.parametrize("name", FAR)
def test_an_axis_that_is_not_there_is_an_index_error(name: str) -> None:
    """And a ValueError where NumPy's is one, too: never the axis at the remainder of its number."""
    with pytest.raises(IndexError) as ours:
        FAR[name](np, ad.tensor(A, requires_grad=True))
    with pytest.raises(IndexError) as theirs:
        FAR[name](np, A)
    assert isinstance(ours.value, ValueError) or not isinstance(theirs.value, ValueError)


def test_vecdot_asks_for_vectors_of_one_length_and_takes_an_axis() -> None:
    with pytest.raises(ad.ShapeError, match="lengths 3 and 1"):
        np.vecdot(ad.tensor(A), np.ones(1))
    np.testing.assert_allclose(np.vecdot(ad.tensor(A), np.ones((4, 2, 3)), axis=-2).data, np.ones((4, 1)) * A.sum(0))
    check_gradients(lambda a, b: np.vecdot(a, b, axis=0), A, A[::-1].copy())


@pytest.mark.filterwarnings("ignore:invalid value")
def test_floor_divide_of_one_infinity_is_the_quotient() -> None:
    """The standard's special cases, where NumPy gives NaN and, as Python, -1."""
    got = xp.floor_divide(ad.tensor([np.inf, -np.inf, 3.0, -3.0, 7.0]), ad.tensor([2.0, 2.0, -np.inf, np.inf, 2.0]))
    assert got.tolist() == [np.inf, -np.inf, 0.0, 0.0, 3.0]
    assert np.signbit(got.data).tolist() == [False, True, True, True, False]
    assert xp.floor_divide(ad.tensor([7, -7]), 2).dtype == np.int64


@pytest.mark.filterwarnings("ignore:invalid value")
def test_expm1_of_special_complex_numbers_is_c99s() -> None:
    infinite = [complex(np.inf, 0.0), complex(-np.inf, np.nan), complex(-0.0, 0.0), complex(np.nan, 0.0), 0.3 + 0.2j]
    got = xp.expm1(ad.tensor(infinite)).data
    np.testing.assert_array_equal(got.real, [np.inf, -1.0, 0.0, np.nan, np.expm1(0.3 + 0.2j).real])
    np.testing.assert_array_equal(got.imag[[0, 1, 2, 3]], 0.0)
    x = ad.tensor(infinite[-2:], requires_grad=True)
    np.real(xp.expm1(x))[1].backward()
    np.testing.assert_allclose(x.grad[1], np.conj(np.exp(0.3 + 0.2j)), rtol=1e-14)


def test_a_maker_takes_the_standards_arguments_alone() -> None:
    for call in (lambda: xp.zeros(2, xp.float32), lambda: xp.eye(n_rows=2), lambda: xp.ones(2, order="C")):
        with pytest.raises(TypeError):
            call()


def test_dlpack_takes_the_standards_keywords() -> None:
    capsule = ad.tensor(A).__dlpack__(stream=None, max_version=(1, 0), dl_device=(1, 0), copy=True)
    assert "dltensor" in repr(capsule)
    with pytest.raises(TypeError):
        ad.tensor(A).__dlpack__(versions=1)


def test_another_device_or_version_is_refused_by_name() -> None:
    x = ad.tensor(1.0)
    assert x.to_device("cpu") is x
    with pytest.raises(ad.ArgumentError, match="CPU"):
        x.to_device("gpu")
    with pytest.raises(ad.ArgumentError, match="CPU"):
        xp.zeros(2, device="gpu")
    assert x.__array_namespace__(api_version="2023.12") is xp
    with pytest.raises(ad.ArgumentError, match=r"2024\.12"):
        x.__array_namespace__(api_version="1999.12")
    with pytest.raises(AttributeError, match="nosuch"):
        xp.nosuch  # noqa: B018


def test_keywords_are_the_standards() -> None:
    """What array-api-strict takes by name, ours take by name."""
    strict = pytest.importorskip("array_api_strict")
    for space, theirs in ((xp, strict), (xp.linalg, strict.linalg), (xp.fft, strict.fft)):
        for name in theirs.__all__:
            if not hasattr(space, name) or not inspect.isfunction(getattr(theirs, name)):
                continue
            words = {
                p.name for p in inspect.signature(getattr(theirs, name)).parameters.values() if p.kind is p.KEYWORD_ONLY
            }
            try:
                taken = inspect.signature(getattr(space, name)).parameters.values()
            except ValueError:
                continue
            if not any(p.kind is p.VAR_KEYWORD for p in taken):
                assert words <= {p.name for p in taken}, name
