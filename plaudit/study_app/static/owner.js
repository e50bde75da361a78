// The owner's pages: what HTMX does not do. Questions before a decision, copying, menus, files.

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;

document.getElementById("sign-out").addEventListener("click", async () => {
  const response = await fetch(`${meta("root")}/api/sign-out`, { method: "POST", headers: { "x-csrf-token": meta("csrf") } }).catch(() => null);
  if (response?.ok || response?.status === 401) location.assign(`${meta("root")}/sign-in`);
  else alert("You are still signed in: the server did not answer. Try again.");
});

// hx-confirm asks in a dialog of the page.
const dialog = document.getElementById("confirm");
document.addEventListener("htmx:confirm", (event) => {
  if (!event.detail.question) return;
  event.preventDefault();
  document.getElementById("confirm-question").textContent = event.detail.question;
  document.getElementById("confirm-ok").textContent = event.detail.elt.textContent.trim();
  dialog.returnValue = "cancel";
  dialog.addEventListener("close", () => dialog.returnValue === "ok" && event.detail.issueRequest(true), { once: true });
  dialog.showModal();
});

// The numbers renew themselves, but not under an open question.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (dialog.open && event.detail.target.id === "numbers") event.detail.shouldSwap = false;
});

document.addEventListener("htmx:sendError", (event) => {
  const target = event.detail.target;
  if (target && target.id !== "numbers") target.innerHTML = '<p class="error" role="alert">The server did not answer. Nothing was saved; try again.</p>';
});

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const field = copy.parentElement.querySelector("input");
    field.select();
    await navigator.clipboard?.writeText(field.value).catch(() => {});
    copy.textContent = "Copied";
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.querySelector("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

document.addEventListener("change", (event) => {
  if (event.target.type !== "file") return;
  const name = event.target.parentElement.querySelector(".quiet");
  if (event.target.files.length) name.textContent = event.target.files[0].name;
});

// On a narrow screen the menu scrolls: the page shown is in view.
for (const current of document.querySelectorAll(".sections [aria-current], .pages [aria-current]")) {
  current.parentElement.scrollLeft = current.offsetLeft - current.parentElement.offsetLeft - 40;
}
