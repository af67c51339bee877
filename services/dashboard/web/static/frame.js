// The page of one frame: show and hide heatmaps, request heatmaps, and mark the verdict as wrong.

import { gettext } from "./language.js";
import { toggleMark } from "./marks.js";
import { zoomable } from "./zoom.js";

const switches = [...document.querySelectorAll("[data-switch]")];
const layerOf = (box) => document.querySelector(`.layer[data-label="${CSS.escape(box.dataset.switch)}"]`);

function apply() {
  for (const box of switches) layerOf(box).hidden = !box.checked;
}

for (const box of switches) box.addEventListener("change", apply);

document.getElementById("strength")?.addEventListener("input", (event) => {
  document.getElementById("stage").style.setProperty("--strength", event.target.value / 100);
});

// ── zoom, and the way to the neighbours ────────────────────────────────────────────────────────────────────────────

const stage = document.getElementById("stage");
const zoom = stage && zoomable(stage, document.getElementById("zoomed"));
const zoomBy = (key) => zoom?.by(key === "+" ? 1.4 : 1 / 1.4);

for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => zoomBy(button.dataset.zoom));

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.metaKey || event.target.matches("input:not([type=checkbox])")) return;
  const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  if (event.ctrlKey && event.key in steps) zoom?.move(...steps[event.key]);
  else if (event.ctrlKey) return;
  else if (["+", "-"].includes(event.key)) zoomBy(event.key);
  else if (["ArrowLeft", "ArrowRight"].includes(event.key)) document.querySelector(`[data-step=${event.key}]`)?.click();
  else return;
  event.preventDefault();
});

// ── heatmaps ───────────────────────────────────────────────────────────────────────────────────────────────────────

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || !/^\d$/.test(event.key)) return;
  for (const [index, box] of switches.entries()) {
    if (event.key === "0") box.checked = false;
    else if (Number(event.key) === index + 1) box.checked = !box.checked;
  }
  apply();
});

const WAIT_SECONDS = 60;

// The heatmaps of a flagged frame come by themselves, some seconds after its verdict.
async function awaitHeatmaps() {
  const frame = document.querySelector("[data-frame]").dataset.frame;
  for (let second = 0; second < WAIT_SECONDS; second += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const answer = await fetch(`/api/frames/${frame}`);
    if (answer.ok && (await answer.json()).explained) return location.reload();
  }
  return undefined;
}
if (document.querySelector("[data-awaited]")) awaitHeatmaps().catch(() => {}); // the page shows what it has

async function explain(label) {
  const showStatus = (text) => (document.getElementById("requested").textContent = text);
  const frame = document.querySelector("[data-frame]").dataset.frame;
  const query = label ? `?label=${encodeURIComponent(label)}` : "";
  showStatus(gettext("The explainer makes the heatmaps …"));
  for (let second = 0; second < WAIT_SECONDS; second += 1) {
    const answer = await fetch(`/api/frames/${frame}/explanation${query}`, { method: "POST" });
    const result = await answer.json();
    if (answer.status === 200 && !result.reason) return location.reload();
    if (answer.status !== 202) return showStatus(result.reason || result.detail);
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  return showStatus(gettext("The explainer has not answered. Is it running?"));
}

for (const button of document.querySelectorAll("[data-explain]")) {
  button.addEventListener("click", () => explain(button.dataset.explain).catch((error) => {
    document.getElementById("requested").textContent = String(error);
  }));
}

// ── wrong verdict ──────────────────────────────────────────────────────────────────────────────────────────────────

const marking = document.getElementById("marking");

async function turnMark() {
  const isMarked = await toggleMark(document.querySelector("[data-frame]").dataset.frame, marking.dataset.marked === "yes");
  marking.dataset.marked = isMarked ? "yes" : "no";
  marking.querySelector("button").setAttribute("aria-pressed", String(isMarked));
  marking.querySelector("button span").textContent = isMarked ? gettext("⚑ Verdict marked as wrong: remove the mark") : gettext("Wrong verdict");
  marking.querySelector("[role=status]").textContent = isMarked ? gettext("marked for labelling") : gettext("no longer marked");
}

const tryToMark = () => turnMark().catch((error) => { marking.querySelector("[role=status]").textContent = `▲ ${error.message}`; });

marking.querySelector("button").addEventListener("click", tryToMark);
document.addEventListener("keydown", (event) => {
  if (event.key === "w" && !event.ctrlKey && !event.altKey && !event.metaKey && !event.repeat) tryToMark();
});
