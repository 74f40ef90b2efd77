// Tells Python what only the page knows: light or dark ground, the pixels that the plot may use.

export default {
  render({ model, el }) {
    el.classList.add("wb-probe");
    let timer = 0;
    const report = () => {
      const frame = el.closest(".wb-root"), plot = frame && frame.querySelector(".wb-plot");
      if (!plot || !plot.clientWidth || !plot.clientHeight) return;
      const mode = dark(frame) ? "dark" : "light";
      frame.classList.toggle("wb-dark", mode === "dark");
      const seen = { mode, width: plot.clientWidth, height: plot.clientHeight };
      if (JSON.stringify(seen) === JSON.stringify(model.get("seen"))) return;
      model.set("seen", seen);
      model.save_changes();
    };
    const later = () => { clearTimeout(timer); timer = setTimeout(report, 60); };
    const sizes = new ResizeObserver(later), themed = onTheme(report);
    const attach = () => {
      const frame = el.closest(".wb-root"), plot = frame && frame.querySelector(".wb-plot");
      if (!plot) return void (timer = setTimeout(attach, 50));
      sizes.observe(plot);
      report();
    };
    attach();
    return () => { clearTimeout(timer); sizes.disconnect(); themed(); };
  },
};
