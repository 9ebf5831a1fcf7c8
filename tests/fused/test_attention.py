"""Attention and transformer layers: PyTorch's values and gradients where it is installed; what masks promise,
anyway.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autodiff as ad
import nn
from autodiff.core.errors import ArgumentError, DTypeError, ShapeError
from autodiff.testing import check_gradients
from nn import functional as F


def close(ours, theirs, rtol=1e-10):
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(
        ours, theirs, rtol=rtol, atol=rtol * max(1.0, float(np.max(np.abs(theirs), initial=0.0)))
    )


def run(function, arrays, seed):
    leaves = [ad.tensor(a, requires_grad=True) for a in arrays]
    out = function(*leaves)
    g = np.random.default_rng(seed).normal(size=out.shape)
    out.backward(g)
    return out.data, [leaf.grad for leaf in leaves], g


def run_torch(torch, function, arrays, g):
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    out = function(*leaves)
    out.backward(torch.tensor(g))
    return out.detach().numpy(), [leaf.grad.numpy() for leaf in leaves]


# --- the function -----------------------------------------------------------------------------------------------------

SIZES = st.tuples(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)
)


@given(
    SIZES,
    st.sampled_from(["none", "causal", "bool", "float", "hiding", "broadcast"]),
    st.sampled_from([None, 0.3]),
    st.integers(0, 2**31),
)
def test_attention_is_pytorchs(sizes, kind, scale, seed):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    n, heads, length, keys, width, out_width = sizes
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=(n, heads, *s)) for s in ((length, width), (keys, width), (keys, out_width))]
    fixed = None
    if kind == "bool":
        fixed = rng.random((n, 1, length, keys)) < 0.7
    elif kind == "float":
        arrays.append(rng.normal(size=(n, heads, length, keys)))
    elif kind == "hiding":
        fixed = np.where(rng.random((length, keys)) < 0.7, rng.normal(size=(length, keys)), -np.inf)
    elif kind == "broadcast":
        arrays.append(rng.normal(size=(heads, 1, keys)))
    options = {"is_causal": kind == "causal", "scale": scale}

    def ours(q, k, v, mask=fixed):
        return F.scaled_dot_product_attention(q, k, v, mask, **options)

    their_fixed = None if fixed is None else torch.tensor(fixed)

    def theirs(q, k, v, mask=their_fixed):
        # PyTorch's flash kernel has no gradient for a mask.
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, **options)

    out, grads, g = run(ours, arrays, seed)
    reference, expected = run_torch(torch, theirs, arrays, g)
    close(out, reference)
    for a, b in zip(grads, expected, strict=True):
        close(a, b)
    with ad.composed():
        close(run(ours, arrays, seed)[0], reference)


def test_grouped_queries_share_heads(rng):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    arrays = [rng.normal(size=s) for s in ((2, 6, 3, 4), (2, 2, 5, 4), (2, 2, 5, 4))]
    out, grads, g = run(lambda *a: F.scaled_dot_product_attention(*a, enable_gqa=True), arrays, 1)
    reference, expected = run_torch(
        torch, lambda *a: torch.nn.functional.scaled_dot_product_attention(*a, enable_gqa=True), arrays, g
    )
    for a, b in zip([out, *grads], [reference, *expected], strict=True):
        close(a, b)


@pytest.mark.parametrize("composed", [False, True], ids=["fused", "composed"])
def test_the_past_does_not_depend_on_the_future(composed, rng):
    length = 5
    arrays = [rng.normal(size=(2, length, 3)) for _ in range(3)]
    for t in range(length):
        leaves = [ad.tensor(a, requires_grad=True) for a in arrays]
        with ad.composed() if composed else ad.enable_grad():
            F.scaled_dot_product_attention(*leaves, is_causal=True)[:, t].sum().backward()
        query, key, value = (leaf.grad for leaf in leaves)
        for g in (key, value):
            assert not g[:, t + 1 :].any()
            assert g[:, : t + 1].all() or t == 0
        assert not np.delete(query, t, axis=1).any()


BAD = [np.nan, np.inf, -np.inf]


def with_gradients(arrays, g, composed, **options):
    leaves = [ad.tensor(a, requires_grad=True) for a in arrays]
    with ad.composed() if composed else ad.enable_grad(), np.errstate(invalid="ignore"):
        out = F.scaled_dot_product_attention(*leaves, **options)
        out.backward(g)
    return [out.data, *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("composed", [False, True], ids=["fused", "composed"])
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("kind", ["bool", "float", "causal"])
def test_what_is_hidden_leaks_nowhere(kind, bad, composed, rng):
    """Query, key, value and cotangent 3 hold rubbish that queries 0 to 2 may not see; with a mask, query 3 does not see
    their keys, either.
    """
    arrays = [rng.normal(size=(2, 4, 3)) for _ in range(4)]
    see = np.tri(4, dtype=bool)
    *clean, g = (a[:, :3] for a in arrays)
    expected = with_gradients(clean, g, composed, is_causal=True)
    for a in arrays:
        a[:, 3] = bad
    see[3, :3] = False
    options = {
        "causal": {"is_causal": True},
        "bool": {"attn_mask": see},
        "float": {"attn_mask": np.where(see, 0.0, -np.inf)},
    }[kind]
    found = with_gradients(arrays[:3], arrays[3], composed, **options)
    # Under a plain causal mask query 3 looks back, so the rubbish may reach the gradients of keys and values, but
    # nothing else.
    for a, b in list(zip(found, expected, strict=True))[: 2 if kind == "causal" else 4]:
        np.testing.assert_allclose(a[:, :3], b, rtol=1e-10, atol=1e-14)
    assert not np.isfinite(found[0][:, 3]).any()


@pytest.mark.parametrize("composed", [False, True], ids=["fused", "composed"])
@pytest.mark.parametrize("bad", BAD)
def test_padding_may_hold_anything(bad, composed, rng):
    """Keys and values that nobody may see hold rubbish: every output and every gradient is as if they were not there,
    theirs is zero.
    """
    q, k, v, g = (rng.normal(size=(2, 4, 3)) for _ in range(4))
    mask = np.array([True, True, False, True])

    out, dq, dk, dv = with_gradients((q, k[:, mask], v[:, mask]), g, composed)
    k[:, 2] = v[:, 2] = bad
    found = with_gradients((q, k, v), g, composed, attn_mask=mask)
    for a, b in zip(found, (out, dq, np.insert(dk, 2, 0, axis=1), np.insert(dv, 2, 0, axis=1)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)
    assert not found[2][:, 2].any()
    assert not found[3][:, 2].any()


@pytest.mark.parametrize("composed", [False, True], ids=["fused", "composed"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_query_that_sees_nothing_has_output_and_gradient_zero(dtype, composed, rng):
    leaves = [ad.tensor(rng.normal(size=(2, 3, 4)).astype(dtype), requires_grad=True) for _ in range(3)]
    mask = np.array([[True, False, True], [False, False, False], [True, True, True]])
    for each in (mask, np.where(mask, 0, -np.inf).astype(dtype)):
        with ad.composed() if composed else ad.enable_grad():
            out = F.scaled_dot_product_attention(*leaves, attn_mask=each)
            out.backward(np.ones(out.shape, dtype))
        assert out.dtype == dtype
        assert not out.data[:, 1].any()
        assert not leaves[0].grad[:, 1].any()
        assert all(np.isfinite(leaf.grad).all() for leaf in leaves)


@given(SIZES, st.sampled_from([1, 2, 3]), st.booleans(), st.integers(0, 2**31))
def test_blocks_of_queries_change_nothing(sizes, block, dropped, seed):
    from autodiff.fused import attention

    n, heads, length, keys, width, out_width = sizes
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=(n, heads, *s)) for s in ((length, width), (keys, width), (keys, out_width))]
    g = rng.normal(size=(n, heads, length, out_width))
    if length < keys:
        arrays[1][..., -1, 0] = np.nan  # in the future of every query
    drop = {"dropout_mask": rng.random((n, heads, length, keys)) < 0.6, "dropout_p": 0.4} if dropped else {}
    found = []
    for size in (block, 128):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "_BLOCK", size)
            leaves = [ad.tensor(a, requires_grad=True) for a in arrays]
            out = ad.fused.scaled_dot_product_attention(*leaves, is_causal=True, **drop)
            out.backward(g)
            found.append([out.data, *(leaf.grad for leaf in leaves)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
        assert np.isfinite(a).all()


def test_long_causal_attention_is_pytorchs(rng):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    arrays = [rng.normal(size=(2, 300, 4)) for _ in range(3)]
    out, grads, g = run(lambda *a: F.scaled_dot_product_attention(*a, is_causal=True), arrays, 1)
    reference, expected = run_torch(
        torch, lambda *a: torch.nn.functional.scaled_dot_product_attention(*a, is_causal=True), arrays, g
    )
    for a, b in zip([out, *grads], [reference, *expected], strict=True):
        close(a, b)


@pytest.mark.parametrize("composed", [False, True], ids=["fused", "composed"])
@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_see_or_nobody_to_look(sizes, composed):
    length, keys = sizes
    leaves = [ad.tensor(np.ones((2, n, 4)), requires_grad=True) for n in (length, keys, keys)]
    with ad.composed() if composed else ad.enable_grad():
        out = F.scaled_dot_product_attention(*leaves, is_causal=True)
        out.sum().backward()
    np.testing.assert_array_equal(out.data, np.zeros((2, length, 4)))
    for leaf in leaves:
        np.testing.assert_array_equal(leaf.grad, np.zeros(leaf.shape))


def test_a_float64_mask_leaves_float32_alone(rng):
    q = rng.normal(size=(2, 3, 4)).astype(np.float32)
    for context in (ad.enable_grad(), ad.composed()):
        with context:
            assert F.scaled_dot_product_attention(q, q, q, np.zeros((3, 3))).dtype == np.float32
            assert all(x.dtype == np.float32 for x in F.attention_with_weights(q, q, q, np.zeros((3, 3))))


def test_large_scores_do_not_overflow(rng):
    q = ad.tensor(1e4 * np.eye(3, dtype=np.float32), requires_grad=True)
    out = F.scaled_dot_product_attention(q, q, np.arange(9.0, dtype=np.float32).reshape(3, 3))
    out.sum().backward()
    np.testing.assert_allclose(out.data, np.arange(9.0).reshape(3, 3), rtol=1e-6)
    assert np.isfinite(q.grad).all()


def test_dropout_keeps_the_mean_and_its_gradient_is_the_masks(rng):
    q, k, v = (rng.normal(size=(1, 2, 3)), rng.normal(size=(1, 4, 3)), rng.normal(size=(1, 4, 2)))
    plain = F.scaled_dot_product_attention(q, k, v).data
    generator = np.random.default_rng(0)
    drawn = np.mean(
        [F.scaled_dot_product_attention(q, k, v, dropout_p=0.3, generator=generator).data for _ in range(4000)], axis=0
    )
    np.testing.assert_allclose(drawn, plain, atol=0.06)
    check_gradients(
        lambda *a: F.scaled_dot_product_attention(*a, dropout_p=0.5, generator=np.random.default_rng(3)),
        q,
        k,
        v,
        order=2,
    )


def test_weights_are_handed_out_and_belong_to_the_output(rng):
    q, k, v = (rng.normal(size=(2, 3, 4)) for _ in range(3))
    out, weights = F.attention_with_weights(q, k, v, is_causal=True)
    np.testing.assert_allclose(weights.data.sum(-1), 1)
    np.testing.assert_allclose(out.data, weights.data @ v)
    np.testing.assert_allclose(out.data, F.scaled_dot_product_attention(q, k, v, is_causal=True).data)


Z = np.zeros


@pytest.mark.parametrize(
    ("args", "options", "error", "words"),
    [
        ((Z((2, 3)), Z((4, 2)), Z((4, 2))), {}, ShapeError, r"\(\.\.\., L, E\)"),
        ((Z((2, 3)), Z((4, 3)), Z((5, 2))), {}, ShapeError, "need shapes"),
        ((Z(3), Z((4, 3)), Z((4, 2))), {}, ShapeError, "need shapes"),
        ((Z((2, 1, 3)), Z((3, 4, 3)), Z((3, 4, 2))), {}, ShapeError, "broadcast"),
        ((Z((2, 3)), Z((4, 3)), Z((4, 2)), Z((3, 4))), {}, ShapeError, r"attn_mask of shape \(3, 4\)"),
        ((Z((2, 3)), Z((4, 3)), Z((4, 2)), Z((5, 2, 4))), {}, ShapeError, "does not broadcast"),
        ((Z((2, 3)), Z((4, 3)), Z((4, 2)), Z((2, 4), int)), {}, DTypeError, "boolean"),
        ((Z((2, 3), int), Z((4, 3)), Z((4, 2))), {}, DTypeError, "floating-point"),
        ((Z((2, 3)), Z((4, 3)), Z((4, 2)), Z((2, 4))), {"is_causal": True}, ArgumentError, "not both"),
        ((Z((2, 3)), Z((4, 3)), Z((4, 2))), {"dropout_p": 2.0}, ArgumentError, "probability"),
        ((Z((3, 2, 3)), Z((2, 4, 3)), Z((2, 4, 2))), {"enable_gqa": True}, ShapeError, "multiple"),
    ],
)
def test_misuse_is_named(args, options, error, words):
    with pytest.raises(error, match=words):
        F.scaled_dot_product_attention(*args, **options)


# --- the layer --------------------------------------------------------------------------------------------------------


def carry(torch, ours, theirs):
    """PyTorch's weights into ours; then back into a fresh copy, which must be the same."""
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict({name: torch.tensor(value) for name, value in ours.state_dict().items()})


def agree(torch, ours, theirs, inputs, call_ours, call_theirs):
    """Output, gradients of inputs and of all parameters."""
    xs = [ad.tensor(x, requires_grad=True) for x in inputs]
    ts = [torch.tensor(x, requires_grad=True) for x in inputs]
    out, reference = call_ours(ours, *xs), call_theirs(theirs, *ts)
    weights = reference_weights = None
    if isinstance(out, tuple):
        (out, weights), (reference, reference_weights) = out, reference
    close(out.data, reference.detach())
    rng = np.random.default_rng(5)
    g = rng.normal(size=out.shape)
    total, reference_total = (out * g).sum(), (reference * torch.tensor(g)).sum()
    if weights is not None:
        close(weights.data, reference_weights.detach())
        h = rng.normal(size=weights.shape)
        total, reference_total = (
            total + (weights * h).sum(),
            reference_total + (reference_weights * torch.tensor(h)).sum(),
        )
    total.backward()
    reference_total.backward()
    for x, t in zip(xs, ts, strict=True):
        close(x.grad, t.grad)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert q.grad is not None, name
        close(p.grad, q.grad)


@given(
    st.fixed_dictionaries(
        {
            "bias": st.booleans(),
            "add_bias_kv": st.booleans(),
            "add_zero_attn": st.booleans(),
            "batch_first": st.booleans(),
            "kdim": st.sampled_from([None, 3]),
            "vdim": st.sampled_from([None, 5]),
        }
    ),
    st.sampled_from(["none", "bool", "float", "per head", "causal"]),
    st.sampled_from(["none", "bool", "float"]),
    st.sampled_from(["none", "mean", "each"]),
    st.booleans(),
    st.booleans(),
)
def test_multihead_attention_is_pytorchs(options, mask, padding, weights, batched, own):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    rng = np.random.default_rng(3)
    n, length, keys = 2, 3, 4
    own = own and options["kdim"] is None and options["vdim"] is None
    keys = length if own else keys
    ours, theirs = (
        nn.MultiheadAttention(6, 2, dtype=np.float64, **options),
        torch.nn.MultiheadAttention(6, 2, **options).double(),
    )
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.tensor(rng.normal(size=p.shape)))
    carry(torch, ours, theirs)

    def shape(length, width):
        if not batched:
            return (length, width)
        return (n, length, width) if options["batch_first"] else (length, n, width)

    widths = (6,) if own else (6, options["kdim"] or 6, options["vdim"] or 6)
    inputs = [rng.normal(size=shape(size, width)) for size, width in zip((length, keys, keys), widths, strict=False)]
    attn = {
        "none": None,
        "bool": rng.random((length, keys)) < 0.3,
        "float": rng.normal(size=(length, keys)),
        "per head": rng.random(((n if batched else 1) * 2, length, keys)) < 0.3,
        "causal": ~np.tri(length, keys, dtype=bool),
    }[mask]
    hide = rng.random((n, keys) if batched else (keys,)) < 0.3
    hide = {"none": None, "bool": hide, "float": np.where(hide, -1.5, 0.5)}[padding]
    for m in (attn, hide):
        if m is not None and m.dtype == bool:
            m[..., 0] = False  # a query that sees nothing is NaN in PyTorch
    given_ = {"need_weights": weights != "none", "average_attn_weights": weights != "each"}

    def call(layer, *xs, wrap=lambda m: m):
        q, k, v = xs * 3 if own else xs
        masks = {
            "attn_mask": None if attn is None else wrap(attn),
            "key_padding_mask": None if hide is None else wrap(hide),
        }
        out = layer(q, k, v, **masks, **given_)
        return out if weights != "none" else out[0]

    def call_torch(layer, *xs):
        kinds = {m.dtype for m in (attn, hide) if m is not None}
        # PyTorch wants both masks of one kind; its own conversion of a boolean one is this.
        wrap = (
            torch.tensor
            if len(kinds) < 2
            else lambda m: torch.tensor(np.where(m, -np.inf, 0.0) if m.dtype == bool else m)
        )
        return call(layer, *xs, wrap=wrap)

    agree(torch, ours, theirs, inputs, call, call_torch)


def test_causal_without_a_spelt_out_mask(rng):
    layer = nn.MultiheadAttention(4, 2, batch_first=True, dtype=np.float64)
    x = rng.normal(size=(2, 3, 4))
    short, spelt = (
        layer(x, x, x, need_weights=False, **o)[0].data
        for o in ({"is_causal": True}, {"attn_mask": ~np.tri(3, dtype=bool)})
    )
    np.testing.assert_array_equal(short, spelt)
    np.testing.assert_allclose(
        layer(x, x, x, attn_mask=nn.generate_square_subsequent_mask(3, np.float64))[0].data, short, rtol=1e-12
    )


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("bad", BAD)
def test_padding_of_memory_may_hold_anything(bad, need_weights, rng):
    padding = np.array([[False, False, True], [False, True, True]])
    x, clean = rng.normal(size=(2, 4, 6)), np.where(padding[..., None], 0, rng.normal(size=(2, 3, 6)))
    results = []
    for filled in (clean, np.where(padding[..., None], bad, clean)):
        layer = nn.MultiheadAttention(6, 2, batch_first=True, dtype=np.float64, generator=np.random.default_rng(0))
        query, memory = ad.tensor(x, requires_grad=True), ad.tensor(filled, requires_grad=True)
        out = layer(query, memory, memory, padding, need_weights=need_weights)[0]
        (out * out).sum().backward()
        results.append([out.data, query.grad, memory.grad, *(p.grad for p in layer.parameters())])
        assert not memory.grad[padding].any()
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_initial_values_and_dropout_come_from_the_generator():
    first, second = (
        nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True, generator=np.random.default_rng(1)) for _ in range(2)
    )
    x = np.ones((1, 4, 8), np.float32)
    for need_weights in (False, True):
        np.testing.assert_array_equal(*(layer(x, x, x, need_weights=need_weights)[0].data for layer in (first, second)))
    bound = np.sqrt(6 / (8 + 24))
    assert 0.9 * bound < np.abs(first.in_proj_weight.data).max() <= bound
    assert not first.in_proj_bias.data.any()
    first.eval()
    np.testing.assert_array_equal(first(x, x, x)[0].data, first(x, x, x)[0].data)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m: nn.MultiheadAttention(6, 4), ArgumentError, "divide"),
        (lambda m: nn.MultiheadAttention(6, 2, dropout=-1), ArgumentError, "probability"),
        (lambda m: m(Z((2, 3, 5)), Z((2, 3, 4)), Z((2, 3, 4))), ShapeError, "widths must be 4"),
        (lambda m: m(Z((2, 3, 4)), Z((3, 4)), Z((3, 4))), ShapeError, "two dimensions"),
        (lambda m: m(Z((2, 3, 4)), Z((3, 3, 4)), Z((3, 3, 4))), ShapeError, "the batch, axis 0"),
        (lambda m: m(Z((2, 3, 4)), Z((2, 3, 4)), Z((2, 5, 4))), ShapeError, "same length"),
        (lambda m: m(*[Z((2, 3, 4))] * 3, attn_mask=Z((3, 4), bool)), ShapeError, "attn_mask"),
        (lambda m: m(*[Z((2, 3, 4))] * 3, attn_mask=Z((3, 3), int)), DTypeError, "boolean"),
        (lambda m: m(*[Z((2, 3, 4))] * 3, key_padding_mask=Z((3, 2), bool)), ShapeError, "key_padding_mask"),
    ],
)
def test_misuse_of_the_layer_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call(nn.MultiheadAttention(4, 2, batch_first=True))


# --- transformer ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_transformer_is_pytorchs(activation, bias, norm_first, batch_first, rng):
    torch = pytest.importorskip("torch", reason="the independent truth here is PyTorch")
    options = {"dim_feedforward": 7, "dropout": 0.0, "norm_first": norm_first, "batch_first": batch_first, "bias": bias}
    ours_function, theirs_function = ("relu", "relu") if activation == "relu" else (F.tanh, torch.tanh)
    made = {
        ours: (
            m.TransformerEncoder(
                m.TransformerEncoderLayer(6, 2, activation=f, **options, **d), 2, norm=m.LayerNorm(6, **d), **e
            ),
            m.TransformerDecoder(
                m.TransformerDecoderLayer(6, 2, activation=f, **options, **d), 2, norm=m.LayerNorm(6, **d)
            ),
        )
        for ours, m, f, d, e in (
            (True, nn, ours_function, {"dtype": np.float64}, {}),
            (False, torch.nn, theirs_function, {"dtype": torch.float64}, {"enable_nested_tensor": False}),
        )
    }
    with torch.no_grad():
        for p in (*made[False][0].parameters(), *made[False][1].parameters()):
            p.copy_(torch.tensor(rng.normal(size=p.shape) * 0.5))
    for ours, theirs in zip(made[True], made[False], strict=True):
        carry(torch, ours, theirs)

    def shape(length):
        return (2, length, 6) if batch_first else (length, 2, 6)

    source, target = rng.normal(size=shape(4)), rng.normal(size=shape(3))
    causal = ~np.tri(4, dtype=bool)
    padding = np.array([[False, False, True, False], [False, False, False, True]])
    agree(
        torch,
        made[True][0],
        made[False][0],
        [source],
        lambda net, x: net(x, causal, padding),
        lambda net, x: net(x, torch.tensor(causal), torch.tensor(padding)),
    )
    agree(
        torch,
        made[True][1],
        made[False][1],
        [target, source],
        lambda net, x, memory: net(x, memory, causal[:3, :3], memory_key_padding_mask=padding),
        lambda net, x, memory: net(
            x, memory, torch.tensor(causal[:3, :3]), memory_key_padding_mask=torch.tensor(padding)
        ),
    )


def test_layers_start_alike_and_learn_apart(rng):
    layer = nn.TransformerEncoderLayer(
        4, 2, 8, dropout=0.5, batch_first=True, norm_first=True, generator=np.random.default_rng(0)
    )
    encoder = nn.TransformerEncoder(layer, 2)
    first, second = (list(each.parameters()) for each in encoder.layers)
    assert all(p is not q and np.array_equal(p.data, q.data) for p, q in zip(first, second, strict=True))
    assert encoder.layers[0].dropout.generator is encoder.layers[1].self_attn.generator
    encoder(np.ones((1, 3, 4), np.float32), is_causal=True).sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())
    with pytest.raises(ArgumentError, match="gelu"):
        nn.TransformerEncoderLayer(4, 2, activation="swish")


@pytest.mark.parametrize("norm_first", [False, True])
def test_an_encoder_sees_no_future(norm_first, rng):
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True, norm_first=norm_first, dtype=np.float64)
    encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(4, dtype=np.float64))
    for t in range(4):
        x = ad.tensor(rng.normal(size=(2, 4, 4)), requires_grad=True)
        (encoder(x, is_causal=True)[:, t] * rng.normal(size=4)).sum().backward()
        assert not x.grad[:, t + 1 :].any()
        assert x.grad[:, : t + 1].all()


def test_positions_turn_with_their_frequencies():
    table = nn.sinusoidal_positions(50, 6, dtype=np.float64)
    t = np.arange(50)
    for i in range(3):
        np.testing.assert_allclose(table[:, 2 * i], np.sin(t * 10000 ** (-2 * i / 6)), atol=1e-12)
        np.testing.assert_allclose(table[:, 2 * i] ** 2 + table[:, 2 * i + 1] ** 2, 1)
    assert nn.sinusoidal_positions(3, 5).shape == (3, 5)
