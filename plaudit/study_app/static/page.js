// What every module of the judging screen uses: the page's elements, who judges, requests.

const meta = (name) => document.querySelector(`meta[name="${name}"]`);
export const root = meta("root").content;
export const $ = (id) => document.getElementById(id);
export const setup = JSON.parse($("main").dataset.setup);
export const me = setup.me;

const TIMEOUT = 20_000; // a request that hangs holds back those of other tabs
const LARGEST_KEPT_ALIVE = 30_000; // browsers refuse to outlive a page with more than 64 KB

export const WORDS = { left: "A is better", right: "B is better", tie: "equal", both_bad: "both bad", skip: "skipped", rank: "ranked" };
export const said = ({ answer, strength }) => WORDS[answer] + (strength ? ` (${strength} of 3)` : "");

export const setToken = (csrf) => { meta("csrf").content = csrf; };

async function send(path, options) {
  const response = await fetch(root + path, { signal: AbortSignal.timeout(TIMEOUT), ...options });
  const data = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(data.error || `status ${response.status}`), { status: response.status });
  return data;
}

export const get = (path) => send(path, {});

export function post(path, body) {
  const text = JSON.stringify(body);
  return send(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-csrf-token": meta("csrf").content },
    body: text,
    keepalive: text.length < LARGEST_KEPT_ALIVE,
  });
}

// Randomness that plain http has, too.
export const newKey = () => Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16).padStart(8, "0")).join("");

export const pressed = (button, on) => button.setAttribute("aria-pressed", String(on));
export const isPressed = (button) => button.getAttribute("aria-pressed") === "true";

// The one place for what has become of an answer; `kind` colours it.
export function status(text, kind = "") {
  if ($("status").textContent !== text) $("status").textContent = text;
  $("status").dataset.kind = kind;
  $("status").title = text;
}

// What stays until it is over: a preview, practice, an answer being changed, another's answers.
const banners = new Map();
export function banner(name, text) {
  banners.delete(name);
  if (text) banners.set(name, text);
  const shown = [...banners.values()].at(-1) ?? "";
  $("banner").hidden = !shown;
  $("banner").textContent = shown;
}
