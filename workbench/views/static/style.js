// Brings the style sheet to a card without a figure, and tells it whether the ground is dark.

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
    const themed = onTheme(look);
    for (const wait of [0, 400, 1500]) setTimeout(look, wait); // it may not be in the page yet
    return () => { themed(); model.off("change:large", look); };
  },
};
