// Draws a plotly figure and updates it in place. The library comes with the widget, compressed; one copy serves a page.

function keyOf(event) {
  const point = event.points && event.points[0];
  return point && point.data.ids ? point.data.ids[point.pointNumber] : "";
}

export default {
  async render({ model, el }) {
    el.classList.add("wb-plot");
    el.setAttribute("role", "img");
    const target = h("div", { class: "wb-plot-area" });
    el.append(target);
    let plotly = null, asked = false, listening = false;
    const draw = async () => {
      asked = false;
      const { data, layout } = structuredClone(model.get("spec"));
      if (!data) return;
      await plotly.react(target, data, layout, { displayModeBar: false });
      if (listening) return;
      listening = true;
      model.send({ type: "drawn" });
      target.on("plotly_click", (event) => model.send({ type: "select", key: keyOf(event) }));
      target.on("plotly_hover", (event) => model.send({ type: "hover", key: keyOf(event) }));
      target.on("plotly_unhover", () => model.send({ type: "hover", key: "" }));
    };
    const ask = () => {
      if (!plotly || asked) return;
      asked = true; // several changes before the next frame are drawn once
      requestAnimationFrame(draw);
    };
    model.on("change:spec", ask);
    plotlyOf(() => model.get("library")).then((loaded) => { plotly = loaded; ask(); });
    return () => { model.off("change:spec", ask); if (plotly) plotly.purge(target); };
  },
};
