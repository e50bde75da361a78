// The judging screen. A key press shows the next comparison at once, from two held in advance;
// the answer goes into the outbox, which says what has become of it.

import { $, banner, get, isPressed, newKey, post, pressed, root, said, setup, status } from "./page.js";
import * as clock from "./clock.js";
import * as dialogs from "./dialogs.js";
import * as outbox from "./outbox.js";
import { actionOf, named, shortcuts } from "./keys.js";
import { NOTHING, chosen, current, paint, place, ranks, setMode, show, showProgress, showTexts, sides, state, submits } from "./screen.js";

const DOUBLE_PRESS = 250; // ms: a second press so soon was not meant for the next comparison
const DOUBLE_TAP = 400;
const HEARTBEAT = 60_000;
let undoneAt = 0, answeredAt = 0;

// ---------------------------------------------------------------- what the server says

outbox.listen({
  answered(data, { path, body }) {
    received(data);
    if (path === "/api/undo") putBack(data);
    if (outbox.isAnswer({ path })) status(path === "/api/undo" ? "Undone" : `Saved: ${said(body)}`, "saved");
  },
  refused(error, { path, body }) {
    if (!outbox.isAnswer({ path })) return;
    status(`Not stored: ${error.message}`, "error");
    state.past = state.past.filter(({ item }) => item.token !== body.token);
    fetchNext(); // what is still open is asked again
  },
  changed(now) {
    const kept = outbox.waiting();
    if (now === "sending") status("Sending…", "sending");
    if (now === "later") status(kept ? `Kept on this device (${kept})` : "No connection", "kept");
  },
  signedOut: dialogs.signInAgain,
  somebodyElse: dialogs.somebodyElse,
});

function received({ items, progress, ended, study }) {
  if (progress) showProgress(progress);
  if (study) followStudy(study);
  if (!items) return;
  state.ended = ended;
  if (ended && ended.why !== "nothing open") state.items = [];
  take(items);
}

// Comparisons that the outbox still answers are not shown again.
function take(items) {
  const known = new Set([...state.items, ...state.past.map(({ item }) => item)].map(({ token }) => token));
  for (const { body } of outbox.entries()) known.add(body.token);
  const shown = current();
  state.items.push(...items.filter(({ token }) => !known.has(token)));
  if (current() !== shown || !shown) show();
}

function followStudy({ mode, guideline }) {
  if (mode !== state.studyMode) {
    state.studyMode = mode;
    setMode(mode);
    status(`The owner has changed the mode to ${mode}`);
  }
  if (guideline > state.guideline) {
    state.guideline = guideline;
    dialogs.readNewGuideline();
  }
}

// After an undo of something that this page has not taken back itself, such as before a reload.
function putBack({ item, judgment }) {
  if (!item) return status("There is nothing to undo");
  if (state.items.some((held) => held.token === item.token)) return undefined;
  state.items.unshift(item);
  show(draftOf(judgment));
  return undefined;
}

const midnight = () => new Date().setHours(0, 0, 0, 0) / 1000;

async function fetchNext() {
  if (setup.preview) return fetchPreview();
  try {
    received(await post("/api/next", { held: state.items.map(({ token }) => token), since: midnight() }));
    if (!outbox.waiting() && $("status").dataset.kind === "kept") status("");
  } catch (error) {
    if (error.status === 401) dialogs.signInAgain();
    else if (!outbox.waiting()) status("No connection: trying again", "kept");
  }
  if (!current()) show();
  return undefined;
}

async function fetchPreview() {
  const after = Number(state.items.at(-1)?.token ?? state.past.at(-1)?.item.token ?? 0);
  const { items } = await get(`/api/preview?after=${after}`).catch(() => ({ items: [] }));
  state.ended = items.length ? null : { why: "nothing open" };
  take(items);
}

// ---------------------------------------------------------------- answers

// The choice itself, or the next row of questions: what a key or a button for a side does.
function pick(answer, strength = null) {
  if (!current() || clock.sinceShown() < DOUBLE_PRESS) return;
  state.choice = { answer, strength };
  if (!submits()) return submit();
  if (setup.criteria.length) state.row = Math.max(state.row, 0);
  paint();
}

function pickCriterion(row, answer) {
  state.criteria[setup.criteria[row]] = answer;
  state.row = Math.min(row + 1, setup.criteria.length - 1);
  paint();
}

function side(answer) {
  if (state.row >= 0 && answer !== "both_bad") pickCriterion(state.row, answer);
  else if (state.mode === "graded" && answer === "left") move(-1);
  else if (state.mode === "graded" && answer === "right") move(1);
  else pick(answer);
}

function move(step) {
  const levels = [...$("graded").querySelectorAll(".level")].slice(0, 7);
  const at = levels.findIndex(isPressed);
  const { answer, strength } = levels[at < 0 ? 3 + step : Math.max(0, Math.min(6, at + step))].dataset;
  state.choice = { answer, strength: Number(strength) || null };
  paint();
}

function submit() {
  if (ranks() && chosen()) answer({ answer: "rank", tiers: state.tiers, reasons: state.reasons, rationale: state.note.trim() });
  else if (!ranks() && state.choice) answer({ ...state.choice, criteria: state.criteria, reasons: state.reasons, rationale: state.note.trim() });
}

async function answer(values) {
  const item = current();
  if (!item || clock.sinceShown() < DOUBLE_PRESS) return;
  const draft = Object.fromEntries(Object.keys(NOTHING).map((name) => [name, state[name]]));
  if (state.practice.length) return practised(values);
  const body = { key: newKey(), ...values, report: state.report, ...clock.times() };
  let path = "/api/votes";
  if (state.editing) {
    path = `/api/judgments/${item.token}`;
    body.version = state.editing.version;
    state.editing = null;
    banner("editing", "");
  } else {
    body.token = item.token;
    state.past = [...state.past, { item: state.items.shift(), draft }].slice(-10);
    body.held = state.items.map(({ token }) => token);
  }
  answeredAt = performance.now();
  show();
  outbox.add(path, body);
  if (setup.preview) {
    status(`Preview: ${said(body)}, not stored`);
    if (state.items.length < 2) fetchPreview();
  }
}

function undo() {
  if (state.editing) return leaveEditing();
  if (state.practice.length || performance.now() - undoneAt < DOUBLE_PRESS) return undefined;
  undoneAt = performance.now();
  const last = state.past.pop();
  if (last) {
    state.items.unshift(last.item);
    show(last.draft);
  }
  if (setup.preview) return status(last ? "Undone" : "There is nothing to undo");
  outbox.add("/api/undo", { key: newKey(), token: last?.item.token ?? null });
  return undefined;
}

const draftOf = (judgment) => !judgment || judgment.answer === "skip" ? NOTHING : {
  choice: { answer: judgment.answer, strength: judgment.strength }, tiers: judgment.tiers,
  criteria: judgment.criteria, reasons: judgment.reasons, note: judgment.rationale, report: judgment.report,
};

async function skip() {
  if (state.practice.length) return;
  const given = await dialogs.ask("Skip this comparison?", "Say more (optional)", ["cannot judge this", "do not know the subject", "unclear prompt", "both are the same", "harmful"], true);
  if (given) answer({ answer: "skip", strength: null, reasons: given.chip ? [given.chip] : [], rationale: given.text });
}

async function report() {
  const given = await dialogs.ask("Report a problem", "What is wrong? Your report is sent with your judgment", ["harmful", "personal data", "shown wrongly", "not a real question"], false);
  if (!given || !(given.chip || given.text)) return;
  state.report = [given.chip, given.text].filter(Boolean).join(": ");
  status("Your report is sent with your judgment");
  paint();
}

async function openRecent() {
  if (setup.preview) return;
  const found = await dialogs.chooseRecent().catch(() => status("The list cannot be loaded at the moment", "error"));
  if (!found) return;
  const { judgment, item } = found;
  state.editing = { item, version: judgment.version };
  banner("editing", `Changing an earlier judgment. It was: ${said(judgment)}. Esc keeps it as it is.`);
  show(draftOf(judgment));
}

function leaveEditing() {
  state.editing = null;
  banner("editing", "");
  show();
}

// ---------------------------------------------------------------- practice

async function practised({ answer: yours }) {
  const pair = state.practice[0];
  const count = state.practised + state.practice.length;
  await dialogs.explain(state.practised + 1, count, yours, pair);
  state.practice.shift();
  state.practised += 1;
  announcePractice();
  if (!state.practice.length) outbox.add("/api/preferences", { key: "practised", practised: true });
  show();
}

function announcePractice() {
  const count = state.practised + state.practice.length;
  banner("practice", state.practice.length ? `Practice ${state.practised + 1} of ${count}: each is explained afterwards, and your answer is not stored.` : "");
}

// ---------------------------------------------------------------- looking closer

function toggleDifferences() {
  pressed($("differences"), !isPressed($("differences")));
  if (current()) showTexts(current());
}

async function toggleRaw(names) {
  const item = current();
  if (!item) return;
  if (!item.raw) {
    const path = setup.preview ? `/api/preview/${item.token}/raw` : `/api/raw/${item.token}`;
    item.raw = state.practice.length ? item.written : await get(path).catch(() => null);
    if (!item.raw) return status("The raw texts cannot be loaded at the moment", "error");
  }
  const on = !names.every((name) => state.raw.has(name));
  for (const name of names) state.raw[on ? "add" : "delete"](name);
  if (current() === item) showTexts(item);
}

// ---------------------------------------------------------------- keys and buttons

function toggleMode() {
  setMode(state.mode === "fast" ? "graded" : "fast");
  if (!setup.preview) post("/api/preferences", { mode: state.mode }).catch(() => {});
}

function openNote() {
  $("bar").classList.add("open");
  $("note").focus();
}

const openGuideline = () => $("guideline").showModal();
const DO = {
  left: () => side("left"), right: () => side("right"), tie: () => side("tie"), both_bad: () => side("both_bad"),
  undo, skip, report, differences: toggleDifferences, raw: () => toggleRaw(sides()), mode: toggleMode,
  note: openNote, guideline: openGuideline, recent: openRecent, keys: () => $("keys").showModal(),
};

function level(action) {
  const number = action.match(/^level(\d)$/)?.[1];
  if (!number || state.mode !== "graded") return undefined;
  const { answer: value, strength } = $("graded").children[number - 1].dataset;
  return () => pick(value, Number(strength) || null);
}

// While responses are ranked, the digits are their numbers, and keys of pairs do nothing.
function rankKey(event) {
  const key = named(event);
  if (/^[1-9]$/.test(key)) place(Number(key) - 1);
  else if (key === "=") share();
  else if (key === "Backspace" && state.tiers.length) place(state.tiers.at(-1).at(-1));
  else return ["left", "right", "tie", "both_bad", "differences", "mode"].includes(actionOf(event)) && !event.target.closest(".prompt");
  return true;
}

function share() {
  state.sharing = state.tiers.length > 0 && !state.sharing;
  paint();
}

// Enter submits wherever the focus is, but in a menu; Shift+Enter is a new line of the note.
function enter(event) {
  if (event.target === $("note") && event.shiftKey) return;
  if (event.target.closest(".top") || (!chosen() && event.target.closest("button, a"))) return;
  event.preventDefault();
  if (chosen()) submit();
  else $("note").blur();
}

addEventListener("keydown", (event) => {
  if (event.repeat || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (dialogs.anyOpen()) return;
  if (event.key === "Escape") return event.target === $("note") ? $("note").blur() : state.editing && leaveEditing();
  if (event.key === "Enter") return enter(event);
  if (!shortcuts() || event.target.closest("input, textarea, select")) return;
  if (event.key === "ArrowUp" && state.row >= 0) return event.preventDefault(), state.row -= 1, paint();
  if (ranks() && rankKey(event)) return event.preventDefault();
  const action = actionOf(event);
  // A pane in focus is scrolled by its arrow keys.
  if (action === "tie" && event.target === $("prompt-text")) return;
  const work = action && (level(action) ?? DO[action]);
  if (!work) return;
  event.preventDefault();
  work();
});

// The second click of a double click is none.
const onClick = (button, work) => button.addEventListener("click", (event) => { if (event.detail < 2) work(); });
const tapped = (work) => () => { if (performance.now() - answeredAt > DOUBLE_TAP) work(); };
for (const button of document.querySelectorAll("#fast .choice, #graded .choice")) {
  const { answer: value, strength } = button.dataset;
  onClick(button, tapped(() => pick(value, Number(strength) || null)));
}
for (const [row, line] of [...$("criteria").children].entries()) {
  for (const button of line.querySelectorAll("button")) button.addEventListener("click", () => pickCriterion(row, button.dataset.answer));
}
for (const chip of $("why-row").querySelectorAll(".chip")) {
  chip.addEventListener("click", () => {
    const { reason } = chip.dataset;
    state.reasons = state.reasons.includes(reason) ? state.reasons.filter((other) => other !== reason) : [...state.reasons, reason];
    paint();
  });
}
for (const button of document.querySelectorAll("button.raw")) button.addEventListener("click", () => toggleRaw([button.dataset.side]));
$("note").addEventListener("input", () => { state.note = $("note").value; });
for (const name of ["undo", "skip", "report", "differences", "raw", "mode"]) onClick($(name), DO[name]);
onClick($("submit"), tapped(submit));
$("same-rank").addEventListener("click", share);
$("open-guideline").addEventListener("click", openGuideline);
$("open-recent").addEventListener("click", openRecent);
$("open-keys").addEventListener("click", DO.keys);
for (const [id, place, name] of [["menu", $("nav"), "open"], ["more", $("bar"), "open"]]) {
  $(id).addEventListener("click", () => $(id).setAttribute("aria-expanded", String(place.classList.toggle(name))));
}
$("copy-code").addEventListener("click", async () => {
  await navigator.clipboard?.writeText($("code").textContent).then(() => { $("copy-code").textContent = "Copied"; }, () => {});
});
$("sign-out").addEventListener("click", async () => {
  await outbox.send();
  const kept = outbox.waiting();
  const warnings = [
    kept && `${kept} of your answers are not sent yet: they stay on this device until you sign in here again.`,
    !setup.account && "You have no account: to come back as the same person you need your return link, which is on the page of your name.",
  ].filter(Boolean);
  if (warnings.length && !confirm(`${warnings.join("\n\n")}\n\nSign out?`)) return;
  await post("/api/sign-out", {}).catch(() => {});
  location.assign(`${root}/sign-in`);
});

outbox.onOtherTab((token) => {
  if (!state.items.some((item) => item.token === token)) return;
  const shown = current();
  state.items = state.items.filter((item) => item.token !== token);
  if (current() !== shown) {
    show();
    status("Judged in your other tab");
  }
});
setInterval(() => { // holds the leases while someone is there, and looks for new comparisons
  if (!document.hidden && clock.sinceInput() < 5 * HEARTBEAT && state.items.length) fetchNext();
}, HEARTBEAT);
setInterval(() => { if (!document.hidden && !state.items.length && !outbox.waiting()) fetchNext(); }, 5000);

// ---------------------------------------------------------------- the beginning

async function begin() {
  setMode(state.mode);
  for (const [who, count] of Object.entries(outbox.others())) banner("others", `${count === 1 ? "One answer" : `${count} answers`} of ${who} are kept on this device until ${who} signs in here again.`);
  if (setup.preview) banner("preview", "Preview: this is what annotators see. Nothing you answer here is stored.");
  if (setup.guideline > setup.seen || (setup.preview && setup.guideline)) await dialogs.readGuideline();
  if (setup.practice || setup.preview) state.practice = (await get("/api/practice").catch(() => ({ items: [] }))).items;
  announcePractice();
  if (state.practice.length) show();
  await outbox.send();
  await fetchNext();
}

begin();
