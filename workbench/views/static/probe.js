// Tells Python what only the page knows: light or dark ground, the pixels that the plot may use.

function luminance(color) {
  const parts = (color.match(/[\d.]+/g) || [255, 255, 255]).map(Number);
  const unit = color.includes("srgb") ? 1 : 255;
  return (0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]) / unit;
}

export default {
  render({ model, el }) {
    el.classList.add("wb-probe");
    let timer = 0;
    const report = () => {
      const frame = el.closest(".wb-root"), plot = frame && frame.querySelector(".wb-plot");
      if (!plot || !plot.clientWidth || !plot.clientHeight) return;
      const mode = luminance(getComputedStyle(frame).backgroundColor) < 0.5 ? "dark" : "light";
      frame.classList.toggle("wb-dark", mode === "dark");
      const seen = { mode, width: plot.clientWidth, height: plot.clientHeight };
      if (JSON.stringify(seen) === JSON.stringify(model.get("seen"))) return;
      model.set("seen", seen);
      model.save_changes();
    };
    const later = () => { clearTimeout(timer); timer = setTimeout(report, 60); };
    // JupyterLab names the new theme before its style sheet has arrived, and says nothing when it has.
    const restyled = () => { later(); for (const wait of [400, 1500, 5000]) setTimeout(report, wait); };
    const sizes = new ResizeObserver(later), themes = new MutationObserver(restyled);
    themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
    const attach = () => {
      const frame = el.closest(".wb-root"), plot = frame && frame.querySelector(".wb-plot");
      if (!plot) return void (timer = setTimeout(attach, 50));
      sizes.observe(plot);
      report();
    };
    attach();
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", restyled);
    return () => { clearTimeout(timer); sizes.disconnect(); themes.disconnect(); scheme.removeEventListener("change", restyled); };
  },
};
