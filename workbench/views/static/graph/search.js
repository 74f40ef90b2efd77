// Search by name, operator or tensor in both graphs; the list is a listbox under the field.

import { clean, el, shortOp } from "./format.js";

const MOST = 40;

export class SearchBox {
  constructor(view) {
    this.view = view;
    this.hits = [];
    this.at = -1;
    this.input = el("input", {
      type: "search", placeholder: "Search  /", "aria-label": "Search nodes of both graphs", role: "combobox", "aria-expanded": "false",
      "aria-controls": "gd-hits", autocomplete: "off", spellcheck: "false",
      oninput: () => this.run(), onkeydown: (event) => this.key(event), onblur: () => setTimeout(() => this.show([]), 150), onfocus: () => this.run(),
    });
    this.list = el("ul", { class: "gd-hits", id: "gd-hits", role: "listbox", "aria-label": "Found nodes" });
    view.bar.search.append(this.input, this.list);
  }

  focus() { this.input.focus(); this.input.select(); }

  run() {
    const words = this.input.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) { this.show([]); return; }
    const hits = [];
    this.view.model.sides.forEach((side, s) => {
      for (let leaf = 0, n = 0; leaf < side.n && n < MOST / 2; leaf += 1) {
        const text = `${side.name(leaf)} ${side.op(leaf)}`.toLowerCase();
        if (words.every((word) => text.includes(word))) { hits.push({ side: s, leaf }); n += 1; }
      }
    });
    this.show(hits);
  }

  show(hits) {
    this.hits = hits;
    this.at = hits.length ? 0 : -1;
    const { sides } = this.view.model;
    const nothing = this.input.value.trim() && !hits.length && this.input.matches(":focus");
    this.list.replaceChildren(...hits.map((hit, i) => el("li", {
      role: "option", id: `gd-hit-${i}`, "aria-selected": String(i === this.at),
      onmousedown: (event) => { event.preventDefault(); this.choose(i); },
    }, el("b", {}, clean(shortOp(sides[hit.side].op(hit.leaf)))), ` ${clean(sides[hit.side].name(hit.leaf))} `, el("small", {}, hit.side ? "after" : "before"))),
    ...(nothing ? [el("li", { class: "gd-none" }, "No node is called that")] : []));
    this.input.setAttribute("aria-expanded", String(hits.length > 0));
    this.mark();
  }

  mark() {
    [...this.list.children].forEach((node, i) => {
      if (node.getAttribute("role") !== "option") return;
      node.setAttribute("aria-selected", String(i === this.at));
      if (i === this.at) node.scrollIntoView({ block: "nearest" });
    });
    if (this.at >= 0) this.input.setAttribute("aria-activedescendant", `gd-hit-${this.at}`); else this.input.removeAttribute("aria-activedescendant");
  }

  choose(i) {
    const hit = this.hits[i];
    if (!hit) return;
    this.view.select(hit, { reveal: true });
    this.view.canvas.focus({ preventScroll: true });
    this.show([]);
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.hits.length) {
      this.at = (this.at + step + this.hits.length) % this.hits.length;
      this.mark();
      event.preventDefault();
    } else if (event.key === "Enter") { this.choose(Math.max(0, this.at)); event.preventDefault(); }
    else if (event.key === "Escape") { this.input.value = ""; this.show([]); this.view.canvas.focus({ preventScroll: true }); }
    event.stopPropagation();
  }
}
