// How long somebody has been reading what is on the screen.

const IDLE = 30_000; // without input for so long, nobody is reading
let shownAt = 0, active = 0, lastTick = 0, firstInput = null;
let lastInput = Date.now();

export function restart() {
  [shownAt, active, lastTick, firstInput] = [performance.now(), 0, performance.now(), null];
}

export const sinceShown = () => performance.now() - shownAt;
export const sinceInput = () => Date.now() - lastInput;

export function times() {
  tick();
  return {
    active_ms: Math.round(active),
    wall_ms: Math.round(sinceShown()),
    first_input_ms: firstInput === null ? null : Math.max(0, Math.round(firstInput)),
  };
}

function tick() {
  const now = performance.now();
  if (document.hasFocus() && !document.hidden && sinceInput() < IDLE) active += now - lastTick;
  lastTick = now;
}

setInterval(tick, 500);
for (const kind of ["pointerdown", "pointermove", "keydown", "wheel", "touchstart", "scroll"]) {
  addEventListener(kind, () => {
    tick();
    lastInput = Date.now();
    firstInput ??= sinceShown();
  }, { passive: true, capture: true });
}
