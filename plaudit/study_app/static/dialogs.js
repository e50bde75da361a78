// The dialogs: reasons, one's last ten, the guideline, practice explained, signing in again.

import { $, get, me, post, pressed, root, said, setToken, status } from "./page.js";
import * as outbox from "./outbox.js";

export const anyOpen = () => Boolean(document.querySelector("dialog[open]"));
export const closed = (dialog) => new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));

// Asks for a reason or a text; gives {chip, text}, or null when it was cancelled.
export async function ask(title, label, chips, required) {
  $("ask-title").textContent = title;
  $("ask-label").textContent = label;
  $("ask-text").value = "";
  $("ask-chips").replaceChildren(...chips.map((words, index) => {
    const chip = Object.assign(document.createElement("button"), { type: "button", className: "chip", textContent: words });
    pressed(chip, index === 0 && required);
    chip.addEventListener("click", () => { for (const other of $("ask-chips").children) pressed(other, other === chip); });
    return chip;
  }));
  $("ask").returnValue = "cancel";
  $("ask").showModal();
  $("ask-ok").focus();
  await closed($("ask"));
  const chip = $("ask-chips").querySelector('[aria-pressed="true"]')?.textContent ?? "";
  return $("ask").returnValue === "ok" ? { chip, text: $("ask-text").value.trim() } : null;
}

// Gives the answer chosen with its comparison, or null.
export async function chooseRecent() {
  await outbox.send();
  const { judgments } = await get("/api/recent");
  let token = null;
  $("recent-list").replaceChildren(...judgments.map((judgment) => {
    const line = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.append(
      Object.assign(document.createElement("strong"), { textContent: said(judgment) }),
      Object.assign(document.createElement("span"), { className: "quiet", dir: "auto", textContent: judgment.prompt }),
    );
    button.addEventListener("click", () => {
      token = judgment.token;
      $("recent").close();
    });
    line.append(button);
    return line;
  }));
  if (!judgments.length) $("recent-list").textContent = "None yet.";
  $("recent").showModal();
  await closed($("recent"));
  return token && get(`/api/judgments/${token}`);
}

// ---------------------------------------------------------------- the guideline

const versionShown = () => Number($("guideline-body").firstElementChild.dataset.version);

// Opens the guideline and keeps, in order with the answers, that this version was read.
export async function readGuideline() {
  $("guideline").showModal();
  $("guideline").scrollTop = 0;
  await closed($("guideline"));
  if (versionShown()) outbox.add("/api/guideline-seen", { key: `guideline-${versionShown()}`, version: versionShown() });
}

export async function readNewGuideline() {
  const response = await fetch(`${root}/judge/guideline`);
  if (!response.ok) return;
  $("guideline-body").innerHTML = await response.text();
  while (anyOpen()) await closed(document.querySelector("dialog[open]"));
  await readGuideline();
}

export const guidelineVersion = versionShown;

// ---------------------------------------------------------------- practice

export async function explain(number, count, yours, { answer, explanation }) {
  const right = answer === yours;
  $("practice-title").textContent = `Practice ${number} of ${count}: ${right ? "yes" : "not quite"}`;
  $("practice-answer").textContent = right ? `Also expected here: ${said({ answer })}.` : `You said: ${said({ answer: yours })}. Expected here: ${said({ answer })}.`;
  $("practice-text").textContent = explanation;
  $("practice").showModal();
  await closed($("practice"));
}

// ---------------------------------------------------------------- the session is over

let dismissed = false;

export function signInAgain() {
  const kept = outbox.waiting();
  $("resume-kept").textContent = kept ? `${kept === 1 ? "One answer is" : `${kept} answers are`} kept on this device and sent as soon as you are signed in.` : "";
  status(kept ? `Signed out. Kept on this device (${kept})` : "Signed out", "kept");
  $("sign-in-again").hidden = false;
  if ($("resume").open || dismissed) return;
  for (const open of document.querySelectorAll("dialog[open]")) open.close();
  $("resume").showModal();
}

export function somebodyElse(pseudonym) {
  const kept = outbox.waiting();
  status(`${pseudonym} is signed in at this browser now.${kept ? ` ${me}: kept on this device (${kept})` : ""}`, "kept");
  $("resume-error").textContent = `${pseudonym} has signed in at this browser. The answers of ${me} stay on this device until ${me} signs in here again.`;
  $("resume-error").hidden = false;
  if (!$("resume").open) $("resume").showModal();
}

function resumed({ pseudonym, csrf }) {
  if (pseudonym !== me) return location.reload(); // the page of the person who has signed in
  setToken(csrf);
  dismissed = false;
  $("sign-in-again").hidden = true;
  $("resume").close();
  outbox.retryNow();
  return undefined;
}

$("resume-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const code = $("resume-code").value.trim();
  const [email, password] = [$("resume-email").value.trim(), $("resume-password").value];
  $("resume-go").disabled = true;
  try {
    // A whole return link will do: its last part is the code.
    resumed(await post("/api/resume", code ? { code: code.replace(/[/?#]+$/, "").split("/").at(-1) } : { email, password }));
    $("resume-form").reset();
  } catch (error) {
    $("resume-error").textContent = error.status ? error.message : "The server cannot be reached. Try again in a moment.";
    $("resume-error").hidden = false;
  }
  $("resume-go").disabled = false;
});
$("resume-later").addEventListener("click", () => $("resume").close());
$("resume").addEventListener("close", () => {
  dismissed = true;
  $("resume-error").hidden = true;
});
// Signed in again in another tab: nothing is left to do here.
addEventListener("focus", async () => {
  if (!$("resume").open && !dismissed) return;
  const who = await get("/api/me").catch(() => null);
  if (who?.pseudonym === me) resumed(who);
});
$("sign-in-again").addEventListener("click", () => {
  dismissed = false;
  signInAgain();
});
