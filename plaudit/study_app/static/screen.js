// What is on the screen: the texts, the answer as far as it is given, how far the person has come.

import { $, isPressed, pressed, setup, status } from "./page.js";
import * as clock from "./clock.js";
import { mark } from "./differences.js";
import { complete, paintRanks, pane, placed, placesOf, showCards } from "./ranking.js";

const PANES = { prompt: $("prompt-text"), left: $("left"), right: $("right") };
const MILESTONES = [10, 25, 50, 100, 200, 300, 400, 500, 750];
export const NOTHING = { choice: null, criteria: {}, reasons: [], note: "", report: "", tiers: [] };

export const state = {
  items: [], // comparisons held, the first one on the screen
  past: [], // {item, draft} answered here, for an undo without waiting
  editing: null, // {item, version} while an earlier judgment is changed
  practice: [], // pairs still to do, before the first comparison
  practised: 0,
  ...structuredClone(NOTHING),
  row: -1, // what the arrow keys answer: the comparison, or one of the criteria
  sharing: false, // the next response ranked shares the last rank
  raw: new Set(), // sides shown as they were written
  mode: setup.mode,
  studyMode: setup.study_mode,
  guideline: setup.guideline,
  ended: null,
  today: null, // {judged, count}: the count of today when so many were judged
};

export const current = () => state.practice[0] ?? state.editing?.item ?? state.items[0];
export const ranks = () => placesOf(current()).length > 0;
export const submits = () => state.mode === "graded" || setup.criteria.length > 0 || ranks();
export const sides = () => ["prompt", ...(ranks() ? placesOf(current()) : ["left", "right"])];
export const chosen = () => (ranks() ? complete(current(), state.tiers) : state.choice !== null);

const messages = (list) => list.map(({ role, html }) => `<div class="message ${role}"><span class="role">${role}</span>${html}</div>`).join("");

export function show(draft = NOTHING) {
  const item = current();
  for (const id of ["prompt", "bar"]) $(id).hidden = !item;
  $("responses").hidden = !item || ranks();
  $("panel").hidden = !item || !ranks();
  $("empty").hidden = Boolean(item) || !state.ended;
  if (!item) return showEnd();
  state.raw.clear();
  showCards(item, place);
  showTexts(item);
  $("columns").hidden = !item.columns?.length;
  $("columns").replaceChildren(...(item.columns ?? []).flatMap(([name, value]) => [Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value, dir: "auto" })]));
  PANES.prompt.scrollTop = PANES.prompt.scrollHeight; // the newest message
  scrollTo(0, 0);
  $("note").blur(); // keys are for the next comparison
  Object.assign(state, structuredClone(draft), { row: -1, sharing: false });
  paint();
  clock.restart();
  return undefined;
}

export function showTexts(item) {
  for (const side of sides()) {
    const where = PANES[side] ?? pane(side);
    if (state.raw.has(side)) where.replaceChildren(...item.raw[side].map(rawMessage));
    else where.innerHTML = messages(item[side]);
  }
  for (const button of document.querySelectorAll("button.raw")) {
    pressed(button, state.raw.has(button.dataset.side));
    button.textContent = state.raw.has(button.dataset.side) ? "Show formatted" : "Show raw";
  }
  pressed($("raw"), state.raw.size > 0);
  if (isPressed($("differences")) && !ranks()) markDifferences();
}

function rawMessage({ role, text }) {
  const message = Object.assign(document.createElement("div"), { className: `message ${role}` });
  message.append(
    Object.assign(document.createElement("span"), { className: "role", textContent: role }),
    Object.assign(document.createElement("pre"), { className: "as-written", dir: "auto", textContent: text }),
  );
  return message;
}

// The choice, the criteria, the reasons and the note, as `state` has them.
export function paint() {
  const { choice, criteria, reasons, row } = state;
  $("fast").hidden = ranks() || state.mode !== "fast";
  $("graded").hidden = ranks() || state.mode !== "graded";
  $("rank").hidden = !ranks();
  for (const id of ["differences", "mode"]) $(id).hidden = ranks();
  if (ranks()) paintRanks(state.tiers, state.sharing);
  $("mode-name").textContent = state.mode;
  for (const button of document.querySelectorAll("#fast .choice, #graded .choice")) {
    const strength = Number(button.dataset.strength) || null;
    pressed(button, choice?.answer === button.dataset.answer && (state.mode === "fast" || choice.strength === strength));
  }
  $("criteria").hidden = !setup.criteria.length || ranks();
  for (const [index, line] of [...$("criteria").children].entries()) {
    line.classList.toggle("active", index === row);
    for (const button of line.querySelectorAll("button")) pressed(button, criteria[line.dataset.criterion] === button.dataset.answer);
  }
  for (const chip of $("why-row").querySelectorAll(".chip")) pressed(chip, reasons.includes(chip.dataset.reason));
  if ($("note").value !== state.note) $("note").value = state.note;
  $("report").classList.toggle("given", Boolean(state.report));
  $("submit").hidden = !submits();
  $("submit").disabled = !chosen();
}

export function showProgress({ judged, quota, today }) {
  if (today !== undefined) state.today = { judged, count: today };
  const parts = quota ? [`${judged} of ${quota}`] : [`${judged} in all`];
  if (state.today) parts.unshift(`${Math.max(0, state.today.count + judged - state.today.judged)} today`);
  $("progress").textContent = parts.join(" · ");
  $("progress-bar").max = quota || (MILESTONES.find((step) => step > judged) ?? 1000 * (Math.floor(judged / 1000) + 1));
  $("progress-bar").value = judged;
  $("progress-bar").hidden = false;
}

const ENDS = {
  stopped: ["Your work here is paused", "A rule that the owner of this study has set has paused it. The owner was told and will decide. All your judgments are stored."],
  quota: ["Thank you, you have finished", "All the judgments asked of you are stored."],
  "nothing open": ["Nothing to judge at the moment", "Thank you. New comparisons appear here by themselves."],
};

function showEnd() {
  if (!state.ended) return;
  const { why, code, url } = state.ended;
  [$("empty-title").textContent, $("empty-text").textContent] = code && why !== "stopped" ? ENDS.quota : ENDS[why];
  $("completion").hidden = !code;
  $("code").textContent = code ?? "";
  $("completion-link").hidden = !url;
  if (url) $("completion-link").href = url;
}

// Gives the response at this place the next rank, or takes its rank away.
export function place(number) {
  if (number >= placesOf(current()).length) return;
  state.tiers = placed(state.tiers, number, state.sharing);
  state.sharing = false;
  paint();
}

export function setMode(mode) {
  state.mode = mode;
  state.choice = null;
  paint();
}

async function markDifferences() {
  const item = current();
  const found = await mark(PANES.left, PANES.right, () => current() === item && isPressed($("differences")));
  if (found) status(found);
}
