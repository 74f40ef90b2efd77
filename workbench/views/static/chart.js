// Draws any plotly figure of ours: theme and width follow the page, a click names a point, a dragged shape tells where.
// The library lies in one shared widget, so that a page of many figures holds it once.

// Figures are made for a light ground; on a dark one each ink is exchanged for its counterpart.
function recolour(value, inks) {
  if (typeof value === "string") return inks.reduce((text, [from, to]) => text.includes(from) ? text.replaceAll(from, to) : text, value);
  if (Array.isArray(value)) return value.map((v) => recolour(v, inks));
  if (value && typeof value === "object" && !ArrayBuffer.isView(value)) {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, k === "bdata" ? v : recolour(v, inks)]));
  }
  return value;
}

export default {
  render({ model, el }) {
    el.classList.add("wb-chart");
    el.setAttribute("role", "img");
    const target = h("div", { class: "wb-chart-area" });
    el.append(target);
    let plotly = null, asked = false, listening = false, width = 0, mode = "", drawing = false;
    const draw = async () => {
      asked = false;
      const spec = model.get("spec"), room = el.clientWidth;
      if (!spec.data || room < 40) return;
      el.setAttribute("aria-label", model.get("label"));
      mode = dark(el) ? "dark" : "light";
      width = Math.min(room, model.get("widest"));
      el.closest(".wb-root")?.classList.toggle("wb-dark", mode === "dark");
      const own = structuredClone({ data: spec.data, layout: spec.layout });
      const shown = mode === "dark" ? recolour(own, model.get("inks")) : own;
      shown.layout.template = model.get("templates")[mode];
      shown.layout.width = spec.layout.width ? Math.min(spec.layout.width, room) : width;
      drawing = true;
      await plotly.react(target, shown.data, shown.layout, { displayModeBar: false, ...spec.config });
      drawing = false;
      if (listening) return;
      listening = true;
      target.on("plotly_click", (event) => {
        const point = event.points && event.points[0];
        const key = point && point.data.ids ? point.data.ids[point.pointNumber] : "";
        if (key) model.send({ type: "select", key });
      });
      target.on("plotly_relayout", (change) => {
        if (!drawing && Object.keys(change).some((k) => k.startsWith("shapes["))) model.send({ type: "drag", change });
      });
    };
    const ask = () => {
      if (!plotly || asked) return;
      asked = true; // several changes before the next frame are drawn once
      requestAnimationFrame(draw);
    };
    const sizes = new ResizeObserver(() => { if (Math.abs(Math.min(el.clientWidth, model.get("widest")) - width) > 2) ask(); });
    sizes.observe(el);
    const themed = onTheme(() => { if ((dark(el) ? "dark" : "light") !== mode) ask(); });
    for (const name of ["spec", "templates", "label"]) model.on(`change:${name}`, ask);
    const packed = () => model.widget_manager.get_model(model.get("holder")).then((holder) => holder.get("packed"));
    plotlyOf(packed).then((loaded) => { plotly = loaded; ask(); });
    return () => {
      for (const name of ["spec", "templates", "label"]) model.off(`change:${name}`, ask);
      sizes.disconnect(); themed();
      if (plotly) plotly.purge(target);
    };
  },
};
