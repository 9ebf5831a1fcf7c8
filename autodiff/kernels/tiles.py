"""Products of small tiles that stay in vector registers, for convolution: written as vector instructions, since no loop
of numba's becomes them.

The compiler turns a loop into vector instructions only if it can prove, or check in few comparisons, that what the loop
writes is not what it reads; a tile writes eight rows while it reads others, which is too many. So the tile is emitted
through numba's door for that purpose, ``numba.extending.intrinsic``: one loop whose running sums are values, not
memory. Goto and van de Geijn 2008 (ACM TOMS 34, 3) is the pattern.
"""

from __future__ import annotations

from typing import Any

from autodiff.extras import require

binding, ir = require("llvmlite.binding"), require("llvmlite.ir")
cgutils, types = require("numba.core.cgutils"), require("numba.core.types")
intrinsic = require("numba.extending").intrinsic

_FEATURES = binding.get_host_cpu_features()
_WIDE = bool(_FEATURES.get("avx512f"))
# Bytes of a vector; with 32 vector registers (AVX-512, ARM) a tile holds 24 sums, with 16 (AVX2) 12.
_BYTES = 64 if _WIDE else 32 if _FEATURES.get("avx2") else 16
_MANY = _WIDE or not _FEATURES.get("sse2")

# Vectors beside one another in a product's tile.
_VECTORS = 3
#: Columns of a product's tile in float32; half as many in float64.
WIDTH = _VECTORS * _BYTES // 4
#: Rows of the tallest of a product's tiles.
TALL = 8 if _MANY else 4
#: Rows and columns of a tile of sums.
SUM_ROWS, SUM_COLUMNS = (4, 6) if _MANY else (4, 2)


def _lanes(kind: Any) -> int:
    return int(_BYTES // (kind.bitwidth // 8))


class _Emitter:
    """What both tiles say to the builder."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder, self.index = builder, ir.IntType(64)
        kind = signature.args[0].dtype
        self.lanes = _lanes(kind)
        self.element = context.get_value_type(kind)
        self.vector = ir.VectorType(self.element, self.lanes)
        self.arguments = [
            context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, arguments, strict=True)
        ]

    def number(self, value: int) -> Any:
        return ir.Constant(self.index, value)

    def zero(self) -> Any:
        return ir.Constant(self.vector, [0.0] * self.lanes)

    def at(self, pointer: Any, *places: Any) -> Any:
        """The address so many elements on."""
        total = places[0]
        for place in places[1:]:
            total = self.builder.add(total, place)
        return self.builder.gep(pointer, [total])

    def load(self, address: Any) -> Any:
        return self.builder.load(self.builder.bitcast(address, self.vector.as_pointer()), align=self.element_bytes)

    @property
    def element_bytes(self) -> int:
        return 4 if isinstance(self.element, ir.FloatType) else 8

    def store(self, value: Any, address: Any) -> None:
        self.builder.store(value, self.builder.bitcast(address, self.vector.as_pointer()), align=self.element_bytes)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """``a b + c``, rounded once."""
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        function = cgutils.get_or_insert_function(
            self.builder.module, kind, f"llvm.fma.v{self.lanes}f{8 * self.element_bytes}"
        )
        return self.builder.call(function, [a, b, c])

    def spread(self, value: Any) -> Any:
        """A number in every lane."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
        return self.builder.shuffle_vector(
            first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        )

    def loop(self, count: Any, step: int, sums: int, body: Any) -> list[Any]:
        """Running sums over ``range(0, count, step)``: ``body(i, sums)`` gives the next ones."""
        builder = self.builder
        before = builder.block
        inside, after = builder.append_basic_block("tile"), builder.append_basic_block("tiled")
        builder.cbranch(builder.icmp_signed(">", count, self.number(0)), inside, after)
        builder.position_at_end(inside)
        i = builder.phi(self.index)
        i.add_incoming(self.number(0), before)
        running = [builder.phi(self.vector) for _ in range(sums)]
        following = body(i, running)
        for phi, value in zip(running, following, strict=True):
            phi.add_incoming(self.zero(), before)
            phi.add_incoming(value, inside)
        advanced = builder.add(i, self.number(step))
        i.add_incoming(advanced, inside)
        builder.cbranch(builder.icmp_signed("<", advanced, count), inside, after)
        builder.position_at_end(after)
        final = [builder.phi(self.vector) for _ in range(sums)]
        for phi, value in zip(final, following, strict=True):
            phi.add_incoming(self.zero(), before)
            phi.add_incoming(value, inside)
        return final


def _multiply(rows: int) -> Any:
    """``out[at + o step + j] = sum_r w[w_at + r rows + o] x[x_at + offsets[first + r] + j]`` for o below ``rows`` and
    one tile's width of j, r below ``count``. Unless ``first`` is 0 the sum is added to what is there."""

    @intrinsic
    def product(typing, out, at, step, w, w_at, x, x_at, offsets, first, count):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            e = _Emitter(context, builder, signature, arguments)
            out, at, step, w, w_at, x, x_at, offsets, first, count = e.arguments
            offsets, fresh = e.at(offsets, first), builder.icmp_signed("==", first, e.number(0))

            def body(r: Any, sums: list[Any]) -> list[Any]:
                start = e.at(x, x_at, builder.load(e.at(offsets, r)))
                columns = [e.load(e.at(start, e.number(v * e.lanes))) for v in range(_VECTORS)]
                factors = e.at(w, w_at, builder.mul(r, e.number(rows)))
                found = []
                for o in range(rows):
                    factor = e.spread(builder.load(e.at(factors, e.number(o))))
                    found += [e.fma(factor, columns[v], sums[o * _VECTORS + v]) for v in range(_VECTORS)]
                return found

            sums = e.loop(count, 1, rows * _VECTORS, body)
            for o in range(rows):
                for v in range(_VECTORS):
                    place, found = (
                        e.at(out, at, builder.mul(step, e.number(o)), e.number(v * e.lanes)),
                        sums[o * _VECTORS + v],
                    )
                    e.store(builder.select(fresh, found, builder.fadd(found, e.load(place))), place)
            return context.get_dummy_value()

        i = types.int64
        return types.void(out, i, i, w, i, x, i, offsets, i, i), emit

    return product


def _accumulate(rows: int, columns: int) -> Any:
    """``total[at + o step + q] += sum_j g[g_at + o g_step + j] x[start + offsets[first + q] + j]`` for o, q in one
    tile, j below count.
    """

    @intrinsic
    def sums(typing, total, at, step, g, g_at, g_step, x, x_at, offsets, first, count):  # type: ignore[no-untyped-def]
        def emit(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            e = _Emitter(context, builder, signature, arguments)
            total, at, step, g, g_at, g_step, x, x_at, offsets, first, count = e.arguments
            starts = [e.at(x, x_at, builder.load(e.at(offsets, first, e.number(q)))) for q in range(columns)]
            ups = [e.at(g, g_at, builder.mul(g_step, e.number(o))) for o in range(rows)]

            def body(j: Any, running: list[Any]) -> list[Any]:
                up = [e.load(e.at(address, j)) for address in ups]
                found: list[Any] = [None] * (rows * columns)
                for q in range(columns):
                    column = e.load(e.at(starts[q], j))
                    for o in range(rows):
                        found[o * columns + q] = e.fma(up[o], column, running[o * columns + q])
                return found

            found = e.loop(count, e.lanes, rows * columns, body)
            kind = ir.FunctionType(e.element, [e.element, e.vector])
            name = f"llvm.vector.reduce.fadd.v{e.lanes}f{8 * e.element_bytes}"
            reduce = cgutils.get_or_insert_function(builder.module, kind, name)
            for o in range(rows):
                for q in range(columns):
                    place = e.at(total, at, builder.mul(step, e.number(o)), e.number(q))
                    share = builder.call(
                        reduce, [ir.Constant(e.element, -0.0), found[o * columns + q]], fastmath=("reassoc",)
                    )
                    builder.store(builder.fadd(builder.load(place), share), place)
            return context.get_dummy_value()

        i = types.int64
        return types.void(total, i, i, g, i, i, x, i, offsets, i, i), emit

    return sums


tall_rows, short_rows, one_row = _multiply(TALL), _multiply(4), _multiply(1)
four_sums, column_sums = _accumulate(SUM_ROWS, SUM_COLUMNS), _accumulate(1, SUM_COLUMNS)
