// The button opens its tab at once, while the click still allows it, and sends it on when the address is known.

// In a row of controls: the text opens below an 'i', over what is there, so that nothing moves.
function fold(make, box, button, line, about) {
  const more = make("button", "i");
  box.style.cssText += "position: relative; display: flex; align-items: center; gap: 6px; padding: 0; max-width: none;";
  more.type = "button";
  more.title = "What opening in Netron does";
  more.setAttribute("aria-label", more.title);
  more.setAttribute("aria-expanded", "false");
  more.style.cssText = "width: 20px; height: 20px; border: 1px solid var(--jp-border-color1, #bbb); border-radius: 50%; background: transparent; color: inherit; font: italic 12px serif; cursor: pointer; padding: 0;";
  about.style.cssText += "position: absolute; z-index: 20; top: 30px; right: 0; width: 34em; margin: 0; padding: 10px 12px; border: 1px solid var(--jp-border-color1, #bbb); border-radius: 4px; background: var(--jp-layout-color1, white); white-space: normal;";
  about.hidden = true;
  more.addEventListener("click", () => {
    about.hidden = !about.hidden;
    more.setAttribute("aria-expanded", String(!about.hidden));
  });
  more.addEventListener("keydown", (event) => { if (event.key === "Escape" && !about.hidden) more.click(); });
  line.style.margin = "0";
  box.append(button, more, line, about);
}

function render({ model, el }) {
  const make = (tag, text) => { const node = document.createElement(tag); node.textContent = text; return node; };
  const box = make("div", ""), button = make("button", ""), line = make("p", ""), about = make("p", "");
  box.className = "netron-pane";
  box.style.cssText = "font-size: 13px; line-height: 1.45; max-width: 52em; color: var(--jp-ui-font-color1, inherit); padding: 6px 2px;";
  button.type = "button";
  button.style.cssText = "height: 28px; padding: 0 12px; border: 1px solid var(--jp-border-color1, #bbb); border-radius: 4px; background: transparent; color: inherit; font: inherit; cursor: pointer;";
  line.setAttribute("role", "status");
  line.style.margin = "6px 0";
  about.style.cssText = "margin: 6px 0; color: var(--jp-ui-font-color2, #5c6570);";
  if (model.get("compact")) fold(make, box, button, line, about);
  else box.append(button, line, about);
  el.append(box);
  const tabs = new Map();
  let tickets = 0;
  const draw = () => {
    button.textContent = model.get("label");
    button.disabled = !model.get("enabled");
    about.innerHTML = model.get("about"); // our own words, escaped by the kernel
  };
  button.addEventListener("click", () => {
    const ticket = tickets += 1;
    tabs.set(ticket, window.open("about:blank", "_blank"));
    line.textContent = "Starting Netron …";
    model.send({ type: "open", ticket });
  });
  const answer = (message) => {
    if (!message || !tabs.has(message.ticket)) return;
    const tab = tabs.get(message.ticket);
    tabs.delete(message.ticket);
    if (message.type === "failed") {
      if (tab) tab.close();
      line.textContent = message.reason;
      return;
    }
    if (tab) { tab.opener = null; tab.location = message.url; }
    const link = make("a", message.url);
    link.href = message.url;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    line.replaceChildren(tab ? "Open at " : "Your browser kept the tab shut; open it here: ", link);
  };
  for (const name of ["label", "about", "enabled"]) model.on(`change:${name}`, draw);
  model.on("msg:custom", answer);
  draw();
  return () => { for (const name of ["label", "about", "enabled"]) model.off(`change:${name}`, draw); model.off("msg:custom", answer); };
}

export default { render };
