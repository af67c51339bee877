// The live page: shows the events of the stream as they arrive.

import { decimal, gettext, ngettext, number, percent, timeFormat } from "./language.js";

const TITLES = {
  ok: gettext("OK"),
  ng: gettext("NG"),
  behind: gettext("Behind"),
  not_inspected: gettext("Not inspected"),
  camera_lost: gettext("Camera lost"),
  camera_blind: gettext("Camera blind"),
  stopped: gettext("Stopped"),
  waiting: gettext("No connection"),
};
const STATES = {
  running: gettext("running"),
  finished: gettext("finished"),
  reconnecting: gettext("reconnecting"),
  failed: gettext("failed"),
  lost: gettext("lost"),
  frozen: gettext("frozen"),
  dark: gettext("dark"),
  overexposed: gettext("overexposed"),
  covered: gettext("covered"),
  blurred: gettext("blurred"),
};
const GATES = {
  pass: (part) => gettext("Gate closed: part %(part)s", { part }),
  reject: (part) => gettext("Gate open: part %(part)s", { part }),
  stop: (part) => gettext("Line stopped: part %(part)s", { part }),
};
const CHECKS = {
  running: ({ by }) => gettext("… a check of the line runs, begun by %(by)s", { by }),
  passed: ({ by, at }) => gettext("✓ check passed on %(time)s (%(by)s)", { time: fullTime.format(new Date(at)), by }),
  failed: ({ reason }) => gettext("✕ check failed: %(reason)s", { reason }),
};
const DUE = {
  never: () => gettext("Not ready: a check is due, and none has passed so far"),
  failed: (time) => gettext("Not ready: a check is due, because the last one failed: %(time)s", { time }),
  shift: (time) => gettext("Not ready: a check is due since %(time)s: a shift began", { time }),
  change: (time) => gettext("Not ready: a check is due since %(time)s: the model or the recipe changed", { time }),
  expired: (time) => gettext("Not ready: a check is due since %(time)s: the last one is too old", { time }),
};
const PARTIES = {
  camera: {
    none: gettext("no camera"),
    lost: (count) => ngettext("%(num)s camera lost or blind", "%(num)s cameras lost or blind", count),
    healthy: (count) => ngettext("%(num)s camera", "%(num)s cameras", count),
  },
  worker: {
    none: gettext("no worker"),
    lost: (count) => ngettext("%(num)s worker lost", "%(num)s workers lost", count),
    healthy: (count) => ngettext("%(num)s worker", "%(num)s workers", count),
  },
};
const SHOTS = 9; // the newest is large, the others are in a strip
const HERO_HOLDS_MS = 1500; // shorter is too short to look at an image
const SKEW_SECONDS = 5; // of a camera's clock: less is not shown
const SILENCE_MS = 7000; // without an event: the page shows that it is not up to date
const RATES_EVERY_MS = 5000;
const IMAGES_EVERY_MS = 1000;
const SLOWEST = 0.8; // of the captured frames per second: fewer inspected ones can't keep up
const SOUND_EVERY_MS = 2000;
const kiosk = new URLSearchParams(location.search).get("kiosk"); // a line, or "" for all of them; null: the usual page

const zone = document.getElementById("clock").dataset.zone;
const clockTime = timeFormat({ timeStyle: "medium" }, zone);
const fullTime = timeFormat({ dateStyle: "medium", timeStyle: "long" }, zone);

const formats = {
  count: number,
  decimal: (value) => decimal(value),
  duration: (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${decimal(ms / 1000)} s`),
};

const sections = new Map(); // by name: the section of a line, its last event, and its NG frames
const models = new Map(); // by recipe/version: a promise of the labels by name
let lastEventAt = 0;
let serverAhead = 0; // ms

const element = (id) => document.getElementById(id);
const now = () => Date.now() + serverAhead;

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function ageOf(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return gettext("%(days)s d", { days: Math.floor(seconds / 86400) });
}

const ago = (moment) => gettext("%(time)s ago", { time: ageOf(Math.max(0, (now() - Date.parse(moment)) / 1000)) });

function showTime(time, moment, format = clockTime) {
  time.dateTime = moment;
  time.title = fullTime.format(new Date(moment));
  write(time, format.format(new Date(moment)));
}

async function get(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function labelsOf(recipe, version) {
  const key = `${recipe}/versions/${version}`;
  if (!models.has(key)) {
    const labels = get(`/api/models/${key}`).then((model) =>
      Object.assign(new Map(model.labels.map((label) => [label.name, label])), { exclusive: model.task === "exclusive", name: model.name }));
    models.set(key, labels.catch(() => new Map()));
  }
  return models.get(key);
}

// a defect says more than the missing label "good"
function faultsOf(frame, labels) {
  const named = frame.faults.filter((label) => labels.get(label)?.role !== "quality");
  return named.length > 0 ? named : frame.faults;
}

const nameOf = (label, labels) => (labels.get(label)?.role === "quality" && !labels.exclusive ? gettext("not %(label)s", { label }) : label);

function chip(label, labels) {
  const made = document.createElement("span");
  made.className = "chip";
  made.textContent = nameOf(label, labels);
  made.style.setProperty("--colour", labels.get(label)?.colour ?? "var(--muted)");
  return made;
}

// ── lines ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function sectionOf(name) {
  if (!sections.has(name)) sections.set(name, addSection(name));
  return sections.get(name);
}

function addSection(name) {
  const section = element("line-template").content.cloneNode(true).querySelector("section");
  section.id = `line-${name}`;
  section.hidden = Boolean(kiosk) && kiosk !== name;
  section.querySelector("h1").id = `title-${name}`;
  section.setAttribute("aria-labelledby", `title-${name}`);
  for (const link of section.querySelectorAll("[data-path]")) link.href = link.dataset.path + encodeURIComponent(name) + (link.dataset.end ?? "");
  const after = [...sections.keys()].filter((other) => other < name).length;
  element("lines").insertBefore(section, element("lines").children[after] ?? null);
  element("empty").hidden = true;
  const panel = { name, section, line: null, shots: [], heroAt: 0 };
  get(`/api/frames?line=${name}&verdict=ng&limit=${SHOTS}`).then((page) => page.frames.forEach((frame) => addShot(panel, frame)));
  refreshRates(panel);
  return panel;
}

function showLine(line) {
  const panel = sectionOf(line.line);
  const changed = panel.line?.state !== line.state;
  panel.line = line;
  if (changed) {
    const ofFrame = ["ok", "ng", "behind"].includes(line.state) && line.last_frame; // the time of what was seen
    showTime(panel.section.querySelector("[data-since]"), ofFrame ? line.last_frame.captured_at : new Date(now()).toISOString());
  }
  showState(panel, line.state);
  if (line.recipe) labelsOf(line.recipe, line.model_version).then((labels) => {
    panel.section.dataset.task = labels.exclusive ? "exclusive" : "multi-label";
    showState(panel, panel.section.dataset.state);
    if (panel.line.model_version !== line.model_version) return; // another model began to inspect meanwhile
    write(panel.section.querySelector("[data-model]"), labels.name ? `${line.model_version} (${labels.name})` : line.model_version);
  });
  else write(panel.section.querySelector("[data-model]"), "–");
  for (const node of panel.section.querySelectorAll("[data-field]")) {
    const value = node.dataset.field.split(".").reduce((of, name) => of?.[name], line);
    write(node, value === null || value === undefined ? "–" : (formats[node.dataset.format] ?? String)(value));
  }
  for (const row of panel.section.querySelectorAll(".alarming")) {
    row.classList.toggle("alarm", (Number(row.querySelector("dd").textContent.replace(/\D/g, "")) || 0) > 0);
  }
  for (const row of panel.section.querySelectorAll("[data-triggers]")) row.hidden = !line.accounting.triggers;
  showGateway(panel.section.querySelector("[data-gateway]"), line);
  showDue(panel.section.querySelector("[data-due]"), line.gateway?.due_check);
  showParts(panel.section.querySelector("[data-parts]"), line);
  showLimits(panel, line);
  showCameras(panel, line.cameras);
  showVital(panel, "cameras", line.cameras.filter((camera) => camera.state !== "finished"), "camera");
  showVital(panel, "workers", element("workers").reported ?? [], "worker");
  showOverview();
}

// the counts of parts, and a drawn gate that stands as the last decision says
function showParts(place, line) {
  place.hidden = !line.accounting.parts;
  const last = line.last_part;
  if (!last) return;
  const gate = place.querySelector(".gate");
  gate.dataset.action = last.action;
  write(place.querySelector("[data-gate-title]"), GATES[last.action](last.part));
}

function showGateway(place, line) {
  place.hidden = !line.gateway;
  if (!line.gateway) return;
  const { online, lost, reason, outputs, check } = line.gateway;
  const state = lost ? gettext("▲ the gateway has sent no report for too long") : online ? gettext("● online") : gettext("▲ not online: %(reason)s", { reason });
  write(place.querySelector("[data-gateway-state]"), state);
  const checked = place.querySelector("[data-check]");
  checked.hidden = !check;
  if (check) write(checked, CHECKS[check.state](check));
  fill(place.querySelector("[data-outputs]"), outputs, (output) => [
    `${output.name} (${output.type})`,
    health(output.failing ? "failed" : "running", output.last_error),
    number(output.sent),
    number(output.missed),
    number(output.waiting),
    output.last_error,
    testButton(place, line.line, output.name),
  ]);
}

// the check that is due, with the way to it
function showDue(place, due) {
  place.hidden = !due;
  if (due) write(place.querySelector("a"), `▲ ${DUE[due.cause](due.since && fullTime.format(new Date(due.since)))}`);
}

function testButton(place, line, output) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = gettext("Test");
  made.title = gettext("Send a signal that is marked as a test through %(output)s", { output });
  made.addEventListener("click", async () => {
    const answer = await fetch(`/api/lines/${line}/outputs/${output}/tests`, { method: "POST" });
    const result = await answer.json();
    write(place.querySelector("[data-tested]"), answer.ok ? gettext("%(output)s: %(test)s is on its way", { output, test: result.test_id }) : `▲ ${result.detail}`);
  });
  return made;
}

// red beyond the limits: the latency, and a rate that does not keep up with the cameras
function showLimits(panel, line) {
  const captured = line.cameras.filter((camera) => camera.state === "running").reduce((sum, camera) => sum + camera.frames_per_second, 0);
  const slow = captured > 0 && line.frames_per_second < SLOWEST * captured && line.accounting.in_flight > 2 * captured;
  const late = line.behind_seconds !== null || line.latency_ms > 1000 * line.latency_limit_seconds;
  panel.section.querySelector("[data-limit=rate]").classList.toggle("alarm", slow);
  panel.section.querySelector("[data-limit=latency]").classList.toggle("alarm", late);
}

// how many there are, or how many of them are lost
function showVital(panel, name, parties, noun) {
  const lost = parties.filter((party) => party.lost || ["reconnecting", "failed"].includes(party.state) || (party.sight ?? "clear") !== "clear").length;
  const count = lost || parties.length;
  const place = panel.section.querySelector(`[data-vital=${name}]`);
  place.dataset.healthy = lost === 0 && parties.length > 0 ? "yes" : "no";
  const { none, lost: inTrouble, healthy } = PARTIES[noun];
  write(place, parties.length === 0 ? `▲ ${none}` : lost ? `▲ ${inTrouble(count)}` : `● ${healthy(count)}`);
}

function titleOf(panel, state) {
  const behind = panel.line?.behind_seconds;
  if (state === "behind" && behind) return gettext("Behind by %(time)s", { time: ageOf(behind) });
  if (panel.section.dataset.task !== "exclusive" || !["ok", "ng"].includes(state)) return TITLES[state];
  return (state === "ng" ? panel.line.reason : panel.line.last_frame?.present[0]) ?? TITLES[state];
}

function showState(panel, state) {
  write(panel.section.querySelector("[data-title]"), titleOf(panel, state));
  if (panel.section.dataset.state === state) return;
  panel.section.dataset.state = state;
}

function showCameras(panel, cameras) {
  fill(panel.section.querySelector("[data-cameras]"), cameras, (camera) => [
    camera.camera,
    health(camera.lost ? "lost" : camera.state === "running" && camera.sight !== "clear" ? camera.sight : camera.state, camera.reason),
    decimal(camera.frames_per_second),
    number(camera.captured),
    number(camera.unreadable),
    number(camera.waiting),
    [ago(camera.received_at), skew(camera)].filter(Boolean).join(" · "),
  ]);
}

function skew(camera) {
  const seconds = Math.round(camera.clock_skew_seconds);
  if (Math.abs(seconds) < SKEW_SECONDS) return "";
  const off = { seconds: number(Math.abs(seconds)) };
  return seconds > 0 ? gettext("▲ its clock is %(seconds)s s ahead", off) : gettext("▲ its clock is %(seconds)s s behind", off);
}

function showWorkers(workers) {
  element("workers").hidden = workers.length === 0;
  fill(element("workers").querySelector("tbody"), workers, (worker) => [
    worker.service,
    worker.host || "–",
    worker.worker.replace(`${worker.host}-`, ""),
    health(worker.lost ? "lost" : worker.reason || "running", ""),
    modelOf(worker),
    decimal(worker.lost ? 0 : worker.messages_per_second),
    number(worker.handled),
    worker.started_at && !worker.lost ? ageOf((now() - Date.parse(worker.started_at)) / 1000) : "–",
    ago(worker.received_at),
  ]);
  element("workers").reported = workers;
  for (const panel of sections.values()) showVital(panel, "workers", workers, "worker");
}

function modelOf(worker) {
  if (!worker.model_version) return "–";
  const text = worker.recipe ? `${worker.recipe} ${worker.model_version}` : worker.model_version;
  if (!worker.recipe) return text;
  const path = [worker.recipe, worker.model_version].map(encodeURIComponent).join("/");
  return Object.assign(document.createElement("a"), { href: `/models/${path}`, textContent: text });
}

function health(state, reason) {
  const marks = { running: "●", finished: "■" };
  const made = document.createElement("span");
  made.className = `health ${state === "running" || state === "finished" ? state : "lost"}`;
  made.textContent = `${marks[state] ?? "▲"} ${STATES[state] ?? state}`;
  made.title = reason;
  return made;
}

function fill(body, entries, cellsOf) {
  while (body.rows.length > entries.length) body.deleteRow(-1);
  entries.forEach((entry, index) => {
    const cells = cellsOf(entry);
    const row = body.rows[index] ?? body.insertRow();
    while (row.cells.length < cells.length) row.insertCell();
    cells.forEach((cell, column) => {
      const place = row.cells[column];
      if (typeof cell === "string") write(place, cell);
      else if (place.textContent !== cell.textContent) place.replaceChildren(cell);
      place.className = body.closest("table").tHead.rows[0].cells[column].className;
    });
  });
}

function showOverview() {
  const overview = element("overview");
  overview.hidden = sections.size < 2;
  const names = [...sections.keys()].sort();
  names.forEach((name, index) => {
    const item = overview.children[index] ?? overview.appendChild(document.createElement("li"));
    const link = item.firstChild ?? item.appendChild(document.createElement("a"));
    const state = sections.get(name).section.dataset.state;
    link.href = `#line-${name}`;
    link.dataset.state = state;
    write(link, `${name}: ${titleOf(sections.get(name), state)}`);
  });
}

// ── frames ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function addShot(panel, frame) {
  if (frame.verdict !== "ng") return;
  const others = panel.shots.filter((shot) => shot.frame_id !== frame.frame_id);
  panel.shots = [...others, frame]
    .sort((one, other) => Date.parse(other.captured_at) - Date.parse(one.captured_at))
    .slice(0, SHOTS);
  showShots(panel);
}

function showShots(panel) {
  if (panel.shots.length === 0) return;
  const shown = panel.section.querySelector("[data-hero]").dataset.frame;
  const wait = panel.heroAt + HERO_HOLDS_MS - Date.now();
  if (shown && shown !== panel.shots[0].frame_id && wait > 0) {
    clearTimeout(panel.later);
    panel.later = setTimeout(() => showShots(panel), wait);
    const held = panel.shots.find((shot) => shot.frame_id === shown);
    if (held) showHero(panel, held);
    return;
  }
  if (shown !== panel.shots[0].frame_id) panel.heroAt = Date.now();
  showHero(panel, panel.shots[0]);
  showStrip(panel, panel.shots.slice(1));
}

const imageOf = (frame) => frame.overlay_url ?? frame.image_url;

function show(image, frame) {
  const url = imageOf(frame);
  if (image.getAttribute("src") === url) return;
  image.classList.toggle("missing", !url);
  image.onerror = () => image.classList.add("missing");
  image.onload = () => image.classList.remove("missing");
  image.src = url ?? "";
  image.alt = gettext("Frame with %(faults)s", { faults: frame.faults.join(", ") });
}

async function showHero(panel, frame) {
  const hero = panel.section.querySelector("[data-hero]");
  panel.hero = frame;
  const labels = await labelsOf(frame.recipe, frame.model_version);
  if (panel.hero !== frame) return; // a newer one is shown meanwhile
  hero.hidden = false;
  panel.section.querySelector("[data-none]").hidden = true;
  hero.dataset.frame = frame.frame_id;
  hero.href = `/frames/${frame.frame_id}`;
  show(hero.querySelector("[data-image]"), frame);
  hero.querySelector("[data-chips]").replaceChildren(...faultsOf(frame, labels).map((label) => chip(label, labels)));
  showTime(hero.querySelector("[data-time]"), frame.captured_at);
  hero.querySelector("[data-ago]").dataset.of = frame.captured_at;
  write(hero.querySelector("[data-ago]"), ago(frame.captured_at));
  hero.querySelector("[data-explained]").hidden = frame.explained;
}

async function showStrip(panel, frames) {
  const strip = panel.section.querySelector("[data-strip]");
  for (const [index, frame] of frames.entries()) {
    const labels = await labelsOf(frame.recipe, frame.model_version);
    const item = strip.children[index] ?? strip.appendChild(element("shot-template").content.cloneNode(true).firstElementChild);
    const link = item.querySelector("a");
    link.href = `/frames/${frame.frame_id}`;
    show(item.querySelector("img"), frame);
    item.querySelector(".chips").replaceChildren(...faultsOf(frame, labels).map((label) => chip(label, labels)));
    showTime(item.querySelector("time"), frame.captured_at);
  }
}

function showFrame(frame) {
  addShot(sectionOf(frame.line), frame);
  soundFor(frame);
}

// ── the current images ─────────────────────────────────────────────────────────────────────────────────────────────

async function refreshImages(panel) {
  const cameras = (panel.line?.cameras ?? []).map((camera) => camera.camera);
  if (document.hidden || panel.section.hidden || panel.loading) return;
  panel.loading = true;
  try {
    await Promise.all(cameras.map((camera) => refreshImage(panel, camera)));
  } finally {
    panel.loading = false;
  }
}

async function refreshImage(panel, camera) {
  const answer = await fetch(`/api/lines/${panel.name}/cameras/${camera}/image`);
  if (!answer.ok) return; // the camera has sent no frame yet
  const list = panel.section.querySelector("[data-live]");
  let item = [...list.children].find((each) => each.dataset.camera === camera);
  if (!item) {
    item = element("live-template").content.cloneNode(true).firstElementChild;
    item.dataset.camera = camera;
    item.querySelector("[data-camera]").textContent = camera;
    list.insertBefore(item, [...list.children].find((each) => each.dataset.camera > camera) ?? null);
    panel.section.querySelector("[data-no-image]").hidden = true;
  }
  const frame = answer.headers.get("Frame-Id");
  if (item.dataset.frame === frame) return;
  const image = await createImageBitmap(await answer.blob()).catch(() => null);
  if (!image) return;
  const canvas = item.querySelector("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d").drawImage(image, 0, 0);
  image.close();
  item.dataset.frame = frame;
  item.dataset.verdict = answer.headers.get("Verdict");
  const reason = decodeURIComponent(answer.headers.get("Reason"));
  canvas.setAttribute("aria-label", gettext("Image of %(camera)s: %(reason)s", { camera, reason }));
  write(item.querySelector("strong"), item.dataset.verdict === "ok" ? `✓ ${TITLES.ok}` : `${item.dataset.verdict === "ng" ? "✕" : "▲"} ${reason}`);
  showTime(item.querySelector("time"), answer.headers.get("Captured-At"));
}

// ── the wall: full screen, with a sound on NG ──────────────────────────────────────────────────────────────────────

let audio = null;
let soundedAt = 0;

function turnSound() {
  audio ??= new AudioContext();
  const on = element("sound").getAttribute("aria-pressed") !== "true";
  if (on) audio.resume();
  element("sound").setAttribute("aria-pressed", String(on));
  element("sound").textContent = on ? gettext("Turn sound off") : gettext("Turn sound on");
}

function soundFor(frame) {
  const wanted = element("sound").getAttribute("aria-pressed") === "true" && !sectionOf(frame.line).section.hidden;
  if (!wanted || frame.verdict !== "ng" || frame.explained || Date.now() - soundedAt < SOUND_EVERY_MS) return;
  soundedAt = Date.now();
  const [tone, volume] = [audio.createOscillator(), audio.createGain()];
  tone.frequency.value = 880;
  volume.gain.value = 0.3;
  tone.connect(volume).connect(audio.destination);
  tone.start();
  tone.stop(audio.currentTime + 0.4);
  document.body.dataset.sounded = frame.frame_id;
}

element("sound").addEventListener("click", turnSound);
if (kiosk !== null) document.body.classList.add("kiosk");

// ── rates ──────────────────────────────────────────────────────────────────────────────────────────────────────────

async function refreshRates(panel) {
  const rates = await get(`/api/lines/${panel.name}/rates?step=minute`);
  const labels = panel.line?.recipe ? await labelsOf(panel.line.recipe, panel.line.model_version) : new Map();
  const all = Object.entries(rates.total.labels).filter(([, label]) => label.fault_rate);
  const hasFaults = [...labels.values()].some((label) => label.role === "defect" || label.expected !== null);
  const entries = labels.exclusive
    ? all.map(([name, label]) => ({ name, rate: label.presence_rate, count: label.present, of: label.scored }))
    : all.filter(([name, label]) => canBeFault(labels.get(name), label.faults)).map(([name, label]) => ({ name, rate: label.fault_rate, count: label.faults, of: label.scored }));
  const most = Math.max(0.01, rates.total.defect_rate?.high ?? 0, ...entries.map(({ rate }) => rate.high));
  const rows = entries.map(({ name, rate, count, of }) => [
    chip(name, labels),
    bar(rate, most, labels.get(name)?.colour),
    percent(rate.value),
    gettext("%(count)s of %(total)s", { count: number(count), total: number(of) }),
  ]);
  write(panel.section.querySelector("[data-rates-title]"), labels.exclusive ? gettext("Classes over the last hour") : gettext("Defect rate over the last hour"));
  fillRates(panel.section.querySelector("[data-rates]"), rows);
  panel.section.querySelector(".rates tfoot").hidden = Boolean(labels.exclusive) && !hasFaults;
  showTotal(panel.section, rates.total, most);
  if (rates.buckets.length > 0) await refreshChart(panel);
}

// an attribute without an expected value is never a fault; what is unlike anything good is one only by some recipes
const canBeFault = (label, faults) => (label?.role === "anomaly" ? faults > 0 : label?.role !== "attribute" || label.expected !== null);

function fillRates(body, rows) {
  const made = rows.map((cells) => {
    const row = document.createElement("tr");
    cells.forEach((cell, column) => {
      const place = row.appendChild(document.createElement(column === 0 ? "th" : "td"));
      place.append(cell);
      if (column > 1) place.className = "number";
    });
    return row;
  });
  body.replaceChildren(...made);
}

function showTotal(section, total, most) {
  if (!total.defect_rate) return;
  section.querySelector("[data-bar-total]").replaceChildren(bar(total.defect_rate, most, "var(--ink)"));
  write(section.querySelector("[data-rate-total]"), percent(total.defect_rate.value));
  write(section.querySelector("[data-frames-total]"), gettext("%(count)s of %(total)s", { count: number(total.ng), total: number(total.ok + total.ng) }));
}

function bar(rate, most, colour) {
  const made = document.createElement("span");
  made.className = "rate";
  made.style.setProperty("--value", rate.value / most);
  made.style.setProperty("--low", rate.low / most);
  made.style.setProperty("--high", rate.high / most);
  made.style.setProperty("--colour", colour ?? "var(--muted)");
  made.title = gettext("%(low)s to %(high)s", { low: percent(rate.low), high: percent(rate.high) });
  return made;
}

async function refreshChart(panel) {
  const answer = await fetch(`/lines/${panel.name}/chart`);
  if (answer.ok) panel.section.querySelector("[data-chart]").innerHTML = await answer.text();
}

// ── the stream ─────────────────────────────────────────────────────────────────────────────────────────────────────

const LINKS = { live: gettext("Live"), waiting: gettext("Connecting…"), lost: gettext("Offline: not up to date") };

function showLink(state) {
  if (element("link").dataset.link === state) return;
  element("link").dataset.link = state;
  write(element("link").querySelector("span"), LINKS[state]);
  document.body.classList.toggle("stale", state === "lost");
  for (const panel of sections.values()) {
    if (state === "lost") showState(panel, "waiting");
    else if (panel.line) showState(panel, panel.line.state);
  }
  showOverview();
}

function showAway(missing) {
  const made = missing.map((text) => {
    const line = document.createElement("p");
    line.className = "warning";
    line.textContent = `▲ ${text}`;
    return line;
  });
  if (element("away").textContent !== made.map((line) => line.textContent).join("")) element("away").replaceChildren(...made);
}

function listen() {
  const stream = new EventSource("/api/events");
  const on = (event, act) =>
    stream.addEventListener(event, (message) => {
      lastEventAt = Date.now();
      act(JSON.parse(message.data));
      showLink("live");
    });
  stream.addEventListener("away", (message) => showAway(JSON.parse(message.data))); // no event of a line, so no sign of life
  on("beat", (beat) => { serverAhead = Date.parse(beat.at) - Date.now(); });
  on("line", showLine);
  on("frame", showFrame);
  on("workers", showWorkers);
  on("model", () => models.clear());
  stream.onerror = () => {
    if (stream.readyState !== EventSource.CLOSED) return; // the browser connects again
    fetch("/api/session").then((answer) => {
      if (answer.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
      else setTimeout(listen, 3000);
    }, () => setTimeout(listen, 3000));
  };
}

function everySecond() {
  write(element("clock"), clockTime.format(new Date(now())));
  if (lastEventAt && Date.now() - lastEventAt > SILENCE_MS) showLink("lost");
  for (const node of document.querySelectorAll("[data-ago][data-of]")) write(node, ago(node.dataset.of));
  for (const panel of sections.values()) if (panel.line) showCameras(panel, panel.line.cameras);
  if (element("workers").reported) showWorkers(element("workers").reported);
}

listen();
everySecond();
setInterval(everySecond, 1000);
setInterval(() => sections.forEach((panel) => refreshRates(panel).catch(() => {})), RATES_EVERY_MS);
setInterval(() => sections.forEach((panel) => refreshImages(panel).catch(() => {})), IMAGES_EVERY_MS);
