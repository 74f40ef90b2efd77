// Slides that scale to their place: arrow keys, Home and End, f for the whole screen; steps by name at the bottom.
function mountDeck(deck, options) {
  const stage = deck.querySelector(".stage"), slides = [...deck.querySelectorAll(".slide")], list = deck.querySelector(".steps-bar ol");
  const bar = deck.querySelector(".steps-bar");
  const plots = [...deck.querySelectorAll("figure.plot")].map(mountPlot).filter(Boolean);
  const said = document.createElement("span"); // tells a screen reader which step is shown now
  said.className = "said";
  said.setAttribute("aria-live", "polite");
  bar.append(said);
  deck.setAttribute("role", "region");
  deck.setAttribute("aria-label", "The findings in steps: arrow keys move");
  let now = -1;

  const go = (index, tell = true) => {
    const next = Math.max(0, Math.min(slides.length - 1, index));
    if (next === now) return;
    now = next;
    slides.forEach((slide, i) => { slide.classList.toggle("now", i === now); slide.setAttribute("aria-hidden", String(i !== now)); });
    list.querySelectorAll("button").forEach((button, i) => { if (i === now) button.setAttribute("aria-current", "step"); else button.removeAttribute("aria-current"); });
    deck.querySelector('[data-step="-1"]').disabled = now === 0;
    deck.querySelector('[data-step="1"]').disabled = now === slides.length - 1;
    deck.dataset.slide = String(now);
    if (tell) said.textContent = slides[now].dataset.title;
    plots.forEach((plot) => plot.show(""));
    if (options.page) history.replaceState(null, "", `#${now + 1}`);
    if (tell && options.onStep) options.onStep(now);
  };
  slides.forEach((slide, i) => {
    const button = document.createElement("button"), item = document.createElement("li"), words = document.createElement("span");
    button.type = "button";
    words.textContent = ` ${slide.dataset.title}`;
    button.append(String(i + 1), words);
    button.setAttribute("aria-label", slide.dataset.title);
    button.addEventListener("click", () => go(i));
    item.append(button);
    list.append(item);
    slide.setAttribute("role", "group");
    slide.setAttribute("aria-roledescription", "step");
    slide.setAttribute("aria-label", slide.dataset.title);
    const rows = slide.querySelectorAll("tbody tr").length;
    slide.classList.toggle("dense", rows > 7);
  });
  const fit = () => {
    const width = deck.clientWidth, height = deck.clientHeight - bar.offsetHeight;
    if (!width || height <= 0) return;
    const scale = Math.min(width / 1600, height / 900);
    stage.style.transform = `translate(${(width - 1600 * scale) / 2}px, ${Math.max(0, (height - 900 * scale) / 2)}px) scale(${scale})`;
    deck.classList.toggle("narrow", width < 760);
  };
  const sizes = new ResizeObserver(fit);
  sizes.observe(deck);
  const full = () => { if (document.fullscreenElement) document.exitFullscreen(); else deck.requestFullscreen().catch(() => {}); };
  const steps = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.composedPath()[0], typing = target.matches && target.matches("input, select, textarea");
    const pressed = target.matches && target.matches("button, summary") && event.key === " ";
    if ((typing && !event.key.startsWith("Page")) || pressed) return;
    if (event.key in steps) go(now + steps[event.key]);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(slides.length - 1);
    else if (event.key === "f") full();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const target = options.page ? document : deck;
  target.addEventListener("keydown", onKey);
  for (const button of deck.querySelectorAll("[data-step]")) button.addEventListener("click", () => go(now + Number(button.dataset.step)));
  for (const button of deck.querySelectorAll("[data-full]")) button.addEventListener("click", full);
  go(options.page ? (Number(location.hash.slice(1)) || 1) - 1 : options.at || 0, false);
  fit();
  return { go, plots, get at() { return now; }, close() { sizes.disconnect(); target.removeEventListener("keydown", onKey); } };
}
