// What every page does beside being HTML: theme, keyboard, side panel, tips. No markup is ever made from text;
// fragments come parsed from our own server (XMLHttpRequest "document"), where scripts do not run.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

export function say(text, action) {
  $(".toast")?.remove();
  const toast = document.createElement("div");
  toast.className = "toast";
  toast.setAttribute("role", "status");
  toast.append(text);
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action.words;
    button.addEventListener("click", action.run);
    toast.append(button);
  }
  document.body.append(toast);
  setTimeout(() => toast.remove(), 6000);
}

export function load(url) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.timeout = 15000;
    request.onload = () => (request.status < 400 ? resolve(request.response) : reject(new Error(`the server says ${request.status}`)));
    request.onerror = request.ontimeout = () => reject(new Error("the server does not answer"));
    request.send();
  });
}

// Theme: auto, light, dark. A cookie, so that the server draws charts in the same theme.
const THEMES = ["auto", "light", "dark"];
function themeNow() {
  return document.documentElement.dataset.theme ?? "auto";
}
$("#theme-switch")?.addEventListener("click", (event) => {
  const next = THEMES[(THEMES.indexOf(themeNow()) + 1) % THEMES.length];
  document.cookie = `wk_theme=${next}; path=/; max-age=31536000; samesite=lax`;
  if (next === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  $("#theme-name").textContent = next;
  event.currentTarget.title = `Theme: ${next}`;
  const dark = next === "dark" || (next === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  for (const source of $$(".chart source")) source.remove();
  for (const img of $$(".chart img")) {
    const address = new URL(img.src);
    address.searchParams.set("theme", dark ? "dark" : "light");
    img.src = address.href;
  }
});

// Settings that are only about looking live in cookies.
for (const field of $$("[data-cookie]"))
  field.addEventListener("change", () => {
    document.cookie = `${field.dataset.cookie}=${encodeURIComponent(field.value)}; path=/; max-age=31536000; samesite=lax`;
    say("Saved for this browser");
  });

// Commands can be taken along.
for (const block of $$(".cmd:not(.small)")) {
  const text = block.textContent;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "button s copy", textContent: "Copy" });
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    say("Copied");
  });
  block.append(button);
}

// Menus close when one clicks elsewhere or presses Escape.
document.addEventListener("click", (event) => {
  for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});

const help = $("#help");
$("#help-open")?.addEventListener("click", () => help.showModal());

// Suggestions for the cohort menu, asked for when it opens.
const cohortMenu = $("#cohort-menu");
async function suggest() {
  const address = new URL("/cohort/values", location.origin);
  for (const [name, value] of new URLSearchParams(location.search))
    if (["project", "range", "since", "until"].includes(name)) address.searchParams.set(name, value);
  address.searchParams.set("name", $("#cohort-name").value);
  const answer = await fetch(address);
  if (!answer.ok) return;
  const list = $("#cohort-values");
  list.replaceChildren(...(await answer.json()).map((value) => Object.assign(document.createElement("option"), { value })));
}
cohortMenu?.addEventListener("toggle", () => {
  if (!cohortMenu.open) return;
  suggest();
  $("#cohort-value").focus();
});
$("#cohort-name")?.addEventListener("change", suggest);
$("#filter-menu")?.addEventListener("toggle", (event) => event.currentTarget.open && $("#f-field").focus());

// Tips of charts: the text is the server's, placed beside the pointer.
let tip;
document.addEventListener("pointermove", (event) => {
  const owner = event.target.closest?.("[data-tip]");
  if (!owner) {
    tip?.remove();
    tip = undefined;
    return;
  }
  if (!tip) {
    tip = document.createElement("div");
    tip.className = "tip";
    document.body.append(tip);
  }
  if (tip.textContent !== owner.dataset.tip) tip.textContent = owner.dataset.tip;
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  tip.style.left = `${left}px`;
  tip.style.top = `${Math.max(8, event.clientY - tip.offsetHeight - 12)}px`;
});

// Rows: j k move, o opens beside, Enter opens, x selects.
const table = $("[data-rows]");
const rows = () => (table ? $$("tr.go, li.step", table) : []);
let at = -1;
function move(step) {
  const all = rows();
  if (!all.length) return;
  at = Math.max(0, Math.min(all.length - 1, at + step));
  for (const row of all) row.classList.toggle("at", row === all[at]);
  all[at].scrollIntoView({ block: "nearest" });
  if (side && !side.hidden) openSide(all[at]);
  if (all[at].matches("li.step")) selectStep($("a", all[at]));
}

const side = $("#side");
async function openSide(row) {
  if (!side || !row?.dataset.panel) return;
  try {
    const page = await load(row.dataset.panel);
    side.replaceChildren(document.importNode($("#panel", page), true));
    side.hidden = false;
    $("[data-close]", side)?.addEventListener("click", closeSide);
  } catch (error) {
    say(`This trace could not be opened: ${error.message}`);
  }
}
function closeSide() {
  if (!side || side.hidden) return false;
  side.hidden = true;
  return true;
}
document.addEventListener("click", (event) => {
  const row = event.target.closest("tr.go");
  if (!row || event.target.closest("a, button, input, label, summary")) return;
  if (getSelection()?.toString()) return;
  const all = rows();
  at = all.indexOf(row);
  for (const other of all) other.classList.toggle("at", other === row);
  if (row.dataset.panel && side) openSide(row);
  else if (row.dataset.href) location.href = row.dataset.href;
});

// Selection of rows.
const bar = $(".selection");
function counted() {
  if (!bar) return;
  const n = $$("tbody input[type=checkbox]:checked", table).length;
  $("#selected-n").textContent = n;
  bar.hidden = n === 0;
}
table?.addEventListener("change", counted);
$("#copy-ids")?.addEventListener("click", async () => {
  const ids = $$("tbody input[type=checkbox]:checked", table).map((box) => box.value);
  await navigator.clipboard.writeText(ids.join("\n"));
  say(`${ids.length} trace ids copied`);
});
$("[data-copy-link]")?.addEventListener("click", async () => {
  await navigator.clipboard.writeText(location.href);
  say("Link copied");
});

// Steps of a trace: another step is swapped in without loading the page.
async function selectStep(link) {
  const page = await load(link.href).catch(() => null);
  const fresh = page && $("#span", page);
  if (!fresh) {
    location.href = link.href;
    return;
  }
  $("#span").replaceWith(document.importNode(fresh, true));
  for (const step of $$(".step.at")) {
    step.classList.remove("at");
    $("a", step)?.removeAttribute("aria-current");
  }
  link.closest(".step").classList.add("at");
  link.setAttribute("aria-current", "true");
  history.replaceState(null, "", link.href);
}
document.addEventListener("click", (event) => {
  const link = event.target.closest(".tree a[data-step]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  at = rows().indexOf(link.closest(".step"));
  selectStep(link);
});

// A field that narrows a list of terms.
document.addEventListener("input", (event) => {
  const target = event.target.dataset?.filter && $(event.target.dataset.filter);
  if (!target) return;
  const wanted = event.target.value.toLowerCase();
  for (const term of $$("dt", target)) {
    const hit = term.textContent.toLowerCase().includes(wanted) || term.nextElementSibling.textContent.toLowerCase().includes(wanted);
    term.hidden = term.nextElementSibling.hidden = !hit;
  }
});

let going = 0;
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "Escape") {
    for (const menu of $$("details.menu[open]")) {
      menu.open = false;
      $("summary", menu).focus();
    }
    if (typing && typing.type !== "checkbox") typing.blur();
    else closeSide();
    return;
  }
  if ((typing && typing.type !== "checkbox") || event.ctrlKey || event.metaKey || event.altKey || help?.open) return;
  const place = going && Date.now() - going < 1200 && $$(".rail a[data-key]").find((a) => a.dataset.key === event.key);
  if (place) {
    location.href = place.href;
    event.preventDefault();
    return;
  }
  going = event.key === "g" ? Date.now() : 0;
  const row = rows()[at];
  const keys = {
    "?": () => help.showModal(),
    "/": () => $("#q")?.select(),
    j: () => move(1),
    k: () => move(-1),
    o: () => row && (row.dataset.panel ? openSide(row) : row.dataset.href && (location.href = row.dataset.href)),
    Enter: () => row?.dataset.href && !event.target.closest("a, button") && (location.href = row.dataset.href),
    x: () => {
      const box = row && $("input[type=checkbox]", row);
      if (box) {
        box.checked = !box.checked;
        counted();
      }
    },
  };
  if (keys[event.key]) {
    const done = keys[event.key]();
    if (event.key !== "Enter" || done) event.preventDefault();
  }
});
