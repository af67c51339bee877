// The labelling session: label frames one by one or several at once, by keys, taps or clicks. Labels count as saved when
// the server has confirmed them. Until then they are drafts of this page, and each frame shows that.

import { decimal, gettext, ngettext } from "./language.js";
import { zoomable } from "./zoom.js";

const session = document.getElementById("session");
const { source, queue, kind, task, line } = session.dataset;
const api = `/api/labelling/sources/${source}`;
const mayLabel = session.dataset.may === "yes";
const toggles = [...session.querySelectorAll("[data-label]")];
const element = (id) => document.getElementById(id);
const PAGE = 100; // frames requested at once
const SNAPSHOT = 500; // frames of a queue that shrinks while its frames are labelled, so it is read once
const SHRINKS = !["all", "labelled"].includes(queue);
const MISSING = { first: gettext("○ not labelled"), second: gettext("○ not labelled by you"), adjudication: gettext("○ not adjudicated") };
const AHEAD = 3; // images loaded before they are shown
const STRIP = 10;
const SHEET = 48;

const frames = []; // by place, as the server returned them
const requests = new Map(); // by page: requests that are not answered yet
const drafts = new Map(); // by frame: labels that are not saved yet
const saving = new Map(); // by frame: labels that are being saved
const failures = new Map(); // by frame: why its labels could not be saved
const selected = new Set(); // places
let total = Math.min(Number(session.dataset.total), SHRINKS ? SNAPSHOT : Infinity);
let place = 0;
let labels = {}; // of the frame that is shown
let state = ""; // of these labels: saved, saving, carried, changed, or empty
let labelled = Number(session.dataset.labelled);
let last = null; // the labels that were saved last
let queueOfSaves = Promise.resolve(); // one save at a time, in order

// ── frames ─────────────────────────────────────────────────────────────────────────────────────────────────────────

async function call(path, body) {
  const request = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, request).catch(() => { throw new Error(gettext("the dashboard can't be reached: save again when it can")); });
  if (answer.status === 401) throw new Error(gettext("you are logged out: log in in another tab, then save again"));
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.detail ?? gettext("the dashboard answers %(status)s: save again", { status: answer.status }));
  return content;
}

async function load(page) {
  const size = SHRINKS ? SNAPSHOT : PAGE;
  const found = await call(`${api}/queue?queue=${queue}&start=${page * size}&limit=${size}${line && `&line=${line}`}`);
  if (SHRINKS) total = Math.min(total, found.frames.length);
  found.frames.forEach((frame, index) => { frames[page * size + index] ??= frame; });
}

async function frameAt(at) {
  const page = SHRINKS ? 0 : Math.floor(at / PAGE);
  if (!frames[at]) {
    if (!requests.has(page)) requests.set(page, load(page).finally(() => requests.delete(page)));
    await requests.get(page);
  }
  return frames[at];
}

const step = () => Math.max(1, Math.floor(Number(element("step").value)) || 1);
const isNumbered = (frame) => /^\d+$/.test(frame.frame); // a frame of a line has an id, and no number
const within = (at) => Math.min(total - 1, Math.max(0, at));
const trueOf = (values) => Object.keys(values).filter((name) => values[name]);
const noLabels = () => Object.fromEntries(toggles.map((each) => [each.dataset.label, false]));

function labelsOf(frame) {
  if (drafts.has(frame.frame)) return [drafts.get(frame.frame), "changed"];
  if (saving.has(frame.frame)) return [saving.get(frame.frame), "saving"];
  if (frame.annotation) return [frame.annotation.labels, "saved"];
  if (element("carry").checked && last) return [last, "carried"];
  return [noLabels(), ""];
}

async function show(to) {
  place = within(to);
  const at = place;
  const frame = await frameAt(at);
  if (at !== place || !frame) return; // another frame is shown meanwhile
  [labels, state] = labelsOf(frame);
  labels = { ...labels };
  showImage(frame);
  showLabels();
  showAnnotations(frame);
  showStrip();
  const where = new URL(location.href);
  where.searchParams.set("queue", queue);
  where.searchParams.set("frame", frame.frame);
  history.replaceState(null, "", where);
  for (let next = 1; next <= AHEAD; next += 1) prefetch(at + next * step());
}

// A browser shows the previous image until the next one is loaded. Hide it, so that no image is labelled for another one.
function showImage(frame) {
  const image = element("frame");
  image.alt = frame.title;
  if (image.getAttribute("src") === frame.image_url) return;
  session.dataset.image = "loading";
  image.src = frame.image_url;
}

for (const end of ["load", "error"]) element("frame")?.addEventListener(end, () => { delete session.dataset.image; });

async function prefetch(at) {
  if (at < 0 || at >= total) return;
  const frame = await frameAt(at).catch(() => null);
  if (frame) new Image().src = frame.image_url;
}

// ── display ──────────────────────────────────────────────────────────────────────────────────────────

function labelError(values) {
  const roles = (role) => toggles.filter((each) => each.dataset.role === role && values[each.dataset.label]).map((each) => each.dataset.label);
  if (task === "exclusive" && trueOf(values).length !== 1) return gettext("This recipe requires exactly one label.");
  if (roles("quality").length && roles("defect").length) {
    return gettext("%(qualities)s together with %(defects)s: a part is good or has a defect. Remove one of them.", { qualities: roles("quality").join(", "), defects: roles("defect").join(", ") });
  }
  return "";
}

function statusText() {
  const named = trueOf(labels).join(", ") || gettext("no label");
  const annotation = frames[place]?.annotation;
  const texts = {
    saved: annotation ? gettext("✓ saved by %(by)s", { by: annotation.by }) : gettext("✓ saved"),
    saving: gettext("… saving"),
    carried: gettext("○ carried over, not saved"),
    changed: gettext("○ not saved"),
    "": MISSING[kind],
  };
  return `${named} · ${texts[state]}`;
}

const placeText = (at) => gettext("%(count)s of %(total)s", { count: at + 1, total });

function showLabels() {
  for (const each of toggles) each.setAttribute("aria-pressed", String(labels[each.dataset.label] === true));
  const frame = frames[place];
  const many = selected.size ? ngettext(", for %(num)s selected frame", ", for %(num)s selected frames", selected.size) : "";
  const error = state === "changed" ? labelError(labels) : "";
  session.dataset.state = state;
  element("status").textContent = `${statusText()}${many}`;
  element("place").textContent = [isNumbered(frame) && gettext("frame %(frame)s", { frame: frame.frame }), placeText(place)].filter(Boolean).join(" · ");
  element("announcement").textContent = `${frame.title}. ${statusText()}${many}.`;
  element("none").hidden = selected.size === 0;
  warn(error || failureText());
}

// Show failed saves until they succeed, because the person may be several frames further by then.
function failureText() {
  if (!failures.size) return "";
  const elsewhere = [...failures.keys()].filter((frame) => frame !== frames[place]?.frame);
  const named = elsewhere.map((frame) => (isNumbered({ frame }) ? frame : placeText(frames.findIndex((each) => each?.frame === frame))));
  const where = named.length ? ` · ${ngettext("not saved: frame %(frames)s", "not saved: frames %(frames)s", named.length, { frames: named.join(", ") })}` : "";
  return `${[...failures.values()].at(-1)}${where}`;
}

function warn(text) {
  element("warning").hidden = !text;
  element("warning").textContent = text ? `▲ ${text}` : "";
}

const KINDS = { first: gettext("first"), second: gettext("second"), adjudication: gettext("adjudication"), later: gettext("later") };

function showAnnotations(frame) {
  element("title").textContent = frame.title;
  element("reason").textContent = frame.reason;
  element("annotations").replaceChildren();
  const present = ["first", "second", "adjudication"].map((name) => [name, frame[name]]).filter(([, annotation]) => annotation);
  for (const [name, annotation] of [...present, ...frame.later.map((later) => ["later", later])]) {
    const value = document.createElement("dd");
    value.textContent = `${annotation.by}: ${trueOf(annotation.labels).join(", ") || gettext("no label")} `;
    if (kind === "adjudication" && name !== "adjudication" && mayLabel) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: gettext("Use these labels") });
      button.addEventListener("click", () => edit({ ...annotation.labels }));
      value.append(button);
    }
    const row = document.createElement("div");
    row.append(Object.assign(document.createElement("dt"), { textContent: KINDS[name] }), value);
    element("annotations").append(row);
  }
  showScores(frame.scores);
}

function showScores(scores) {
  element("scores").hidden = Object.keys(scores).length === 0;
  element("accept").hidden = element("scores").hidden;
  element("scores").querySelector("tbody").replaceChildren(...Object.entries(scores).map(([name, each]) => {
    const made = document.createElement("tr");
    made.innerHTML = '<th></th><td><span class="score"></span></td><td class="number"></td>';
    made.querySelector("th").textContent = `${name} ${each.present ? "✓" : "–"}`;
    made.querySelector(".number").textContent = decimal(each.score, 2);
    const bar = made.querySelector(".score").style;
    bar.setProperty("--value", each.score);
    bar.setProperty("--threshold", each.threshold);
    bar.setProperty("--colour", toggles.find((toggle) => toggle.dataset.label === name)?.style.getPropertyValue("--colour") || "#888");
    return made;
  }));
}

// ── several frames at once ────────────────────────────────────────────────────────────────────────────────────────────────

function placesInStrip() {
  const count = session.dataset.sheet ? SHEET : STRIP;
  const first = Math.max(0, place - step() * Math.floor(session.dataset.sheet ? (place / step()) % SHEET : STRIP / 3));
  return Array.from({ length: count }, (_, index) => first + index * step()).filter((at) => at < total);
}

async function showStrip() {
  const now = place;
  const places = placesInStrip();
  await Promise.all(places.map((at) => frameAt(at).catch(() => null)));
  if (now !== place) return;
  const focused = document.activeElement?.closest?.("#strip button")?.dataset.at;
  element("strip").replaceChildren(...places.filter((at) => frames[at]).map(tile));
  if (session.dataset.sheet) element("strip").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  if (focused !== undefined) element("strip").querySelector(`[data-at="${focused}"]`)?.focus();
}

function tile(at) {
  const frame = frames[at];
  const item = document.createElement("li");
  const button = Object.assign(document.createElement("button"), { type: "button" });
  const shown = drafts.get(frame.frame) ?? saving.get(frame.frame) ?? frame.annotation?.labels;
  const keys = shown ? trueOf(shown).map((name) => toggles.find((each) => each.dataset.label === name)?.dataset.key || name).join(" ") || "∅" : "·";
  const number = isNumbered(frame) ? frame.frame : at + 1;
  button.dataset.at = at;
  button.setAttribute("aria-pressed", String(selected.has(at)));
  if (at === place) button.setAttribute("aria-current", "true");
  const image = Object.assign(document.createElement("img"), { src: `${frame.image_url}?width=160`, alt: "", loading: "lazy", draggable: false });
  const text = Object.assign(document.createElement("span"), { textContent: `${selected.has(at) ? "☑ " : ""}${number}  ${symbol(frame)}${keys}` });
  const description = `: ${frame.title}, ${shown ? trueOf(shown).join(", ") || gettext("no label") : gettext("not labelled")}${selected.has(at) ? `, ${gettext("selected")}` : ""}`;
  button.append(image, text, Object.assign(document.createElement("span"), { className: "unseen", textContent: description }));
  item.append(button);
  return item;
}

function symbol(frame) {
  if (drafts.has(frame.frame)) return "○ ";
  if (saving.has(frame.frame)) return "… ";
  return frame.annotation ? "✓ " : "";
}

function select(at, force) {
  if (force || !selected.has(at)) selected.add(at);
  else selected.delete(at);
}

element("strip")?.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const at = Number(button.dataset.at);
  if (element("selecting").checked || event.ctrlKey || event.metaKey) select(at);
  else if (event.shiftKey) for (let each = Math.min(place, at); each <= Math.max(place, at); each += step()) select(each, true);
  else return show(at);
  showLabels();
  return showStrip();
});

// ── label, save, undo ────────────────────────────────────────────────────────────────────────────────────

function edit(changed) {
  labels = changed;
  state = "changed";
  drafts.set(frames[place].frame, { ...labels });
  showLabels();
}

// The labels that the model found, saved as they are.
function accept() {
  const scores = Object.entries(frames[place]?.scores ?? {});
  if (!mayLabel || scores.length === 0) return;
  edit({ ...noLabels(), ...Object.fromEntries(scores.map(([name, each]) => [name, each.present])) });
  actions.s();
}

function toggle(name) {
  if (!mayLabel || !frames[place]) return;
  if (task === "exclusive") edit({ ...noLabels(), [name]: true });
  else edit({ ...labels, [name]: !labels[name] });
}

// Saves run one after the other, in their order. Another frame can be shown meanwhile.
function save() {
  if (!mayLabel || !frames[place]) return false;
  const error = labelError(labels);
  if (error) {
    warn(error);
    return false;
  }
  const places = selected.size ? [...selected].sort((one, other) => one - other) : [place];
  selected.clear();
  last = { ...labels }; // the next frame is shown before the server has answered
  saveAt(places, last);
  return true;
}

function saveAt(places, saved) {
  for (const { frame } of places.map((at) => frames[at]).filter(Boolean)) {
    drafts.delete(frame); // a change from now on is another draft
    saving.set(frame, saved);
  }
  queueOfSaves = queueOfSaves.then(() => store(places, saved)).then(() => showAgain(places)).catch((error) => warn(error.message));
  showAgain(places);
}

// Save what is not saved yet, then leave. A draft that can't be saved stays on the screen.
async function leave() {
  for (const [frame, draft] of [...drafts]) {
    const at = frames.findIndex((each) => each?.frame === frame);
    const error = labelError(draft);
    if (error) {
      await show(at);
      return warn(error);
    }
    saveAt([at], draft);
  }
  await queueOfSaves;
  if (drafts.size === 0) location.assign("/labelling");
}

async function store(places, saved) {
  let stored = places.map((at) => frames[at]).filter(Boolean);
  try {
    stored = await Promise.all(places.map(frameAt));
    const seen = Object.fromEntries(stored.map((frame) => [frame.frame, frame.annotation?.id ?? null]));
    const annotation = await call(`${api}/labels`, { frames: stored.map((frame) => frame.frame), labels: saved, kind, seen });
    showProgress(stored.filter((frame) => !frame.annotation).length);
    for (const frame of stored) {
      frame.annotation = { id: annotation.id, by: annotation.by, at: annotation.at, labels: saved };
      failures.delete(frame.frame);
    }
  } catch (error) {
    for (const frame of stored) {
      if (!drafts.has(frame.frame) && saving.get(frame.frame) === saved) drafts.set(frame.frame, saved);
      failures.set(frame.frame, error.message);
    }
    await Promise.all(places.map(refresh));
  }
  for (const { frame } of stored) if (saving.get(frame) === saved) saving.delete(frame);
}

function showProgress(more) {
  labelled += more;
  if (!element("progress")) return;
  element("progress").value = labelled;
  element("labelled").textContent = labelled;
}

async function refresh(at) {
  const fresh = frames[at] && await call(`${api}/frames/${frames[at].frame}?kind=${kind}`).catch(() => null);
  if (fresh) frames[at] = { ...fresh, reason: frames[at].reason };
}

function showAgain(places) {
  if (places.includes(place)) {
    [labels, state] = labelsOf(frames[place]);
    labels = { ...labels };
    showAnnotations(frames[place]);
  }
  showLabels();
  showStrip();
}

async function undoLast() {
  await queueOfSaves;
  const undo = await call(`${api}/undo`, { kind });
  const before = new Set(frames.filter((frame) => frame?.annotation).map((frame) => frame.frame));
  const places = undo.frames.map((frame) => frames.findIndex((each) => each?.frame === frame)).filter((at) => at >= 0);
  for (const frame of undo.frames) {
    drafts.delete(frame);
    failures.delete(frame);
  }
  last = null; // labels that are undone are not carried over
  await Promise.all(places.map(refresh));
  showProgress(-undo.frames.filter((frame) => before.has(frame) && !frames.find((each) => each?.frame === frame)?.annotation).length);
  const to = queue === "all" ? Number(undo.frames[0]) : places[0];
  if (to !== undefined && to !== place) await show(to);
  showAgain(places);
  element("status").textContent = `${ngettext("↶ undone: %(num)s frame", "↶ undone: %(num)s frames", undo.frames.length)} · ${statusText()}`;
  element("announcement").textContent = element("status").textContent;
}

// ── keys and buttons ───────────────────────────────────────────────────────────────────────────────────────────────

const zoom = zoomable(element("image"), element("frame"));

function changeStep(by) {
  element("step").value = Math.max(1, step() + by);
  showStrip();
}

function toggleOption(id) {
  element(id).checked = !element(id).checked;
  element("announcement").textContent = `${element(id).labels[0].textContent.trim()}: ${element(id).checked ? gettext("on") : gettext("off")}`;
}

function go(to) {
  const isOutside = to < 0 || to >= total;
  return show(to).then(() => { if (isOutside) warn(to < 0 ? gettext("This is the first frame of the queue.") : gettext("This is the last frame of the queue.")); });
}

function extend(by) {
  select(place, true);
  select(within(place + by * step()), true);
  show(place + by * step());
}

const actions = {
  n: () => go(place + step()),
  p: () => go(place - step()),
  s: () => { if (save() && element("advance").checked) go(place + step()); },
  "=": accept,
  u: () => undoLast().catch((error) => warn(error.message)),
  q: leave,
  Enter: () => { if (save()) go(place + step()); },
  " ": () => { select(place); showLabels(); showStrip(); },
  Escape: () => { selected.clear(); showLabels(); showStrip(); },
  ArrowRight: (event) => (event.shiftKey ? extend(1) : event.ctrlKey ? zoom.move(-60, 0) : go(place + step())),
  ArrowLeft: (event) => (event.shiftKey ? extend(-1) : event.ctrlKey ? zoom.move(60, 0) : go(place - step())),
  ArrowUp: (event) => event.ctrlKey && zoom.move(0, 60),
  ArrowDown: (event) => event.ctrlKey && zoom.move(0, -60),
  Home: () => show(0),
  End: () => show(total - 1),
  ",": () => changeStep(-1),
  ".": () => changeStep(1),
  "/": () => toggleOption("carry"),
  "+": () => zoom.by(1.4),
  "-": () => zoom.by(1 / 1.4),
  "*": () => {
    if (session.dataset.sheet) delete session.dataset.sheet;
    else session.dataset.sheet = "yes";
    element("sheet").setAttribute("aria-pressed", String("sheet" in session.dataset));
    showStrip();
  },
};

document.addEventListener("keydown", (event) => {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isArrow = key.startsWith("Arrow");
  if (event.altKey || event.metaKey || (event.ctrlKey && !isArrow) || event.target.matches("input:not([type=checkbox]), select, textarea")) return;
  if (event.target.matches("button, a, summary, input") && ["Enter", " "].includes(key)) return;
  const label = toggles.find((each) => each.dataset.key === key);
  if (!label && !Object.hasOwn(actions, key)) return;
  if (isArrow && !event.ctrlKey && ["ArrowUp", "ArrowDown"].includes(key)) return;
  event.preventDefault();
  if (event.repeat && (label || ["s", "u", "q", "Enter", "="].includes(key))) return; // a held key would label frames that were not seen
  if (label) toggle(label.dataset.label);
  else actions[key](event);
});

for (const each of toggles) each.addEventListener("click", () => toggle(each.dataset.label));
for (const each of session.querySelectorAll("[data-do]")) each.addEventListener("click", (event) => actions[each.dataset.do](event));
element("step")?.addEventListener("change", showStrip);
element("advance")?.addEventListener("change", () => { element("save").textContent = element("advance").checked ? gettext("Save & next") : gettext("Save"); });

addEventListener("beforeunload", (event) => {
  if (drafts.size || saving.size) event.preventDefault();
});

if (total > 0) {
  await frameAt(0);
  const requested = session.dataset.frame ? frames.findIndex((frame) => frame.frame === session.dataset.frame) : -1;
  await show(requested >= 0 ? requested : Number(session.dataset.place));
}
