// Marks the sentences that stand in one response only, in slices so short that keys are answered.

const MOST = 4000; // sentences of a response; beyond, marks tell nobody anything
const SLICE = 8; // ms of work between two pictures
const SENTENCE = /[^.!?。！？\n]+[.!?。！？]*\s*|[.!?。！？\n]+\s*/gu;

const plain = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();

function sentences(side) {
  const walker = document.createTreeWalker(side, NodeFilter.SHOW_TEXT, (node) => (node.parentElement.closest(".role, math") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT));
  const nodes = [];
  let count = 0;
  while (count <= MOST && walker.nextNode()) {
    const parts = (walker.currentNode.textContent.match(SENTENCE) ?? []).map((text) => ({ text, words: plain(text) }));
    count += parts.length;
    nodes.push({ node: walker.currentNode, parts });
  }
  return { nodes, count, all: new Set(nodes.flatMap(({ parts }) => parts.map(({ words }) => words)).filter(Boolean)) };
}

// Returns what there is to say; `current()` turns false when another comparison is shown.
export async function mark(left, right, current) {
  const sides = [sentences(left), sentences(right)];
  if (sides.some(({ count }) => count > MOST)) return `Too long to mark: more than ${MOST.toLocaleString("en")} sentences`;
  const shared = [...sides[0].all].filter((words) => sides[1].all.has(words));
  if (!shared.length) return "No sentence is in both responses, so nothing is marked";
  if (shared.length === sides[0].all.size && shared.length === sides[1].all.size) return "Both responses have the same sentences";
  let until = performance.now() + SLICE;
  for (const [number, { nodes }] of sides.entries()) {
    for (const { node, parts } of nodes) {
      if (performance.now() > until) {
        await new Promise(requestAnimationFrame);
        if (!current()) return "";
        until = performance.now() + SLICE;
      }
      if (parts.some(({ words }) => words && !sides[1 - number].all.has(words))) node.replaceWith(...marked(parts, sides[1 - number].all));
    }
  }
  return "Marked: sentences in one response only";
}

// Sentences side by side that are alike in this share one mark.
function marked(parts, other) {
  const pieces = [];
  for (const { text, words } of parts) {
    const only = words ? !other.has(words) : (pieces.at(-1)?.only ?? false);
    if (pieces.at(-1)?.only === only) pieces.at(-1).text += text;
    else pieces.push({ text, only });
  }
  return pieces.map(({ text, only }) => (only ? Object.assign(document.createElement("mark"), { textContent: text }) : document.createTextNode(text)));
}
