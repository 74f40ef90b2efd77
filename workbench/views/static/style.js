// Brings the style sheet to a card without a figure, and tells it whether the ground is dark.

function dark(el) {
  for (let node = el; node; node = node.parentElement) {
    const parts = (getComputedStyle(node).backgroundColor.match(/[\d.]+/g) || []).map(Number);
    if (parts.length < 3 || (parts.length > 3 && parts[3] < 0.5)) continue;
    const unit = getComputedStyle(node).backgroundColor.includes("srgb") ? 1 : 255;
    return (0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]) / unit < 0.5;
  }
  return false;
}

export default {
  render({ model, el }) {
    el.style.display = "none";
    const look = () => {
      const root = el.closest(".wb-root");
      if (!root) return;
      root.classList.toggle("wb-dark", dark(root));
      root.classList.toggle("wb-large", model.get("large"));
    };
    model.on("change:large", look);
    const later = () => { for (const wait of [0, 400, 1500, 5000]) setTimeout(look, wait); };
    const themes = new MutationObserver(later);
    themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
    later();
    return () => { themes.disconnect(); model.off("change:large", look); };
  },
};
