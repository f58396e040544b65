"use strict";
(() => {
  const { pool, figures } = JSON.parse(document.getElementById("figures").textContent);
  const drawn = new Map();
  let paper = 0;

  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    return (role) => {
      const [name, alpha] = role.slice(1).split("/");
      const hex = style.getPropertyValue("--c-" + name).trim();
      if (!alpha) return hex;
      const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
      return `rgba(${r},${g},${b},${alpha})`;
    };
  };
  const paint = (value, colour) => {
    if (typeof value === "string") return /^@[a-z]+\d*(\/[\d.]+)?$/.test(value) ? colour(value) : value;
    if (Array.isArray(value)) return value.map((each) => paint(each, colour));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, paint(each, colour)]));
    }
    return value;
  };
  const layout = (spec, colour, width) => {
    const own = paint(spec.layout, colour);
    const narrow = width < 480;
    const axis = { title: { font: { size: narrow ? 11 : 13 } }, gridcolor: colour("@grid"), zerolinecolor: colour("@muted"), linecolor: colour("@grid"), tickcolor: colour("@grid"), fixedrange: true };
    const base = {
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 13, color: colour("@text") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: false, hovermode: "closest",
      hoverlabel: { bgcolor: colour("@panel"), bordercolor: colour("@muted"), font: { color: colour("@text"), size: 13 }, align: "left" },
      width, height: spec.height, autosize: false, ...own,
      margin: { l: narrow ? 44 : 60, r: 14, t: 20, b: 46, ...(own.margin || {}) },
    };
    for (const key of new Set(["xaxis", "yaxis", ...Object.keys(own).filter((k) => /^[xy]axis\d*$/.test(k))])) {
      const title = { ...axis.title, ...((own[key] || {}).title || {}) };
      base[key] = { ...axis, automargin: true, ...(own[key] || {}), title };
    }
    return base;
  };
  const draw = (box) => {
    const figure = figures[box.dataset.figure];
    if (!figure) return;
    const spec = { ...figure, data: figure.data.map((place) => pool[place]), layout: pool[figure.layout] };
    const room = paper || Math.floor(box.clientWidth);
    if (!room) return;
    const width = Math.max(room, (spec.minWidth || [0, 0])[room < 480 ? 1 : 0]);
    box.classList.toggle("clipped", width > room);
    const colour = colours();
    const state = `${box.dataset.figure} ${width} ${colour("@text")}`;
    if (drawn.get(box) === state) return;
    drawn.set(box, state);
    box.style.minHeight = spec.height + "px";
    box.setAttribute("aria-label", spec.alt);
    Plotly.react(box, paint(spec.data, colour), layout(spec, colour, width), { displayModeBar: false, responsive: false });
  };
  const visible = (box) => box.offsetParent !== null;
  const boxes = [...document.querySelectorAll(".figure")];
  let ready = false;
  // Only what is shown is drawn, one figure after another, so that a page with many edits stays quick.
  const reveal = (root) => {
    if (!ready) return;
    const waiting = [...root.querySelectorAll(".figure")].filter(visible);
    const next = () => {
      const box = waiting.shift();
      if (!box) return;
      if (visible(box)) draw(box);
      setTimeout(next, 0);
    };
    next();
  };
  const again = () => [...drawn.keys()].filter(visible).forEach(draw);
  let timer = 0;
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(again, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  // On paper: light colours, the width of a page, and every part of the edit that is shown.
  const opened = [];
  addEventListener("beforeprint", () => {
    paper = 640;
    document.documentElement.classList.add("paper");
    for (const each of document.querySelectorAll(".verdicts:not([open])")) { each.open = true; opened.push(() => { each.open = false; }); }
    for (const panel of document.querySelectorAll(".cell:not([hidden]) .panel[hidden]")) { panel.hidden = false; opened.push(() => { panel.hidden = true; }); }
    boxes.filter(visible).forEach(draw);
  });
  addEventListener("afterprint", () => {
    paper = 0;
    document.documentElement.classList.remove("paper");
    while (opened.length) opened.pop()();
    setTimeout(again, 0);
  });

  const tabs = (list, chosen) => {
    const buttons = [...list.querySelectorAll('[role="tab"]')];
    const pick = (button, focus) => {
      for (const each of buttons) {
        each.setAttribute("aria-selected", String(each === button));
        each.tabIndex = each === button ? 0 : -1;
      }
      if (focus) button.focus();
      chosen(button);
    };
    buttons.forEach((button, i) => {
      button.addEventListener("click", () => pick(button, false));
      button.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step) { event.preventDefault(); pick(buttons[(i + step + buttons.length) % buttons.length], true); }
      });
    });
    pick(buttons[0], false);
  };

  const show = (items, wanted, section) => {
    let found = false;
    for (const item of items) {
      const match = Object.entries(wanted).every(([key, value]) => item.dataset[key] === value);
      item.hidden = !match || found;
      found = found || match;
    }
    section.querySelector(".none").hidden = found;
    reveal(section);
  };
  const picker = (section, selector, fields) => {
    const items = [...section.querySelectorAll(selector)];
    const update = () => show(items, Object.fromEntries(fields.map(([id, key]) => [key, document.getElementById(id).value])), section);
    for (const [id] of fields) document.getElementById(id).addEventListener("change", update);
    for (const [id] of fields) {
      const field = document.getElementById(id);
      if (field.options.length < 2) field.parentElement.hidden = true;
    }
    update();
    return (item) => {
      for (const [id, key] of fields) document.getElementById(id).value = item.dataset[key];
      update();
    };
  };

  const transfer = document.getElementById("transfer");
  if (transfer) {
    tabs(transfer.querySelector(".tabs"), (button) => {
      document.getElementById("maps").setAttribute("aria-labelledby", button.id);
      for (const pair of transfer.querySelectorAll(".pair")) pair.hidden = pair.dataset.view !== button.dataset.view;
      reveal(transfer);
    });
    picker(transfer, ".transfer", [["transfer-model", "model"], ["transfer-method", "method"]]);
  }

  for (const [id, key] of [["layers", "target"], ["maps", "series"]]) {
    const section = document.getElementById(id);
    if (section && section.querySelector(".choice")) picker(section, ".choice", [[`${id}-${key}`, key]]);
  }

  const beyond = document.getElementById("beyond");
  if (beyond) picker(beyond, ".choice", [["beyond-of", "of"], ["beyond-measured", "measured"]]);

  const detail = document.getElementById("detail");
  if (detail) {
    for (const cell of detail.querySelectorAll(".cell")) {
      tabs(cell.querySelector(".tabs"), (button) => {
        for (const panel of cell.querySelectorAll(".panel")) panel.hidden = panel.id !== button.getAttribute("aria-controls");
        reveal(cell);
      });
      const question = cell.querySelector(".question");
      if (question) {
        question.addEventListener("change", () => {
          const box = cell.querySelector(".panel .figure");
          box.dataset.figure = question.value;
          cell.querySelector(".asking").textContent = "Question: " + question.selectedOptions[0].textContent;
          draw(box);
        });
      }
    }
    const open = picker(detail, ".cell", [["cell-model", "model"], ["cell-method", "method"], ["cell-fitted", "fitted"]]);
    for (const link of document.querySelectorAll("[data-open]")) {
      link.addEventListener("click", () => open(document.getElementById(link.dataset.open)));
    }
  }
  ready = true;
  reveal(document);
  document.documentElement.dataset.ready = "true";
})();
