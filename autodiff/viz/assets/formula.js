"use strict";
/* Formulas: shown as MathML; and as nested lists, operator first, written as text and computed on arrays that are lists of numbers. */
const Formula = (() => {
  const NS = "http://www.w3.org/1998/Math/MathML";
  const make = (name, ...children) => { const e = document.createElementNS(NS, name); e.append(...children); return e; };
  const word = (name, text) => make(name, document.createTextNode(text));
  const rank = (t) => (!Array.isArray(t) ? 9 : { "+": 1, "-": 1, neg: 2, sum: 2.5, "*": 3, "@": 3, "/": 8, "^": 6 }[t[0]] ?? 9);
  /** What Python has typeset, as an element of MathML. */
  const read = (text) => new DOMParser().parseFromString(`<math xmlns="${NS}">${text}</math>`, "application/xml").documentElement.firstChild;
  const math = (...children) => make("math", make("mrow", ...children));

  /** A formula as a line of text, with numbers in the place of names. */
  function write(t, names) {
    if (typeof t === "number") return String(t);
    if (typeof t === "string") return names && names[t] !== undefined ? (names[t].startsWith("-") ? `(${names[t]})` : names[t]) : t;
    const [op, a, b] = t, around = (x, least) => (rank(x) < least ? `(${write(x, names)})` : write(x, names));
    if (op === "neg") return `-${around(a, 3)}`;
    if ("+-*/^@".includes(op)) { const r = { "+": 1, "-": 1, "*": 3, "/": 3, "^": 6, "@": 3 }[op]; return `${around(a, r)}${op === "^" ? "**" : ` ${op} `}${around(b, r + 1)}`; }
    return `${op}(${t.slice(1).map((x) => write(x, names)).join(", ")})`;
  }

  const one = (f) => (a) => a.map(f);
  const two = (f) => (a, b) => {
    if (a.length !== b.length && a.length !== 1 && b.length !== 1) throw new Error(`${a.length} and ${b.length} elements do not go together`);
    return Array.from({ length: a.length === 1 ? b.length : a.length }, (_, i) => f(a[a.length === 1 ? 0 : i], b[b.length === 1 ? 0 : i]));
  };
  const logistic = (a) => (a >= 0 ? 1 / (1 + Math.exp(-a)) : Math.exp(a) / (1 + Math.exp(a)));
  /** Python's power: a base of 1 gives 1 whatever the exponent. */
  const power = (a, b) => (a === 1 ? 1 : a ** b);
  /** x**(y - 1) with the digits that y - 1 loses, and 1 for the constant 0**0. */
  const lowered = (x, y) => (x === 0 && y === 0 ? 1 : x === 0 || y - 1 + 1 === y ? power(x, y - 1) : power(x, y) / x);
  const known = {
    "+": two((a, b) => a + b), "-": two((a, b) => a - b), "*": two((a, b) => a * b), "/": two((a, b) => a / b), "^": two(power), neg: one((a) => -a),
    exp: one(Math.exp), log: one(Math.log), sqrt: one(Math.sqrt), sin: one(Math.sin), cos: one(Math.cos), tan: one(Math.tan), arcsin: one(Math.asin), arccos: one(Math.acos),
    arctan: one(Math.atan), arctan2: two(Math.atan2), sinh: one(Math.sinh), cosh: one(Math.cosh), tanh: one(Math.tanh), expm1: one(Math.expm1), log1p: one(Math.log1p), log2: one(Math.log2), log10: one(Math.log10), hypot: two(Math.hypot),
    logistic: one(logistic), ratio: two((a, b) => (a === 0 && b === 0 ? 0 : a / b)), lowered: two(lowered), logged: one((a) => (a === 0 ? 0 : Math.log(a))), softplus: one((a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)))), abs: one(Math.abs), sign: one(Math.sign),
    positive: one((a) => (a > 0 ? 1 : 0)), step: one((a) => (a > 0 ? 1 : a === 0 ? 0.5 : a < 0 ? 0 : NaN)), max: two(Math.max), min: two(Math.min), sum: (a) => [a.reduce((s, v) => s + v, 0)],
  };
  /** The value of a formula; every name stands for a list of numbers. */
  function compute(t, names) {
    if (typeof t === "number") return [t];
    if (typeof t === "string") return names[t];
    return known[t[0]](...t.slice(1).map((x) => compute(x, names)));
  }
  /** What arrives times a slope: nothing that arrives at an infinite slope stays nothing, as in the engine. */
  const chain = two((g, slope) => (g === 0 && !isFinite(slope) ? 0 : g * slope));
  return { read, math, word, make, write, compute, chain };
})();
