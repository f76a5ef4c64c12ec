
"use strict";
const EVERY = 5000;  // milliseconds
const at = (id) => document.getElementById(id);
const made = (tag, text, name) => {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  return element;
};
let answered = Date.now();

function say(why) {
  const ago = Math.round((Date.now() - answered) / 1000);
  at("stale").textContent = `${why}: what is shown is ${ago} s old.`;
  at("stale").hidden = false;
}

function replace(old, now) {
  if (old.innerHTML === now.innerHTML) return;
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  for (const details of old.querySelectorAll("details[open]")) {
    const same = now.querySelector(`#${details.id}`);
    if (same) same.open = true;
  }
  old.replaceWith(now);
  if (focused) at(focused)?.focus({ preventScroll: true });
}

async function refresh() {
  if (document.hidden) return;
  if (String(getSelection())) return say("Not refreshed while text is selected");
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const now of page.querySelectorAll(".live")) replace(at(now.id), now);
    document.title = page.title;
    answered = Date.now();
    at("stale").hidden = true;
  } catch (error) {
    say(`The admin port does not answer (${error.message})`);
  }
}

function explanation(found) {
  if (found.errors) return [made("p", found.errors.join("; "), "bad")];
  const head = made("p", `Reason: ${found.reason}`, "figure");
  const workers = Object.entries(found.workers).map(([reason, count]) => `${reason} ${count}`).join(", ");
  const table = document.createElement("table"), body = table.createTBody();
  for (const step of found.steps) {
    const row = body.insertRow();
    for (const [name, text] of [["step", step.name], ["is", step.value], ["because", step.detail]]) {
      const cell = row.insertCell();
      cell.dataset.label = name;
      cell.append(made("div", text, "key"));
    }
  }
  return [head, made("p", workers ? `Workers by reason: ${workers}` : "No worker has answered: by the policy alone", "quiet"), table];
}

at("explain").hidden = false;
at("explain").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = [...new FormData(event.target)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value);
  try {
    const answer = await fetch(`api/explain?${new URLSearchParams(given)}`);
    at("explained").replaceChildren(...explanation(await answer.json()));
  } catch (error) {
    at("explained").replaceChildren(made("p", `No answer: ${error.message}`, "bad"));
  }
});
setInterval(refresh, EVERY);
