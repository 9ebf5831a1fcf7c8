"use strict";
/* The viewer of one picture: shows what is open, lays it out with dagre, and answers mouse and keyboard.
   All text goes into the page as text nodes; nothing is fetched. */
const picture = JSON.parse(document.getElementById("data").textContent);
/* One level of view: the computation, or its backward pass. `own` ends its listeners when the page turns to the other. */
function viewer(data, own) {
  const S = data.strings;
  const MOST = 1200; // boxes that may be visible at once
  const upright = data.rankdir === "TB" || data.rankdir === "BT"; // whether the flow runs up or down
  const NS = "http://www.w3.org/2000/svg";
  const $ = (id) => document.getElementById(id);
  const listen = (target, type, act, options) => target.addEventListener(type, act, { ...options, signal: own.signal });

  // --- the picture as objects --------------------------------------------------------------------------------------

  const pairs = (list) => list.map(([k, v]) => [S[k], S[v]]);
  /** What a box shows at one moment. */
  const now = ([rows, details, alert, maps, numbers, gradients]) => ({
    rows: rows.map((r) => S[r]), details: pairs(details), alert: S[alert], maps: maps.map((m) => ({ kind: S[m[0]], uri: S[m[1]], width: m[2], height: m[3], text: S[m[4]] })), numbers, gradients,
  });
  const clusters = data.clusters.map((c, i) => ({
    index: i, id: c[0], label: S[c[1]], kind: S[c[2]], parent: c[3], caption: S[c[4]], open: !c[5], rolled: !!c[6], family: S[c[7]], shape: S[c[8]],
    name: S[c[9]], rows: c[10].map((r) => S[r]), details: pairs(c[11]), alert: S[c[12]], count: c[13], times: c[14], copies: [], at: 0, isCluster: true,
  }));
  const nodes = data.nodes.map((n, i) => ({
    index: i, id: n[0], label: S[n[1]], kind: S[n[2]], family: S[n[3]], shape: S[n[4]], name: S[n[5]], parent: n[6], times: 1, isCluster: false, ...now(n.slice(7)),
  }));
  const edges = data.edges.map((e) => ({
    id: e[0], source: e[1], target: e[2], slot: e[3], kind: S[e[4]], label: S[e[5]], details: pairs(e[6]), alert: S[e[7]], upward: !!e[8], count: e[9],
  }));
  const initial = clusters.map((c) => [c.open, c.rolled]);
  const into = nodes.map(() => []), outOf = nodes.map(() => []); // the recorded arrows of every box
  for (const e of edges) { into[e.target].push(e); outOf[e.source].push(e); }

  // Copies of repeated blocks: copy number and position of every node, so that any copy can stand for the others.
  for (const c of clusters) if (c.parent >= 0 && clusters[c.parent].kind === "repeat") { c.copy = clusters[c.parent].copies.length; clusters[c.parent].copies.push(c.index); }
  const copiesAround = clusters.map((c) => {
    const path = [];
    for (let k = c.index; k >= 0; k = clusters[k].parent) if (clusters[k].copy !== undefined) path.unshift(k);
    return path;
  });
  const members = new Map();
  const places = nodes.map((n) => {
    const own = [];
    if (n.parent >= 0) for (const copy of copiesAround[n.parent]) {
      if (!members.has(copy)) members.set(copy, []);
      own.push(members.get(copy).length);
      members.get(copy).push(n.index);
    }
    return own;
  });

  /** The node that is drawn for a node: itself, or its twin in the copy that is shown. */
  function twin(i) {
    for (let level = 0; ; level++) {
      const path = nodes[i].parent >= 0 ? copiesAround[nodes[i].parent] : [];
      if (level >= path.length) return i;
      const copy = clusters[path[level]], repeat = clusters[copy.parent];
      if (repeat.rolled && copy.copy !== repeat.at) i = members.get(repeat.copies[repeat.at])[places[i][level]];
    }
  }

  /** What is visible: boxes, arrows and frames. */
  function visible() {
    const closed = new Int32Array(clusters.length).fill(-1);
    for (const c of clusters) {
      const outer = c.parent >= 0 ? closed[c.parent] : -1;
      closed[c.index] = outer >= 0 ? outer : c.open ? -1 : c.index;
    }
    const boxes = new Map();
    const frames = new Set();
    const later = new Int8Array(clusters.length); // inside a copy that is not drawn
    for (const c of clusters) {
      const repeat = c.parent >= 0 ? clusters[c.parent] : null;
      later[c.index] = (repeat && later[c.parent]) || (repeat && repeat.kind === "repeat" && repeat.rolled && c.copy !== repeat.at) ? 1 : 0;
    }
    const boxFor = (n) => { const shut = n.parent >= 0 ? closed[n.parent] : -1; return shut >= 0 ? clusters[shut] : n; };
    /** The open repeat that hides a node, because another of its copies is on show; -1 for none. */
    const hiddenBy = (n) => {
      if (n.parent < 0 || !later[n.parent]) return -1;
      for (const k of copiesAround[n.parent]) {
        const repeat = clusters[k].parent;
        if (closed[repeat] >= 0) return -1;
        if (clusters[repeat].rolled && clusters[k].copy !== clusters[repeat].at) return repeat;
      }
      return -1;
    };
    const hides = nodes.map(hiddenBy);
    for (const n of nodes) {
      if (n.alert) for (let k = n.parent; k >= 0; k = clusters[k].parent) clusters[k].alarms = n.alert;
      if (hides[n.index] >= 0) continue;
      const box = boxFor(n);
      if (!boxes.has(box.id)) boxes.set(box.id, box);
      for (let k = box.parent; k >= 0; k = clusters[k].parent) frames.add(k);
    }
    /* An arrow stands for recorded uses between boxes on show. A use that joins the copy on show to another copy runs dashed
       to, or from, the border of the block; so does one that joins a hidden copy to the world outside, from without. */
    const arrows = new Map(), crossing = [];
    const add = (e, source, target, kind, facts) => {
      const apart = (!source.isCluster && !target.isCluster) || (target.isCluster && target.kind === "fused");
      const whole = source === nodes[e.source] && target === nodes[e.target];
      const base = [source.id, target.id, apart ? e.slot : "", kind, facts.half || "", facts.border ?? ""].join("|");
      const key = whole && arrows.has(base) ? `${base}|${e.id}` : base;
      const held = arrows.get(key);
      if (held) { held.count += e.count; held.parts.push(e); held.alert = held.alert || e.alert; }
      else arrows.set(key, { id: facts.half === "out" ? `${e.id}-out` : e.id, source, target, kind, label: e.label, alert: e.alert, upward: e.upward, count: e.count, parts: [e], edge: e, ...facts });
    };
    for (const e of edges) {
      const from = hides[e.source], to = hides[e.target];
      if (from >= 0 && to >= 0) continue;
      if (from < 0 && to < 0) {
        const source = boxFor(nodes[e.source]), target = boxFor(nodes[e.target]);
        if (source !== target || (source === nodes[e.source] && target === nodes[e.target])) add(e, source, target, e.kind, {});
      } else crossing.push(e);
    }
    const drawn = new Set([...arrows.values()].map((a) => `${a.source.id}|${a.target.id}`));
    for (const e of crossing) {
      const from = hides[e.source], to = hides[e.target];
      const source = boxFor(nodes[from < 0 ? e.source : twin(e.source)]), target = boxFor(nodes[to < 0 ? e.target : twin(e.target)]);
      const repeat = carried(e.source, e.target);
      if (repeat >= 0) add(e, source, target, "carry", { half: from >= 0 ? "in" : "out", repeat });
      else if (source !== target && !drawn.has(`${source.id}|${target.id}`)) add(e, source, target, e.kind, { border: from >= 0 ? from : to, hiddenSource: from >= 0 });
    }
    const shown = [...boxes.values()];
    return { boxes: shown, arrows: [...arrows.values()], frames: [...frames].sort((a, b) => a - b).map((k) => clusters[k]).filter((c) => !later[c.index] && !lifted(c)) };
  }

  /** The frame of the copy on show stands right inside that of the repeat, so it is left out. */
  const lifted = (c) => c.copy !== undefined && clusters[c.parent].rolled && c.open;
  const frameOf = (item) => { let k = item.parent; while (k >= 0 && lifted(clusters[k])) k = clusters[k].parent; return k; };

  /** The rolled repeat of which two nodes lie in different copies; -1 for none. */
  function carried(a, b) {
    if (nodes[a].parent < 0 || nodes[b].parent < 0) return -1;
    const p = copiesAround[nodes[a].parent], q = copiesAround[nodes[b].parent];
    for (let i = 0; i < Math.min(p.length, q.length); i++) {
      const one = clusters[p[i]], other = clusters[q[i]];
      if (one.parent !== other.parent) return -1;
      if (one !== other) return clusters[one.parent].rolled ? one.parent : -1;
    }
    return -1;
  }

  // --- boxes and layout ----------------------------------------------------------------------------------------------

  const pen = document.createElement("canvas").getContext("2d");
  const widths = new Map();
  function measure(text, size, bold) {
    const key = size + (bold ? "b" : "") + text;
    if (!widths.has(key)) { pen.font = `${bold ? "bold " : ""}${size}px Helvetica, Arial, "Liberation Sans", sans-serif`; widths.set(key, pen.measureText(text).width); }
    return widths.get(key);
  }
  const short = (text, most) => { if (text.length <= most) return text; const tail = (most - 1) >> 1; return text.slice(0, most - 1 - tail) + "…" + text.slice(text.length - tail); };
  const isPill = (n) => ["parameter", "port", "gradient"].includes(n.kind);

  function linesOf(item) {
    const title = short(item.label, 44) + (item.times > 1 ? `  ×${item.times}` : "");
    const lines = [[title, 13, true, "title"]];
    if (item.name && item.name !== item.label) lines.push([short(item.name, 44), 10.5, true, "name"]);
    if (item.shape && item.kind !== "port") lines.push([short(item.shape, 44), 10.5, false, "shape"]);
    for (const row of item.rows) lines.push([short(row, 44), 10.5, false, /^(∂|‖∂‖)/.test(row) ? "row grad" : "row"]);
    if (item.alert || item.alarms) lines.push([`⚠ ${item.alert || item.alarms}`, 10.5, true, "alert"]);
    return lines;
  }
  function boxOf(item) {
    const lines = linesOf(item);
    const maps = item.maps || [], across = maps.reduce((w, m) => w + m.width + data.gap, -data.gap), tall = maps.length ? Math.max(...maps.map((m) => m.height)) + data.gap : 0;
    const inner = Math.max(across, ...lines.map(([t, s, b]) => measure(t, s, b)));
    const margin = isPill(item) ? 30 : item.kind === "fused" ? 34 : item.isCluster ? 46 : 24;
    return { lines, across, tall, width: Math.max(inner + margin, 54), height: lines.reduce((h, l) => h + l[1] + 4, 10) + tall };
  }

  /* Frames are laid out from the inside out: each is one box of the frame around it, so that frames never overlap and the main flow
     stays straight. An arrow that crosses a border does so at a port, which holds its place on the border. */
  /* The leaves that stand beside the box that reads them: of the same frame, read by no other, two at most, where data comes from above as well.
     The box and its leaves are laid out as one, with the box in the middle, so that the main path runs straight down. */
  function beside(view) {
    const uses = new Map(), reads = new Map(), flows = new Set(), found = new Map(), kept = new Set();
    for (const a of view.arrows) reads.set(a.source, (reads.get(a.source) || 0) + 1);
    for (const a of view.arrows) {
      const leaf = !a.source.isCluster && ["parameter", "constant"].includes(a.source.kind) && a.kind === "data" && !loose(a) && !a.label && a.count === 1 && a.border === undefined;
      if (leaf && frameOf(a.source) === frameOf(a.target)) { if (!uses.has(a.source)) uses.set(a.source, []); uses.get(a.source).push(a); }
      else if (!a.upward && !loose(a)) flows.add(a.target);
    }
    for (const [leaf, arrows] of uses) if (reads.get(leaf) === 1 && !arrows[0].upward && flows.has(arrows[0].target)) { const box = arrows[0].target; if (!found.has(box)) found.set(box, []); found.get(box).push(leaf); }
    for (const [box, leaves] of found) if (leaves.length > 2) found.delete(box); else for (const leaf of leaves) kept.add(leaf);
    return { found, kept };
  }
  /** Folded blocks may depend on one another in a circle: the arrows that lead back, which are laid out the other way round. */
  function circular(list) {
    const out = new Map(), state = new Map(), found = new Set();
    for (const one of list) { if (!out.has(one[1])) out.set(one[1], []); out.get(one[1]).push(one); }
    for (const start of out.keys()) if (!state.has(start)) {
      const stack = [[start, 0]];
      state.set(start, 1);
      while (stack.length) {
        const top = stack[stack.length - 1], next = (out.get(top[0]) || [])[top[1]++];
        if (!next) { state.set(top[0], 2); stack.pop(); }
        else if (state.get(next[2]) === 1) found.add(next[0]);
        else if (!state.has(next[2])) { state.set(next[2], 1); stack.push([next[2], 0]); }
      }
    }
    return found;
  }
  const BESIDE = 24;
  /** The room that a box takes together with the leaves beside it. */
  function roomOf(box, leaves) {
    if (!leaves) return box.box;
    const across = upright, long = across ? "width" : "height", short = across ? "height" : "width";
    const side = Math.max(...leaves.map((l) => l.box[long])) + BESIDE;
    return { [long]: box.box[long] + 2 * side, [short]: Math.max(box.box[short], ...leaves.map((l) => l.box[short])) };
  }
  function layOut(view) {
    const inside = new Map([[-1, []]]);
    for (const f of view.frames) inside.set(f.index, []);
    const aside = beside(view);
    for (const item of [...view.frames, ...view.boxes]) if (!aside.kept.has(item)) inside.get(frameOf(item)).push(item);
    for (const b of view.boxes) b.box = boxOf(b);
    const shown = new Set(view.boxes);
    const chain = (item) => { const path = []; for (let k = frameOf(item); k >= 0; k = frameOf(clusters[k])) path.unshift(k); return [-1, ...path]; };
    const routes = new Map(); // arrow -> the frames on its way out, the frame where it is whole, the frames on its way in
    const work = new Map([...inside.keys()].map((k) => [k, []]));
    const laid = view.arrows.filter((a) => !loose(a) && !aside.kept.has(a.source));
    /** The frames around both ends of an arrow, the number of those that they share, and what it joins in the innermost of these. */
    const ends = (a, back) => {
      const [tail, head] = back ? [a.target, a.source] : [a.source, a.target], p = chain(tail), q = chain(head);
      let common = 0;
      while (common + 1 < p.length && common + 1 < q.length && p[common + 1] === q[common + 1]) common++;
      const out = p.slice(common + 1), into = q.slice(common + 1);
      return { tail, head, p, q, out, into, at: p[common], from: out.length ? clusters[out[0]] : tail, to: into.length ? clusters[into[0]] : head };
    };
    const turned = circular(laid.filter((a) => !a.half).map((a) => { const { from, to } = ends(a, a.upward); return [a, from, to]; }));
    for (const a of laid) {
      const back = a.upward !== turned.has(a), { tail, head, p, q, out, into, at, from, to } = ends(a, back);
      const route = { tail, head, out: [], at: null, into: [], key: tail.id, back };
      if (a.half) {
        // From the border of the block, or to it.
        const arrives = (a.half === "in") !== a.upward, path = arrives ? q : p;
        route.key = `copy ${arrives ? a.edge.source : tail.id}`;
        route[arrives ? "into" : "out"] = path.slice(path.indexOf(a.repeat));
      } else { Object.assign(route, { out, at, into }); work.get(at).push([a, from, to, "whole"]); }
      routes.set(a, route);
      route.out.forEach((k, i) => work.get(k).push([a, i + 1 < route.out.length ? clusters[route.out[i + 1]] : tail, null, `out ${route.key}`]));
      route.into.forEach((k, i) => work.get(k).push([a, null, i + 1 < route.into.length ? clusters[route.into[i + 1]] : head, `in ${route.key}`]));
    }
    // Along the flow and across it, whichever way it runs.
    const TB = upright, flow = data.rankdir === "TB" || data.rankdir === "LR" ? 1 : -1;
    const along = (p) => (TB ? p.y : p.x), across = (p) => (TB ? p.x : p.y), point = (h, v) => (TB ? { x: h, y: v } : { x: v, y: h });
    const length = (size) => (TB ? size.height : size.width);
    const plans = new Map(), sizes = new Map();
    for (const k of [...inside.keys()].sort((a, b) => b - a)) {
      const items = inside.get(k), frame = k >= 0 ? clusters[k] : null;
      const g = new dagre.graphlib.Graph({ multigraph: true });
      g.setGraph({ rankdir: data.rankdir, nodesep: 22, edgesep: 12, ranksep: work.get(k).some(([a]) => a.label) ? 44 : 34,
        ranker: items.length > 300 ? "longest-path" : "network-simplex" });
      for (const item of items) { const s = shown.has(item) ? roomOf(item, aside.found.get(item)) : sizes.get(item.index); g.setNode(item.id, { width: s.width, height: s.height }); }
      const ports = new Map(), names = new Map(), fed = new Set(), feeding = new Set();
      for (const [a, from, to, key] of work.get(k)) {
        const text = key === "whole" ? arrowText(a) : "";
        if (from) feeding.add(from.id);
        if (to) fed.add(to.id);
        if (key !== "whole" && !ports.has(key)) { ports.set(key, key); g.setNode(key, { width: 2, height: 2 }); }
        const v = from ? from.id : key, w = to ? to.id : key;
        // Arrows that run together inside a frame are one line there.
        const name = text ? a.id : `${v} ${w} ${key === "whole" && shown.has(from) && shown.has(to) ? a.id : routes.get(a).key}`;
        names.set(`${a.id} ${key}`, { v, w, name });
        if (!g.hasEdge(v, w, name)) g.setEdge(v, w, text ? { width: measure(text, 10, false) + 6, height: 12, labelpos: "c" } : {}, name);
      }
      if (frame) {
        // Ports are drawn to the borders by edges to two nodes above and below everything, which are dropped afterwards.
        g.setNode("top", { width: 1, height: 1 }); g.setNode("bottom", { width: 1, height: 1 });
        for (const item of items) { if (!fed.has(item.id)) g.setEdge("top", item.id, { weight: 0 }, `top ${item.id}`); if (!feeding.has(item.id)) g.setEdge(item.id, "bottom", { weight: 0 }, `bottom ${item.id}`); }
        for (const key of ports.keys()) if (key.startsWith("in ")) g.setEdge("top", key, { weight: 8 }, key); else g.setEdge(key, "bottom", { weight: 8 }, key);
      }
      dagre.layout(g);
      // The bands of the layers: an arrow that passes a layer runs straight through it, and bends between two of them.
      const bands = new Map(), row = (v) => Math.round(2 * v);
      for (const item of items) { const p = g.node(item.id), v = row(along(p)); bands.set(v, Math.max(bands.get(v) || 0, length(p) / 2)); }
      const half = (v) => bands.get(row(v)) || 0;
      /** Where the line of an edge passes layers: across, along, and half the layer's height. */
      const passes = (e) => g.edge(e).points.slice(1, -1).map((p) => [across(p), along(p), half(along(p))]).filter(([, v, h]) => h || (g.edge(e).width && Math.abs(v - along(g.edge(e))) < 1));
      const port = (key) => { const p = g.node(key); return [[across(p), along(p), half(along(p))]]; };
      /** The same from a border to a port, and from a port to a border. */
      const border = (key) => (key.startsWith("in ") ? [...passes({ v: "top", w: key, name: key }), ...port(key)] : [...port(key), ...passes({ v: key, w: "bottom", name: key })]);
      const meets = (key) => border(key).at(key.startsWith("in ") ? 0 : -1)[0];
      const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
      const grow = (x, y, w, h) => { box.left = Math.min(box.left, x - w / 2); box.right = Math.max(box.right, x + w / 2); box.top = Math.min(box.top, y - h / 2); box.bottom = Math.max(box.bottom, y + h / 2); };
      for (const item of items) { const p = g.node(item.id); grow(p.x, p.y, p.width, p.height); }
      const aim = (h, v) => { const p = point(h, v); grow(p.x, p.y, TB ? 8 : 0, TB ? 0 : 8); };
      for (const key of ports.keys()) for (const [h, v] of border(key)) aim(h, v);
      for (const [, e] of names) { for (const [h, v] of passes(e)) aim(h, v); const edge = g.edge(e); if (edge.width) grow(edge.x, edge.y, edge.width, edge.height); }
      const head = frame ? headingLines(frame).length * 15 + 12 : 0, pad = frame ? 13 : 0;
      box.left -= pad; box.right += pad; box.bottom += pad; box.top -= head;
      const missing = frame ? Math.max(0, headingWidth(frame) - (box.right - box.left)) : 0;
      box.left -= missing / 2; box.right += missing / 2;
      // Arrows pass between the buttons of a heading, and not through its words: else the frame grows to the left of them.
      const coming = frame && TB ? [...ports.keys()].filter((key) => key.startsWith(flow > 0 ? "in " : "out ")).map(meets) : [];
      if (coming.length) {
        box.left = Math.min(box.left, Math.min(...coming) - 32);
        box.right = Math.max(box.right, Math.max(...coming) + (frame.kind === "repeat" ? 140 : 8));
        if (headingPlace(frame, box, coming) === undefined) box.left = Math.min(...coming) - 40 - headingText(frame);
      }
      sizes.set(k, { width: box.right - box.left, height: box.bottom - box.top });
      plans.set(k, { g, names, x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2, box, half, passes, border, meets });
    }
    // From the outside in: where everything is on the page.
    const places = new Map(), rects = new Map(), shifts = new Map([[-1, { x: 0, y: 0 }]]);
    for (const k of [...inside.keys()].sort((a, b) => a - b)) {
      const shift = shifts.get(k), plan = plans.get(k);
      for (const item of inside.get(k)) {
        const p = plan.g.node(item.id), x = p.x + shift.x, y = p.y + shift.y;
        if (shown.has(item)) {
          places.set(item.id, { x, y });
          (aside.found.get(item) || []).forEach((leaf, i) => {
            const side = i ? 1 : -1, along = TB ? "width" : "height", by = side * (item.box[along] / 2 + BESIDE + leaf.box[along] / 2);
            places.set(leaf.id, TB ? { x: x + by, y } : { x, y: y + by });
          });
          continue;
        }
        const inner = plans.get(item.index), size = sizes.get(item.index);
        rects.set(item.id, { left: x - size.width / 2, right: x + size.width / 2, top: y - size.height / 2, bottom: y + size.height / 2, head: headingLines(item).length * 15 + 12, ports: [] });
        shifts.set(item.index, { x: x - inner.x, y: y - inner.y });
      }
    }
    const lines = new Map();
    for (const a of view.arrows) if (aside.kept.has(a.source)) {
      const p = places.get(a.source.id), q = places.get(a.target.id), s = a.source.box, t = a.target.box;
      lines.set(a.id, { label: null, points: TB ? [{ x: p.x + Math.sign(q.x - p.x) * s.width / 2, y: p.y }, { x: q.x - Math.sign(q.x - p.x) * t.width / 2, y: q.y }] : [{ x: p.x, y: p.y + Math.sign(q.y - p.y) * s.height / 2 }, { x: q.x, y: q.y - Math.sign(q.y - p.y) * t.height / 2 }] });
    }
    // Arrows into one box meet it side by side, in the order in which they come.
    const spreads = new Map(), boxes = new Map(view.boxes.map((b) => [b.id, b.box]));
    for (const [k, { g, names, passes }] of plans) {
      const arriving = new Map();
      for (const e of new Map([...names.values()].map((e) => [`${e.v} ${e.w} ${e.name}`, e])).values()) if (places.has(e.w)) {
        if (!arriving.has(e.w)) arriving.set(e.w, []);
        arriving.get(e.w).push([(passes(e).at(-1) || [across(g.node(e.v))])[0], `${k} ${e.v} ${e.w} ${e.name}`]);
      }
      for (const [id, several] of arriving) {
        const step = Math.min(16, ((TB ? boxes.get(id).width : boxes.get(id).height) - 20) / several.length);
        several.sort((a, b) => a[0] - b[0]).forEach(([, name], i) => spreads.set(name, (i - (several.length - 1) / 2) * step));
      }
    }
    for (const [a, route] of routes) {
      const { tail, head, out, into, key } = route;
      /** Points on the page of places that an arrow passes in a frame, each at both edges of its layer. */
      const through = (k, list, way) => { const s = shifts.get(k); return list.flatMap(([h, v, half]) => [point(h + across(s), v + along(s) - way * half), point(h + across(s), v + along(s) + way * half)]); };
      /** From the edge of an item, on the side where the arrow leaves or arrives, straight to the edge of its layer. */
      const edge = (k, item, side, port, spread) => {
        const { g, half } = plans.get(k), s = shifts.get(k), p = g.node(item.id), v = along(p) + along(s), own = length(shown.has(item) ? item.box : p);
        const h = port ? plans.get(item.index).meets(port) + across(shifts.get(item.index)) : across(p) + across(s) + spread;
        return [point(h, v + side * own / 2), point(h, v + side * half(along(p)))];
      };
      const frameEdge = (k, port) => {
        const { meets, box } = plans.get(k), s = shifts.get(k), r = rects.get(clusters[k].id), first = port.startsWith("in ") === flow > 0, h = meets(port) + across(s);
        if (!TB) return [point(h, first ? r.left : r.right)];
        if (!first) return [point(h, r.bottom)];
        r.ports.push(h);
        return [point(h, r.top), point(h, r.top + r.head)];
      };
      /** The way of an arrow in one frame: between two items, or between an item and the border. */
      const piece = (k, name, from, to, fromPort, toPort) => {
        const plan = plans.get(k), e = plan.names.get(`${a.id} ${name}`), node = (id) => along(plan.g.node(id));
        const way = Math.sign(node(e.w) - node(e.v)) || flow, spread = spreads.get(`${k} ${e.v} ${e.w} ${e.name}`) || 0;
        const label = plan.g.edge(e).width ? plan.g.edge(e) : null, s = shifts.get(k);
        if (label) lines.set(a.id, { label: { x: label.x + s.x, y: label.y + s.y } });
        return [
          ...(from ? edge(k, from, way, fromPort, 0) : [...frameEdge(k, name), ...through(k, plan.border(name), flow)]),
          ...through(k, plan.passes(e), way),
          ...(to ? edge(k, to, -way, toPort, spread).reverse() : [...through(k, plan.border(name), flow), ...frameEdge(k, name).reverse()]),
        ];
      };
      // What ends in a hidden copy ends at the border of its block.
      const from = a.border === undefined ? -1 : out.indexOf(a.border), until = a.border === undefined ? -1 : into.indexOf(a.border);
      let points = [];
      for (let i = out.length - 1; i >= 0; i--) if (from < 0 || i < from) points.push(...piece(out[i], `out ${key}`, i + 1 < out.length ? clusters[out[i + 1]] : tail, null, i + 1 < out.length ? `out ${key}` : ""));
      if (route.at !== null) points.push(...piece(route.at, "whole", out.length ? clusters[out[0]] : tail, into.length ? clusters[into[0]] : head, out.length ? `out ${key}` : "", into.length ? `in ${key}` : ""));
      into.forEach((k, i) => { if (until < 0 || i < until) points.push(...piece(k, `in ${key}`, null, i + 1 < into.length ? clusters[into[i + 1]] : head, "", i + 1 < into.length ? `in ${key}` : "")); });
      points = points.filter((p, i) => !i || Math.hypot(p.x - points[i - 1].x, p.y - points[i - 1].y) > 0.5);
      lines.set(a.id, { label: null, ...lines.get(a.id), points: route.back ? points.reverse() : points });
    }
    return { places, rects, lines };
  }

  /** Arrows that have no say in the layout: links that hold nothing in order. */
  const loose = (a) => !a.half && (a.kind === "carry" || (a.kind === "link" && a.upward) || a.source === a.target);
  const headingLines = (f) => [(f.kind === "repeat" && f.alarms ? "⚠ " : "") + short(f.label, 60) + (f.times > 1 ? `  ×${f.times}` : "") + (f.name && f.name !== f.label ? ` · ${f.name}` : ""), ...(f.caption ? [short(f.caption, 110)] : [])];
  const headingText = (f) => Math.max(...headingLines(f).map((t, i) => measure(t, i ? 10.5 : 12, !i)));
  /** The first place from the left where no arrow comes in through the words of a heading; undefined where there is none. */
  function headingPlace(f, r, ports) {
    const wide = headingText(f), last = r.right - (f.kind === "repeat" ? 134 : 12) - wide;
    return [r.left + 30, ...ports.map((p) => p + 8), last].filter((x) => x >= r.left + 30 && (x <= last + 0.5 || x === r.left + 30)).sort((a, b) => a - b).find((x) => !ports.some((p) => p > x - 6 && p < x + wide + 4));
  }
  const headingWidth = (f) => headingText(f) + 44 + (f.kind === "repeat" ? 130 : 0);
  const arrowText = (a) => (a.label ? short(a.label, 40) : "") + (a.count > 1 && !a.half && a.border === undefined ? ` ×${a.count}` : "");
  /** In which copy a node lies, as far as copies are hidden. */
  const copyOf = (n) => { if (n.parent < 0) return ""; const k = copiesAround[n.parent].find((c) => clusters[clusters[c].parent].rolled && clusters[c].copy !== clusters[clusters[c].parent].at); return k === undefined ? "" : ` (copy ${clusters[k].copy + 1})`; };
  const elsewhere = (a) => (a.half || a.border !== undefined ? copyOf(nodes[a.half === "in" || a.hiddenSource ? a.edge.source : a.edge.target]) : "");

  // --- drawing -------------------------------------------------------------------------------------------------------

  const svg = $("picture"), root = document.createElementNS(NS, "g");
  svg.append(root);
  let view, plan, elements = new Map(), arrowElements = new Map();
  let zoom = { k: 1, x: 0, y: 0 };

  function make(name, facts, ...children) {
    const e = document.createElementNS(NS, name);
    for (const [k, v] of Object.entries(facts)) e.setAttribute(k, v);
    e.append(...children);
    return e;
  }
  const text = (t, x, y, size, kind, anchor) => make("text", { class: kind, x, y, "font-size": size, "text-anchor": anchor || "middle" }, t);

  const KINDS = { parameter: "parameter", constant: "constant", input: "input", gradient: "gradient", fused: "fused operation", port: "input of a fused operation", op: "operation" };
  const listed = (words) => (words.length > 4 ? `${words.slice(0, 3).join(", ")} and ${words.length - 3} more` : words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}` : words.join(""));
  const called = (n) => n.name || n.label, titled = (n) => n.label + (n.name && n.name !== n.label ? ` (${n.name})` : "");
  /** A box in sentences, for a screen reader. */
  function sentences(b) {
    const kind = b.isCluster ? `folded block of ${b.count || "some"} operation${b.count === 1 ? "" : "s"}${b.times > 1 ? `, repeated ${b.times} times` : ""}` : KINDS[b.kind] || b.kind;
    const shape = b.shape ? ` of shape ${b.shape.replaceAll("×", " by ")}` : "";
    const from = b.isCluster ? [] : [...new Set(into[b.index].filter((e) => e.kind !== "link").map((e) => called(nodes[e.source])))];
    const said = b.rows.map((row) => row.replace(/^= /, "Value ").replace(/^∂ /, "Gradient ").replace(/^‖∂‖ /, "Gradient of norm ").replaceAll("×", " by "));
    return [`${titled(b)}, ${kind}${shape}`, from.length ? `${b.kind === "gradient" ? "From" : "Computed from"} ${listed(from)}` : "", ...said,
      b.alert || b.alarms ? `Warning: ${b.alert || b.alarms}` : "", b.isCluster ? "Press Enter to open" : ""].filter(Boolean).map((t) => `${t}.`).join(" ");
  }

  function drawBox(b) {
    const p = plan.places.get(b.id), { lines, width, height } = b.box, left = p.x - width / 2, top = p.y - height / 2;
    const alert = b.alert || b.alarms;
    const kind = b.isCluster && b.kind !== "fused" ? "fold" : b.kind;
    const e = make("g", { class: `node ${kind} f-${alert ? "alert" : b.family}${alert ? " bad" : ""}`, id: b.id, tabindex: "-1", role: "button",
      "aria-label": sentences(b) });
    const radius = isPill(b) && lines.length < 4 && !b.box.tall ? height / 2 : b.kind === "input" || b.kind === "constant" ? 2.5 : 7;
    if (b.isCluster && b.times > 1) for (const s of [6, 3]) e.append(make("rect", { class: "body", x: left + s, y: top - s, width, height, rx: radius }));
    e.append(make("rect", { class: "body", x: left, y: top, width, height, rx: radius }));
    if (b.kind === "fused") for (const x of [left + 6, left + width - 6]) e.append(make("line", { class: "bar", x1: x, y1: top, x2: x, y2: top + height }));
    let y = top + (height - b.box.tall - lines.reduce((h, l) => h + l[1] + 4, -4)) / 2;
    for (const [t, size, , style] of lines) { y += size; e.append(text(t, p.x, y - 1.5, size, style)); y += 4; }
    let x = p.x - b.box.across / 2;
    for (const m of b.maps || []) {
      e.append(make("image", { class: `heat ${m.kind}`, href: m.uri, x, y: top + height - b.box.tall + (b.box.tall - data.gap - m.height) / 2, width: m.width, height: m.height, preserveAspectRatio: "none" }));
      x += m.width + data.gap;
    }
    if (b.isCluster) e.append(make("path", { d: `M${left + width - 13} ${top + 9}h8m-4 -4v8`, stroke: "currentColor", "stroke-width": 1.4, fill: "none" }));
    e.addEventListener("click", () => { if (moved) return; b.isCluster ? toggle(b) : select(b); });
    e.addEventListener("keydown", (event) => boxKey(event, b));
    return tipped(e, () => tipOf(b));
  }

  function drawFrame(f) {
    const r = plan.rects.get(f.id);
    const e = make("g", { class: `cluster ${f.kind} f-${f.family}`, id: f.id });
    e.append(make("rect", { x: r.left, y: r.top, width: r.right - r.left, height: r.bottom - r.top, rx: 8 }));
    const lines = headingLines(f), free = headingPlace(f, r, r.ports);
    lines.forEach((t, i) => e.append(text(t, free ?? r.left + 30, r.top + 17 + 15 * i, i ? 10.5 : 12, i ? "caption" : "heading", "start")));
    return e;
  }

  /** The buttons of a frame; on top of everything, since arrows may cross a heading. */
  function drawButtons(f) {
    const r = plan.rects.get(f.id);
    const e = make("g", { class: `controls ${f.kind}`, "data-for": f.id });
    e.append(button(r.left + 8, r.top + 6, 16, "−", `fold ${f.label}`, () => toggle(f)));
    if (f.kind === "repeat") {
      const x = r.right - 128;
      if (f.rolled) {
        e.append(button(x, r.top + 6, 16, "‹", "previous copy", () => turn(f, -1)));
        e.append(text(`${f.at + 1} of ${f.copies.length}`, x + 47, r.top + 18, 10.5, "caption"));
        e.append(button(x + 78, r.top + 6, 16, "›", "next copy", () => turn(f, 1)));
      }
      e.append(button(x + 98, r.top + 6, 24, f.rolled ? "all" : "one", f.rolled ? "show all copies" : "show one copy", () => unroll(f)));
    }
    return e;
  }

  function button(x, y, width, label, title, act) {
    const e = make("g", { class: "button", role: "button", tabindex: "0", "aria-label": title }, make("title", {}, title),
      make("rect", { x, y, width, height: 15, rx: 4 }), text(label, x + width / 2, y + 11.5, 11, ""));
    const run = (event) => { event.stopPropagation(); act(); };
    e.addEventListener("click", (event) => { if (!moved) run(event); });
    e.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); run(event); } });
    return e;
  }

  function drawArrow(a) {
    const said = a.parts.length > 1 ? [...a.parts.slice(0, 8).map((e) => `${nodes[e.source].label} → ${nodes[e.target].label}${value(e) ? `: ∂ ${value(e)}` : ""}`), ...(a.parts.length > 8 ? [`and ${a.parts.length - 8} more`] : [])].join("\n")
      : [`${nodes[a.edge.source].label} → ${nodes[a.edge.target].label}${elsewhere(a)}`, ...a.edge.details.map(([k, v]) => `${k}: ${v}`)].join("\n");
    const e = make("g", { "aria-hidden": "true", class: `edge ${a.kind}${a.border !== undefined ? " border" : ""}${a.alert ? " bad" : ""}`, id: a.id,
      "data-source": a.half === "in" || a.hiddenSource ? nodes[a.edge.source].id : a.source.id,
      "data-target": a.half === "out" || (a.border !== undefined && !a.hiddenSource) ? nodes[a.edge.target].id : a.target.id });
    const from = plan.places.get(a.source.id), to = plan.places.get(a.target.id);
    const line = plan.lines.get(a.id);
    let d, tip, base, middle;
    if (line) {
      const p = line.points.map(({ x, y }) => [x, y]), before = p[p.length - 2];
      // With the flow at both ends; what stands beside a box points to it from there.
      const end = upright ? 1 : 0, level = Math.abs(p[p.length - 1][end] - before[end]) < 0.5, at = level ? 1 - end : end;
      tip = p[p.length - 1]; base = [...tip]; base[at] -= 8 * Math.sign(tip[at] - before[at]);
      if (a.kind !== "link") p[p.length - 1] = base;
      d = `M${p[0]}`;
      p.slice(1).forEach((q, i) => {
        const o = p[i], m = (o[end] + q[end]) / 2;
        d += level || Math.abs(o[1 - end] - q[1 - end]) < 0.5 ? `L${q}` : end ? `C${o[0]} ${m} ${q[0]} ${m} ${q}` : `C${m} ${o[1]} ${m} ${q[1]} ${q}`;
      });
      middle = line.label;
      if (a.kind === "link") tip = null;
    } else {
      const s = a.source.box.width / 2, t = a.target.box.width / 2, right = to.x > from.x;
      const here = [from.x + (right ? s : -s), from.y], there = [to.x + (right ? -t : t), to.y];
      // A link says nothing that the arrows do not: it is drawn where nothing stands between its ends.
      d = clear(here, there) ? `M${here}L${there}` : "M0 0";
      middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 - 6 };
    }
    e.append(make("path", { d }));
    if (tip) {
      const dx = tip[0] - base[0], dy = tip[1] - base[1], n = Math.hypot(dx, dy) || 1;
      e.append(make("polygon", { points: `${tip} ${[base[0] - dy / n * 3.4, base[1] + dx / n * 3.4]} ${[base[0] + dy / n * 3.4, base[1] - dx / n * 3.4]}` }));
    }
    e.append(make("path", { d, style: "stroke:transparent;stroke-width:12" }));
    const label = arrowText(a);
    if (label && middle) e.append(text(label, middle.x, middle.y + 3.5, 10, "edge-label"));
    return tipped(e, () => said);
  }

  /** Whether no box and no heading stands on the straight line from one point to another, ends excluded. */
  function clear([x0, y0], [x1, y1]) {
    const rects = view.boxes.map((b) => { const p = plan.places.get(b.id); return [p.x - b.box.width / 2, p.y - b.box.height / 2, p.x + b.box.width / 2, p.y + b.box.height / 2]; });
    for (const f of view.frames) { const r = plan.rects.get(f.id); rects.push([r.left, r.top, r.right, r.top + r.head]); }
    for (let t = 0.02; t < 0.985; t += 0.01) {
      const x = x0 + (x1 - x0) * t, y = y0 + (y1 - y0) * t;
      if (rects.some(([left, top, right, bottom]) => x > left && x < right && y > top && y < bottom)) return false;
    }
    return true;
  }

  function render() {
    for (const c of clusters) delete c.alarms;
    for (const n of nodes) delete n.alarms;
    view = visible();
    plan = layOut(view);
    // What had the focus has it again: a box, or a button of a frame by its place among them.
    const held = root.contains(document.activeElement) ? document.activeElement : null, frame = held && held.closest(".controls");
    const place = frame ? [frame.dataset.for, [...frame.querySelectorAll(".button")].findIndex((b) => b.getAttribute("aria-label") === held.getAttribute("aria-label"))] : null;
    const last = place && place[1] === frame.querySelectorAll(".button").length - 1;
    root.replaceChildren();
    elements = new Map(); arrowElements = new Map();
    for (const f of view.frames) root.append(drawFrame(f));
    for (const a of view.arrows) { const e = drawArrow(a); arrowElements.set(a.id, e); root.append(e); }
    for (const b of view.boxes) { const e = drawBox(b); elements.set(b.id, e); root.append(e); }
    for (const f of view.frames) root.append(drawButtons(f));
    if (view.boxes.length) elements.get(view.boxes[0].id).setAttribute("tabindex", "0");
    if (place) [...root.querySelectorAll(`[data-for="${CSS.escape(place[0])}"] .button`)].at(last ? -1 : place[1])?.focus({ preventScroll: true });
    else if (held) elements.get(held.id)?.focus({ preventScroll: true });
    legend();
    if (steps.on) startSteps(true);
    mark();
    document.body.dataset.boxes = view.boxes.length;
  }

  function legend() {
    const present = new Set(view.boxes.map((b) => b.family));
    $("modules").setAttribute("aria-pressed", String(architecture()));
    $("modules").disabled = !clusters.some(leafModule);
    $("backward").setAttribute("aria-pressed", String(turned));
    $("backward").disabled = !data.other && !turned;
    $("operations").setAttribute("aria-pressed", String(!turned && !architecture()));
    $("live").disabled = turned;
    $("legend").replaceChildren(...data.legend.filter(([key]) => present.has(key) || (key === "alert" && view.boxes.some((b) => b.alert || b.alarms))).map(([key, name]) => {
      const e = document.createElement("span"), i = document.createElement("i");
      e.className = `f-${key}`; e.append(i, name); return e;
    }));
  }

  // --- pan and zoom --------------------------------------------------------------------------------------------------

  let moved = false;
  const apply = () => root.setAttribute("transform", `translate(${zoom.x} ${zoom.y}) scale(${zoom.k})`);
  function zoomAt(factor, x, y) {
    const k = Math.min(4, Math.max(0.03, zoom.k * factor));
    zoom = { k, x: x - (x - zoom.x) * k / zoom.k, y: y - (y - zoom.y) * k / zoom.k };
    apply();
  }
  const middleOf = () => { const r = svg.getBoundingClientRect(); return [r.width / 2, r.height / 2]; };
  function fit(whole) {
    const b = root.getBBox(), r = svg.getBoundingClientRect();
    if (!b.width) return;
    // Small pictures are not blown up; large ones first stay legible, and what does not fit is reached by panning.
    const k = Math.max(Math.min((r.width - 48) / b.width, (r.height - 64) / b.height, 1.25), whole === true ? 0.03 : 0.7);
    zoom = { k, x: b.width * k > r.width - 48 ? (whole === true ? 24 - b.x * k : start(b, k, r)) : (r.width - b.width * k) / 2 - b.x * k, y: b.height * k > r.height - 64 ? 24 - b.y * k : (r.height - 40 - b.height * k) / 2 - b.y * k };
    apply();
  }
  /** A wide picture opens at its topmost box, which is on the page, not at an empty corner. */
  function start(b, k, r) {
    let first = null;
    for (const box of view.boxes) { const p = plan.places.get(box.id); if (!first || p.y < first.y) first = p; }
    return Math.min(24 - b.x * k, Math.max(r.width / 2 - first.x * k, r.width - 24 - (b.x + b.width) * k));
  }
  /** After a fold nothing may be left in the window: then the picture is brought back. */
  function notEmpty() {
    const r = svg.getBoundingClientRect();
    const seen = (p) => p.x * zoom.k + zoom.x > 0 && p.x * zoom.k + zoom.x < r.width && p.y * zoom.k + zoom.y > 0 && p.y * zoom.k + zoom.y < r.height;
    if (view.boxes.length && ![...plan.places.values()].some(seen)) fit();
  }
  function centre(id) {
    const p = plan.places.get(id) || centreOf(plan.rects.get(id)), r = svg.getBoundingClientRect();
    if (!p) return;
    const k = Math.max(zoom.k, 0.7);
    zoom = { k, x: r.width / 2 - p.x * k, y: r.height / 2 - p.y * k };
    apply();
  }
  const centreOf = (r) => r && { x: (r.left + r.right) / 2, y: (r.top + r.bottom) / 2 };
  function keepVisible(id) {
    const p = plan.places.get(id), r = svg.getBoundingClientRect();
    if (!p) return;
    // Moved no further than needed, so that the eye keeps its place.
    const x = p.x * zoom.k + zoom.x, y = p.y * zoom.k + zoom.y, near = (v, most) => Math.min(Math.max(v, Math.min(70, most / 2)), Math.max(most - 70, most / 2));
    zoom.x += near(x, r.width) - x; zoom.y += near(y, r.height) - y;
    apply();
  }

  listen(svg, "wheel", (event) => { event.preventDefault(); const r = svg.getBoundingClientRect(); zoomAt(Math.exp(-event.deltaY * 0.0015), event.clientX - r.left, event.clientY - r.top); }, { passive: false });
  listen(svg, "pointerdown", (event) => {
    moved = false;
    if (event.button) return;
    const start = [event.clientX, event.clientY, zoom.x, zoom.y];
    const drag = (e) => {
      if (Math.hypot(e.clientX - start[0], e.clientY - start[1]) > 4) { moved = true; svg.classList.add("drag"); }
      if (moved) { zoom.x = start[2] + e.clientX - start[0]; zoom.y = start[3] + e.clientY - start[1]; apply(); }
    };
    const end = () => { svg.classList.remove("drag"); removeEventListener("pointermove", drag); removeEventListener("pointerup", end); setTimeout(() => { moved = false; }); };
    addEventListener("pointermove", drag); addEventListener("pointerup", end);
  });

  // --- opening and closing -------------------------------------------------------------------------------------------

  function say(message) { $("said").textContent = message; $("said").hidden = false; clearTimeout(say.timer); say.timer = setTimeout(() => { $("said").hidden = true; }, 4000); }

  /** Change what is open, unless too much would be visible; what was clicked stays where it was. */
  function change(act, undo, anchor) {
    const before = anchor && (plan.places.get(anchor.id) || corner(plan.rects.get(anchor.id)));
    act();
    const count = visible().boxes.length;
    if (count > MOST) { undo(); say(`That would show ${count.toLocaleString()} boxes; open a part of it.`); return false; }
    render();
    const after = anchor && (plan.places.get(anchor.id) || corner(plan.rects.get(anchor.id)));
    if (before && after) { zoom.x += (before.x - after.x) * zoom.k; zoom.y += (before.y - after.y) * zoom.k; apply(); }
    notEmpty();
    return true;
  }
  const corner = (r) => r && { x: r.left + 16, y: r.top + 14 };
  const toggle = (c) => { leave(); if (change(() => { c.open = !c.open; }, () => { c.open = !c.open; }, c)) focusOn(c); };
  /** Show another copy of a repeated block, opened as far as the one before. */
  function turn(c, by) {
    const at = c.at, to = (at + by + c.copies.length) % c.copies.length;
    const within = (copy) => clusters.filter((k) => k.index === copy || [...ancestors(k)].includes(copy));
    const old = within(c.copies[at]);
    within(c.copies[to]).forEach((k, i) => { if (old[i]) [k.open, k.rolled] = [old[i].open, old[i].rolled]; });
    change(() => { c.at = to; }, () => { c.at = at; }, c);
  }
  const unroll = (c) => change(() => { c.rolled = !c.rolled; }, () => { c.rolled = !c.rolled; }, c);
  // How many boxes a cluster shows when only it is opened.
  for (const c of clusters) c.size = 0;
  for (const n of nodes) if (n.parent >= 0) clusters[n.parent].size++;
  for (const c of clusters) if (c.parent >= 0) clusters[c.parent].size++;
  function openAll() {
    // Level by level, as far as it stays legible.
    let count = view.boxes.length, level = clusters.filter((c) => c.parent < 0), left = false;
    const inner = new Map();
    for (const c of clusters) if (c.parent >= 0) { if (!inner.has(c.parent)) inner.set(c.parent, []); inner.get(c.parent).push(c); }
    while (level.length) {
      const next = [];
      for (const c of level) {
        if (!c.open) {
          const more = (c.rolled ? 1 : c.size) - 1;
          if (count + more > 400) { left = true; continue; }
          c.open = true; count += more;
        }
        const inside = inner.get(c.index) || [];
        next.push(...(c.rolled ? inside.slice(c.at, c.at + 1) : inside));
      }
      level = next;
    }
    render(); fit();
    if (left) say(`Opened up to ${view.boxes.length} boxes; the rest stays folded.`);
  }
  function* ancestors(item) { for (let k = item.parent; k >= 0; k = clusters[k].parent) yield k; }
  /** The architecture: every module that holds no other is one box; the second press goes back to the operations. */
  const holds = new Set();
  for (const c of clusters) if (c.kind === "module") for (let k = c.parent; k >= 0; k = clusters[k].parent) holds.add(k);
  const leafModule = (c) => c.kind === "module" && !holds.has(c.index);
  const architecture = () => clusters.some(leafModule) && clusters.every((c) => (leafModule(c) ? !c.open : c.kind !== "module" || c.open));
  let opened = null;
  function modules() {
    if (!clusters.some(leafModule)) { say("There are no modules in this picture."); return; }
    const now = clusters.map((c) => c.open), back = architecture();
    for (const c of clusters) c.open = back ? (opened ? opened[c.index] : c.open || leafModule(c)) : !leafModule(c) && (c.open || holds.has(c.index));
    if (visible().boxes.length > MOST) { for (const c of clusters) c.open = now[c.index]; say("That would show too many boxes; open a part of it."); return; }
    if (!back) opened = now;
    render(); fit();
  }
  /** Turn the page to the other level of view: the backward pass, or the computation. */
  function turnPage() {
    const other = data.other || data.came;
    if (!other) { say("This page holds no other level of view: draw(...) of a smaller graph does."); return; }
    if (steps.on) stopSteps();
    if (live.on) stopLive();
    select(null);
    leave();
    own.abort();
    root.remove();
    if (!other.came) other.came = data;
    viewer(other, new AbortController());
  }
  function operations() { if (turned) turnPage(); else if (architecture()) modules(); }
  function foldAll() { clusters.forEach((c, i) => { [c.open, c.rolled] = initial[i]; c.at = 0; }); render(); fit(); }

  /** Open everything around an item, so that it is on the page. */
  function reveal(item) {
    for (const k of ancestors(item)) {
      const c = clusters[k];
      c.open = true;
      if (c.copy !== undefined && clusters[c.parent].rolled) clusters[c.parent].at = c.copy;
    }
    render();
    centre(item.id);
    focusOn(item);
  }
  function focusOn(item) { const e = elements.get(item.id) || root.querySelector(`[data-for="${CSS.escape(item.id)}"] .button`); if (e) e.focus({ preventScroll: true }); }

  // --- selection, paths, details -------------------------------------------------------------------------------------

  let selected = null, pathOn = false, found = null;

  function downstream(box) {
    const on = new Set([box.id]), arrows = new Set(), queue = [box.id], out = new Map();
    for (const a of view.arrows) if (a.kind !== "link") { if (!out.has(a.source.id)) out.set(a.source.id, []); out.get(a.source.id).push(a); }
    while (queue.length) for (const a of out.get(queue.pop()) || []) { arrows.add(a.id); if (!on.has(a.target.id)) { on.add(a.target.id); queue.push(a.target.id); } }
    return { on, arrows };
  }

  function mark() {
    const path = selected && pathOn && elements.has(selected.id) ? downstream(selected) : null;
    for (const [id, e] of elements) {
      e.classList.toggle("selected", !!selected && selected.id === id);
      e.classList.toggle("dim", !!path && !path.on.has(id));
      e.classList.toggle("found", found === id);
    }
    for (const [id, e] of arrowElements) { e.classList.toggle("on", !!path && path.arrows.has(id)); e.classList.toggle("dim", !!path && !path.arrows.has(id)); }
    $("path").setAttribute("aria-pressed", String(!!path));
    $("path").disabled = !selected;
  }

  function select(item, path) {
    selected = item;
    // A notebook's widget hears what is chosen; nothing else is told.
    if (parent !== window) parent.postMessage({ autodiff: "selected", id: item ? item.id : "" }, "*");
    pathOn = !!item && (path === undefined ? item.kind === "parameter" : path);
    panel(item);
    mark();
  }

  const element = (name, content, kind) => { const e = document.createElement(name); if (kind) e.className = kind; e.append(content); return e; };
  function panel(item) {
    const side = $("side");
    side.hidden = !item;
    if (!item) return;
    const list = document.createElement("dl");
    const add = (k, v) => list.append(element("dt", k), element("dd", v));
    if (item.name && item.name !== item.label) add("name", item.name);
    if (item.shape) add("output", item.shape);
    for (const [k, v] of item.details) add(k, v);
    const close = element("button", "×", "close");
    close.setAttribute("aria-label", "close details");
    close.addEventListener("click", () => { select(null); focusOn(item); });
    const parts = [close, element("h2", item.label)];
    if (item.alert) parts.push(element("p", `⚠ ${/^(NaN|inf)/.test(item.alert) ? 'holds ' : ''}${item.alert}`, "alert"));
    parts.push(list);
    for (const m of item.maps || []) {
      const figure = document.createElement("figure"), image = document.createElement("img");
      image.src = m.uri; image.alt = m.text;
      image.style.width = `${300 * m.width / Math.max(m.width, m.height)}px`; image.style.height = `${300 * m.height / Math.max(m.width, m.height)}px`;
      figure.append(image, element("figcaption", m.text));
      parts.push(figure);
    }
    const around = [...ancestors(item)].reverse().map((k) => clusters[k].label).join(" / ");
    if (around) parts.push(element("p", `in ${around}`));
    parts.push(...formulas(item));
    // A box lists its recorded arrows, also those to copies that are not on show; a folded block those that cross its border.
    const links = (title, list, end) => {
      if (!list.length) return;
      const ul = document.createElement("ul");
      for (const e of list.slice(0, 60)) {
        const other = nodes[e[end]];
        const b = element("button", titled(other) + copyOf(other), "link");
        b.addEventListener("click", () => { if (!view.boxes.includes(other)) reveal(other); select(other, pathOn); keepVisible(other.id); focusOn(other); });
        const li = element("li", b);
        const facts = Object.fromEntries(e.details);
        if (end === "source" && facts.rule) li.append(document.createElement("br"), "gradient: ", element("code", facts.rule + (facts.numbers ? ` = ${facts.numbers}` : "") + (facts.gradient ? ` = ${facts.gradient}` : "")));
        ul.append(li);
      }
      if (list.length > 60) ul.append(element("li", `and ${list.length - 60} more`));
      parts.push(element("h3", title), ul);
    };
    const recorded = (list) => list.filter((e) => e.kind !== "link");
    links("Computed from", item.isCluster ? view.arrows.filter((a) => a.target === item && a.kind !== "link").flatMap((a) => a.parts) : recorded(into[item.index]), "source");
    links("Used by", item.isCluster ? view.arrows.filter((a) => a.source === item && a.kind !== "link").flatMap((a) => a.parts) : recorded(outOf[item.index]), "target");
    side.replaceChildren(...parts);
  }

  // --- tooltips ------------------------------------------------------------------------------------------------------

  function tipOf(b) {
    const rows = [b.label + (b.name && b.name !== b.label ? `  ${b.name}` : "")];
    if (b.shape) rows.push(b.shape);
    for (const [k, v] of b.details) rows.push(`${k}: ${v}`);
    if (b.alert) rows.push(`⚠ ${/^(NaN|inf)/.test(b.alert) ? 'holds ' : ''}${b.alert}`);
    if (b.isCluster) rows.push(b.count ? `${b.count} operations inside; click to open` : "click to open");
    return rows.join("\n");
  }
  /** An element that shows a tooltip. */
  function tipped(e, content) {
    e.addEventListener("mouseenter", (event) => { $("tip").textContent = content(); $("tip").hidden = false; moveTip(event); });
    e.addEventListener("mousemove", moveTip);
    e.addEventListener("mouseleave", leave);
    return e;
  }
  function moveTip(event) {
    const t = $("tip"), w = t.offsetWidth, h = t.offsetHeight;
    t.style.left = `${Math.min(event.clientX + 14, innerWidth - w - 8)}px`;
    t.style.top = `${event.clientY + 18 + h > innerHeight ? event.clientY - h - 10 : event.clientY + 18}px`;
  }
  function leave() { $("tip").hidden = true; }

  // --- search --------------------------------------------------------------------------------------------------------

  let hits = [], hit = 0;
  function search() {
    const wanted = $("find").value.trim().toLowerCase();
    hits = [];
    if (wanted) for (const item of [...nodes, ...clusters]) {
      if (item.kind === "constant" || item.kind === "port") continue;
      const where = item.label.toLowerCase().indexOf(wanted), name = item.name.toLowerCase().indexOf(wanted);
      if (where >= 0 || name >= 0) hits.push([item.label.toLowerCase() === wanted || item.name.toLowerCase() === wanted ? 0 : where === 0 || name === 0 ? 1 : 2, item]);
      if (hits.length > 5000) break;
    }
    hits = hits.sort((a, b) => a[0] - b[0]).slice(0, 50).map(([, item]) => item);
    hit = 0;
    showHits(wanted);
  }
  function showHits(wanted) {
    const list = $("found");
    hideHits(!wanted);
    list.replaceChildren(...hits.map((item, i) => {
      const li = element("li", item.label);
      li.append(element("small", [item.name !== item.label ? item.name : "", item.shape, [...ancestors(item)].map((k) => clusters[k].label).reverse().join("/")].filter(Boolean).join("  ")));
      li.id = `hit${i}`; li.setAttribute("role", "option"); li.setAttribute("aria-selected", String(i === hit));
      li.addEventListener("pointerdown", (event) => { event.preventDefault(); go(item); });
      return li;
    }));
    if (wanted && !hits.length) list.append(element("li", "nothing of that name"));
    $("find").setAttribute("aria-activedescendant", hits.length ? `hit${hit}` : "");
    list.children[hit]?.scrollIntoView({ block: "nearest" });
  }
  function hideHits(hidden = true) { $("found").hidden = hidden; $("find").setAttribute("aria-expanded", String(!hidden)); }
  function go(item) {
    hideHits();
    found = item.id;
    reveal(item);
    select(item);
  }
  listen($("find"), "input", search);
  listen($("find"), "blur", () => hideHits());
  listen($("find"), "keydown", (event) => {
    event.stopPropagation();
    if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); if (hits.length) { hit = (hit + (event.key === "ArrowDown" ? 1 : hits.length - 1)) % hits.length; showHits(true); } }
    else if (event.key === "Enter" && hits.length) { event.preventDefault(); go(hits[hit]); }
    else if (event.key === "Escape") { $("find").value = ""; hideHits(); found = null; mark(); $("find").blur(); }
  });

  // --- stepping backward ---------------------------------------------------------------------------------------------

  const steps = { on: false, at: 0, order: [], timer: 0, ahead: false, quiz: false, asked: new Map() };
  // In a picture of the backward pass alone the arrows run with the gradient, else against it.
  const turned = edges.length > 0 && edges.every((e) => e.kind === "gradient");
  const ruled = (e) => (turned || e.kind !== "gradient") && e.details.some(([k]) => k === "rule");
  const rule = (a) => a.parts.some(ruled);
  /** The recorded arrows along which a box receives, and sends, gradients; of a folded block those that cross its border. */
  const receives = (b) => (b.isCluster ? view.arrows.filter((a) => taker(a) === b && giver(a) !== b).flatMap((a) => a.parts) : (turned ? into : outOf)[b.index]).filter(ruled);
  const sends = (b) => (b.isCluster ? view.arrows.filter((a) => giver(a) === b && taker(a) !== b).flatMap((a) => a.parts) : (turned ? outOf : into)[b.index]).filter(ruled);
  const sum = (list) => (list.length > 6 ? `${list.slice(0, 3).join(" + ")} + … (${list.length} terms)` : list.join(" + "));
  const giver = (a) => (turned ? a.source : a.target), taker = (a) => (turned ? a.target : a.source);

  /** The boxes that take part in the backward pass, each after all that use it. */
  const failed = nodes.find((n) => n.details.some(([k]) => k === "error"));
  function backwardOrder() {
    if (failed) return [];
    const flows = view.arrows.filter((a) => rule(a) && !a.half && a.kind !== "carry" && a.source !== a.target);
    const waiting = new Map(view.boxes.map((b) => [b.id, 0])), from = new Map();
    for (const a of flows) { waiting.set(taker(a).id, waiting.get(taker(a).id) + 1); if (!from.has(giver(a).id)) from.set(giver(a).id, []); from.get(giver(a).id).push(a); }
    const part = new Set(flows.flatMap((a) => [a.source.id, a.target.id]));
    const position = new Map(view.boxes.map((b, i) => [b.id, turned ? -i : i]));
    const ready = view.boxes.filter((b) => part.has(b.id) && !waiting.get(b.id)).map((b) => position.get(b.id)).sort((a, b) => a - b);
    const order = [], placed = new Set();
    while (ready.length) {
      const b = view.boxes[Math.abs(ready.pop())];
      order.push(b); placed.add(b.id);
      for (const a of from.get(b.id) || []) {
        const next = taker(a).id;
        waiting.set(next, waiting.get(next) - 1);
        if (!waiting.get(next)) { const p = position.get(next); let i = ready.length; while (i && ready[i - 1] > p) i--; ready.splice(i, 0, p); }
      }
    }
    // Folded blocks may depend on one another in a circle; those come last, in reverse order.
    return [...order, ...view.boxes.filter((b) => part.has(b.id) && !placed.has(b.id)).reverse()];
  }

  function startSteps(keep, ahead) {
    if (!keep) { steps.ahead = !!ahead; steps.asked.clear(); }
    steps.on = true;
    const now = keep && steps.order[steps.at];
    steps.order = steps.ahead ? view.boxes : backwardOrder();
    steps.at = Math.max(0, now ? steps.order.findIndex((b) => b.id === now.id) : 0);
    $("steps").hidden = false;
    svg.classList.add("stepping");
    svg.classList.toggle("ahead", steps.ahead);
    $("step").setAttribute("aria-pressed", String(!steps.ahead));
    $("ahead").setAttribute("aria-pressed", String(steps.ahead));
    $("quiz").hidden = steps.ahead;
    showStep();
    if (!keep) { fit(); showStep(); }
  }
  function stopSteps() { steps.on = false; pause(); $("steps").hidden = true; svg.classList.remove("stepping", "ahead"); $("step").setAttribute("aria-pressed", "false"); $("ahead").setAttribute("aria-pressed", "false"); clearStep(); }
  function pause() { clearInterval(steps.timer); steps.timer = 0; $("play").textContent = "▶ play"; }
  function clearStep() {
    for (const e of elements.values()) e.classList.remove("now", "done", "asked");
    for (const e of arrowElements.values()) e.classList.remove("sent", "sending");
    for (const e of root.querySelectorAll(".badge")) e.remove();
  }
  function stepTo(i) {
    if (!steps.on) startSteps(false);
    if (i < 0 || i >= steps.order.length) { pause(); return; }
    steps.at = i; showStep();
  }

  function showStep() {
    clearStep();
    if (!steps.order.length) { $("count").textContent = ""; $("what").textContent = failed ? `The program stopped at ${failed.label}, so nothing runs backward.` : "Nothing here asks for a gradient."; $("sends").replaceChildren(); return; }
    const now = steps.order[steps.at], done = new Set(steps.order.slice(0, steps.at).map((b) => b.id));
    for (const id of done) elements.get(id)?.classList.add("done");
    elements.get(now.id)?.classList.add("now");
    $("count").textContent = `step ${steps.at + 1} of ${steps.order.length}`;
    $("ask").hidden = true;
    if (steps.ahead) { showAhead(now, done); return; }
    const reached = new Map();
    for (const a of view.arrows) {
      if (!rule(a)) continue;
      const here = giver(a) === now && a.half !== (turned ? "in" : "out");
      if (!here && !(done.has(giver(a).id) && a.half !== (turned ? "in" : "out"))) continue;
      arrowElements.get(a.id)?.classList.add(here ? "sending" : "sent");
      if (a.half) continue;
      if (!reached.has(taker(a).id)) reached.set(taker(a).id, []);
      reached.get(taker(a).id).push(...a.parts.filter(ruled));
    }
    // What has arrived so far stands beside each box that waits for it; what other copies send is still to come.
    for (const [id, parts] of reached) {
      const values = parts.map(value).filter(Boolean), box = view.boxes.find((b) => b.id === id);
      if (values.length && !asks(box)) badge(id, "∂ " + sum(values) + (receives(box).some((e) => copyOf(nodes[turned ? e.source : e.target])) ? " + …" : ""));
    }
    const facts = Object.fromEntries(now.details);
    if (asks(now)) { ask(now); return; }
    if (facts.gradient) badge(now.id, `∂ ${facts.gradient}`);
    const inputs = sends(now), received = receives(now);
    const arrived = received.map(value).filter(Boolean);
    const got = facts.gradient || (facts["gradient norm"] ? `norm ${facts["gradient norm"]}` : "");
    const total = (arrived.length > 1 && !arrived[0].startsWith("‖") ? `${sum(arrived)} = ` : "") + got;
    let head = titled(now);
    if (!inputs.length) head += " receives its gradient" + (got ? `: ${total}` : "");
    else if (!received.length) head += ` runs first, with g = ${got || "1"}`;
    else head += ` runs now, with g = ${got ? total : "what its uses sent"}`;
    $("what").textContent = head;
    const shown = now.maps && now.maps.find((m) => m.kind === "gradient");
    if (shown) { const image = document.createElement("img"); image.src = shown.uri; image.alt = shown.text; image.title = shown.text; $("what").append(" ", image); }
    $("sends").replaceChildren(...inputs.slice(0, 24).map((e) => {
      const f = Object.fromEntries(e.details), to = nodes[turned ? e.target : e.source];
      const li = element("li", `sends to ${titled(to)}${copyOf(to)}${f.input && f.input !== to.label ? `, its input ${f.input}` : ""}: `);
      li.append(element("code", (asks(to) ? [f.rule] : [f.rule, f.numbers || f.rule, f.gradient || (f["gradient norm"] ? `an array of norm ${f["gradient norm"]}` : "")]).filter((part, i, all) => part && part !== all[i - 1]).join("  =  ")));
      const known = formulaOf(now);
      const derived = derivedFor(now, f.input);
      if (derived) li.append("  ", Formula.math(Formula.read(derived[1])));
      else if (known && known.slopes[e.slot] !== undefined) li.append("  ", Formula.math(partial(now.label, called(to)), Formula.word("mo", "="), Formula.read(known.slopes[e.slot])));
      return li;
    }));
    if (inputs.length && !got && !data.gradients) $("sends").append(element("li", "draw(..., gradients=True) shows the numbers as well"));
    keepVisible(now.id);
  }
  const value = (e) => { const f = Object.fromEntries(e.details); return f.gradient || (f["gradient norm"] ? `‖${f["gradient norm"]}‖` : ""); };
  function badge(id, content) {
    const b = [...view.boxes].find((x) => x.id === id), p = plan.places.get(id);
    if (!p || !b) return;
    content = short(content, 40);
    const old = root.querySelector(`.badge[data-for="${CSS.escape(id)}"]`);
    if (old) old.remove();
    const w = measure(content, 11, true) + 12, x = p.x + b.box.width / 2 - 8, y = p.y - b.box.height / 2 - 10;
    root.append(make("g", { class: "badge", "data-for": id, style: "pointer-events:none" }, make("rect", { x, y, width: w, height: 18, rx: 9 }), text(content, x + w / 2, y + 13, 11, "")));
  }

  /** A step forward: what one operation computes from what. */
  function showAhead(now, done) {
    for (const a of view.arrows) if (a.kind !== "link") {
      if (a.target === now && a.half !== "out") arrowElements.get(a.id)?.classList.add("sending");
      else if (done.has(a.target.id)) arrowElements.get(a.id)?.classList.add("sent");
    }
    const facts = Object.fromEntries(now.details), known = formulaOf(now), got = facts.value || facts.statistics || "";
    const leaf = !now.isCluster && !into[now.index].length;
    $("what").textContent = now === failed ? `${now.label} fails with ${facts.error}: ${facts.message}` : leaf ? `${now.label} is given${got ? `: ${got}` : ""}` : now.isCluster ? `${now.label} runs` : `${now.label} computes ${got ? `${got}` : "its value"}${now.shape ? ` (${now.shape})` : ""}`;
    const rows = leaf || now.isCluster ? [] : into[now.index].filter((e) => e.kind !== "link").map((e) => {
      const from = nodes[e.source], f = Object.fromEntries(e.details);
      return element("li", `${f.input && f.input !== from.label ? `${f.input} is ` : "takes "}${titled(from)}${Object.fromEntries(from.details).value ? ` = ${Object.fromEntries(from.details).value}` : ""}`);
    });
    if (known) { const li = document.createElement("li"); li.append(Formula.math(Formula.read(known.value))); rows.push(li); }
    $("sends").replaceChildren(...rows.slice(0, 24));
    if (got && now.box) badge(now.id, `= ${got}`);
    keepVisible(now.id);
  }

  // --- the quiz --------------------------------------------------------------------------------------------------------

  /** A number as people write one: 0.5, -1e-3, 1/2, inf or nan, with a hyphen or a true minus; undefined for anything else. */
  function numberOf(said) {
    const parts = said.trim().toLowerCase().replace(/[−–]/g, "-").replace(/∞/g, "inf").split("/").map((part) => {
      const [, sign, digits, word] = part.trim().match(/^([+-]?)\s*(?:((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)|(inf(?:inity)?|nan))$/) || [];
      return sign === undefined ? undefined : (sign === "-" ? -1 : 1) * (word ? (word === "nan" ? NaN : Infinity) : Number(digits));
    });
    return parts.length > 2 || parts.includes(undefined) ? undefined : parts.length === 2 ? parts[0] / parts[1] : parts[0];
  }
  /** Whether a guess is right: to one part in a hundred, whatever the size, so that the sign always counts. */
  const agree = (given, wanted) => Object.is(given, wanted) || given === wanted || (isFinite(wanted) && Math.abs(given - wanted) <= 0.01 * Math.abs(wanted));
  /** The one number that a box receives as its gradient; undefined for anything else. */
  const wantedOf = (b) => numberOf(Object.fromEntries(b.details).gradient || "");
  const asks = (b) => steps.quiz && !steps.ahead && !b.isCluster && wantedOf(b) !== undefined && !steps.asked.has(b.id) && receives(b).length > 0;
  function ask(b) {
    pause();
    elements.get(b.id)?.classList.add("asked");
    $("what").textContent = `Which gradient does ${called(b)} receive? Add up what its uses send: the derivative of each use, times the gradient of that use.`;
    $("sends").replaceChildren(...receives(b).map((e) => {
      const user = nodes[turned ? e.source : e.target], f = Object.fromEntries(e.details);
      return element("li", `from ${called(user)}: ${f.rule}, with g = ${Object.fromEntries(user.details).gradient ?? "1"}`);
    }));
    $("ask").hidden = false; $("guess").value = ""; $("verdict").textContent = score(); $("guess").focus();
    keepVisible(b.id);
  }
  const score = () => { const all = [...steps.asked.values()]; return all.length ? `${all.filter(Boolean).length} of ${all.length} right` : ""; };
  function guess(event) {
    event.preventDefault();
    const b = steps.order[steps.at], given = numberOf($("guess").value);
    if (given === undefined) { $("verdict").textContent = "a number, please: 0.5, 1/2, -1e-3, inf or nan"; return; }
    const right = agree(given, wantedOf(b));
    steps.asked.set(b.id, right);
    showStep();
    $("next").focus();
    say(`${right ? "Right" : `Not quite: it is ${Object.fromEntries(b.details).gradient}`}. ${score()}.`);
  }

  // --- formulas ----------------------------------------------------------------------------------------------------------

  const formulaOf = (b) => (b.isCluster ? undefined : (data.formulas || {})[Object.fromEntries(b.details).operation]);
  const symbol = (t) => (/^[A-Za-z_][\w.]*$/.test(t) ? Formula.word("mi", t) : Formula.word("mtext", t));
  const partial = (above, below) => Formula.make("mfrac", Formula.make("mrow", Formula.word("mo", "∂"), symbol(above)), Formula.make("mrow", Formula.word("mo", "∂"), symbol(below)));
  const inputsOf = (n) => into[n.index].filter((e) => e.kind !== "link").sort((a, b) => a.slot - b.slot);
  /** What the names of an operation's formula stand for: its inputs by their slots, and its value. */
  function namesOf(n, of) {
    const names = { out: of(n) };
    const formula = formulaOf(n);
    for (const e of inputsOf(n)) names[formula.inputs[e.slot]] = of(nodes[e.source]);
    return names;
  }
  /** A number as the program writes it, of so many significant digits: Python's ".5g". */
  function numberText(v, digits = 5) {
    if (!isFinite(v)) return isNaN(v) ? "nan" : v > 0 ? "inf" : "-inf";
    const [mantissa, power] = v.toExponential(digits - 1).split("e"), short = (t) => (t.includes(".") ? t.replace(/\.?0+$/, "") : t);
    if (v === 0) return Object.is(v, -0) ? "-0" : "0";
    if (power < -4 || power >= digits) return `${short(mantissa)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
    return short(v.toFixed(digits - 1 - power));
  }
  /** The elements of an array as text, nested as its shape says, which stands before its dtype: "2×2 float64". */
  function textOf(list, shape, digits) {
    let rows = list.map((v) => numberText(v, digits));
    const extents = (shape || "").split(" ")[0].split("×").map(Number).filter((n) => n > 0);
    for (const n of extents.reverse()) rows = Array.from({ length: rows.length / n }, (_, i) => `[${rows.slice(i * n, i * n + n).join(", ")}]`);
    return rows.join(", ");
  }

  /** The formulas of a box for the panel: its value, its derivatives, and the chain of them from a leaf to the result. */
  function formulas(item) {
    const parts = [], known = formulaOf(item);
    const line = (...inner) => { const p = document.createElement("p"); p.className = "formula"; p.append(Formula.math(...inner)); return p; };
    if (known) {
      parts.push(element("h3", "Formula"), line(Formula.read(known.value)));
      known.slopes.forEach((slope, i) => {
        if (known.arithmetic) parts.push(line(partial("out", known.inputs[i]), Formula.word("mo", "="), Formula.read(slope)));
        else parts.push(line(Formula.word("mtext", `gradient of ${known.inputs[i]}`), Formula.word("mo", "="), Formula.read(slope)));
      });
    }
    parts.push(...derivation(item, line));
    if (!item.isCluster && ["parameter", "input"].includes(item.kind) && outOf[item.index].some(ruled)) parts.push(...chain(item, line));
    return parts;
  }
  const HEADINGS = { value: "Value", forth: "At each time, first to last", back: "At each time, last to first", gradient: "Gradient, derived by hand" };
  const derivedOf = (b) => (data.derivations || {})[Object.fromEntries(b.details).operation];
  /** The derivation of a fused operation: every term with its shape, and the path that it stands for. */
  function derivation(item, line) {
    const known = derivedOf(item), parts = [];
    if (!known) return parts;
    const said = known.given.map(([name, shape, word]) => `${name} ${shape}${word && word !== name ? `, ${word}` : ""}`);
    let section = "";
    for (const [, equation, shape, words, part] of known.rows) {
      if (part !== section) parts.push(element("h3", HEADINGS[part]));
      if (!section) parts.push(element("p", `Given ${said.join("; ")}.${known.words ? ` ${known.words}.` : ""}`, "given"));
      if (part === "gradient" && section !== part) parts.push(element("p", "g is what arrived; dx is what x receives.", "given"));
      section = part;
      const row = line(Formula.read(equation));
      row.append(element("small", ` ${shape}${words ? `: ${words}` : ""}`));
      parts.push(row);
    }
    return parts;
  }
  /** The last line of a derivation for one input of an operation; undefined where there is none of its own. */
  function derivedFor(b, input) {
    const known = derivedOf(b), given = known && known.given.filter(([, , word]) => word === input);
    return given && given.length === 1 ? known.rows.find(([name, , , , part]) => name === `d${given[0][0]}` && part === "gradient") : undefined;
  }
  /** The chain rule along one way from a leaf to the result: each factor by name, as a formula, and in numbers. */
  function chain(item, line) {
    const path = [];
    for (let n = item; path.length <= 40;) { const e = outOf[n.index].find(ruled); if (!e || turned) break; path.push(e); n = nodes[e.target]; }
    if (!path.length || path.length > 40 || failed) return [];
    const ways = new Array(nodes.length).fill(0);
    for (let i = nodes.length - 1; i >= 0; i--) { const on = outOf[i].filter(ruled); ways[i] = on.length ? on.reduce((sum, e) => sum + ways[e.target], 0) : 1; }
    const last = nodes[path[path.length - 1].target];
    const product = [partial(called(last), called(item)), Formula.word("mo", "=")];
    [...path].reverse().forEach((e, i) => { if (i) product.push(Formula.word("mo", "·")); product.push(partial(called(nodes[e.target]), called(nodes[e.source]))); });
    const rows = [...path].reverse().map((e) => {
      const n = nodes[e.target], known = formulaOf(n), inner = [partial(called(n), called(nodes[e.source])), Formula.word("mo", "=")];
      if (known && known.arithmetic) {
        inner.push(Formula.read(known.slopes[e.slot]));
        const values = namesOf(n, (m) => (m.numbers && m.numbers.length === 1 ? m.numbers : undefined));
        if (Object.values(values).every((v) => v)) inner.push(Formula.word("mo", "="), Formula.word("mn", numberText(Formula.compute(known.arithmetic[1][e.slot], { ...values, n: [1] })[0])));
      } else inner.push(Formula.word("mtext", Object.fromEntries(e.details).rule));
      return line(...inner);
    });
    const count = ways[item.index];
    return [element("h3", "Chain rule"), line(...product), ...rows, element("p", count > 1 ? `one of ${count > 1e6 ? "very many" : count.toLocaleString()} ways to the result; the gradient is the sum over all of them` : "the only way to the result")];
  }

  // --- live numbers --------------------------------------------------------------------------------------------------------

  const live = { on: false };
  /** Every value and gradient of the program, computed by the page from the numbers of the leaves. */
  function computeAll() {
    const values = new Map(), gradients = new Map(), sent = new Map();
    for (const n of nodes) {
      const known = formulaOf(n);
      values.set(n, known ? Formula.compute(known.arithmetic[0], { ...namesOf(n, (m) => values.get(m)), n: [inputsOf(n).map((e) => values.get(nodes[e.source]).length)[0]] }) : n.numbers);
      gradients.set(n, values.get(n).map(() => (outOf[n.index].length ? 0 : 1)));
    }
    for (const n of [...nodes].reverse()) {
      const known = formulaOf(n);
      if (!known) continue;
      const names = namesOf(n, (m) => values.get(m)), g = gradients.get(n);
      for (const e of inputsOf(n)) {
        const to = gradients.get(nodes[e.source]), slope = Formula.compute(known.arithmetic[1][e.slot], { ...names, n: [to.length] });
        const part = Formula.chain(g, to.length > slope.length ? to.map(() => slope[0]) : slope);
        const own = to.length === part.length ? part : [part.reduce((sum, v) => sum + v, 0)];
        own.forEach((v, i) => { to[i] += v; });
        sent.set(e, own);
      }
    }
    return { values, gradients, sent };
  }
  /** Why the numbers cannot move; empty where the page's own arithmetic gives every recorded value and gradient. */
  function whyStill() {
    if (data.still) return data.still;
    const found = computeAll(), agree = (mine, theirs) => mine.length === theirs.length && mine.every((v, i) => Math.abs(v - theirs[i]) <= 1e-9 * Math.abs(theirs[i]));
    for (const n of nodes) if (!agree(found.values.get(n), n.numbers)) return `the page does not compute ${n.label} as the program did`;
    for (const n of nodes) if (n.gradients.length && !agree(found.gradients.get(n), n.gradients)) return `the gradient of ${called(n)} was begun elsewhere than with 1 at the result`;
    return "";
  }
  function startLive() {
    const still = whyStill();
    if (still) { say(`No live numbers: ${still}.`); return; }
    live.on = true;
    live.before = nodes.map((n) => [n.numbers, n.rows, n.details, n.alert, n.maps]);
    live.edges = edges.map((e) => e.details);
    $("dials").replaceChildren(...nodes.filter((n) => ["parameter", "input"].includes(n.kind)).flatMap((n) => n.numbers.map((v, i) => {
      const label = document.createElement("label"), dial = document.createElement("input"), said = document.createElement("output");
      const span = Math.max(1, 2 * Math.abs(v));
      Object.assign(dial, { type: "range", min: v - span, max: v + span, step: span / 200, value: v });
      dial.addEventListener("input", () => { n.numbers = n.numbers.map((old, k) => (k === i ? Number(dial.value) : old)); said.textContent = numberText(Number(dial.value)); recompute(); });
      said.textContent = numberText(v);
      label.append(`${called(n)}${n.numbers.length > 1 ? `[${i}]` : ""} `, dial, said);
      return label;
    })));
    $("lively").hidden = false;
    $("live").setAttribute("aria-pressed", "true");
    recompute();
  }
  function stopLive() {
    nodes.forEach((n, i) => { [n.numbers, n.rows, n.details, n.alert, n.maps] = live.before[i]; });
    edges.forEach((e, i) => { e.details = live.edges[i]; });
    live.on = false;
    $("lively").hidden = true;
    $("live").setAttribute("aria-pressed", "false");
    shownAgain();
  }
  /** The picture, the step and the panel once more, with the numbers of now. */
  function shownAgain() {
    const at = steps.at;
    render();
    if (steps.on) { steps.at = at; showStep(); }
    if (selected) panel(selected);
  }
  function recompute() {
    const { values, gradients, sent } = computeAll();
    const shortly = (row, instead) => (row.length <= data.widest + 2 ? [row] : instead ? [instead] : []);
    const replaced = /^(value|statistics|gradient|gradient norm|born here|dead units)$/;
    nodes.forEach((n, i) => {
      if (n.kind === "constant") return;
      const value = values.get(n), flows = n.gradients.length > 0, g = gradients.get(n), digits = value.length > 1 ? 3 : 5;
      const bad = (list, where) => (list.some(isNaN) ? `NaN${where}` : list.every(isFinite) ? "" : `inf${where}`);
      n.numbers = value;
      n.maps = [];
      n.alert = bad(value, "") || (flows ? bad(g, " in gradient") : "");
      n.rows = [...live.before[i][1].filter((r) => r.startsWith("given")), ...shortly(`= ${textOf(value, n.shape, digits)}`), ...(flows ? shortly(`∂ ${textOf(g, n.shape, digits)}`, `‖∂‖ ${numberText(Math.hypot(...g), 4)}`) : [])];
      n.details = [...live.before[i][2].filter(([k]) => !replaced.test(k)), ["value", textOf(value, n.shape)], ...(flows ? [["gradient", textOf(g, n.shape)], ["gradient norm", numberText(Math.hypot(...g))]] : [])];
    });
    edges.forEach((e, i) => {
      if (!sent.has(e) || !ruled(e)) return;
      const n = nodes[e.target], names = namesOf(n, (m) => textOf(m.numbers, m.shape)), g = sent.get(e);
      const numbers = `${textOf(gradients.get(n), n.shape)} * (${Formula.write(formulaOf(n).written[e.slot], names)})`;
      e.details = [...live.edges[i].filter(([k]) => !["numbers", "gradient", "gradient norm"].includes(k)), ["numbers", numbers], ["gradient", textOf(g, nodes[e.source].shape)], ["gradient norm", numberText(Math.hypot(...g))]];
    });
    shownAgain();
  }

  /** The steps as a file of their own: an SVG in which each step is shown for a while, for ever. */
  function animated() {
    if (!steps.on) startSteps(false);
    const { at, quiz } = steps, held = zoom, seconds = Number($("speed").value) / 1000, total = steps.order.length * seconds, frames = [], wide = Math.max(root.getBBox().width, 420);
    steps.quiz = false;
    // What each step shows, with its words below; and the room that the largest of them needs.
    let left = Infinity, top = Infinity, right = -Infinity, bottom = -Infinity;
    steps.order.forEach((_, i) => {
      steps.at = i; showStep();
      const b = root.getBBox(), frame = root.cloneNode(true);
      left = Math.min(left, b.x); top = Math.min(top, b.y); right = Math.max(right, b.x + b.width); bottom = Math.max(bottom, b.y + b.height);
      frame.removeAttribute("transform"); frame.setAttribute("visibility", "hidden");
      for (const e of frame.querySelectorAll("[id]")) e.removeAttribute("id");
      for (const e of frame.querySelectorAll(".controls")) e.remove();
      frames.push([frame, [$("what"), ...$("sends").children].flatMap((e) => wrapped([...e.childNodes].filter((c) => c.nodeName !== "math").map((c) => c.textContent).join(""), wide))]);
    });
    const room = Math.max(...frames.map(([, words]) => words.length)) * 15, width = Math.max(right - left, wide) + 40, height = bottom - top + 52 + room;
    const facts = { x: left - 20, y: top - 20, width, height }, copy = make("svg", { xmlns: NS, class: `autodiff-graph stepping${steps.ahead ? " ahead" : ""}`, viewBox: `${facts.x} ${facts.y} ${width} ${height}`, width, height });
    if (document.body.dataset.theme) copy.dataset.theme = document.body.dataset.theme;
    const styles = [...document.querySelectorAll("style")].map((s) => s.textContent).join("\n");
    copy.append(make("style", {}, styles), make("rect", { ...facts, class: "page" }));
    frames.forEach(([frame, words], i) => {
      words.forEach((line, k) => frame.append(text(line, left, bottom + 26 + 15 * k, 11, "caption", "start")));
      const from = i * seconds / total, to = (i + 1) * seconds / total;
      frame.append(make("animate", { attributeName: "visibility", dur: `${total}s`, repeatCount: "indefinite", calcMode: "discrete", keyTimes: i ? `0;${from};${to < 1 ? `${to}` : "1"}` : `0;${to < 1 ? to : 1}`, values: i ? "hidden;visible;hidden" : "visible;hidden" }));
      copy.append(frame);
    });
    steps.quiz = quiz; steps.at = at; showStep();
    zoom = held; apply();
    return new XMLSerializer().serializeToString(copy);
  }
  /** A text in lines of a width. */
  function wrapped(t, width) {
    const lines = [];
    for (const w of t.trim().split(/\s+/)) {
      const trial = lines.length ? `${lines[lines.length - 1]} ${w}` : w;
      if (lines.length && measure(trial, 11, false) <= width) lines[lines.length - 1] = trial; else lines.push(w);
    }
    return lines;
  }
  function saveAnimation() {
    if (!steps.order.length) { say("There are no steps to save."); return; }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([animated()], { type: "image/svg+xml" }));
    link.download = "steps.svg";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // --- keyboard and buttons ------------------------------------------------------------------------------------------

  function boxKey(event, b) {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); b.isCluster ? toggle(b) : select(b); return; }
    const [forward, back] = { TB: ["ArrowDown", "ArrowUp"], BT: ["ArrowUp", "ArrowDown"], LR: ["ArrowRight", "ArrowLeft"], RL: ["ArrowLeft", "ArrowRight"] }[data.rankdir];
    let next;
    if (event.key === forward) next = view.arrows.find((a) => a.source === b && a.kind !== "link")?.target;
    else if (event.key === back) next = view.arrows.find((a) => a.target === b && a.kind !== "link")?.source;
    else if (event.key.startsWith("Arrow")) {
      const by = event.key === "ArrowRight" || event.key === "ArrowDown" ? 1 : -1;
      next = view.boxes[(view.boxes.indexOf(b) + by + view.boxes.length) % view.boxes.length];
    } else return;
    event.preventDefault(); event.stopPropagation();
    if (next) { elements.get(next.id).focus({ preventScroll: true }); keepVisible(next.id); }
  }

  const actions = {
    "+": () => zoomAt(1.25, ...middleOf()), "=": () => zoomAt(1.25, ...middleOf()), "-": () => zoomAt(0.8, ...middleOf()), 0: () => fit(true),
    "/": () => $("find").focus(), e: openAll, f: foldAll, m: modules, p: () => { if (selected) { pathOn = !pathOn; mark(); } },
    b: () => (steps.on && !steps.ahead ? stopSteps() : startSteps(false)), a: () => (steps.on && steps.ahead ? stopSteps() : startSteps(false, true)),
    l: () => (live.on ? stopLive() : startLive()), q: () => { steps.quiz = !steps.quiz; $("quiz").setAttribute("aria-pressed", String(steps.quiz)); if (!steps.on || steps.ahead) startSteps(false); else showStep(); }, n: () => stepTo(steps.on ? steps.at + 1 : 0), N: () => stepTo(steps.at - 1), "?": () => $("help").showModal(),
    Escape: () => { found = null; select(null); leave(); if (steps.on) stopSteps(); },
    ArrowLeft: () => { zoom.x += 60; apply(); }, ArrowRight: () => { zoom.x -= 60; apply(); }, ArrowUp: () => { zoom.y += 60; apply(); }, ArrowDown: () => { zoom.y -= 60; apply(); },
  };
  listen(window, "keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (["INPUT", "SELECT"].includes(event.target.tagName) && event.key !== "Escape") || $("help").open) return;
    const act = actions[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  const on = (id, act) => listen($(id), "click", act);
  on("open", openAll); on("modules", modules); on("fold", foldAll); on("fit", actions[0]); on("in", actions["+"]); on("out", actions["-"]); on("path", actions.p); on("step", actions.b); on("ahead", actions.a); on("live", actions.l); on("quiz", actions.q); on("operations", operations); on("backward", () => { if (!turned) turnPage(); }); on("save", saveAnimation);
  listen($("ask"), "submit", guess); listen($("speed"), "change", () => { if (steps.timer) { pause(); play(); } }); on("keys", actions["?"]);
  on("next", () => { pause(); stepTo(steps.at + 1); }); on("back", () => { pause(); stepTo(steps.at - 1); }); on("first", () => { pause(); stepTo(0); });
  const play = () => { if (steps.at + 1 >= steps.order.length) stepTo(0); $("play").textContent = "⏸ pause"; steps.timer = setInterval(() => stepTo(steps.at + 1), Number($("speed").value)); };
  on("play", () => { if (steps.timer) pause(); else play(); });
  on("theme", () => {
    const dark = document.body.dataset.theme ? document.body.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.body.dataset.theme = dark ? "light" : "dark";
  });
  listen(svg, "click", (event) => { if (event.target === svg && !moved) select(null); });

  // On paper the whole picture stands on one sheet.
  listen(window, "beforeprint", () => { const b = root.getBBox(); root.removeAttribute("transform"); svg.setAttribute("viewBox", `${b.x - 8} ${b.y - 8} ${b.width + 16} ${b.height + 16}`); });
  listen(window, "afterprint", () => { svg.removeAttribute("viewBox"); apply(); });

  listen(window, "message", (event) => {
    if (event.source !== parent || event.data?.autodiff !== "select" || event.data.id === (selected ? selected.id : "")) return;
    const item = [...nodes, ...clusters].find((x) => x.id === event.data.id);
    if (item) go(item); else select(null);
  });
  // The moments of a training: what every box showed at each.
  if (data.moments) {
    $("times").hidden = false;
    $("moment").max = data.moments.length - 1;
    const at = (k) => {
      data.moments[k].forEach((shown, i) => Object.assign(nodes[i], now(shown)));
      $("when").textContent = `${k + 1} of ${data.moments.length}`;
    };
    listen($("moment"), "input", () => { if (live.on) stopLive(); at(Number($("moment").value)); render(); if (selected) panel(selected); });
    at(0);
  } else $("times").hidden = true;
  render();
  fit();
  // A link may point at a box or at a step of the backward pass: #find=W1 or #step=3.
  const wanted = new URLSearchParams(location.hash.slice(1));
  if (wanted.has("find")) { const item = [...nodes, ...clusters].find((x) => x.label === wanted.get("find") || x.name === wanted.get("find")); if (item) go(item); }
  if (wanted.has("step")) { startSteps(false); stepTo(Math.min(Number(wanted.get("step")) || 1, steps.order.length) - 1); }
  document.body.dataset.ready = "yes";
}
viewer(picture, new AbortController());
