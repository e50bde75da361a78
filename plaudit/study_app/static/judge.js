// The judging screen. A key press shows the next comparison at once, from two held in advance;
// the answer goes into an outbox that survives a reload and a lost connection, and is sent in
// order. Every answer has a key of its own, so sending it twice stores it once.

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;
const root = meta("root");
const $ = (id) => document.getElementById(id);
const main = $("main");
const me = main.dataset.me;

const IDLE = 30_000; // without input for so long, nobody is reading
const DOUBLE_PRESS = 250; // a second press so soon was not meant for the next comparison
const HEARTBEAT = 60_000;
const WORDS = { left: "A is better", right: "B is better", tie: "equal", both_bad: "both bad", skip: "skipped" };

const state = {
  items: [], // comparisons held, the first one on the screen
  past: [], // comparisons answered here, for an undo without waiting
  editing: null, // {number, item} while an earlier judgment is changed
  choice: null, // graded mode: the button chosen
  report: "",
  mode: main.dataset.mode,
  shortcuts: main.dataset.shortcuts === "on",
  shownAt: 0, active: 0, lastTick: 0, lastInput: Date.now(), firstInput: null,
};

// ---------------------------------------------------------------- the server

async function post(path, body) {
  const response = await fetch(root + path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-csrf-token": meta("csrf") },
    body: JSON.stringify(body),
    keepalive: true,
  });
  const data = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(data.error || `status ${response.status}`), { status: response.status });
  return data;
}

const newKey = () => crypto.randomUUID ? crypto.randomUUID() : Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16).padStart(8, "0")).join("");

// The outbox belongs to a person: another one at this browser sends their own only.
const outbox = {
  name: `plaudit-outbox-${me}`,
  sending: false,
  wait: 0,
  read() {
    if (this.memory) return this.memory;
    try { return JSON.parse(localStorage.getItem(this.name)) || []; } catch { return []; }
  },
  write(entries) {
    try { localStorage.setItem(this.name, JSON.stringify(entries)); this.memory = null; } catch { this.memory = entries; }
  },
  add(path, body) {
    this.write([...this.read(), { path, body }]);
    this.send();
  },
  async send() {
    if (this.sending) return;
    this.sending = true;
    try {
      for (let entries = this.read(); entries.length; entries = this.read()) {
        const { path, body } = entries[0];
        try {
          answered(await post(path, body), body);
        } catch (error) {
          if (error.status === 401 || error.status === 403) return signedOut(entries.length);
          if (![400, 409, 422].includes(error.status)) return this.later(entries.length);
          say(`Not stored: ${error.message}`);
        }
        this.write(this.read().filter((entry) => entry.body.key !== body.key)); // another tab may have taken it off
        this.wait = 0;
        connection("");
      }
    } finally {
      this.sending = false;
    }
  },
  later(count) {
    connection(`Offline: ${count} kept here, sent when the connection is back`);
    this.wait = Math.min(15_000, this.wait ? this.wait * 2 : 500);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), this.wait);
  },
};

function signedOut(count) {
  connection(`Signed out: ${count} kept here. Sign in again in another tab, then reload`);
}

function answered(data, body) {
  if (data.items) take(data.items);
  if (data.item !== undefined) putBack(data.item);
  if (data.progress) progress(data.progress);
  if (data.guideline && data.guideline > Number(main.dataset.guideline)) say("The guideline has changed: reload to read it");
  return body;
}

// Comparisons that the outbox still answers are not shown again.
function take(items) {
  const known = new Set([...state.items, ...state.past].map((item) => item.token));
  for (const { body } of outbox.read()) known.add(body.token);
  const fresh = items.filter((item) => !known.has(item.token));
  const empty = !state.items.length;
  state.items.push(...fresh);
  if (empty) show();
}

// After an undo of something this page has not answered itself, such as before a reload.
function putBack(item) {
  if (!item) return say("There is nothing to undo");
  if (state.items.some((held) => held.token === item.token)) return;
  state.items.unshift(item);
  show();
}

async function fetchNext() {
  try {
    const data = await post("/api/next", { held: state.items.map((held) => held.token) });
    answered(data);
    connection("");
    if (!state.items.length) show();
  } catch (error) {
    if (error.status === 401) return signedOut(outbox.read().length);
    connection("Offline: trying again");
  }
}

// ---------------------------------------------------------------- the screen

const current = () => state.editing?.item ?? state.items[0];

function messages(list) {
  return list.map((message) => `<div class="message ${message.role}"><span class="role">${message.role}</span>${message.html}</div>`).join("");
}

function show() {
  const item = current();
  $("empty").hidden = Boolean(item);
  for (const id of ["prompt", "responses", "bar"]) $(id).hidden = !item;
  if (!item) return;
  for (const side of ["prompt", "left", "right"]) {
    $(side).innerHTML = messages(item[side]);
    $(side).scrollTop = 0;
  }
  if ($("diff").getAttribute("aria-pressed") === "true") markDifferences();
  $("prompt").scrollTop = $("prompt").scrollHeight; // the newest message
  clear();
}

function clear() {
  Object.assign(state, { choice: null, report: "", shownAt: performance.now(), active: 0, lastTick: performance.now(), firstInput: null });
  $("note").value = "";
  for (const chip of $("bar").querySelectorAll(".chip")) chip.setAttribute("aria-pressed", "false");
  for (const level of $("graded").querySelectorAll(".level")) level.setAttribute("aria-pressed", "false");
  $("submit").disabled = true;
}

function progress({ judged, percent }) {
  $("progress").textContent = `${judged} judged by you · the study is ${percent} % done`;
}

function connection(text) {
  badge.connection = text;
  showBadge();
}

// What stays on the screen until it is over: no connection, or an earlier judgment being changed.
const badge = { connection: "", editing: "" };
function showBadge() {
  const text = badge.connection || badge.editing;
  $("connection").hidden = !text;
  $("connection").textContent = text;
}

let sayTimer;
function say(text) {
  $("said").textContent = text;
  $("said").hidden = false;
  clearTimeout(sayTimer);
  sayTimer = setTimeout(() => { $("said").hidden = true; }, 5000);
}

function setMode(mode) {
  state.mode = mode;
  $("fast").hidden = mode !== "fast";
  $("graded").hidden = mode !== "graded";
  $("mode-name").textContent = mode === "fast" ? "Graded" : "Fast";
}

// ---------------------------------------------------------------- time

function tick() {
  const now = performance.now();
  const reading = document.hasFocus() && !document.hidden && Date.now() - state.lastInput < IDLE;
  if (reading) state.active += now - state.lastTick;
  state.lastTick = now;
}
setInterval(tick, 500);
for (const kind of ["pointerdown", "pointermove", "keydown", "wheel", "touchstart", "scroll"]) {
  addEventListener(kind, () => {
    tick();
    state.lastInput = Date.now();
    if (state.firstInput === null) state.firstInput = performance.now() - state.shownAt;
  }, { passive: true, capture: true });
}

// ---------------------------------------------------------------- answers

function answer(value, strength = null, extra = {}) {
  const item = current();
  if (!item || performance.now() - state.shownAt < DOUBLE_PRESS) return;
  tick();
  const body = {
    key: newKey(),
    answer: value,
    strength,
    reasons: [...$("bar").querySelectorAll('.chip[aria-pressed="true"]')].map((chip) => chip.dataset.reason),
    rationale: $("note").value.trim(),
    report: state.report,
    active_ms: Math.round(state.active),
    wall_ms: Math.round(performance.now() - state.shownAt),
    first_input_ms: state.firstInput === null ? null : Math.max(0, Math.round(state.firstInput)),
    guideline: Number(main.dataset.guideline) || null,
    ...extra,
  };
  const path = state.editing ? `/api/judgments/${state.editing.number}` : "/api/votes";
  if (state.editing) {
    state.editing = null;
    badge.editing = "";
    showBadge();
    say(`Changed: ${WORDS[value]}`);
  } else {
    body.token = item.token;
    state.past = [...state.past, state.items.shift()].slice(-10);
    body.held = state.items.map((held) => held.token);
    say(outbox.wait || !navigator.onLine ? `Kept here: ${WORDS[value]}. U undoes it` : `Saved: ${WORDS[value]}. U undoes it`);
  }
  show();
  outbox.add(path, body);
}

function undo() {
  if (state.editing) return leaveEditing();
  const item = state.past.pop();
  if (item) {
    state.items.unshift(item);
    show();
    say("Undone");
  }
  outbox.add("/api/undo", { key: newKey(), token: item?.token ?? null });
}

function choose(button) {
  state.choice = button;
  for (const level of $("graded").querySelectorAll(".level")) level.setAttribute("aria-pressed", String(level === button));
  $("submit").disabled = false;
}

function move(step) {
  const levels = [...$("graded").querySelectorAll(".level")].slice(0, 7);
  const at = levels.indexOf(state.choice);
  choose(levels[at < 0 ? 3 + step : Math.max(0, Math.min(6, at + step))]);
}

function submit() {
  if (!state.choice) return;
  const { answer: value, strength } = state.choice.dataset;
  answer(value, strength ? Number(strength) : null);
}

// Asks for a reason or a text in a dialog; gives {chip, text}, or null when it was cancelled.
function ask(title, label, chips, required) {
  $("ask-title").textContent = title;
  $("ask-label").textContent = label;
  $("ask-text").value = "";
  $("ask-chips").replaceChildren(...chips.map((words, index) => {
    const chip = document.createElement("button");
    Object.assign(chip, { type: "button", className: "chip", textContent: words });
    chip.setAttribute("aria-pressed", String(index === 0 && required));
    chip.addEventListener("click", () => {
      for (const other of $("ask-chips").children) other.setAttribute("aria-pressed", String(other === chip));
    });
    return chip;
  }));
  $("ask").returnValue = "cancel";
  $("ask").showModal();
  (chips.length ? $("ask-ok") : $("ask-text")).focus();
  return new Promise((resolve) => {
    $("ask").addEventListener("close", () => {
      const chip = $("ask-chips").querySelector('[aria-pressed="true"]')?.textContent ?? "";
      resolve($("ask").returnValue === "ok" ? { chip, text: $("ask-text").value.trim() } : null);
    }, { once: true });
  });
}

async function skip() {
  const given = await ask("Skip this comparison?", "Say more (optional)", ["cannot judge this", "do not know the subject", "unclear prompt", "both are the same", "harmful"], true);
  if (given) answer("skip", null, { reasons: given.chip ? [given.chip] : [], rationale: given.text });
}

async function report() {
  const given = await ask("Report a problem", "What is wrong? Your report is sent with your judgment", ["harmful", "personal data", "shown wrongly", "not a real question"], false);
  if (given && (given.chip || given.text)) {
    state.report = [given.chip, given.text].filter(Boolean).join(": ");
    say("Your report is sent with your judgment");
  }
}

// ---------------------------------------------------------------- one's own last ten

async function openRecent() {
  await outbox.send();
  const response = await fetch(`${root}/api/recent`).catch(() => null);
  if (!response?.ok) return say("The list cannot be loaded at the moment");
  const { judgments } = await response.json();
  $("recent-list").replaceChildren(...judgments.map((judgment) => {
    const line = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    const answered = document.createElement("strong");
    answered.textContent = WORDS[judgment.answer] + (judgment.strength ? ` (${judgment.strength} of 3)` : "");
    const about = document.createElement("span");
    about.className = "quiet";
    about.textContent = judgment.prompt;
    button.append(answered, about);
    button.addEventListener("click", () => edit(judgment.number));
    line.append(button);
    return line;
  }));
  if (!judgments.length) $("recent-list").textContent = "None yet.";
  $("recent").showModal();
}

async function edit(number) {
  const response = await fetch(`${root}/api/judgments/${number}`).catch(() => null);
  if (!response?.ok) return say("This judgment cannot be loaded at the moment");
  const { judgment, item } = await response.json();
  $("recent").close();
  state.editing = { number, item };
  show();
  $("note").value = judgment.rationale;
  for (const chip of $("bar").querySelectorAll(".chip")) chip.setAttribute("aria-pressed", String(judgment.reasons.includes(chip.dataset.reason)));
  badge.editing = `Changing an earlier judgment (it was: ${WORDS[judgment.answer]}). Esc keeps it as it is`;
  showBadge();
}

function leaveEditing() {
  state.editing = null;
  badge.editing = "";
  showBadge();
  show();
}

// ---------------------------------------------------------------- differences

const plain = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();

// Marks sentences that stand in one response only.
function markDifferences() {
  const whole = { left: ` ${plain($("left").textContent)} `, right: ` ${plain($("right").textContent)} ` };
  for (const [side, other] of [["left", "right"], ["right", "left"]]) {
    const walker = document.createTreeWalker($(side), NodeFilter.SHOW_TEXT, (node) => node.parentElement.closest(".role, math") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
    const nodes = [];
    while (walker.nextNode()) nodes.push(walker.currentNode);
    for (const node of nodes) {
      const parts = node.textContent.match(/[^.!?\n]+[.!?]*\s*|[.!?\n]+\s*/g) ?? [];
      node.replaceWith(...parts.map((part) => {
        const words = plain(part);
        if (!words || whole[other].includes(` ${words} `)) return document.createTextNode(part);
        const mark = document.createElement("mark");
        mark.textContent = part;
        return mark;
      }));
    }
  }
}

function toggleDifferences() {
  const on = $("diff").getAttribute("aria-pressed") !== "true";
  $("diff").setAttribute("aria-pressed", String(on));
  const item = current();
  if (!item) return;
  for (const side of ["left", "right"]) $(side).innerHTML = messages(item[side]);
  if (on) markDifferences();
}

// ---------------------------------------------------------------- keys and buttons

function toggleMode() {
  setMode(state.mode === "fast" ? "graded" : "fast");
  post("/api/preferences", { mode: state.mode }).catch(() => {});
}

const ANYWHERE = {
  u: undo, s: skip, r: report, d: toggleDifferences, m: toggleMode, h: openRecent,
  g: () => $("guideline").showModal(),
  "?": () => $("keys").showModal(),
  n: () => { $("bar").querySelector(".why").classList.add("open"); $("note").focus(); },
};
const FAST = { ArrowLeft: () => answer("left"), ArrowRight: () => answer("right"), ArrowDown: () => answer("tie"), "=": () => answer("tie"), 0: () => answer("both_bad") };
const GRADED = { ArrowLeft: () => move(-1), ArrowRight: () => move(1), Enter: submit };
for (const level of $("graded").querySelectorAll(".level")) GRADED[level.getAttribute("aria-keyshortcuts")] = () => choose(level);

addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && state.editing && !document.querySelector("dialog[open]")) return leaveEditing();
  const typing = event.target.closest("input, textarea, select");
  if (event.target === $("note") && (event.key === "Enter" || event.key === "Escape")) {
    event.preventDefault();
    return $("note").blur();
  }
  if (!state.shortcuts || typing || document.querySelector("dialog[open]")) return;
  // A focused pane scrolls, a focused button is pressed.
  if (event.key === "ArrowDown" && event.target.closest(".response, .prompt")) return;
  if (event.key === "Enter" && event.target.closest("button, a")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const action = (state.mode === "fast" ? FAST : GRADED)[key] ?? ANYWHERE[key];
  if (!action) return;
  event.preventDefault();
  action();
});

for (const button of $("fast").querySelectorAll(".choice")) button.addEventListener("click", () => answer(button.dataset.answer));
for (const button of $("graded").querySelectorAll(".level")) button.addEventListener("click", () => choose(button));
for (const chip of $("bar").querySelectorAll(".chip")) {
  chip.addEventListener("click", () => chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true")));
}
const buttons = { undo, why: () => $("bar").querySelector(".why").classList.toggle("open"), skip, report, diff: toggleDifferences, mode: toggleMode, submit, "open-recent": openRecent, "open-guideline": ANYWHERE.g, "open-keys": ANYWHERE["?"] };
for (const [id, action] of Object.entries(buttons)) $(id).addEventListener("click", () => action());
$("sign-out").addEventListener("click", async () => {
  if (main.dataset.account === "no" && !confirm("You have no account: after signing out you need a new link. Sign out?")) return;
  await outbox.send();
  await post("/api/sign-out", {}).catch(() => {});
  location.assign(`${root}/sign-in`);
});
$("shortcuts").checked = state.shortcuts;
$("shortcuts").addEventListener("change", () => {
  state.shortcuts = $("shortcuts").checked;
  post("/api/preferences", { shortcuts: state.shortcuts }).catch(() => {});
});

addEventListener("online", () => { outbox.wait = 0; outbox.send(); });
setInterval(() => { // holds the leases while someone is there, and looks for new comparisons
  if (!document.hidden && Date.now() - state.lastInput < 5 * HEARTBEAT && state.items.length) fetchNext();
}, HEARTBEAT);
setInterval(() => { if (!document.hidden && !state.items.length && !outbox.read().length) fetchNext(); }, 5000);

setMode(state.mode);
await outbox.send();
await fetchNext();
