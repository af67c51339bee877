// The page of frames: arrow keys select a frame, w marks its verdict as wrong.

import { gettext } from "./language.js";
import { toggleMark } from "./marks.js";

const tiles = [...document.querySelectorAll(".tiles a[data-frame]")];

async function turnMark(tile) {
  const status = document.getElementById("marked");
  try {
    const isMarked = await toggleMark(tile.dataset.frame, "marked" in tile.dataset);
    tile.toggleAttribute("data-marked", isMarked);
    status.textContent = isMarked ? gettext("⚑ Marked as wrong, for labelling") : gettext("No longer marked");
  } catch (error) {
    status.textContent = `▲ ${error.message}`;
  }
}

function columns() {
  const top = tiles[0]?.offsetTop;
  return Math.max(1, tiles.filter((tile) => tile.offsetTop === top).length);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input, select, textarea")) return;
  const here = tiles.indexOf(document.activeElement);
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns() };
  if (event.key in steps && tiles.length > 0) {
    tiles[Math.min(tiles.length - 1, Math.max(0, here < 0 ? 0 : here + steps[event.key]))].focus();
    event.preventDefault();
  } else if (event.key === "w" && here >= 0 && !event.repeat) {
    turnMark(tiles[here]);
  }
});
