// The meeting: the slides of the report, live. The deck's own script and style come from the report's templates.

function frameTheme(shadow, dark) {
  for (const frame of shadow.querySelectorAll("iframe")) {
    const paint = () => {
      const body = frame.contentDocument && frame.contentDocument.body;
      if (body) { body.dataset.jpThemeLight = String(!dark); body.style.background = "transparent"; }
    };
    frame.onload = paint;
    paint();
  }
}

function download(name, bytes) {
  const link = h("a", { href: URL.createObjectURL(new Blob([bytes], { type: "text/html" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 2000);
}

export default {
  render({ model, el }) {
    el.classList.add("wb-meeting");
    const host = h("div", { class: "wb-meeting-host", "data-lm-suppress-shortcuts": "true" });
    const shadow = host.attachShadow({ mode: "open" });
    el.append(host);
    let deck = null;
    const restyle = () => {
      const said = document.body.dataset.jpThemeLight;
      const dark = said === undefined ? matchMedia("(prefers-color-scheme: dark)").matches : said === "false";
      host.dataset.theme = dark ? "dark" : "light";
      frameTheme(shadow, dark);
    };
    const embed = () => {
      const whole = model.get("whole"), place = whole ? document.body : el; // a notebook's panes would clip it
      if (host.parentNode !== place) {
        place.append(host);
        const node = shadow.querySelector(".deck");
        if (node) node.focus({ preventScroll: true }); // so that keys go on working
      }
      host.style.cssText = whole ? "display: block; position: fixed; inset: 0; z-index: 1000;"
        : "display: block; width: 100%; aspect-ratio: 1600 / 950; max-height: calc(100vh - 60px); min-height: 420px;";
      for (const button of shadow.querySelectorAll("[data-whole]")) button.textContent = whole ? "Page" : "Window";
    };
    const draw = () => {
      const focused = Boolean(shadow.activeElement), budgets = deck ? deck.plots.map((p) => p.budget && p.budget.state) : [];
      if (deck) deck.close();
      shadow.innerHTML = `<style>${model.get("sheet")}</style><div class="sheet js">${model.get("html")}</div>`;
      const node = shadow.querySelector(".deck");
      deck = mountDeck(node, { at: model.get("at"), onStep: (at) => { model.set("at", at); model.save_changes(); } });
      deck.plots.forEach((plot, i) => { if (plot.budget && budgets[i]) plot.budget.state = budgets[i]; });
      for (const button of shadow.querySelectorAll("[data-save]")) {
        button.addEventListener("click", () => model.send({ type: "save", kind: button.dataset.save }));
      }
      for (const button of shadow.querySelectorAll("[data-whole]")) {
        button.addEventListener("click", () => { model.set("whole", !model.get("whole")); model.save_changes(); });
      }
      restyle();
      embed();
      if (focused || model.get("whole")) node.focus({ preventScroll: true });
    };
    const onFile = (message, buffers) => { if (message.type === "file") download(message.name, buffers[0]); };
    const step = () => { if (deck) deck.go(model.get("at"), false); };
    model.on("change:html", draw);
    model.on("change:at", step);
    model.on("change:whole", embed);
    model.on("msg:custom", onFile);
    const themes = new MutationObserver(restyle);
    themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
    draw();
    return () => { model.off("change:html", draw); model.off("change:at", step); model.off("change:whole", embed); model.off("msg:custom", onFile); themes.disconnect(); host.remove(); if (deck) deck.close(); };
  },
};
