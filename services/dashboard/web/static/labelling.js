// The desk: frames one by one or several at once, labelled by keys, taps or clicks. What is saved is what the server has
// confirmed; what is not saved yet is kept here for each frame, and said so.

import { zoomable } from "./zoom.js";

const desk = document.getElementById("desk");
const { source, queue, reading, task, line } = desk.dataset;
const api = `/api/labelling/sources/${source}`;
const may = desk.dataset.may === "yes";
const toggles = [...desk.querySelectorAll("[data-label]")];
const element = (id) => document.getElementById(id);
const PAGE = 100; // frames asked for at once
const SNAPSHOT = 500; // of a queue that shrinks while it is worked on, so it is read once
const SHRINKS = !["all", "labelled"].includes(queue);
const UNSAID = { first: "labelled", second: "read again", settled: "settled" };
const AHEAD = 3; // frames fetched before they are wanted
const STRIP = 10;
const SHEET = 48;

const frames = []; // by place; what the server said of each
const asked = new Map(); // pages under way
const drafts = new Map(); // by frame: labels that are not saved yet
const going = new Map(); // by frame: labels on their way to the server
const refused = new Map(); // by frame: why the last save did not come to be, as long as that is so
const chosen = new Set(); // places
let total = Math.min(Number(desk.dataset.total), SHRINKS ? SNAPSHOT : Infinity);
let place = 0;
let labels = {}; // of the frame that is shown
let state = ""; // of these labels: saved, carried, changed or nothing
let last = null; // the labels that were given last
let saving = Promise.resolve();

// ── frames ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function call(path, order) {
  const request = order && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(order) };
  const answer = await fetch(path, request).catch(() => { throw new Error("the dashboard can't be reached: save again when it can"); });
  if (answer.status === 401) throw new Error("nobody is logged in any more: log in in another tab, then save again");
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.detail ?? `the dashboard answers ${answer.status}: save again`);
  return told;
}

async function load(page) {
  const size = SHRINKS ? SNAPSHOT : PAGE;
  const told = await call(`${api}/queue?kind=${queue}&start=${page * size}&limit=${size}${line && `&line=${line}`}`);
  if (SHRINKS) total = Math.min(total, told.frames.length);
  told.frames.forEach((frame, index) => { frames[page * size + index] ??= frame; });
}

async function frameAt(at) {
  const page = SHRINKS ? 0 : Math.floor(at / PAGE);
  if (!frames[at]) {
    if (!asked.has(page)) asked.set(page, load(page).finally(() => asked.delete(page)));
    await asked.get(page);
  }
  return frames[at];
}

const step = () => Math.max(1, Math.floor(Number(element("step").value)) || 1);
const within = (at) => Math.min(total - 1, Math.max(0, at));
const trueOf = (said) => Object.keys(said).filter((name) => said[name]);
const none = () => Object.fromEntries(toggles.map((each) => [each.dataset.label, false]));

function startOf(frame) {
  if (drafts.has(frame.frame)) return [drafts.get(frame.frame), "changed"];
  if (going.has(frame.frame)) return [going.get(frame.frame), "going"];
  if (frame.said) return [frame.said.labels, "saved"];
  if (element("carry").checked && last) return [last, "carried"];
  return [none(), ""];
}

async function show(to) {
  place = within(to);
  const at = place;
  const frame = await frameAt(at);
  if (at !== place || !frame) return; // somebody stepped on meanwhile
  [labels, state] = startOf(frame);
  labels = { ...labels };
  put(frame);
  write();
  about(frame);
  strip();
  const where = new URL(location.href);
  where.searchParams.set("queue", queue);
  where.searchParams.set("frame", frame.frame);
  history.replaceState(null, "", where);
  for (let next = 1; next <= AHEAD; next += 1) prefetch(at + next * step());
}

// A browser goes on showing the image before until the next one has come: nobody may label the one and see the other.
function put(frame) {
  const image = element("frame");
  image.alt = frame.title;
  if (image.getAttribute("src") === frame.image_url) return;
  desk.dataset.image = "coming";
  image.src = frame.image_url;
}

for (const end of ["load", "error"]) element("frame")?.addEventListener(end, () => { delete desk.dataset.image; });

async function prefetch(at) {
  if (at < 0 || at >= total) return;
  const frame = await frameAt(at).catch(() => null);
  if (frame) new Image().src = frame.image_url;
}

// ── what is on the screen ──────────────────────────────────────────────────────────────────────────────────────────

function complaint(said) {
  const roles = (role) => toggles.filter((each) => each.dataset.role === role && said[each.dataset.label]).map((each) => each.dataset.label);
  if (task === "exclusive" && trueOf(said).length !== 1) return "This recipe wants exactly one label.";
  if (roles("quality").length && roles("defect").length) {
    return `${roles("quality").join(", ")} together with ${roles("defect").join(", ")}: a part is good or has a fault. Take one back.`;
  }
  return "";
}

function words() {
  const named = trueOf(labels).join(", ") || "no label";
  const said = frames[place]?.said;
  const how = { saved: `✓ saved${said ? ` by ${said.by}` : ""}`, going: "… being saved", carried: "○ carried over, not saved", changed: "○ not saved", "": `○ not ${UNSAID[reading]}` };
  return `${named} · ${how[state]}`;
}

function write() {
  for (const each of toggles) each.setAttribute("aria-pressed", String(labels[each.dataset.label] === true));
  const frame = frames[place];
  const many = chosen.size ? `, for ${chosen.size} chosen frame${chosen.size > 1 ? "s" : ""}` : "";
  const wrong = state === "changed" ? complaint(labels) : "";
  desk.dataset.state = state;
  element("written").textContent = `${words()}${many}`;
  element("place").textContent = queue === "all" ? `frame ${place} / ${total - 1}` : `${place + 1} / ${total}`;
  element("spoken").textContent = `${frame.title}. ${words()}${many}.`;
  element("none").hidden = chosen.size === 0;
  tell(wrong || unsaved());
}

// Of every save that did not come to be, until it has: whoever labels fast is frames further on by then.
function unsaved() {
  if (!refused.size) return "";
  const elsewhere = [...refused.keys()].filter((frame) => frame !== frames[place]?.frame);
  const named = elsewhere.map((frame) => (queue === "all" ? frame : frames.findIndex((each) => each?.frame === frame) + 1));
  const where = named.length ? ` · not saved: frame${named.length > 1 ? "s" : ""} ${named.join(", ")}` : "";
  return `${[...refused.values()].at(-1)}${where}`;
}

function tell(trouble) {
  element("trouble").hidden = !trouble;
  element("trouble").textContent = trouble ? `▲ ${trouble}` : "";
}

function row(list, name, value) {
  const made = document.createElement("div");
  made.append(Object.assign(document.createElement("dt"), { textContent: name }), value);
  list.append(made);
}

function about(frame) {
  element("title").textContent = frame.title;
  element("why").textContent = frame.why;
  element("said").replaceChildren();
  const before = ["first", "second", "settled"].map((which) => [which, frame[which]]).filter(([, said]) => said);
  for (const [which, said] of [...before, ...frame.later.map((said) => ["later", said])]) {
    const value = document.createElement("dd");
    value.textContent = `${said.by}: ${trueOf(said.labels).join(", ") || "no label"} `;
    if (reading === "settled" && which !== "settled" && may) {
      const take = Object.assign(document.createElement("button"), { type: "button", textContent: "Take this" });
      take.addEventListener("click", () => edit({ ...said.labels }));
      value.append(take);
    }
    row(element("said"), which, value);
  }
  scores(frame.scores);
}

function scores(said) {
  element("scores").hidden = Object.keys(said).length === 0;
  element("scores").querySelector("tbody").replaceChildren(...Object.entries(said).map(([name, each]) => {
    const made = document.createElement("tr");
    made.innerHTML = '<th></th><td><span class="score"></span></td><td class="number"></td>';
    made.querySelector("th").textContent = `${name} ${each.present ? "✓" : "–"}`;
    made.querySelector(".number").textContent = each.score.toFixed(2);
    const bar = made.querySelector(".score").style;
    bar.setProperty("--value", each.score);
    bar.setProperty("--threshold", each.threshold);
    bar.setProperty("--colour", toggles.find((toggle) => toggle.dataset.label === name)?.style.getPropertyValue("--colour") || "#888");
    return made;
  }));
}

// ── several at once ────────────────────────────────────────────────────────────────────────────────────────────────

function around() {
  const count = desk.dataset.sheet ? SHEET : STRIP;
  const first = Math.max(0, place - step() * Math.floor(desk.dataset.sheet ? (place / step()) % SHEET : STRIP / 3));
  return Array.from({ length: count }, (_, index) => first + index * step()).filter((at) => at < total);
}

async function strip() {
  const now = place;
  const places = around();
  await Promise.all(places.map((at) => frameAt(at).catch(() => null)));
  if (now !== place) return;
  const focused = document.activeElement?.closest?.("#strip button")?.dataset.at;
  element("strip").replaceChildren(...places.filter((at) => frames[at]).map(tile));
  if (desk.dataset.sheet) element("strip").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  if (focused !== undefined) element("strip").querySelector(`[data-at="${focused}"]`)?.focus();
}

function tile(at) {
  const frame = frames[at];
  const item = document.createElement("li");
  const button = Object.assign(document.createElement("button"), { type: "button" });
  const said = drafts.get(frame.frame) ?? going.get(frame.frame) ?? frame.said?.labels;
  const keys = said ? trueOf(said).map((name) => toggles.find((each) => each.dataset.label === name)?.dataset.key).join(" ") || "∅" : "·";
  const number = /^\d+$/.test(frame.frame) ? frame.frame : at + 1;
  button.dataset.at = at;
  button.setAttribute("aria-pressed", String(chosen.has(at)));
  if (at === place) button.setAttribute("aria-current", "true");
  const image = Object.assign(document.createElement("img"), { src: `${frame.image_url}?width=160`, alt: "", loading: "lazy", draggable: false });
  const text = Object.assign(document.createElement("span"), { textContent: `${chosen.has(at) ? "☑ " : ""}${number}  ${mark(frame)}${keys}` });
  const spoken = `: ${frame.title}, ${said ? trueOf(said).join(", ") || "no label" : "not labelled"}${chosen.has(at) ? ", chosen" : ""}`;
  button.append(image, text, Object.assign(document.createElement("span"), { className: "unseen", textContent: spoken }));
  item.append(button);
  return item;
}

function mark(frame) {
  if (drafts.has(frame.frame)) return "○ ";
  if (going.has(frame.frame)) return "… ";
  return frame.said ? "✓ " : "";
}

function choose(at, force) {
  if (force || !chosen.has(at)) chosen.add(at);
  else chosen.delete(at);
}

element("strip")?.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const at = Number(button.dataset.at);
  if (element("choosing").checked || event.ctrlKey || event.metaKey) choose(at);
  else if (event.shiftKey) for (let each = Math.min(place, at); each <= Math.max(place, at); each += step()) choose(each, true);
  else return show(at);
  write();
  return strip();
});

// ── saying, saving, taking back ────────────────────────────────────────────────────────────────────────────────────

function edit(said) {
  labels = said;
  state = "changed";
  drafts.set(frames[place].frame, { ...labels });
  write();
}

function toggle(name) {
  if (!may || !frames[place]) return;
  if (task === "exclusive") edit({ ...none(), [name]: true });
  else edit({ ...labels, [name]: !labels[name] });
}

// One after the other, in the order in which they were given; stepping on need not wait for them.
function save() {
  if (!may || !frames[place]) return false;
  const wrong = complaint(labels);
  if (wrong) {
    tell(wrong);
    return false;
  }
  const places = chosen.size ? [...chosen].sort((one, other) => one - other) : [place];
  const said = { ...labels };
  last = said; // the next frame is on the screen before the server has answered
  chosen.clear();
  for (const { frame } of places.map((at) => frames[at]).filter(Boolean)) {
    drafts.delete(frame); // what is changed from now on, while this is under way, is another draft
    going.set(frame, said);
  }
  saving = saving.then(() => store(places, said)).then(() => again(places)).catch((error) => tell(error.message));
  again(places);
  return true;
}

async function store(places, said) {
  let whole = places.map((at) => frames[at]).filter(Boolean);
  try {
    whole = await Promise.all(places.map(frameAt));
    const seen = Object.fromEntries(whole.map((frame) => [frame.frame, frame.said?.record ?? null]));
    const record = await call(`${api}/labels`, { frames: whole.map((frame) => frame.frame), labels: said, reading, seen });
    for (const frame of whole) {
      frame.said = { record: record.record, by: record.by, at: record.at, labels: said };
      refused.delete(frame.frame);
    }
  } catch (error) {
    for (const frame of whole) {
      if (!drafts.has(frame.frame) && going.get(frame.frame) === said) drafts.set(frame.frame, said);
      refused.set(frame.frame, error.message);
    }
    await Promise.all(places.map(refresh));
  }
  for (const { frame } of whole) if (going.get(frame) === said) going.delete(frame);
}

async function refresh(at) {
  const fresh = frames[at] && await call(`${api}/frames/${frames[at].frame}?reading=${reading}`).catch(() => null);
  if (fresh) frames[at] = { ...fresh, why: frames[at].why };
}

function again(places) {
  if (places.includes(place)) {
    [labels, state] = startOf(frames[place]);
    labels = { ...labels };
    about(frames[place]);
  }
  write();
  strip();
}

async function undo() {
  await saving;
  const record = await call(`${api}/undo`, { reading });
  const places = record.frames.map((frame) => frames.findIndex((each) => each?.frame === frame)).filter((at) => at >= 0);
  for (const frame of record.frames) {
    drafts.delete(frame);
    refused.delete(frame);
  }
  last = null; // what was taken back is not carried on
  await Promise.all(places.map(refresh));
  const to = queue === "all" ? Number(record.frames[0]) : places[0];
  if (to !== undefined && to !== place) await show(to);
  again(places);
  element("written").textContent = `↶ taken back: ${record.frames.length} frame${record.frames.length > 1 ? "s" : ""} · ${words()}`;
  element("spoken").textContent = element("written").textContent;
}

// ── keys and buttons ───────────────────────────────────────────────────────────────────────────────────────────────

const zoom = zoomable(element("image"), element("frame"));

function longer(by) {
  element("step").value = Math.max(1, step() + by);
  strip();
}

function turn(id) {
  element(id).checked = !element(id).checked;
  element("spoken").textContent = `${element(id).labels[0].textContent.trim()}: ${element(id).checked ? "on" : "off"}`;
}

function go(to) {
  const beyond = to < 0 || to >= total;
  return show(to).then(() => { if (beyond) tell(to < 0 ? "This is the first frame of the queue." : "This is the last frame of the queue."); });
}

function extend(by) {
  choose(place, true);
  choose(within(place + by * step()), true);
  show(place + by * step());
}

const acts = {
  n: () => go(place + step()),
  p: () => go(place - step()),
  s: () => { if (save() && element("onward").checked) go(place + step()); },
  u: () => undo().catch((error) => tell(error.message)),
  q: () => saving.then(() => location.assign("/labelling")),
  Enter: () => { if (save()) go(place + step()); },
  " ": () => { choose(place); write(); strip(); },
  Escape: () => { chosen.clear(); write(); strip(); },
  ArrowRight: (event) => (event.shiftKey ? extend(1) : event.ctrlKey ? zoom.move(-60, 0) : go(place + step())),
  ArrowLeft: (event) => (event.shiftKey ? extend(-1) : event.ctrlKey ? zoom.move(60, 0) : go(place - step())),
  ArrowUp: (event) => event.ctrlKey && zoom.move(0, 60),
  ArrowDown: (event) => event.ctrlKey && zoom.move(0, -60),
  Home: () => show(0),
  End: () => show(total - 1),
  ",": () => longer(-1),
  ".": () => longer(1),
  "/": () => turn("carry"),
  "+": () => zoom.by(1.4),
  "-": () => zoom.by(1 / 1.4),
  "*": () => {
    if (desk.dataset.sheet) delete desk.dataset.sheet;
    else desk.dataset.sheet = "yes";
    element("sheet").setAttribute("aria-pressed", String("sheet" in desk.dataset));
    strip();
  },
};

document.addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const arrow = key.startsWith("Arrow");
  if (event.altKey || event.metaKey || (event.ctrlKey && !arrow) || event.target.matches("input:not([type=checkbox]), select, textarea")) return;
  if (event.target.matches("button, a, summary, input") && ["Enter", " "].includes(key)) return;
  const label = toggles.find((each) => each.dataset.key === key);
  if (!label && !Object.hasOwn(acts, key)) return;
  if (arrow && !event.ctrlKey && ["ArrowUp", "ArrowDown"].includes(key)) return;
  event.preventDefault();
  if (event.repeat && (label || ["s", "u", "q", "Enter"].includes(key))) return; // held too long, it would label unseen frames
  if (label) toggle(label.dataset.label);
  else acts[key](event);
});

for (const each of toggles) each.addEventListener("click", () => toggle(each.dataset.label));
for (const each of desk.querySelectorAll("[data-do]")) each.addEventListener("click", (event) => acts[each.dataset.do](event));
element("step")?.addEventListener("change", strip);

addEventListener("beforeunload", (event) => {
  if (drafts.size || going.size) event.preventDefault();
});

if (total > 0) {
  await frameAt(0);
  const wanted = desk.dataset.frame ? frames.findIndex((frame) => frame.frame === desk.dataset.frame) : -1;
  await show(wanted >= 0 ? wanted : Number(desk.dataset.place));
}
