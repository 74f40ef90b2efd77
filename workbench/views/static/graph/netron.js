// The button opens its tab at once, while the click still allows it, and sends it on when the address is known.

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
  box.append(button, line, about);
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
