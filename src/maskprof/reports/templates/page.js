"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const tip = document.getElementById("tip"), say = document.getElementById("say");
  const NEAR = 36;
  const plots = [];

  // ---- plots: what is pointed at is told, and shown in every other plot and table that has it
  const svgElement = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };

  class Plot {
    constructor(figure) {
      this.figure = figure;
      this.sheet = figure.querySelector(".sheet");
      this.svg = this.sheet.querySelector("svg");
      this.targets = data.plots[figure.dataset.plot] || [];
      this.hiddenSeries = new Set();
      this.at = -1;
      this.width = this.svg.viewBox.baseVal.width;
      if (!this.targets.length) return;
      this.sheet.tabIndex = 0;
      this.sheet.setAttribute("role", "group");
      this.sheet.setAttribute("aria-label",
        `Plot: ${this.svg.getAttribute("aria-label")}. Arrow keys go through its ${this.targets.length} points.`);
      this.sheet.addEventListener("pointermove", (event) => this.point(event));
      this.sheet.addEventListener("pointerleave", () => this.leave());
      this.sheet.addEventListener("keydown", (event) => this.key(event));
      this.sheet.addEventListener("blur", () => this.leave());
      this.sheet.addEventListener("click", () => this.open());
      for (const item of figure.querySelectorAll(".legend li[data-s]")) this.toggle(item);
    }
    words(place) {
      return this.targets[place].slice(4).filter((text) => text >= 0).map((text) => data.texts[text]).join("\n");
    }
    shown(target) { return !this.hiddenSeries.has(target[2]); }
    point(event) {
      const box = this.svg.getBoundingClientRect(), scale = box.width / this.width;
      const x = (event.clientX - box.left) / scale, y = (event.clientY - box.top) / scale;
      let best = -1, least = NEAR / scale;
      this.targets.forEach((target, place) => {
        const distance = Math.hypot(target[0] - x, target[1] - y);
        if (distance < least && this.shown(target)) { least = distance; best = place; }
      });
      if (best !== this.at) best < 0 ? this.leave() : this.show(best);
    }
    key(event) {
      const steps = { ArrowRight: 1, ArrowLeft: -1 }, ways = { ArrowDown: 1, ArrowUp: -1 };
      const last = this.targets.length - 1;
      let next = null;
      if (event.key in steps) {
        next = this.at < 0 ? (steps[event.key] > 0 ? 0 : last) : this.at + steps[event.key];
        while (next >= 0 && next <= last && !this.shown(this.targets[next])) next += steps[event.key];
      } else if (event.key in ways) next = this.at < 0 ? 0 : this.beside(ways[event.key]);
      else if (event.key === "Home") next = 0;
      else if (event.key === "End") next = last;
      else if (event.key === "Escape") { this.leave(); return; }
      // Else the same key press would close what it opened, since the focus goes there.
      else if (event.key === "Enter") { event.preventDefault(); this.open(); return; }
      else return;
      event.preventDefault();
      if (next < 0 || next > last) return;
      this.show(next);
      say.textContent = this.words(next).replaceAll("\n", ", ");
    }
    // The nearest point below (1) or above (-1) the one shown; itself where there is none.
    beside(way) {
      const [x, y] = this.targets[this.at];
      let best = this.at, least = Infinity;
      this.targets.forEach((target, place) => {
        const down = (target[1] - y) * way, distance = 4 * Math.abs(target[0] - x) + down;
        if (down > 1 && distance < least && this.shown(target)) { least = distance; best = place; }
      });
      return best;
    }
    show(place) {
      clear();
      this.at = place;
      const [x, y, , key] = this.targets[place];
      this.svg.append(svgElement("circle", { cx: x, cy: y, r: 7, class: "ring" }));
      if (key >= 0) echo(key, this);
      tip.textContent = this.words(place);
      tip.hidden = false;
      const box = this.svg.getBoundingClientRect(), scale = box.width / this.width;
      const left = box.left + x * scale, top = box.top + y * scale;
      const width = tip.offsetWidth, height = tip.offsetHeight;
      const beside = left + 14 + width > document.documentElement.clientWidth - 8 ? left - 14 - width : left + 14;
      tip.style.left = `${Math.max(8, beside)}px`;
      tip.style.top = `${top - height - 12 < 8 ? top + 14 : top - height - 12}px`;
    }
    leave() { if (this.at >= 0) clear(); }
    open() {
      if (this.at < 0) return;
      const key = data.keys[this.targets[this.at][3]];
      const own = this.figure.closest("section");
      for (const fold of own ? own.querySelectorAll("details[data-fold]") : []) {
        if (fold.dataset.fold !== key || fold.contains(this.figure)) continue;
        fold.open = true;
        fold.querySelector("summary").focus({ preventScroll: true });
        fold.scrollIntoView({ block: "nearest" });
      }
    }
    toggle(item) {
      const button = document.createElement("button"), series = Number(item.dataset.s);
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(...item.childNodes);
      item.append(button);
      button.addEventListener("click", () => {
        const on = button.getAttribute("aria-pressed") === "false";
        button.setAttribute("aria-pressed", String(on));
        on ? this.hiddenSeries.delete(series) : this.hiddenSeries.add(series);
        for (const group of this.svg.querySelectorAll(`g[data-s="${series}"]`)) group.classList.toggle("off", !on);
        clear();
      });
    }
  }

  function clear() {
    for (const mark of document.querySelectorAll(".ring,.echo")) mark.remove();
    for (const row of document.querySelectorAll("tr.hl")) row.classList.remove("hl");
    for (const plot of plots) plot.at = -1;
    tip.hidden = true;
  }

  function echo(key, source) {
    for (const plot of plots) {
      if (plot === source || plot.svg.checkVisibility && !plot.svg.checkVisibility()) continue;
      for (const target of plot.targets)
        if (target[3] === key && plot.shown(target))
          plot.svg.append(svgElement("circle", { cx: target[0], cy: target[1], r: 5.5, class: "echo" }));
    }
    for (const row of document.querySelectorAll("tr[data-key]"))
      if (row.dataset.key === data.keys[key]) row.classList.add("hl");
  }

  for (const figure of document.querySelectorAll("figure.plot")) plots.push(new Plot(figure));

  // ---- tables: every column sorts
  const UNITS = { s: 1e6, ms: 1e3, us: 1 };
  const figureOf = (text) => {
    const found = /^[<~]?\s*([+-]?\d+(?:\.\d+)?)\s*(?:±\s*[\d.]+)?\s*(s|ms|us)?/.exec(text);
    return found ? Number(found[1]) * (UNITS[found[2]] || 1) : null;
  };
  const compare = (a, b, way) => {
    if (a.figure !== null && b.figure !== null && a.numeric) return way * (a.figure - b.figure);
    // What has no figure stays at the end, whichever way.
    if (a.numeric && (a.figure !== null || b.figure !== null)) return a.figure === null ? 1 : -1;
    return way * a.text.localeCompare(b.text, "en", { numeric: true });
  };
  for (const table of document.querySelectorAll("table:not(.pairs)")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (head.classList.contains("mask") || head.classList.contains("spark")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
        const numeric = head.classList.contains("n");
        const rows = [...table.tBodies[0].rows].map((row) => {
          const text = row.cells[column].textContent.trim();
          return { row, text, numeric, figure: figureOf(text) };
        });
        rows.sort((a, b) => compare(a, b, way));
        table.tBodies[0].append(...rows.map((entry) => entry.row));
      });
    });
  }

  // ---- light or dark
  const root = document.documentElement, tools = document.querySelector(".tools");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  const button = document.createElement("button");
  const label = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
  button.type = "button";
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; label(); });
  dark.addEventListener("change", label);
  label();
  tools.append(button);

  // ---- a link into what is folded away opens it
  const openTarget = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", openTarget);
  openTarget();
})();
