// Edit a recipe: its problems are shown beside their fields while it is typed, as the server finds them.

const form = document.getElementById("recipe");
const rows = document.getElementById("labels");
const QUIET = 250; // milliseconds without typing, before a check
let wait = 0;
let asked = 0;
let changed = false;

const editable = form && !form.querySelector("fieldset").disabled;

function showProblems(problems) {
  for (const place of document.querySelectorAll("[data-problem]")) {
    const name = place.dataset.problem;
    if (name === "recipe_yaml") continue;
    const text = problems[name];
    place.hidden = !text;
    place.textContent = text ? `▲ ${text}` : "";
    const field = form.elements.namedItem(name);
    if (!(field instanceof Element)) continue;
    if (text) field.setAttribute("aria-invalid", "true");
    else field.removeAttribute("aria-invalid");
    if (text) field.closest("details")?.setAttribute("open", "");
  }
}

async function check() {
  const number = (asked += 1);
  const answer = await fetch("/drafts/check", { method: "POST", body: new URLSearchParams(new FormData(form)) }).catch(() => null);
  if (!answer?.ok || number !== asked) return; // a later check is on its way, or saving will tell
  const found = await answer.json();
  showProblems(found.problems);
  document.getElementById("summary").textContent = found.summary;
  if (found.recipe_yaml !== null) document.getElementById("yaml").value = found.recipe_yaml;
}

function checkSoon() {
  changed = true;
  clearTimeout(wait);
  wait = setTimeout(check, QUIET);
}

function showExpected(role) {
  const expected = role.closest("li").querySelector("[data-expected]");
  expected.hidden = role.value !== "attribute";
  if (expected.hidden) expected.querySelector("select").value = "";
}

function addRow() {
  const taken = [...rows.children].map((row) => Number(row.dataset.row));
  const number = Math.max(-1, ...taken) + 1;
  const holder = document.createElement("ul");
  holder.innerHTML = document.getElementById("new-label").innerHTML.replaceAll("0000", number);
  const row = holder.firstElementChild;
  const colours = new Set([...rows.querySelectorAll("[type=color]")].map((field) => field.value));
  const free = form.dataset.colours.split(" ").find((colour) => !colours.has(colour));
  if (free) row.querySelector("[type=color]").value = free;
  rows.append(row);
  row.querySelector("input").focus();
}

// The key of a label that is named for the first time: a letter of its name, if one is free.
function proposeKey(name) {
  const key = name.closest("li").querySelector(".key input");
  if (key.value || !name.value) return;
  const taken = new Set([...rows.querySelectorAll(".key input")].map((field) => field.value));
  const reserved = form.dataset.reserved.split(" ");
  key.value = [...name.value.toLowerCase()].find((letter) => /[a-z0-9]/.test(letter) && !taken.has(letter) && !reserved.includes(letter)) ?? "";
}

if (editable) {
  form.addEventListener("input", (event) => {
    if (event.target.matches("[data-role]")) showExpected(event.target);
    if (event.target.matches(".key input")) event.target.value = event.target.value.slice(-1); // a proposed key is replaced
    checkSoon();
  });
  form.addEventListener("change", (event) => {
    if (!event.target.matches(".name input")) return;
    proposeKey(event.target);
    checkSoon();
  });
  form.addEventListener("click", (event) => {
    if (event.target.id === "add") addRow();
    else if (event.target.matches("[data-remove]")) event.target.closest("li").remove();
    else return;
    checkSoon();
  });
  form.addEventListener("submit", () => (changed = false));
  addEventListener("beforeunload", (event) => changed && event.preventDefault());
}
