// The owner's pages: sign out, and links that are copied by a click. The rest is HTMX.

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;

document.getElementById("sign-out").addEventListener("click", async () => {
  const response = await fetch(`${meta("root")}/api/sign-out`, { method: "POST", headers: { "x-csrf-token": meta("csrf") } }).catch(() => null);
  if (!response?.ok && response?.status !== 401) return alert("Not signed out: the server did not answer as it should. Try again.");
  location.assign(`${meta("root")}/sign-in`);
});

addEventListener("click", (event) => {
  const field = event.target.closest("[data-copy]");
  if (!field) return;
  field.select();
  navigator.clipboard?.writeText(field.value).catch(() => {});
});
