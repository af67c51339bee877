// Sliders with number fields; the page shows the effect of the thresholds while they move.

import { refresh } from "./fresh.js";

const form = document.getElementById("sliders");
const DIGITS = 3;
const WAIT_MS = 1000; // between two fetches while yesterday's frames are being read

const address = () => `${location.pathname}?${new URLSearchParams(new FormData(form))}`;

form.addEventListener("input", (event) => {
  const { slider, number } = event.target.dataset;
  if (slider) form.elements[slider].value = Number(event.target.value).toFixed(DIGITS);
  if (number) form.querySelector(`[data-slider="${CSS.escape(number)}"]`).value = event.target.value;
  if (slider || number) refresh(address());
});

form.addEventListener("click", (event) => {
  if (!event.target.matches("[data-reset]")) return;
  for (const field of form.querySelectorAll("[data-number], [data-slider]")) field.value = field.dataset.before;
  refresh(location.pathname);
});

setInterval(() => {
  if (document.querySelector("[data-wait]")) refresh(address());
}, WAIT_MS);
