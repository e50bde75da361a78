// Ranking K responses in one go: a digit gives that response the next rank, = shares the last one.

import { $, pressed } from "./page.js";

// The places of the responses to rank, as ["0", "1", …]; empty for a pair.
export const placesOf = (item) => Object.keys(item ?? {}).filter((name) => /^\d$/.test(name));
export const pane = (place) => $("panel").querySelector(`.response[data-place="${place}"]`);
export const complete = (item, tiers) => tiers.flat().length === placesOf(item).length;

export function showCards(item, place) {
  $("panel").replaceChildren(...placesOf(item).map((name) => {
    const number = Number(name) + 1;
    const card = document.createElement("article");
    card.className = "pane";
    card.innerHTML = `<header><h2 id="card-${number}">${number}</h2><span class="rank"></span><button type="button"></button></header><div class="response" data-place="${name}"></div>`;
    card.setAttribute("aria-labelledby", `card-${number}`);
    card.querySelector("button").addEventListener("click", () => place(Number(name)));
    return card;
  }));
}

// The ranks that are given so far: equal ones share a number, and the next skips what they took.
export function paintRanks(tiers, sharing) {
  const ranks = new Map();
  let rank = 1;
  for (const tier of tiers) {
    for (const place of tier) ranks.set(place, rank);
    rank += tier.length;
  }
  for (const [place, card] of [...$("panel").children].entries()) {
    const given = ranks.get(place);
    card.classList.toggle("placed", given !== undefined);
    card.querySelector(".rank").textContent = given ? `Rank ${given}` : "";
    card.querySelector("button").textContent = given ? "Remove" : "Next rank";
    card.querySelector("button").setAttribute("aria-label", given ? `Remove the rank of response ${place + 1}` : `Give response ${place + 1} the next rank`);
  }
  pressed($("same-rank"), sharing);
  $("same-rank").disabled = !tiers.length;
}

// The tiers with one response more at the end, or, where it is placed already, without it.
export function placed(tiers, place, sharing) {
  if (tiers.flat().includes(place)) return tiers.map((tier) => tier.filter((other) => other !== place)).filter((tier) => tier.length);
  if (sharing && tiers.length) return [...tiers.slice(0, -1), [...tiers.at(-1), place]];
  return [...tiers, [place]];
}
