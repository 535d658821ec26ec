"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 600px)");
  const touch = matchMedia("(pointer: coarse)");
  const NAMES = [
    "ink", "soft", "edge", "grid", "card", "box",
    "best", "trained", "pruned", "line", "band-1", "band-2", "band-3",
  ];
  const config = { displaylogo: false, displayModeBar: false, responsive: true, showTips: false };

  // All at once: a look at the style after a change to the page costs a pass over all of it.
  function coloursNow() {
    const style = getComputedStyle(document.documentElement);
    return Object.fromEntries(NAMES.map((n) => [n, style.getPropertyValue("--" + n).trim()]));
  }

  // "@best" stands for the colour --best of the page's style, light or dark.
  function coloured(value, colours) {
    if (typeof value === "string") return value.startsWith("@") ? colours[value.slice(1)] : value;
    if (Array.isArray(value)) return value.map((one) => coloured(one, colours));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, coloured(v, colours)]));
    }
    return value;
  }

  function axis(own, colours) {
    return {
      gridcolor: colours.grid, linecolor: colours.edge, zeroline: false, automargin: true,
      fixedrange: touch.matches,
      // Plotly writes powers of ten a quarter larger than other labels.
      tickfont: { color: colours.soft, size: own.exponentformat === "power" && own.type ? 10 : 12 },
      ...own,
      title: own.title && { ...own.title, standoff: 10, font: { color: colours.soft, size: 13 } },
    };
  }

  function layoutOf(figure, height, colours, family) {
    const layout = coloured(figure.layout, colours);
    for (const name of new Set(["xaxis", "yaxis", ...Object.keys(layout)])) {
      if (/^[xy]axis/.test(name)) layout[name] = axis(layout[name] || {}, colours);
    }
    const ink = { color: colours.ink };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      margin: { l: 20, r: narrow.matches ? 8 : 16, t: 8, b: 20 },
      font: { ...ink, family, size: 12 }, hovermode: "closest",
      hoverlabel: { bgcolor: colours.card, bordercolor: colours.line, font: ink },
      dragmode: touch.matches ? false : "zoom",
      ...layout, height,
    };
  }

  // A key of the page's own: plotly's takes its space from the plot on a narrow screen.
  function drawKey(place, traces) {
    const named = traces.filter((trace) => trace.name && trace.showlegend !== false).reverse();
    place.parentElement.querySelector(".key")?.remove();
    if (named.length < 2) return;
    const list = document.createElement("ul");
    list.className = "key";
    for (const trace of named) {
      const item = document.createElement("li"), mark = document.createElement("i");
      const strokes = /lines/.test(trace.mode || "");
      mark.className = trace.type === "box" ? "square" : strokes ? "stroke" : "";
      mark.style.background = trace.fillcolor || (strokes ? trace.line : trace.marker).color;
      item.append(mark, trace.name);
      list.append(item);
    }
    place.before(list);
  }

  let drawing = 0;

  // One plot after another, so that the page can be read and scrolled in between.
  function drawAll() {
    const mine = ++drawing, colours = coloursNow();
    const family = getComputedStyle(document.body).fontFamily;
    const places = Array.from(document.querySelectorAll(".plot"));
    delete document.body.dataset.drawn;
    function next() {
      if (mine !== drawing) return;
      const place = places.shift();
      if (!place) {
        document.body.dataset.drawn = dark.matches ? "dark" : "light";
        return;
      }
      const figure = figures[Number(place.id.replace("plot-", ""))];
      const traces = coloured(figure.traces, colours);
      drawKey(place, traces);
      const layout = layoutOf(figure, Number(place.dataset.height), colours, family);
      Plotly.react(place, traces, layout, config).then(() => setTimeout(next));
    }
    next();
  }

  function compared(a, b) {
    if (a.none || b.none) return 0;
    return typeof a.value === "number" ? a.value - b.value : a.value.localeCompare(b.value);
  }

  function sortBy(head) {
    const table = head.closest("table"), body = table.tBodies[0];
    const words = head.classList.contains("t"), column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = Array.from(body.rows, (row) => {
      const text = row.cells[column].textContent;
      return { row, none: text === "–", value: words ? text : parseFloat(text) };
    });
    // What a trial does not have stands last, both ways.
    rows.sort((a, b) => a.none - b.none || (down ? compared(b, a) : compared(a, b)));
    body.append(...rows.map((one) => one.row));
  }

  for (const head of document.querySelectorAll("table.sortable th")) {
    head.querySelector("button").addEventListener("click", () => sortBy(head));
  }
  for (const query of [dark, narrow]) query.addEventListener("change", drawAll);
  drawAll();
})();
