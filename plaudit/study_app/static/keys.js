// Keys and what they do: from any layout, numeric pads too; each person can choose their own.

import { $, post, setup } from "./page.js";

// action: [key, words for it]; the pages of the server know the names of the actions
const ACTIONS = {
  left: ["ArrowLeft", "A is better (graded: move the choice)"],
  right: ["ArrowRight", "B is better (graded: move the choice)"],
  tie: ["ArrowDown", "Equal"],
  both_bad: ["0", "Both bad"],
  level1: ["1", "Graded: A much better"],
  level2: ["2", "Graded: A better"],
  level3: ["3", "Graded: A slightly better"],
  level4: ["4", "Graded: equal"],
  level5: ["5", "Graded: B slightly better"],
  level6: ["6", "Graded: B better"],
  level7: ["7", "Graded: B much better"],
  skip: ["s", "Skip, with a reason"],
  undo: ["u", "Undo the last judgment"],
  note: ["n", "Write a note"],
  report: ["r", "Report a problem with this comparison"],
  differences: ["d", "Mark what is only in one response"],
  raw: ["w", "Show the texts as they were written"],
  mode: ["m", "Fast or graded mode"],
  guideline: ["g", "Guideline"],
  recent: ["h", "My last ten judgments"],
  keys: ["?", "This list"],
};
const FIXED = ["Enter", "Escape", "Tab", "Backspace"];
const CAPS = { ArrowLeft: "←", ArrowRight: "→", ArrowDown: "↓", ArrowUp: "↑", Space: "Space" };
const cap = (key) => CAPS[key] ?? (key.length === 1 ? key.toUpperCase() : key);

let chosen = { ...setup.keys }; // those that differ
let enabled = setup.shortcuts;
let waitingFor = null; // the action that the next key is for

const keyOf = (action) => chosen[action] ?? ACTIONS[action][0];
export const shortcuts = () => enabled;

// The name of a key: a digit wherever the layout has it, a letter also on layouts without Latin ones.
export function named({ key, code, shiftKey }) {
  if (/^[0-9]$/.test(key)) return key;
  const digit = code?.match(/^(?:Digit|Numpad)([0-9])$/)?.[1];
  // Without the number lock a pad's keys are arrows; with Shift a digit's key is its sign.
  if (digit && !shiftKey && key.length === 1) return digit;
  if (key === " ") return "Space";
  if (key.length !== 1) return key;
  const letter = /^Key([A-Z])$/.exec(code ?? "")?.[1];
  return letter && !/[ -~]/.test(key) ? letter.toLowerCase() : key.toLowerCase();
}

export function actionOf(event) {
  const key = named(event);
  const found = Object.keys(ACTIONS).find((action) => keyOf(action) === key);
  return found ?? (key === "=" ? "tie" : undefined);
}

// Key caps on buttons, and what assistive technology is told of them.
function paint() {
  for (const place of document.querySelectorAll("kbd[data-key]")) place.textContent = cap(keyOf(place.dataset.key));
  for (const button of document.querySelectorAll("[data-shortcut]")) {
    if (enabled) button.setAttribute("aria-keyshortcuts", keyOf(button.dataset.shortcut));
    else button.removeAttribute("aria-keyshortcuts");
  }
  document.body.classList.toggle("no-keys", !enabled);
  $("shortcuts").checked = enabled;
  $("keys-list").replaceChildren(...Object.entries(ACTIONS).map(([action, [, words]]) => {
    const row = document.createElement("tr");
    const name = Object.assign(document.createElement("th"), { scope: "row", textContent: words });
    const key = document.createElement("td");
    key.append(Object.assign(document.createElement("kbd"), { textContent: waitingFor === action ? "press a key" : cap(keyOf(action)) }));
    const change = document.createElement("td");
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Change" });
    button.setAttribute("aria-label", `Change the key for: ${words}`);
    button.dataset.action = action;
    button.addEventListener("click", () => {
      waitingFor = action;
      $("keys-said").textContent = `Press the key for: ${words}. Escape keeps it as it is.`;
      paint();
      $("keys-list").querySelector(`[data-action="${action}"]`).focus();
    });
    change.append(button);
    row.append(name, key, change);
    return row;
  }));
}

function take(event) {
  event.preventDefault();
  event.stopPropagation();
  const key = named(event);
  if (["Shift", "Control", "Alt", "Meta", "AltGraph", "CapsLock", "Dead", "Process", "Unidentified"].includes(key)) return;
  const action = waitingFor;
  const other = Object.keys(ACTIONS).find((name) => name !== action && keyOf(name) === key);
  if (key !== "Escape" && (other || FIXED.includes(key))) {
    $("keys-said").textContent = `${cap(key)} is taken${other ? `: ${ACTIONS[other][1]}` : ""}. Press another key, or Escape.`;
    return;
  }
  waitingFor = null;
  $("keys-said").textContent = key === "Escape" ? "" : `${cap(key)}: ${ACTIONS[action][1]}`;
  if (key !== "Escape") {
    chosen = { ...chosen, [action]: key };
    if (key === ACTIONS[action][0]) delete chosen[action];
    keep({ keys: chosen });
  }
  paint();
  $("keys-list").querySelector(`[data-action="${action}"]`).focus();
}

function keep(preferences) {
  if (!setup.preview) post("/api/preferences", preferences).catch(() => { $("keys-said").textContent = "This could not be saved; it holds until you leave the page."; });
}

addEventListener("keydown", (event) => { if (waitingFor) take(event); }, { capture: true });
$("keys").addEventListener("close", () => { waitingFor = null; $("keys-said").textContent = ""; paint(); });
$("keys").addEventListener("cancel", (event) => { if (waitingFor) event.preventDefault(); });
$("keys-reset").addEventListener("click", () => { chosen = {}; keep({ keys: {} }); $("keys-said").textContent = "All keys are as they were."; paint(); });
$("shortcuts").addEventListener("change", () => { enabled = $("shortcuts").checked; keep({ shortcuts: enabled }); paint(); });
paint();
