// The owner's pages: sign out, and links that are copied by a click. The rest is HTMX.

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;

document.getElementById("sign-out").addEventListener("click", async () => {
  await fetch(`${meta("root")}/api/sign-out`, { method: "POST", headers: { "x-csrf-token": meta("csrf") } });
  location.assign(`${meta("root")}/sign-in`);
});

addEventListener("click", (event) => {
  const field = event.target.closest("[data-copy]");
  if (!field) return;
  field.select();
  navigator.clipboard?.writeText(field.value).catch(() => {});
});
