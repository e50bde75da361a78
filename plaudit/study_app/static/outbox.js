// Answers on their way to the server. Each is kept in the browser's storage under a name of its
// own, so that tabs never overwrite each other's; it leaves when the server has answered. They
// are sent in order, by one tab at a time, and every answer has a key: sent twice, stored once.

import { get, me, post, setToken, setup } from "./page.js";

const ANY = "plaudit-outbox-";
const MINE = `${ANY}${me}:`; // another person at this browser sends their own only
const REFUSED = [400, 409, 422]; // the store has said no: sending it again changes nothing
const LONGEST_WAIT = 15_000;

const inMemory = new Map(); // where the browser stores nothing
let sending = null;
let again = false;
let wait = 0;
let timer;
const listeners = {};

// answered(data, entry), refused(error, entry), changed(state), signedOut(), somebodyElse(name)
export const listen = (handlers) => Object.assign(listeners, handlers);

const stored = (prefix) => {
  try { return Object.keys(localStorage).filter((name) => name.startsWith(prefix)); } catch { return []; }
};

export function entries() {
  const kept = new Map(inMemory);
  for (const name of stored(MINE)) {
    try { kept.set(name, JSON.parse(localStorage.getItem(name))); } catch { /* not ours */ }
  }
  return [...kept].filter(([, entry]) => entry?.path && entry.body).map(([name, entry]) => ({ name, ...entry })).sort((a, b) => (a.name < b.name ? -1 : 1));
}

export const isAnswer = ({ path }) => /^\/api\/(votes|undo|judgments)/.test(path);
export const waiting = () => entries().filter(isAnswer).length;

// Answers of other people that this browser still holds, by pseudonym.
export function others() {
  const counts = {};
  for (const name of stored(ANY)) {
    const [, who] = name.match(/^plaudit-outbox-(.+):\d+-/) ?? [];
    if (who && who !== me) counts[who] = (counts[who] ?? 0) + 1;
  }
  return counts;
}

export function add(path, body) {
  if (setup.preview) return;
  // Later than all there are, whatever the clock does.
  const last = Number(entries().at(-1)?.name.slice(MINE.length).split("-")[0] ?? 0);
  const name = `${MINE}${String(Math.max(Date.now(), last + 1)).padStart(15, "0")}-${body.key}`;
  try { localStorage.setItem(name, JSON.stringify({ path, body })); } catch { inMemory.set(name, { path, body }); }
  send();
}

function remove({ name }) {
  inMemory.delete(name);
  try { localStorage.removeItem(name); } catch { /* it was in memory only */ }
}

export function send() {
  if (sending) {
    again = true;
    return sending;
  }
  clearTimeout(timer);
  const alone = (work) => (navigator.locks ? navigator.locks.request(MINE, work) : work());
  listeners.changed(entries().some(isAnswer) ? "sending" : "empty");
  sending = alone(drain).catch(() => "later").then((state) => {
    sending = null;
    if (again) {
      again = false;
      if (state === "empty") return send();
    }
    if (state === "later") later();
    listeners.changed(state);
  });
  return sending;
}

// Sends all it can; what another answer depends on comes first.
async function drain() {
  const tried = new Set();
  const stuck = new Set(); // comparisons with an answer that the server cannot take now
  for (;;) {
    const entry = entries().find(({ name }) => !tried.has(name));
    if (!entry) break;
    tried.add(entry.name);
    const { token } = entry.body;
    if (stuck.size && (!token || stuck.has(token))) continue;
    try {
      const data = await post(entry.path, entry.body);
      remove(entry);
      wait = 0;
      listeners.answered(data, entry);
    } catch (error) {
      if (error.status === 401) return listeners.signedOut(), "signed out";
      if (error.status === 403 && !(await isStillMe())) return "signed out";
      if (REFUSED.includes(error.status)) {
        remove(entry);
        listeners.refused(error, entry);
      } else if (!error.status || error.status === 429) {
        return "later"; // no connection, or too many at once
      } else {
        stuck.add(token);
      }
    }
  }
  return entries().length ? "later" : "empty";
}

// A new session of the same person, in another tab, has another token for requests.
async function isStillMe() {
  try {
    const { pseudonym, csrf } = await get("/api/me");
    if (pseudonym === me) return setToken(csrf), true;
    listeners.somebodyElse(pseudonym);
  } catch (error) {
    if (error.status !== 401) return true;
    listeners.signedOut();
  }
  return false;
}

function later() {
  wait = Math.min(LONGEST_WAIT, wait ? wait * 2 : 500);
  clearTimeout(timer);
  timer = setTimeout(send, wait);
}

export function retryNow() {
  wait = 0;
  send();
}

// Answers given in another tab: their comparisons need not be shown here.
export function onOtherTab(handler) {
  addEventListener("storage", ({ key, newValue }) => {
    if (!key?.startsWith(MINE) || !newValue) return;
    const { path, body } = JSON.parse(newValue);
    if (path === "/api/votes") handler(body.token);
  });
}

addEventListener("online", retryNow);
addEventListener("beforeunload", (event) => { if (inMemory.size) event.preventDefault(); });
