// A line of actions with a status: the bar at the bottom, and the headline on top.

export default {
  render({ model, el }) {
    const kind = model.get("kind");
    el.classList.add(kind === "headline" ? "wb-headline" : "wb-bar");
    const line = h("div", { class: "wb-line", role: "status", "aria-live": "polite" });
    const fill = h("div", { class: "wb-fill" });
    const track = h("div", { class: "wb-track", role: "progressbar", "aria-label": "progress", "aria-valuemin": "0", "aria-valuemax": "100" }, fill);
    const buttons = h("div", { class: "wb-actions" });
    el.append(...(kind === "headline" ? [line, buttons] : [buttons, line, track]));
    const drawActions = () => redraw(buttons, ...model.get("actions").map((spec) => action(model, spec)));
    const drawLine = () => {
      const fraction = model.get("fraction");
      line.textContent = model.get("line");
      line.title = model.get("line");
      line.className = `wb-line wb-tone-${model.get("tone")}`;
      track.style.visibility = fraction < 0 ? "hidden" : "visible";
      track.setAttribute("aria-valuenow", String(Math.round(100 * Math.max(0, fraction))));
      fill.style.width = `${100 * Math.min(1, Math.max(0, fraction))}%`;
    };
    const stops = [listen(model, ["actions"], drawActions), listen(model, ["line", "tone", "fraction"], drawLine)];
    return () => stops.forEach((stop) => stop());
  },
};
