// Numbers and elements for people. SI inside, formatted only here.

export function duration(seconds) {
  if (seconds === null || !Number.isFinite(seconds)) return "–";
  if (Math.abs(seconds) < 1e-3) return `${significant(seconds * 1e6)} µs`;
  if (Math.abs(seconds) < 1) return `${significant(seconds * 1e3)} ms`;
  return `${significant(seconds)} s`;
}

export function significant(value, digits = 3) {
  if (value === 0) return "0";
  const whole = String(Math.trunc(Math.abs(value))).length;
  return value.toFixed(Math.max(0, digits - whole));
}

export function size(bytes) {
  return scaled(bytes, ["B", "kB", "MB", "GB", "TB"]);
}

export function operations(flops) {
  return scaled(flops, ["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"]);
}

function scaled(value, names) {
  if (value === null || !Number.isFinite(value)) return "–";
  let at = 0;
  while (Math.abs(value) >= 1000 && at < names.length - 1) { value /= 1000; at += 1; }
  return `${at === 0 ? Math.round(value) : significant(value)} ${names[at]}`;
}

export function count(n) {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ","); // toLocaleString takes 80 ms the first time
}

export function plural(n, word) {
  return `${count(n)} ${word}${n === 1 ? "" : "s"}`;
}

// "com.microsoft.nchwc.Conv" -> "nchwc.Conv": the vendor says little in a narrow box.
export function shortOp(op) {
  return op.replace(/^(com\.microsoft|ai\.onnx(\.ml)?)\./, "");
}

// Last word of a path: "/encoder/layer.0/MatMul_3" -> "MatMul_3".
export function tail(name) {
  const parts = name.split("/").filter(Boolean);
  return parts.length ? parts[parts.length - 1] : name;
}

// Direction marks and control characters would let a hostile name rewrite the line it stands in.
export function clean(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, "·");
}

export function el(tag, attrs, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attrs || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "class") node.className = value;
    else if (key === "style") node.style.cssText = value;
    else if (key === "value" || key === "checked") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}
