// What can happen to a node: word, glyph and colour (Okabe and Ito's colour-blind-safe set). Never colour alone.

export const STATUS = {
  kept: { glyph: "=", light: "#8a929c", dark: "#8d96a1", says: "the same operator on both sides" },
  rewritten: { glyph: "≈", light: "#2f95cf", dark: "#56b4e9", says: "another operator or other attributes do the same work" },
  fused: { glyph: "⋈", light: "#0072b2", dark: "#4aa8e0", says: "several operators became one" },
  folded: { glyph: "⊡", light: "#b97f00", dark: "#e69f00", says: "computed ahead of time, now a constant" },
  merged: { glyph: "≡", light: "#00805d", dark: "#2ab98f", says: "duplicates became one" },
  eliminated: { glyph: "⊖", light: "#c8500a", dark: "#ee7733", says: "gone, it had no effect on the outputs" },
  inserted: { glyph: "⊕", light: "#a8497e", dark: "#dd92bb", says: "new, no counterpart in the original" },
  quantized: { glyph: "q", light: "#7a6a00", dark: "#e6d73c", says: "now computed in low precision" },
  unexplained: { glyph: "?", light: "#d00000", dark: "#ff6b6b", says: "no match was found" },
};

export const METRICS = {
  time_s: { title: "time", says: "time of one run" },
  bytes: { title: "bytes", says: "bytes read and written in one run" },
  flops: { title: "FLOPs", says: "operations of one run" },
  sensitivity: { title: "sensitivity", says: "how much the answer suffers when this node is quantized" },
};

const HEAT = {
  light: [[255, 252, 240], [254, 224, 170], [252, 174, 97], [230, 97, 40], [150, 20, 20]],
  dark: [[38, 38, 42], [80, 52, 32], [142, 74, 26], [214, 124, 34], [255, 214, 110]],
};

// Share of the whole (0 to 1) to a colour, on a log scale from 0.1 % to 100 %: the hot and the warm both show.
export function heatColor(share, mode) {
  const t = heatPosition(share);
  const stops = HEAT[mode];
  const at = Math.min(stops.length - 2, Math.floor(t * (stops.length - 1)));
  const f = t * (stops.length - 1) - at;
  const rgb = stops[at].map((c, i) => Math.round(c + (stops[at + 1][i] - c) * f));
  return `rgb(${rgb[0]},${rgb[1]},${rgb[2]})`;
}

export function heatPosition(share) {
  if (!(share > 0)) return 0;
  return Math.max(0, Math.min(1, 1 + Math.log10(share) / 3));
}

// Whether dark ink reads better on this heat.
export function heatInk(share, mode) {
  const t = heatPosition(share);
  if (mode === "light") return t > 0.7 ? "#ffffff" : "#1f2328";
  return t > 0.68 ? "#15171a" : "#f2f2f2";
}

// Strokes instead of font glyphs: the same on every machine. Drawn around (x, y) with radius r.
export function drawGlyph(ctx, status, x, y, r) {
  const k = r * 0.62;
  ctx.beginPath();
  if (status === "inserted" || status === "eliminated") {
    ctx.arc(x, y, r * 0.92, 0, 2 * Math.PI);
    ctx.moveTo(x - k, y); ctx.lineTo(x + k, y);
    if (status === "inserted") { ctx.moveTo(x, y - k); ctx.lineTo(x, y + k); }
  } else if (status === "fused") {
    ctx.moveTo(x - r, y - k); ctx.lineTo(x - r, y + k); ctx.lineTo(x + r, y - k); ctx.lineTo(x + r, y + k); ctx.closePath();
  } else if (status === "merged" || status === "kept") {
    for (const d of status === "merged" ? [-k, 0, k] : [-k / 2, k / 2]) { ctx.moveTo(x - r * 0.85, y + d); ctx.lineTo(x + r * 0.85, y + d); }
  } else if (status === "rewritten") {
    for (const d of [-k / 1.8, k / 1.8]) {
      ctx.moveTo(x - r * 0.9, y + d + r * 0.15);
      ctx.bezierCurveTo(x - r * 0.3, y + d - r * 0.6, x + r * 0.3, y + d + r * 0.7, x + r * 0.9, y + d - r * 0.15);
    }
  } else if (status === "folded") {
    ctx.rect(x - r * 0.85, y - r * 0.85, r * 1.7, r * 1.7);
    ctx.moveTo(x + r * 0.22, y); ctx.arc(x, y, r * 0.22, 0, 2 * Math.PI);
  } else if (status === "quantized") {
    ctx.arc(x - r * 0.1, y - r * 0.15, r * 0.6, 0, 2 * Math.PI);
    ctx.moveTo(x + r * 0.5, y - r * 0.75); ctx.lineTo(x + r * 0.5, y + r);
  } else {
    ctx.arc(x, y - r * 0.4, r * 0.52, Math.PI, 0.35 * Math.PI);
    ctx.lineTo(x, y + r * 0.35);
    ctx.moveTo(x - 0.05 * r, y + r * 0.85); ctx.lineTo(x + 0.05 * r, y + r * 0.95);
  }
  ctx.stroke();
}
