// What the page's buttons do.
(() => {
  const html = document.documentElement;
  html.classList.add("js");
  document.querySelectorAll("figure.plot").forEach(mountPlot);

  addEventListener("beforeprint", () => document.querySelectorAll(".asks details").forEach((node) => { node.open = true; }));

  const dark = () => (html.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const frames = () => {
    for (const frame of document.querySelectorAll("iframe")) {
      const body = frame.contentDocument && frame.contentDocument.body;
      if (body) { body.dataset.jpThemeLight = String(!dark()); body.style.background = "transparent"; }
    }
  };
  document.querySelectorAll("iframe").forEach((frame) => frame.addEventListener("load", frames));

  // The plot as a file: variables written out, so that it looks the same everywhere.
  const picture = () => {
    const svg = document.querySelector("svg.tradeoff").cloneNode(true), style = getComputedStyle(html);
    const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    svg.querySelectorAll(".hit").forEach((node) => node.remove());
    svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    svg.setAttribute("font-family", style.fontFamily);
    const ground = style.getPropertyValue("--ground").trim();
    svg.insertAdjacentHTML("afterbegin", `<rect width="100%" height="100%" fill="${ground}"/>`);
    const text = new XMLSerializer().serializeToString(svg).replace(/var\((--\w+)\)/g, (_, name) => style.getPropertyValue(name).trim());
    return { text, width, height };
  };
  const save = (blob, name) => {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const actions = {
    theme: () => { html.dataset.theme = dark() ? "light" : "dark"; frames(); },
    print: () => window.print(),
    svg: () => save(new Blob([picture().text], { type: "image/svg+xml" }), "tradeoff.svg"),
    png: () => {
      const { text, width, height } = picture(), image = new Image(), zoom = 2;
      image.onload = () => {
        const canvas = Object.assign(document.createElement("canvas"), { width: width * zoom, height: height * zoom });
        canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
        canvas.toBlob((blob) => save(blob, "tradeoff.png"));
      };
      image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    },
  };
  for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", actions[button.dataset.do]);
})();
