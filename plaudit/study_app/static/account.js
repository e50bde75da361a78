// Pages of the way in and of one's own account: links of this very address, Copy, sign out.

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;

// The address as the browser knows it: a proxy may have told the server another.
function complete(part) {
  for (const field of part.querySelectorAll("input[data-path]")) {
    field.value = location.origin + meta("root") + field.dataset.path;
    if (field.nextElementSibling?.matches("button")) continue;
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy" });
    button.addEventListener("click", async () => {
      field.select();
      try {
        await navigator.clipboard.writeText(field.value);
        button.textContent = "Copied";
      } catch { button.textContent = "Selected: press Ctrl+C"; } // no clipboard on plain http
    });
    field.after(button);
  }
}
complete(document);
document.addEventListener("htmx:afterSwap", (event) => complete(event.target));

document.getElementById("sign-out")?.addEventListener("click", async () => {
  const said = document.getElementById("said");
  try {
    const response = await fetch(`${meta("root")}/api/sign-out`, { method: "POST", headers: { "x-csrf-token": meta("csrf") } });
    if (!response.ok && response.status !== 401) throw new Error((await response.json()).error);
    location.assign(`${meta("root")}/sign-in`);
  } catch (error) {
    said.textContent = `Not signed out: ${error.message}. Try again.`;
    said.hidden = false;
  }
});
