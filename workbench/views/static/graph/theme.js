// Light or dark: the notebook's theme, else the system's, else what the user chose. The canvas reads its colours here.

export class Theme {
  constructor(root, changed) {
    this.root = root;
    this.choice = "auto";
    this.changed = changed;
    this.media = window.matchMedia("(prefers-color-scheme: dark)");
    this.refresh = () => { this.apply(); this.changed(); };
    this.media.addEventListener("change", this.refresh);
    this.watcher = new MutationObserver(this.refresh);
    for (const node of [document.body, document.documentElement]) {
      this.watcher.observe(node, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class"] });
    }
    this.apply();
  }

  set(choice) {
    this.choice = choice;
    this.refresh();
  }

  next() {
    const order = ["auto", this.surrounding() === "dark" ? "light" : "dark", this.surrounding()];
    this.set(order[(order.indexOf(this.choice) + 1) % order.length]);
  }

  surrounding() {
    const light = document.body && document.body.dataset.jpThemeLight;
    if (light !== undefined) return light === "false" ? "dark" : "light";
    return this.media.matches ? "dark" : "light";
  }

  apply() {
    this.mode = this.choice === "auto" ? this.surrounding() : this.choice;
    this.root.dataset.mode = this.mode;
    this.root.classList.toggle("gd-own", this.mode !== this.surrounding());
    const style = getComputedStyle(this.root);
    const read = (name) => style.getPropertyValue(`--gd-${name}`).trim();
    this.ground = read("ground"); this.raised = read("raised"); this.ink = read("ink");
    this.muted = read("muted"); this.rule = read("rule"); this.accent = read("accent");
  }

  close() {
    this.media.removeEventListener("change", this.refresh);
    this.watcher.disconnect();
  }
}
