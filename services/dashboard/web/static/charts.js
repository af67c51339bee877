// Interactive charts over the drawn ones: hover, zoom, move. Without this script, and on paper, the drawn ones are shown.

import { gettext, number, percent } from "./language.js";

const exactly = (share) => percent(share, share >= 0.1 || share === 0 ? 1 : 2);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const FONT = "13px system-ui, sans-serif";
const LCL = gettext("LCL");
const RULES = {
  beyond: gettext("beyond the control limit"),
  "two of three": gettext("2 of 3 points beyond 2 σ"),
  "four of five": gettext("4 of 5 points beyond 1 σ"),
  eight: gettext("8 points on one side"),
};

// ── what both charts have ──────────────────────────────────────────────────────────────────────────────────────────

function tooltip(textOf) {
  const box = Object.assign(document.createElement("div"), { className: "tooltip", hidden: true });
  return {
    hooks: {
      init: (chart) => chart.over.append(box),
      setCursor: (chart) => {
        const { idx, left, top } = chart.cursor;
        box.hidden = idx === null || idx === undefined || left < 0;
        if (box.hidden) return;
        box.replaceChildren(...textOf(idx).map((text) => Object.assign(document.createElement("div"), { textContent: text })));
        const flipped = left > chart.over.clientWidth / 2;
        box.style.transform = `translate(${flipped ? left - 12 : left + 12}px, ${Math.max(0, top - 20)}px)${flipped ? " translateX(-100%)" : ""}`;
      },
    },
  };
}

// Zoom by the wheel, move by dragging with Shift; dragging alone and the double click are of the library.
function movable(first, last) {
  function setTo(chart, from, to) {
    const width = Math.min(to - from, last - first);
    const start = Math.min(Math.max(from, first), last - width);
    chart.setScale("x", { min: start, max: start + width });
  }
  return {
    hooks: {
      ready: (chart) => {
        chart.over.addEventListener("wheel", (event) => {
          event.preventDefault();
          const at = chart.posToVal(event.offsetX, "x");
          const factor = event.deltaY < 0 ? 0.8 : 1.25;
          setTo(chart, at - (at - chart.scales.x.min) * factor, at + (chart.scales.x.max - at) * factor);
        }, { passive: false });
        chart.over.addEventListener("mousedown", (event) => {
          if (!event.shiftKey) return;
          event.stopImmediatePropagation();
          const { min, max } = chart.scales.x;
          const perPixel = (max - min) / chart.over.clientWidth;
          const move = (moved) => setTo(chart, min - (moved.clientX - event.clientX) * perPixel, max - (moved.clientX - event.clientX) * perPixel);
          addEventListener("mousemove", move);
          addEventListener("mouseup", () => removeEventListener("mousemove", move), { once: true });
        }, true);
      },
    },
  };
}

const axis = (more) => ({ stroke: colour("--muted"), font: FONT, grid: { stroke: colour("--rule"), width: 1 }, ticks: { show: false }, ...more });

// ── the control chart ──────────────────────────────────────────────────────────────────────────────────────────────

function drawControl(data, width) {
  const places = data.rate.map((_, place) => place);
  const out = data.rules.map((rules) => rules.length > 0);
  const dashed = { stroke: colour("--limit"), width: 1.5, dash: [6, 4], points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) };
  const text = (place) => [
    data.titles[place],
    gettext("%(rate)s: %(hits)s of n = %(frames)s", { rate: exactly(data.rate[place]), hits: number(data.hits[place]), frames: number(data.frames[place]) }),
    gettext("LCL %(low)s, UCL %(high)s", { low: exactly(data.low[place]), high: exactly(data.high[place]) }),
    ...data.rules[place].map((rule) => `▲ ${RULES[rule] ?? rule}`),
    ...(data.models[place] ? [gettext("┊ %(version)s began to inspect", { version: data.models[place] })] : []),
  ];
  return {
    width,
    height: 380,
    legend: { show: false },
    cursor: { points: { size: 9 }, drag: { x: true, y: false } },
    scales: { x: { time: false, range: (_chart, min, max) => [min - 0.5, max + 0.5] }, y: { range: [0, data.top] } },
    axes: [
      axis({ grid: { show: false }, incrs: [1, 2, 5, 10, 20, 50, 100, 200], space: 90, values: (_chart, splits) => splits.map((place) => (Number.isInteger(place) ? data.times[place] ?? "" : "")) }),
      axis({ size: 64, values: (_chart, splits) => splits.map((share) => percent(share, data.top < 0.02 ? 2 : data.top < 0.2 ? 1 : 0)) }),
    ],
    series: [
      {},
      { ...dashed, stroke: colour("--muted"), dash: [] },
      dashed,
      dashed,
      { stroke: colour("--line"), width: 2, points: { show: true, size: 6, fill: colour("--line") } },
    ],
    data: [places, places.map(() => data.centre), data.high.map((high) => (high === null ? null : Math.min(high, data.top))), data.low, data.rate],
    plugins: [tooltip(text), movable(-0.5, places.length - 0.5), { hooks: { draw: (chart) => mark(chart, data, out) } }],
  };
}

// Circles around points that are out of control, a flag for each change of the model, and the names of the lines.
function mark(chart, data, out) {
  const { ctx, bbox } = chart;
  const ratio = devicePixelRatio;
  const x = (place) => chart.valToPos(place, "x", true);
  const y = (share) => chart.valToPos(share, "y", true);
  const last = Math.min(data.rate.length - 1, Math.floor(chart.scales.x.max));
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.font = `600 ${12 * ratio}px system-ui, sans-serif`;
  ctx.lineWidth = 3 * ratio;
  ctx.strokeStyle = colour("--signal");
  for (const [place, isOut] of out.entries()) {
    if (!isOut) continue;
    ctx.beginPath();
    ctx.arc(x(place), y(data.rate[place]), 8 * ratio, 0, 2 * Math.PI);
    ctx.stroke();
  }
  ctx.strokeStyle = ctx.fillStyle = colour("--lost");
  ctx.lineWidth = 2 * ratio;
  for (const [place, version] of data.models.entries()) {
    if (!version) continue;
    ctx.setLineDash([2 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x(place - 0.5), bbox.top);
    ctx.lineTo(x(place - 0.5), bbox.top + bbox.height);
    ctx.stroke();
    const right = x(place - 0.5) < bbox.left + bbox.width / 2;
    ctx.textAlign = right ? "left" : "right";
    ctx.fillText(`⚑ ${version}`, x(place - 0.5) + (right ? 5 : -5) * ratio, bbox.top + 14 * ratio);
  }
  ctx.textAlign = "right";
  ctx.fillStyle = colour("--ink");
  for (const [name, share] of [[gettext("UCL"), data.high[last]], [gettext("CL"), data.centre], [LCL, data.low[last]]]) {
    if (share === null || share === undefined || (name === LCL && share === 0)) continue;
    ctx.fillText(`${name} ${exactly(share)}`, bbox.left + bbox.width - 4 * ratio, y(Math.min(share, data.top)) - 5 * ratio + (share >= data.top ? 18 * ratio : 0));
  }
  ctx.restore();
}

// ── the Pareto chart ───────────────────────────────────────────────────────────────────────────────────────────────

function drawPareto(data, width) {
  const places = data.labels.map((_, place) => place);
  const total = data.faults.reduce((sum, faults) => sum + faults, 0);
  const text = (place) => [
    data.labels[place],
    gettext("%(faults)s of n = %(frames)s", { faults: number(data.faults[place]), frames: number(data.scored[place]) }),
    gettext("%(share)s of all faults up to here", { share: percent(data.cumulative[place]) }),
  ];
  return {
    width,
    height: 320,
    legend: { show: false },
    cursor: { points: { show: false }, drag: { x: false, y: false } },
    scales: { x: { time: false, range: [-0.6, places.length - 0.4] }, y: { range: [0, total * 1.04] }, share: { range: [0, 1.04] } },
    axes: [
      axis({ grid: { show: false }, splits: () => places, values: () => data.labels }),
      axis({ size: 56, values: (_chart, splits) => splits.map((faults) => (Number.isInteger(faults) ? number(faults) : "")) }),
      axis({ side: 1, scale: "share", size: 56, grid: { show: false }, splits: () => [0, 0.25, 0.5, 0.75, 1], values: (_chart, splits) => splits.map((share) => percent(share, 0)) }),
    ],
    series: [
      {},
      { points: { show: false }, paths: uPlot.paths.bars({ size: [0.7, 120], disp: { fill: { unit: 3, values: () => data.colours }, stroke: { unit: 3, values: () => data.colours } } }), fill: colour("--line") },
      { scale: "share", stroke: colour("--ink"), width: 2, points: { show: true, size: 8, fill: colour("--ink") } },
    ],
    data: [places, data.faults, data.cumulative],
    plugins: [tooltip(text)],
  };
}

// ── on the page ────────────────────────────────────────────────────────────────────────────────────────────────────

const DRAW = { control: drawControl, pareto: drawPareto };

function describe(room, figure, chart, points) {
  const { min, max } = chart.scales.x;
  if (min === null || min === undefined) return;
  const shown = Math.min(points - 1, Math.floor(max)) - Math.max(0, Math.ceil(min)) + 1;
  room.setAttribute("aria-label", gettext("%(chart)s: %(shown)s of %(points)s points", { chart: figure.querySelector("svg").getAttribute("aria-label"), shown, points }));
}

function place(figure) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const room = Object.assign(document.createElement("div"), { className: "interactive" });
  figure.append(room);
  let chart = null;
  const make = () => {
    chart?.destroy();
    const { data: rows, ...options } = DRAW[figure.dataset.chart](data, room.clientWidth);
    options.plugins.push({ hooks: { setScale: (drawn) => describe(room, figure, drawn, rows[0].length) } });
    chart = new uPlot(options, rows, room);
  };
  make();
  new ResizeObserver(() => {
    if (room.clientWidth > 0 && room.clientWidth !== chart.width) chart.setSize({ width: room.clientWidth, height: chart.height });
  }).observe(room);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", make);
  room.setAttribute("role", "img");
  figure.classList.add("replaced");
}

for (const figure of document.querySelectorAll("[data-chart]")) place(figure);
