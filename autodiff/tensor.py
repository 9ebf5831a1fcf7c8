"""The Tensor: an array that remembers how it was computed. It holds no derivative; those stand beside each operation.

A Tensor is three references: its array, its node in the graph (None for a constant), and perhaps a name. Operators are
the operations' own functions, put into the class body without a wrapper; methods are NumPy's, with NumPy's arguments.
"""

from __future__ import annotations

import itertools
import operator
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np

from autodiff import cuts, dispatch, views
from autodiff.batching import Lanes
from autodiff.containers import answers_ufuncs, as_array, comparison_refused, is_foreign, is_plain
from autodiff.core import op as core
from autodiff.core.backward import backpropagate, direction
from autodiff.core.errors import ArgumentError, CutWarning, DTypeError, ForeignArrayError, GraphError, ShapeError
from autodiff.core.graph import Node, Variable
from autodiff.core.modes import ORDINARY, current_state, is_grad_enabled, state_as, transform_depth
from autodiff.core.op import wrap
from autodiff.functions import public
from autodiff.ops import (
    assignment,
    calculus,
    constants,
    elementwise,
    fft,
    indexing,
    linalg,
    polynomials,
    products,
    rearranging,
    reductions,
    shaping,
    special,
    ufunc_methods,
    writing,
)
from autodiff.rows import RowSparse
from autodiff.writes import lend, shared, written

__all__ = ["Tensor", "from_dlpack", "tensor"]

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from autodiff.results import Array, MaybeNone, Number
    from autodiff.rows import RowSparse
    from autodiff.signatures import ArrayLike
    from autodiff.signatures import Signatures as _Base  # what the class gets from tables, for type checkers
else:
    _Base = object

_hook_numbers = itertools.count()


def _operator_of(op: Any) -> Callable[..., Any]:
    """The operation as a binary operator: NotImplemented for an operand that may know better (NEP 13)."""

    def call(inputs: Any, attrs: Any) -> Any:
        try:
            return core.apply(op, inputs, attrs)
        except ForeignArrayError:
            if any(hasattr(value, "__pandas_priority__") and not hasattr(value, "_node") for value in inputs):
                raise  # Tensor claims precedence over pandas' classes, so that nobody else would answer
            return NotImplemented

    return public(op, call, "operator")


def _reflected(op: Any) -> Callable[..., Any]:
    """The operator of an operation whose right operand is the tensor."""
    function = op.function
    reflected = lambda y, x: function(x, y)
    reflected.__module__ = function.__module__
    return reflected


class Tensor(_Base):
    """An n-dimensional array that records what is done to it.

    Parameters
    ----------
    data : scalar, nested lists, numpy.ndarray or Tensor
        Copied, so that writing into the original later cannot corrupt a gradient.
    requires_grad : bool
        Collect a gradient in ``.grad`` when something computed from it is differentiated. Floating-point or complex
        only.
    dtype : dtype, optional
        Default: the data's own; Python floats give float64.
    name : str, optional
        Shown in pictures and messages.

    Raises
    ------
    DTypeError
        If integers or booleans are to require a gradient, or the data are no numbers.

    Examples
    --------
    >>> import autodiff
    >>> x = autodiff.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    array([2., 4., 6.])
    """

    # _view and _views are set on views and on what they are taken from alone (autodiff/views.py), _loan on a tensor
    # whose array was handed out, and _source on one that was detached from a computed one (autodiff/writes.py).
    __slots__ = ("__weakref__", "_data", "_loan", "_name", "_node", "_source", "_view", "_views")

    _data: Any
    _node: Node | Variable | None
    _name: str | None
    _loan: tuple[Any, Any] | None
    _source: weakref.ref[Tensor]
    _view: views.View
    _views: list[weakref.ref[Tensor]]

    def __init__(
        self, data: ArrayLike, requires_grad: bool = False, dtype: DTypeLike | None = None, name: str | None = None
    ) -> None:
        if isinstance(data, Tensor):
            data = data._data
        elif dispatch.holds_tensor(data):
            raise DTypeError(
                "Tensor([...]) of Tensors would cut their graphs; join them with autodiff.array([...]) or"
                " autodiff.stack([...])"
            )
        elif isinstance(data, np.ma.MaskedArray) and np.ma.is_masked(data):
            raise ForeignArrayError("Tensor: a masked array would lose its mask; fill it first (m.filled(0))")
        try:
            array = as_array(data, dtype, copy=True)
        except (TypeError, ValueError) as error:
            raise DTypeError(f"Tensor: cannot make an array of {type(data).__name__}: {error}") from error
        if array.dtype.kind not in "biufc":
            what = (
                f"data of dtype {array.dtype}" if data is not None else "None; does what computed it return its result?"
            )
            raise DTypeError(f"Tensor: {what}; a Tensor holds numbers or booleans")
        # A number stays NumPy's scalar until somebody asks for .data: arithmetic on it takes a tenth of the time.
        self._data = array if array.ndim else array[()]
        self._node = None
        if name is not None:
            self.name = name
        if requires_grad:
            self.requires_grad = True

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def data(self) -> np.ndarray[Any, Any]:
        """The array, to read and to write into.

        Writing changes the tensor, and all that shares its memory. A backward pass that would need an old value is
        refused, so write after it: ``p.data -= lr * p.grad``. Assigning an array copies it, and leaves a recorded graph
        as it was.
        """
        array = self._array
        if type(array) is np.ndarray:
            array = lend(array, self)
        return array  # type: ignore[no-any-return]  # or a transform's stand-in for one

    @data.setter
    def data(self, value: ArrayLike) -> None:
        loan = getattr(self, "_loan", None)
        if loan is not None and loan[1] is value and loan[0] is self._data:  # p.data -= v has written into it already
            if isinstance(self._node, Variable):
                written(None, self._node)
            return
        if isinstance(value, Tensor):
            value = value._data
        self._rebind(np.array(value) if type(value) is np.ndarray or not hasattr(value, "recorder") else value)

    @property
    def _array(self) -> Any:
        """The array for the library's own use: nobody may write into it, or keep it where a program finds it."""
        data = self._data
        if data.__class__ is not np.ndarray and data.__class__ is not Lanes:
            data = self._data = as_array(data)
        return data

    def _rebind(self, array: Any) -> None:
        """Give it another array, which is the tensor's from now on."""
        node = self._node
        views.settle(self)
        if node is not None and (array.shape != node.shape or array.dtype != node.dtype):
            if not isinstance(node, Variable):
                raise ShapeError(
                    f"the data of a computed tensor of shape {node.shape}, dtype {node.dtype} cannot become "
                    f"{array.dtype}{list(array.shape)}; use .detach() first"
                )
            if array.dtype.kind not in "fc":
                raise DTypeError(f"a tensor that requires a gradient cannot hold dtype {array.dtype}")
            # Another shape or dtype is another leaf: a graph recorded before keeps the old one.
            self._node = Variable(array.shape, array.dtype, node.name)
        if isinstance(node, Variable):
            # Graphs keep the old array; only what computes anew, as a checkpoint does, would meet the new one.
            written(None, node)
        self._data = array

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient flows to or through it. Settable on leaves."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if isinstance(self._node, Node):
            if not value:
                raise GraphError("a computed tensor cannot stop requiring a gradient; use .detach()")
            return
        views.settle(self)  # a view that was taken before is what it was, whenever somebody looks at it
        if not value:
            if self._node is not None and self._node.name is not None:
                self._name = self._node.name
            self._node = None
        elif self._node is None:
            array = self._data
            if array.dtype.kind not in "fc":
                raise DTypeError(
                    f"only floating-point and complex tensors can require a gradient, this one is {array.dtype}; "
                    "make it with dtype=float or use .astype(float)"
                )
            self._node = Variable(array.shape, array.dtype, getattr(self, "_name", None))

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set ``requires_grad`` and return the tensor itself."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user, not computed from a tensor that requires a gradient."""
        return not isinstance(self._node, Node)

    @property
    def grad(self) -> Array | MaybeNone:
        """The accumulated gradient: an ndarray of this shape and dtype, a Tensor after ``create_graph=True``, a
        :class:`~autodiff.rows.RowSparse` of a table read with ``sparse=True``, or None.
        """
        node = self._node
        if isinstance(node, Variable):
            return node.grad
        return None if node is None else node.extra("grad")

    @grad.setter
    def grad(self, value: np.ndarray[Any, Any] | Tensor | RowSparse | None) -> None:
        node = self._node
        if value is None and node.__class__ is Variable:
            node._grad = None  # type: ignore[union-attr]
            return
        if node is None:
            if value is None:
                return
            raise GraphError("a tensor that requires no gradient has no .grad; set requires_grad = True first")
        if value is not None:
            if not isinstance(value, Tensor | RowSparse):
                value = as_array(value)
            if value.shape != node.shape:
                raise ShapeError(f".grad must have the tensor's shape {node.shape}, got {value.shape}")
            if value.dtype != node.dtype:
                raise DTypeError(
                    f".grad must have the tensor's dtype {node.dtype}, got {value.dtype}; cast it with .astype"
                )
        if isinstance(node, Variable):
            node.grad = value
        else:
            node.set_extra("grad", value)

    @property
    def name(self) -> str | None:
        """The user's name for it, shown in pictures."""
        if self._node is not None and self._node.name is not None:
            return self._node.name
        return getattr(self, "_name", None)

    @name.setter
    def name(self, value: str | None) -> None:
        if value is not None and not isinstance(value, str):
            raise ArgumentError(f"a name is a str or None, got {type(value).__name__}")
        self._name = value
        if isinstance(self._node, Variable):
            self._node.name = value
        elif self._node is not None:
            self._node.set_extra("name", value)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""
        return self._data.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's dtype."""
        return self._data.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._data.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """Number of elements."""
        return Size(self._data.size)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return int(self._data.nbytes)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return int(self._data.itemsize)

    @property
    def T(self) -> Tensor:
        """All axes reversed."""
        return shaping.transpose(self)  # type: ignore[no-any-return]

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        return shaping.swapaxes(self, -1, -2)  # type: ignore[no-any-return]

    @property
    def real(self) -> Tensor:
        """The real part."""
        return elementwise.real.function(self)  # type: ignore[no-any-return]

    @property
    def imag(self) -> Tensor:
        """The imaginary part."""
        return elementwise.imag.function(self)  # type: ignore[no-any-return]

    @property
    def at(self) -> indexing.At:
        """Functional assignment: ``t.at[index].set(v)``, ``.add(v)``."""
        return indexing.At(self)

    @property
    def flat(self) -> writing.Flat:
        """The elements in C order: to iterate over, to read and to write."""
        return writing.Flat(self)

    @flat.setter
    def flat(self, value: ArrayLike) -> None:
        writing.Flat(self)[:] = value

    # --- views ------------------------------------------------------------------------------------------------------

    def _retake(self, leaf: bool) -> None:
        """Its root was written into: it is to hold that, when somebody next asks (:class:`_Behind`)."""
        ordinary = current_state() is None
        if ordinary and isinstance(self, _Behind) and self._leaf == leaf:
            return
        if not ordinary or self.__class__ is not Tensor:
            _catch_up(self, self._view.take(self._view.root), leaf, self.name)
            return
        self.name = self._name = self.name
        if not leaf:
            self._node = None
        self._data = None
        self.__class__ = _LeafBehind if leaf else _Behind

    # --- gradients --------------------------------------------------------------------------------------------------

    def backward(
        self, grad: ArrayLike | None = None, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Add the gradient of this tensor with respect to every leaf to that leaf's ``.grad``.

        Parameters
        ----------
        grad : array_like or Tensor, optional
            The cotangent to start from, of this tensor's shape, in the convention of ``.grad``. A scalar tensor starts
            from 1.
        retain_graph : bool, optional
            Keep the saved arrays, so that the graph can be walked again. Default: the value of ``create_graph``.
        create_graph : bool
            Record the pass itself; ``.grad`` is then a Tensor that can be differentiated.

        Raises
        ------
        GraphError
            If the tensor requires no gradient, is no scalar and ``grad`` is missing, or its graph was freed.
        ShapeError
            If ``grad`` has another shape.

        Examples
        --------
        >>> import autodiff
        >>> x = autodiff.tensor(3.0, requires_grad=True)
        >>> (x ** 2).backward()
        >>> x.grad
        array(6.)
        """
        node = self._node
        if node is None:
            raise GraphError(
                "backward() on a tensor that requires no gradient: make an input with requires_grad=True"
                + ("" if is_grad_enabled() else ", and compute outside no_grad()")
            )
        seed = seed_for(self, grad, create_graph)
        if grad is not None:
            seed = direction(seed)
        free = not (create_graph if retain_graph is None else retain_graph)
        backpropagate([node], [seed], create_graph=create_graph, free=free)

    def zero_grad(self) -> None:
        """Forget the accumulated gradient (``.grad = None``)."""
        self.grad = None

    def detach(self) -> Tensor:
        """The same array as a constant, without copying it. Writing into either tensor later leaves the other as it
        is.
        """
        state = current_state()
        data = self._data if state is None or state.stops is None else state.stops(self._data)
        result: Tensor = wrap(data, None)
        if self._node.__class__ is not Variable:  # a constant may be given a tracked value later
            result._source = getattr(self, "_source", None) or weakref.ref(self)
        if data.__class__ is np.ndarray:
            shared(data, result)
        if state is not None and state.traced:
            # A picture shows where the graph was cut.
            result.name = f"detach({self.name or getattr(getattr(self._node, 'op', None), 'label', '')})"
        return result

    def retain_grad(self) -> None:
        """Keep the gradient of this computed tensor in ``.grad``, too."""
        if self._node is None:
            raise GraphError("retain_grad() on a tensor that requires no gradient")
        if isinstance(self._node, Node):
            self._node.set_extra("retain", True)

    def register_hook(self, hook: Callable[[Tensor], object]) -> HookHandle:
        """Run ``hook(gradient)`` whenever this tensor's whole gradient has been computed in a pass.

        Parameters
        ----------
        hook : callable
            Takes the gradient as a Tensor; returns None, or a gradient to use in its place.

        Returns
        -------
        HookHandle
            ``handle.remove()`` takes it off again.

        Examples
        --------
        >>> import autodiff
        >>> x = autodiff.tensor(1.0, requires_grad=True)
        >>> handle = x.register_hook(lambda g: g * 10)
        >>> (2 * x).backward()
        >>> x.grad
        array(20.)
        """
        node = self._node
        if node is None:
            raise GraphError("register_hook() on a tensor that requires no gradient")
        if isinstance(node, Variable):
            hooks = node.hooks
        else:
            hooks = node.extra("hooks")
            if hooks is None:
                hooks = {}
                node.set_extra("hooks", hooks)
        return HookHandle(hooks, hook)

    # --- out of the graph ---------------------------------------------------------------------------------------------

    def numpy(self) -> np.ndarray[Any, Any]:
        """The array itself, not a copy.

        Raises
        ------
        GraphError
            If it requires a gradient, which the array could not carry; use ``.detach().numpy()`` or ``.data``.
        """
        if self._node is not None:
            raise GraphError(
                "numpy() on a tensor that requires a gradient would cut its graph; use .data or .detach().numpy()"
            )
        return self.data

    def item(self, *args: SupportsIndex | tuple[SupportsIndex, ...]) -> Number:
        """The only element as a Python number, or the one that ``args`` name, as in NumPy.

        Raises
        ------
        ShapeError
            If there is not exactly one.
        """
        if not args and self.size != 1:
            raise ShapeError(f"item() needs exactly one element, this tensor has shape {self.shape}")
        return self._data.item(*args)  # type: ignore[no-any-return]

    def tolist(self) -> list[Any] | Any:
        """The elements as nested lists of Python numbers."""
        return self._data.tolist()

    def copy(self, order: str = "C") -> Tensor:
        """A differentiable copy with an array of its own."""
        return elementwise.copy_.function(self, order)  # type: ignore[no-any-return]

    def clone(self) -> Tensor:
        """A differentiable copy, under PyTorch's name."""
        return self.copy()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if self._node is not None:
            raise GraphError(cuts.advice(sys._getframe(1)))
        array: np.ndarray[Any, Any] = self._array
        if not issubclass(type(array), (np.ndarray, np.generic)):  # what it says of itself it may not be
            return array.__array__()  # a stand-in of autodiff.jit, and what lanes of vmap hold, say no
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"a tensor of dtype {array.dtype} cannot become {np.dtype(dtype)} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else self.data

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None
    ) -> Any:
        """The array for another library, without a copy (DLPack); refused if it requires a gradient."""
        if self._node is not None:
            raise GraphError(
                "DLPack would hand out a tensor that requires a gradient without its graph; use t.detach() where no"
                " gradient is wanted"
            )
        asked = {"max_version": max_version, "dl_device": dl_device, "copy": copy}  # NumPy 2.0 knows none of them
        given = {name: value for name, value in asked.items() if value is not None}
        return self.data.__dlpack__(stream=stream, **given)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    @property
    def device(self) -> str:
        """Where the elements are: "cpu", as of every NumPy array."""
        return "cpu"

    def to_device(self, device: object, /, *, stream: object = None) -> Tensor:
        """The tensor itself: the array API's way to another device, and there is one."""
        if device != "cpu" or stream is not None:
            raise ArgumentError(f"to_device({device!r}, stream={stream!r}): tensors live on the CPU, device 'cpu'")
        return self

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The functions of the array API standard on Tensors (:mod:`autodiff.array_api`).

        Raises
        ------
        ArgumentError
            If another version of the standard is asked for than one whose functions these are.

        Examples
        --------
        >>> import autodiff
        >>> x = autodiff.tensor([3.0, 4.0], requires_grad=True)
        >>> xp = x.__array_namespace__()
        >>> xp.linalg.vector_norm(x).backward()
        >>> x.grad
        array([0.6, 0.8])
        """
        namespace = import_module("autodiff.array_api")
        if api_version not in (None, *namespace.VERSIONS):
            raise ArgumentError(
                f"__array_namespace__(api_version={api_version!r}): the array API here is that of"
                f" {namespace.__array_api_version__}"
            )
        return namespace

    def _scalar(self, kind: str) -> Any:
        if self.size != 1:
            raise ShapeError(
                f"{kind}() of a tensor of shape {self.shape} is ambiguous; use .any(), .all(), or one element"
            )
        return self._data.item()

    def __bool__(self) -> bool:
        if self.size != 1:
            self._scalar("bool")
        return bool(self._data)  # asked of the array itself, which may be a stand-in that notes the question

    def __float__(self) -> float:
        number = float(self._scalar("float"))
        if self._node is not None:
            self._refuse_to_be_cut("float")
        return number

    def __int__(self) -> int:
        return int(self._scalar("int"))

    def __complex__(self) -> complex:
        number = complex(self._scalar("complex"))
        if self._node is not None:
            self._refuse_to_be_cut("complex")
        return number

    def _refuse_to_be_cut(self, kind: str) -> None:
        """Raise or warn where turning a tracked tensor into a number loses a gradient.

        ``float(x)`` may stand for logging, and ``array[i] = x``, ``math.exp(x)`` and what SciPy does with the result of
        a function end here as well. Inside a transform the number can only be meant for the result. After a backward
        pass that freed the graph there is nothing left to lose.
        """
        caller = sys._getframe(2)
        if cuts.stores(caller):
            raise GraphError(cuts.INTO_PLAIN)
        if cuts.draws(caller):
            raise GraphError(cuts.remedy(caller))
        if transform_depth.get():
            raise GraphError(
                f"{kind}() of a tensor that is being differentiated would cut its graph; use NumPy's functions (np.exp,"
                " not math.exp), or t.item() where no gradient is wanted"
            )
        if not is_grad_enabled() or (isinstance(self._node, Node) and self._node.saved is None):
            return
        frame = cuts.users_frame(caller)
        warnings.warn_explicit(
            f"{kind}() of a tensor that requires a gradient: what is computed from the number has no gradient. Use"
            " NumPy's functions on the tensor (np.sin(t), not math.sin(t)), or t.item() where none is wanted, for"
            " logging say",
            CutWarning,
            frame.f_code.co_filename,
            frame.f_lineno,
            registry=frame.f_globals.setdefault("__warningregistry__", {}),
        )

    def __index__(self) -> int:
        if self.dtype.kind not in "iu" or self.ndim:
            raise DTypeError(
                f"only an integer scalar tensor can be an index, this one is {self.dtype}{list(self.shape)}"
            )
        return int(self._data.item())

    def __round__(self, ndigits: int | None = None) -> Tensor:
        return np.round(self, ndigits or 0)  # type: ignore[return-value]

    def __len__(self) -> int:
        if not self.ndim:
            raise DTypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise DTypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self, value: object) -> bool:
        return bool(np.any(self._array == dispatch.bare(value)))

    def __repr__(self) -> str:
        body = np.array2string(self._array, separator=", ", prefix="tensor(")
        facts = ""
        if self.dtype not in (np.dtype(float), np.dtype(int), np.dtype(bool), np.dtype(complex)):
            facts += f", dtype={self.dtype}"
        if self._node is not None:
            facts += ", requires_grad=True"
        if self.name is not None:
            facts += f", name={self.name!r}"
        return f"tensor({body}{facts})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.size == 1 else format(str(self), spec)

    def __reduce__(self) -> Any:
        if isinstance(self._node, Node):
            raise GraphError(
                "a computed tensor that requires a gradient cannot be pickled with its graph; pickle .detach()"
            )
        grad = None if self._node is None else self.grad
        grad = grad._array if isinstance(grad, Tensor) else grad
        return _rebuild, (type(self), self._array, self.requires_grad, self.name, grad)

    def __copy__(self) -> Tensor:
        if isinstance(self._node, Node) or (self._node is not None and transform_depth.get()):
            return self.copy()
        return _rebuild(*self.__reduce__()[1])

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None and transform_depth.get() and type(self) is Tensor:
            result = self.copy()  # a leaf of its own would have no gradient that the transform asks for
        else:
            result = _rebuild(*self.__reduce__()[1])
        memo[id(self)] = result
        return result

    # --- NumPy's protocols --------------------------------------------------------------------------------------------

    #: pandas' operators leave the answer to a class that claims precedence; see :mod:`autodiff.containers`.
    __pandas_priority__ = 5000

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        try:
            return dispatch.call_ufunc(_wrapped, ufunc, method, inputs, kwargs)
        except ForeignArrayError:
            if any(answers_ufuncs(value) for value in inputs):
                return NotImplemented  # NumPy asks the other class next
            raise

    @property
    def _mask(self) -> Any:
        """What :mod:`numpy.ma` asks everything for that has ``_data``: it would take the array and drop the graph."""
        if self._node is not None:
            raise ForeignArrayError(
                "a masked array beside a tensor that requires a gradient would cut its graph; fill it first"
                " (m.filled(0)) and use np.where with its mask"
            )
        return np.ma.nomask

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not all(issubclass(kind, Tensor | np.ndarray | Lanes) for kind in types):
            return NotImplemented  # another class may know both
        return dispatch.call_function(_wrapped, function, args, kwargs)

    # --- operators: the operations' own functions, so that no wrapper stands between ----------------------------------

    if not TYPE_CHECKING:  # their types stand in signatures.pyi
        __add__ = _operator_of(elementwise.add)
        __radd__ = elementwise.add.function
        __sub__ = _operator_of(elementwise.subtract)
        __rsub__ = _reflected(elementwise.subtract)
        __mul__ = _operator_of(elementwise.multiply)
        __rmul__ = elementwise.multiply.function
        __truediv__ = _operator_of(elementwise.divide)
        __rtruediv__ = _reflected(elementwise.divide)
        __pow__ = _operator_of(elementwise.power)
        __rpow__ = _reflected(elementwise.power)
        __mod__ = _operator_of(elementwise.remainder)
        __rmod__ = _reflected(elementwise.remainder)
        __neg__ = elementwise.negative.function
        __pos__ = elementwise.positive.function
        __abs__ = elementwise.absolute.function
        __iadd__ = assignment.in_place("+=", elementwise.add.function)
        __isub__ = assignment.in_place("-=", elementwise.subtract.function)
        __imul__ = assignment.in_place("*=", elementwise.multiply.function)
        __itruediv__ = assignment.in_place("/=", elementwise.divide.function)
        __ipow__ = assignment.in_place("**=", elementwise.power.function)
        __imod__ = assignment.in_place("%=", elementwise.remainder.function)
        __imatmul__ = assignment.in_place("@=", products.matmul.function)
        __ifloordiv__ = assignment.in_place("//=", operator.floordiv)
        __iand__ = assignment.in_place("&=", operator.and_)
        __ior__ = assignment.in_place("|=", operator.or_)
        __ixor__ = assignment.in_place("^=", operator.xor)
        __ilshift__ = assignment.in_place("<<=", operator.lshift)
        __irshift__ = assignment.in_place(">>=", operator.rshift)

    _matmul = _operator_of(products.matmul)

    def __matmul__(self, other: ArrayLike) -> Tensor:
        if other.__class__ is not np.ndarray and other.__class__ is not Tensor:
            if hasattr(other, "tocsr"):  # a sparse array of SciPy's
                return import_module("autodiff.sparse").csr_array(other).__rmatmul__(self)  # type: ignore[no-any-return]
        return self._matmul(other)  # type: ignore[no-any-return]

    def __rmatmul__(self, other: ArrayLike) -> Tensor:
        return products.matmul.function(other, self)  # type: ignore[no-any-return]

    def __floordiv__(self, other: ArrayLike) -> Tensor:
        return NotImplemented if is_foreign(other) else np.floor_divide(self, other)  # type: ignore[arg-type, return-value]

    def __rfloordiv__(self, other: ArrayLike) -> Tensor:
        return np.floor_divide(other, self)  # type: ignore[arg-type, no-any-return, return-value]

    def __lshift__(self, other: ArrayLike) -> Tensor:
        return _compare(np.left_shift, self, other)

    def __rshift__(self, other: ArrayLike) -> Tensor:
        return _compare(np.right_shift, self, other)

    def __rlshift__(self, other: ArrayLike) -> Tensor:
        return NotImplemented if is_foreign(other) else np.left_shift(other, self)  # type: ignore[arg-type, return-value]

    def __rrshift__(self, other: ArrayLike) -> Tensor:
        return NotImplemented if is_foreign(other) else np.right_shift(other, self)  # type: ignore[arg-type, return-value]

    def __rdivmod__(self, other: ArrayLike) -> tuple[Tensor, Tensor]:
        return other // self, other % self  # type: ignore[return-value]

    def __divmod__(self, other: ArrayLike) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __getitem__(self, index: object) -> Tensor:
        return indexing.getitem(self, index)  # type: ignore[no-any-return]

    def __setitem__(self, index: object, value: ArrayLike) -> None:
        """Write into this tensor, differentiably; its views, and what it is a view of, change with it as NumPy's would.

        What was recorded before keeps the old values, so no gradient is corrupted. See :mod:`autodiff.ops.assignment`.
        """
        (assignment.assign_row if index.__class__ is int else assignment.assign)(self, index, value)  # type: ignore[arg-type]

    # Comparisons have a zero derivative: they give constants. Equality is by element, identity stays the hash.
    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return _compare(np.equal, self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return _compare(np.not_equal, self, other)

    def __lt__(self, other: ArrayLike) -> Tensor:
        return _compare(np.less, self, other)

    def __le__(self, other: ArrayLike) -> Tensor:
        return _compare(np.less_equal, self, other)

    def __gt__(self, other: ArrayLike) -> Tensor:
        return _compare(np.greater, self, other)

    def __ge__(self, other: ArrayLike) -> Tensor:
        return _compare(np.greater_equal, self, other)

    def __invert__(self) -> Tensor:
        return _wrapped(np.invert(self.data))  # type: ignore[no-any-return]

    def __and__(self, other: ArrayLike) -> Tensor:
        return _compare(np.bitwise_and, self, other)

    def __or__(self, other: ArrayLike) -> Tensor:
        return _compare(np.bitwise_or, self, other)

    def __xor__(self, other: ArrayLike) -> Tensor:
        return _compare(np.bitwise_xor, self, other)

    __rand__ = __and__
    __ror__ = __or__
    __rxor__ = __xor__
    __hash__ = object.__hash__

    # --- ndarray's methods, with ndarray's arguments ------------------------------------------------------------------

    def sum(
        self,
        axis: int | Sequence[int] | None = None,
        dtype: DTypeLike | None = None,
        out: object = None,
        keepdims: bool = False,
        **kw: object,
    ) -> Tensor:
        """:func:`numpy.sum` over ``axis``."""
        if out is not None or kw:
            return _in_full(np.sum, self, {"axis": axis, "dtype": dtype, "out": out, "keepdims": keepdims}, kw)  # type: ignore[no-any-return]
        return reductions.sum(self, axis, dtype, None, keepdims)  # type: ignore[no-any-return]

    def mean(
        self,
        axis: int | Sequence[int] | None = None,
        dtype: DTypeLike | None = None,
        out: object = None,
        keepdims: bool = False,
        **kw: object,
    ) -> Tensor:
        """:func:`numpy.mean` over ``axis``."""
        if out is not None or kw:
            return _in_full(np.mean, self, {"axis": axis, "dtype": dtype, "out": out, "keepdims": keepdims}, kw)  # type: ignore[no-any-return]
        return reductions.mean(self, axis, dtype, None, keepdims)  # type: ignore[no-any-return]

    def prod(
        self,
        axis: int | Sequence[int] | None = None,
        dtype: DTypeLike | None = None,
        out: object = None,
        keepdims: bool = False,
        **kw: object,
    ) -> Tensor:
        """:func:`numpy.prod` over ``axis``."""
        if out is not None or kw:
            return _in_full(np.prod, self, {"axis": axis, "dtype": dtype, "out": out, "keepdims": keepdims}, kw)  # type: ignore[no-any-return]
        return reductions.prod(self, axis, dtype, None, keepdims)  # type: ignore[no-any-return]

    def max(
        self, axis: int | Sequence[int] | None = None, out: object = None, keepdims: bool = False, **kw: object
    ) -> Tensor:
        """:func:`numpy.max` over ``axis``; ties share the gradient."""
        if out is not None or kw:
            return _in_full(np.max, self, {"axis": axis, "out": out, "keepdims": keepdims}, kw)  # type: ignore[no-any-return]
        return reductions.max(self, axis, None, keepdims)  # type: ignore[no-any-return]

    def min(
        self, axis: int | Sequence[int] | None = None, out: object = None, keepdims: bool = False, **kw: object
    ) -> Tensor:
        """:func:`numpy.min` over ``axis``; ties share the gradient."""
        if out is not None or kw:
            return _in_full(np.min, self, {"axis": axis, "out": out, "keepdims": keepdims}, kw)  # type: ignore[no-any-return]
        return reductions.min(self, axis, None, keepdims)  # type: ignore[no-any-return]

    def var(
        self,
        axis: int | Sequence[int] | None = None,
        dtype: DTypeLike | None = None,
        out: object = None,
        ddof: float = 0,
        keepdims: bool = False,
        **kw: object,
    ) -> Tensor:
        """:func:`numpy.var` over ``axis``."""
        if out is not None or kw:
            given = {"axis": axis, "dtype": dtype, "out": out, "ddof": ddof, "keepdims": keepdims}
            return _in_full(np.var, self, given, kw)  # type: ignore[no-any-return]
        return reductions.var(self, axis, dtype, None, ddof, keepdims)  # type: ignore[no-any-return]

    def std(
        self,
        axis: int | Sequence[int] | None = None,
        dtype: DTypeLike | None = None,
        out: object = None,
        ddof: float = 0,
        keepdims: bool = False,
        **kw: object,
    ) -> Tensor:
        """:func:`numpy.std` over ``axis``."""
        if out is not None or kw:
            given = {"axis": axis, "dtype": dtype, "out": out, "ddof": ddof, "keepdims": keepdims}
            return _in_full(np.std, self, given, kw)  # type: ignore[no-any-return]
        return reductions.std(self, axis, dtype, None, ddof, keepdims)  # type: ignore[no-any-return]

    def cumsum(
        self, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: object = None, **kw: object
    ) -> Tensor:
        """:func:`numpy.cumsum` along ``axis``."""
        return _in_full(np.cumsum, self, {"axis": axis, "dtype": dtype, "out": out}, kw)  # type: ignore[no-any-return]

    def reshape(self, *shape: int | Sequence[int], order: str = "C", copy: bool | None = None) -> Tensor:
        """:func:`numpy.reshape`; the shape as one tuple or as several integers."""
        return shaping.reshape(self, shape[0] if len(shape) == 1 else shape, order, copy=copy)  # type: ignore[no-any-return]

    def transpose(self, *axes: int | Sequence[int] | None) -> Tensor:
        """:func:`numpy.transpose`; the axes as one tuple or as several integers."""
        order = (
            axes[0] if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], (tuple, list, np.ndarray))) else axes
        )
        return shaping.transpose(self, None if order is None or len(order) == 0 else order)  # type: ignore[no-any-return]

    def ravel(self, order: str = "C") -> Tensor:
        """Flattened to one axis."""
        return shaping.ravel(self, order)  # type: ignore[no-any-return]

    def flatten(self, order: str | Sequence[str] | None = "C", end_dim: int = -1, *, start_dim: int = 0) -> Tensor:
        """A copy flattened to one axis; with PyTorch's arguments (``t.flatten(1)``) the axes from one to another."""
        start = order if isinstance(order, int) else start_dim
        if start or end_dim != -1:
            return shaping.one_axis(self, start, end_dim).copy()  # type: ignore[no-any-return]
        order = "C" if isinstance(order, int) else order
        flat: Tensor = shaping.ravel(self, order)  # type: ignore[arg-type]
        return flat if views.view_of(flat) is None else flat.copy()

    def squeeze(self, axis: int | Sequence[int] | None = None, *, dim: int | Sequence[int] | None = None) -> Tensor:
        """Axes of length one removed."""
        return shaping.squeeze(self, dim if axis is None else axis)  # type: ignore[no-any-return]

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        """Two axes exchanged."""
        return shaping.swapaxes(self, axis1, axis2)  # type: ignore[no-any-return]

    def repeat(self, repeats: ArrayLike, axis: int | None = None) -> Tensor:
        """:func:`numpy.repeat`."""
        return shaping.repeat(self, repeats, axis)  # type: ignore[no-any-return]

    def fill(self, value: ArrayLike) -> None:
        """Write ``value`` into every element."""
        assignment.assign(self, Ellipsis, value)

    def sort(
        self,
        axis: int = -1,
        kind: str | None = None,
        order: str | Sequence[str] | None = None,
        *,
        stable: bool | None = None,
        **words: object,
    ) -> None:
        """Sort in place; :func:`autodiff.sort` gives a sorted copy."""
        if words:
            raise ArgumentError(
                f"sort({', '.join(words)}=...): for PyTorch's values and indices write np.sort(t, axis) and"
                " np.argsort(t, axis), [..., ::-1] for descending; t.sort(axis) sorts in place"
            )
        assignment.assign(self, Ellipsis, np.sort(self, axis, kind, order, stable=stable))  # type: ignore[arg-type]

    def partition(
        self, kth: ArrayLike, axis: int = -1, kind: str | None = "introselect", order: str | Sequence[str] | None = None
    ) -> None:
        """Partition in place; :func:`autodiff.partition` gives a partitioned copy."""
        assignment.assign(self, Ellipsis, np.partition(self, kth, axis, kind, order))  # type: ignore[call-overload]

    def put(self, indices: ArrayLike, values: ArrayLike, mode: str = "raise") -> None:
        """Write ``values`` at positions of the flattened tensor: :func:`numpy.put`."""
        writing.put(self, indices, values, mode)

    def take(self, indices: ArrayLike, axis: int | None = None, out: object = None, mode: str = "raise") -> Tensor:
        """:func:`numpy.take`."""
        return np.take(self, indices, axis, out, mode)  # type: ignore[call-overload, no-any-return]

    def clip(self, min: ArrayLike | None = None, max: ArrayLike | None = None, out: object = None) -> Tensor:
        """:func:`numpy.clip`."""
        return np.clip(self, min, max, out)  # type: ignore[call-overload, no-any-return]

    def dot(self, b: ArrayLike, out: object = None) -> Tensor:
        """:func:`numpy.dot`."""
        return np.dot(self, b, out=out)  # type: ignore[call-overload, no-any-return]

    def astype(self, dtype: DTypeLike | None, copy: bool = True) -> Tensor:
        """In another dtype; see :func:`autodiff.astype`."""
        return elementwise.astype(self, dtype, copy)  # type: ignore[no-any-return]

    def conj(self) -> Tensor:
        """The complex conjugate."""
        return elementwise.conjugate.function(self)  # type: ignore[no-any-return]

    conjugate = conj

    def round(self, decimals: int = 0, out: object = None) -> Tensor:
        """Rounded: a constant, since its derivative is zero wherever it exists."""
        return np.round(self, decimals, out)  # type: ignore[no-any-return, call-overload]

    def argmax(self, axis: int | None = None, out: object = None, *, keepdims: bool = False, **kw: object) -> Tensor:
        """Positions of the largest elements: a constant."""
        return _in_full(np.argmax, self, {"axis": axis, "out": out, "keepdims": keepdims}, kw)  # type: ignore[no-any-return]

    def argmin(self, axis: int | None = None, out: object = None, *, keepdims: bool = False, **kw: object) -> Tensor:
        """Positions of the smallest elements: a constant."""
        return _in_full(np.argmin, self, {"axis": axis, "out": out, "keepdims": keepdims}, kw)  # type: ignore[no-any-return]

    def argsort(
        self,
        axis: int | None = -1,
        kind: str | None = None,
        order: str | Sequence[str] | None = None,
        *,
        stable: bool | None = None,
    ) -> Tensor:
        """The order that sorts: a constant."""
        return np.argsort(self, axis, kind, order, stable=stable)  # type: ignore[arg-type, return-value]

    def argpartition(
        self,
        kth: ArrayLike,
        axis: int | None = -1,
        kind: str | None = "introselect",
        order: str | Sequence[str] | None = None,
    ) -> Tensor:
        """The order that partitions: a constant."""
        return np.argpartition(self, kth, axis, kind, order)  # type: ignore[arg-type, return-value]

    def any(
        self, axis: int | Sequence[int] | None = None, out: object = None, keepdims: bool = False, **kw: object
    ) -> Tensor:
        """Whether any element is nonzero: a constant."""
        return _in_full(np.any, self, {"axis": axis, "out": out, "keepdims": keepdims}, kw)  # type: ignore[no-any-return]

    def all(
        self, axis: int | Sequence[int] | None = None, out: object = None, keepdims: bool = False, **kw: object
    ) -> Tensor:
        """Whether all elements are nonzero: a constant."""
        return _in_full(np.all, self, {"axis": axis, "out": out, "keepdims": keepdims}, kw)  # type: ignore[no-any-return]

    def nonzero(self) -> tuple[np.ndarray[Any, Any], ...]:
        """Indices of the elements that are not zero, as plain arrays."""
        return self._array.nonzero()  # type: ignore[no-any-return]

    def cumprod(
        self, axis: int | Sequence[int] | None = None, dtype: DTypeLike | None = None, out: object = None, **kw: object
    ) -> Tensor:
        """:func:`numpy.cumprod`."""
        return _in_full(np.cumprod, self, {"axis": axis, "dtype": dtype, "out": out}, kw)  # type: ignore[no-any-return]

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
        """:func:`numpy.diagonal`."""
        return np.diagonal(self, offset, axis1, axis2)  # type: ignore[return-value]

    def trace(
        self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: DTypeLike | None = None, out: object = None
    ) -> Tensor:
        """:func:`numpy.trace`."""
        return np.trace(self, offset, axis1, axis2, dtype, out)  # type: ignore[call-overload, no-any-return]

    def ptp(self, axis: int | Sequence[int] | None = None, out: object = None, keepdims: bool = False) -> Tensor:
        """:func:`numpy.ptp`."""
        return np.ptp(self, axis, out, keepdims)  # type: ignore[call-overload, no-any-return]

    def compress(self, condition: ArrayLike, axis: int | Sequence[int] | None = None, out: object = None) -> Tensor:
        """:func:`numpy.compress`."""
        return np.compress(condition, self, axis, out)  # type: ignore[call-overload, no-any-return]

    def choose(self, choices: ArrayLike, out: object = None, mode: str = "raise") -> Tensor:
        """:func:`numpy.choose`."""
        return np.choose(self, choices, out, mode)  # type: ignore[call-overload, no-any-return]

    def searchsorted(self, v: ArrayLike, side: ArrayLike = "left", sorter: ArrayLike | None = None) -> Tensor:
        """:func:`numpy.searchsorted`: a constant."""
        return np.searchsorted(self, v, side, sorter)  # type: ignore[call-overload, no-any-return]


def _catch_up(view: Tensor, again: Tensor, leaf: bool, name: str | None) -> None:
    """Give a view what it is after a write. One of a leaf was recorded before, and is the same function of it.

    One that is behind is a Tensor again when it holds everything, since another thread may look at it meanwhile.
    """
    Tensor._data.__set__(view, again._data)  # type: ignore[attr-defined]
    if not leaf:
        Tensor._node.__set__(view, again._node)  # type: ignore[union-attr]
    if isinstance(view, _Behind):
        view.__class__ = Tensor  # type: ignore[assignment]
    if not leaf:
        view.name = name


class _Behind(Tensor):
    """A view whose root was written into since it was last looked at. Whoever asks for its array or its node gets what
    is there now, and it is an ordinary Tensor again: so a write costs what is looked at after it, not all that lives.
    """

    __slots__ = ()
    _leaf = False

    def _now(self) -> Tensor:
        leaf = getattr(self, "_leaf", None)
        if leaf is None:  # another thread looked first
            return self
        with state_as(ORDINARY):  # as if it had been taken when it was written
            again = self._view.take(self._view.root)
        _catch_up(self, again, leaf, getattr(self, "_name", None))
        return self

    def _set_data(self, data: Any) -> None:
        self._now()._data = data

    def _set_node(self, node: Any) -> None:
        self._now()._node = node

    _data = property(lambda self: self._now()._data, _set_data)  # type: ignore[assignment]
    _node = property(lambda self: self._now()._node, _set_node)  # type: ignore[assignment]


class _LeafBehind(_Behind):
    """The same for a view of a leaf, whose node stays."""

    __slots__ = ()
    _leaf = True


_Behind.__name__ = _Behind.__qualname__ = _LeafBehind.__name__ = _LeafBehind.__qualname__ = "Tensor"


class Size(int):
    """``t.size``, a number as in NumPy; called as in PyTorch it says what to write."""

    def __call__(self, dim: Any = None) -> Any:
        raise ArgumentError(
            "t.size is the number of elements; for PyTorch's t.size() write t.shape, for t.size(k) t.shape[k]"
        )


class HookHandle:
    """Takes a hook of a tensor or a module off again, itself or at the end of a ``with`` block."""

    __slots__ = ("_hooks", "_number")

    def __init__(self, hooks: dict[int, Any], hook: Callable[..., object], first: bool = False) -> None:
        if not callable(hook):
            raise ArgumentError(f"a hook is a function, got {type(hook).__name__}")
        self._hooks = hooks
        self._number = next(_hook_numbers)
        others = dict(hooks) if first else {}
        for number in others:
            del hooks[number]
        hooks[self._number] = hook
        hooks.update(others)

    def remove(self) -> None:
        """Take the hook off; a second call does nothing."""
        self._hooks.pop(self._number, None)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *problem: object) -> None:
        self.remove()


def tensor(
    data: ArrayLike, requires_grad: bool = False, dtype: DTypeLike | None = None, name: str | None = None
) -> Tensor:
    """Make a :class:`Tensor`; the same arguments.

    Examples
    --------
    >>> import autodiff
    >>> autodiff.tensor([1, 2]).dtype
    dtype('int64')
    """
    return Tensor(data, requires_grad, dtype, name)


def from_dlpack(x: ArrayLike, /) -> Tensor:
    """A :class:`Tensor` of an array of another library (PyTorch, CuPy, JAX), through DLPack; the numbers are copied.

    Raises
    ------
    GraphError
        If ``x`` is a Tensor that requires a gradient.

    Examples
    --------
    >>> import numpy as np, autodiff
    >>> autodiff.from_dlpack(np.ones(2))
    tensor([1., 1.])
    """
    return Tensor(np.from_dlpack(x))  # type: ignore[arg-type]


def _seed(dtype: Any) -> np.ndarray[Any, Any]:
    one = np.ones((), dtype)
    one.flags.writeable = False
    return one


# What a scalar loss starts from: an array, as fused operations want it, but where the operation computed with NumPy's
# scalars.
_ONE = np.float64(1)
_SEEDS: dict[Any, np.ndarray[Any, Any]] = {np.dtype(kind): _seed(kind) for kind in (np.float32, np.float64)}


def seed_for(output: Tensor, grad: Any, create_graph: bool) -> Any:
    """The cotangent to start a pass from, of the output's shape and dtype."""
    shape, dtype = output._data.shape, output._data.dtype
    if grad is None:
        if not shape and not create_graph and dtype in _SEEDS:
            return _ONE if output._data.__class__ is np.float64 else _SEEDS[dtype]
        if output.size != 1:
            raise GraphError(
                f"backward() on a tensor of shape {shape} needs the gradient to start from: reduce it to a scalar, "
                "with .sum() say, or pass grad= of that shape"
            )
        ones = np.ones(shape, dtype)
        return wrap(ones, None) if create_graph else ones
    node = grad._node if isinstance(grad, Tensor) else None
    array = grad._data if isinstance(grad, Tensor) else as_array(grad)
    if array.shape != shape:
        raise ShapeError(f"backward(grad=...) must have the tensor's shape {shape}, got {array.shape}")
    if array.dtype.kind not in "biufc" or (array.dtype.kind == "c" and dtype.kind != "c"):
        raise DTypeError(f"backward(grad=...) of dtype {array.dtype} for a tensor of dtype {dtype}")
    if create_graph:
        seed = grad if node is not None else wrap(np.array(array), None)
        return seed if array.dtype == dtype else seed.astype(dtype)
    return array if array.dtype == dtype else array.astype(dtype)


def _wrapped(result: Any) -> Any:
    """A NumPy result as constants: arrays and NumPy scalars become Tensors, anything else stays."""
    if is_plain(result):
        return wrap(result, None) if result.dtype.kind in "biufc" else result
    if isinstance(result, tuple) and type(result) is tuple:
        return tuple(_wrapped(part) for part in result)
    if isinstance(result, list):
        return [_wrapped(part) for part in result]
    return result


def _in_full(function: Callable[..., Any], tensor: Tensor, given: dict[str, Any], words: dict[str, Any]) -> Any:
    """A method as NumPy's function of all its arguments; PyTorch's names of them are taken where they mean the same."""
    for theirs, ours in (("dim", "axis"), ("keepdim", "keepdims")):
        if theirs in words:
            given[ours] = words.pop(theirs)
            if function in _MEANS_OTHER:
                raise ArgumentError(f"{function.__name__}({theirs}=...): {_MEANS_OTHER[function]}")
    if "unbiased" in words:
        given["ddof"] = int(words.pop("unbiased"))
    return function(tensor, **{key: value for key, value in given.items() if value is not None}, **words)


#: Where PyTorch's function of this name gives something else than NumPy's.
_MEANS_OTHER: dict[Any, str] = {
    np.max: "PyTorch's gives indices, too; write t.max(axis=...), and t.argmax(axis=...) for the indices",
    np.min: "PyTorch's gives indices, too; write t.min(axis=...), and t.argmin(axis=...) for the indices",
    np.var: "PyTorch's divides by n - 1; write t.var(axis=..., ddof=1) for the same, t.var(axis=...) to divide by n",
    np.std: "PyTorch's divides by n - 1; write t.std(axis=..., ddof=1) for the same, t.std(axis=...) to divide by n",
}


def _compare(ufunc: Any, left: Tensor, right: Any) -> Tensor:
    if is_foreign(right):
        if hasattr(right, "__pandas_priority__"):  # Tensor claims precedence, so that nobody else would answer
            raise comparison_refused(ufunc.__name__, right)
        if ufunc not in (np.equal, np.not_equal):
            return NotImplemented  # type: ignore[no-any-return]
        # Where the other class does not answer either, Python would take == for `is`, and give one False.
        answer: Any = getattr(type(right), "__eq__" if ufunc is np.equal else "__ne__")(right, left)
        if answer is not NotImplemented:
            return answer  # type: ignore[no-any-return]
        if answers_ufuncs(right):
            return ufunc(left, right)  # type: ignore[no-any-return]
        raise comparison_refused(ufunc.__name__, right)
    if ufunc is np.equal or ufunc is np.not_equal:  # NumPy's operator answers for text, too, which no ufunc takes
        ufunc = operator.eq if ufunc is np.equal else operator.ne
    try:
        return _wrapped(ufunc(left._array, dispatch.bare(right)))  # type: ignore[no-any-return]
    except (TypeError, np.exceptions.DTypePromotionError):
        return NotImplemented  # type: ignore[no-any-return]
    except ValueError as error:
        raise ShapeError(
            f"{ufunc.__name__} of shapes {left.shape} and {np.shape(dispatch.bare(right))}: {error}"
        ) from error


def _rebuild(cls: type[Tensor], data: Any, requires_grad: bool, name: str | None, grad: Any) -> Tensor:
    result = cls.__new__(cls)
    result._data = np.array(data)
    result._node = None
    if name is not None:
        result._name = name
    if requires_grad:
        result.requires_grad = True
        result.grad = None if grad is None else grad.copy()
    return result


# These are reached through NumPy's names alone.
_BY_NAME_ONLY = (calculus, fft, linalg, polynomials, rearranging, special)
constants.register()
ufunc_methods.register()
core.above.tensor = Tensor
