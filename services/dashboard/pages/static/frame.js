// The page of one frame: heatmaps on and off, by mouse or by number; times on the reader's clock.

const switches = [...document.querySelectorAll("[data-switch]")];
const layerOf = (box) => document.querySelector(`.layer[data-label="${CSS.escape(box.dataset.switch)}"]`);
const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function apply() {
  for (const box of switches) layerOf(box).hidden = !box.checked;
}

for (const time of document.querySelectorAll("time[data-local]")) time.textContent = format.format(new Date(time.dateTime));
for (const box of switches) box.addEventListener("change", apply);

document.getElementById("strength")?.addEventListener("input", (event) => {
  document.getElementById("stage").style.setProperty("--strength", event.target.value / 100);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || !/^\d$/.test(event.key)) return;
  for (const [index, box] of switches.entries()) {
    if (event.key === "0") box.checked = false;
    else if (Number(event.key) === index + 1) box.checked = !box.checked;
  }
  apply();
});
