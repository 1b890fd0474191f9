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

export function send(method, url, body) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    request.responseType = "document";
    request.timeout = 15000;
    request.onload = () => resolve(request);
    request.onerror = request.ontimeout = () => reject(new Error("The server does not answer."));
    request.send(body);
  });
}
// What the server refuses it says in words. A login that has ended leads to the login page, or is refused as a form.
const ended = (answer) => answer.status === 401 || new URL(answer.responseURL, location.href).pathname === "/login";
export function refusal(answer) {
  if (ended(answer)) return "Your login has ended: sign in again in another tab, then try once more.";
  if (answer.status < 400) return "";
  const said = ["#error", "#hint"].map((part) => $(part, answer.response ?? document.createDocumentFragment())?.textContent).filter(Boolean);
  return said.join(" ") || `The server says ${answer.status}.`;
}
export async function load(url) {
  const answer = await send("GET", url);
  const refused = refusal(answer);
  if (refused) throw new Error(refused);
  return answer.response;
}
// The options of a list of suggestions, as an address knows them.
export async function options(url) {
  try {
    const answer = await fetch(url);
    const values = answer.ok && !answer.redirected ? await answer.json() : [];
    return values.map((value) => Object.assign(document.createElement("option"), { value }));
  } catch {
    return []; // Suggestions are no more than that: without them one types.
  }
}

// A form is sent once, however often its button is pressed, until the page is shown again or the server has refused it.
const sent = new WeakSet();
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || event.target.getAttribute("method") !== "post") return;
  if (sent.has(event.target)) event.preventDefault();
  else sent.add(event.target);
});
addEventListener("pageshow", (event) => event.persisted && $$("form").forEach((form) => sent.delete(form)));

// What the server may refuse is refused inside its form, where what was written stays.
function arrived(form, there) {
  const said = form.getAttribute("data-said");
  if (!said) {
    location.href = there;
    return;
  }
  sent.delete(form);
  say(said);
  form.reset();
  main.dispatchEvent(new Event("change", { bubbles: true }));
}
async function ask(form, pressed) {
  const fields = new URLSearchParams(new FormData(form, pressed));
  // A field may be called as a property of its form is: only attributes are the form's own.
  const [method, to] = ["method", "action"].map((name) => form.getAttribute(name));
  const answer = method === "get" ? await send(method, `${to}?${fields}`) : await send(method, to, fields);
  const refused = refusal(answer);
  if (!refused) return arrived(form, answer.responseURL);
  // What is there already may be sent all the same, where the form has a button for it.
  for (const anyway of $$("[data-anyway]", form)) anyway.hidden = answer.status !== 409;
  throw new Error(refused);
}
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (event.defaultPrevented || !form.hasAttribute("data-refusable")) return;
  event.preventDefault();
  try {
    await ask(form, event.submitter);
  } catch (error) {
    sent.delete(form);
    const told = $("[role=alert]", form) ?? form.appendChild(document.createElement("p"));
    told.setAttribute("role", "alert");
    told.className = "small bad-ink";
    told.textContent = error.message;
  }
});

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

// The answer that shows a new key once is not at an address of its own: loading it again would make another.
if ($(".secret")) history.replaceState(null, "", location.href.replace("/settings/keys", "/settings"));

// Settings that are only about looking live in cookies.
for (const field of $$("[data-cookie]"))
  field.addEventListener("change", () => {
    document.cookie = `${field.dataset.cookie}=${encodeURIComponent(field.value)}; path=/; max-age=31536000; samesite=lax`;
    say("Saved for this browser");
  });

// Browsers have a clipboard for scripts only on https and on this machine; elsewhere what is selected can be copied.
async function take(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = Object.assign(document.createElement("textarea"), { value: text, className: "sr" });
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  focused?.focus();
  if (!done) throw new Error("the browser does not allow it");
}
async function copied(text, words = "Copied") {
  try {
    await take(await text);
    say(words);
  } catch (error) {
    say(`This could not be copied: ${error.message}`);
  }
}

// Commands can be taken along.
for (const block of $$(".cmd:not(.small)")) {
  const text = block.textContent;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "button s copy", textContent: "Copy" });
  button.addEventListener("click", () => copied(text));
  block.append(button);
}

// What is copied: the address of what is selected, a text that is known, one that is on the page, the message around the
// button, or one that is asked for, because asking for it is written down.
function link() {
  const address = new URL(location.href);
  if ($("#span")) address.searchParams.set("span", $("#span").dataset.span);
  return address.href;
}
async function asked(from) {
  const answer = await fetch(new URL(from, location.origin));
  if (!answer.ok || answer.redirected) throw new Error(answer.ok ? "your login has ended" : `the server says ${answer.status}`);
  return answer.text();
}
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from], [data-copy-text], [data-copy-link], [data-copy-near]");
  if (!button) return;
  const { copy, copyFrom, copyText, copyNear } = button.dataset;
  let text = link();
  if (copy) text = $(copy)?.textContent ?? "";
  else if (copyFrom) text = asked(copyFrom);
  else if (copyText) text = copyText;
  else if (copyNear !== undefined) text = $$(".text:not(.preview)", button.closest(".turn, .pair > div")).map((part) => part.textContent).join("\n\n");
  await copied(text);
  const menu = button.closest("details.menu");
  if (menu) menu.open = false;
});

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
  const name = $("#cohort-name").value;
  address.searchParams.set("name", name);
  const values = await options(address);
  // Answers may arrive in another order than they were asked for: those for a name chosen no longer are dropped.
  if (name !== $("#cohort-name").value) return;
  $("#cohort-values").replaceChildren(...values);
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
const main = $("#main");
const rows = () => $$("tr.go, article.go, .tree li.step", main);
// The row one is at is marked, not numbered: a live list puts others above it.
const here = () => rows().find((row) => row.classList.contains("at"));
function mark(row) {
  for (const other of rows()) other.classList.toggle("at", other === row);
}
function move(step) {
  const all = rows();
  let next = all.indexOf(here()) + step;
  while (all[next] && !all[next].checkVisibility()) next += step;
  if (all[next]) go(all[next]);
}
function go(row) {
  mark(row);
  row.scrollIntoView({ block: "nearest" });
  if (side && !side.hidden) openSide(row);
  if (!row.matches("li.step")) return;
  $("a", row).focus({ preventScroll: true });
  selectStep($("a", row));
}

const side = $("#side");
let beside;
async function openSide(row) {
  if (!side || !row?.dataset.panel) return;
  beside = row;
  try {
    const page = await load(row.dataset.panel);
    if (beside !== row) return;
    side.replaceChildren(document.importNode($("#panel", page), true));
    side.hidden = false;
    $("[data-close]", side)?.addEventListener("click", closeSide);
  } catch (error) {
    if (beside === row) say(`This trace could not be opened. ${error.message}`);
  }
}
function closeSide() {
  beside = undefined;
  if (!side || side.hidden) return false;
  side.hidden = true;
  return true;
}
document.addEventListener("click", (event) => {
  const row = event.target.closest("tr.go");
  if (!row || event.target.closest("a, button, input, label, summary")) return;
  if (getSelection()?.toString()) return;
  mark(row);
  if (row.dataset.panel && side) openSide(row);
  else if (row.dataset.href) location.href = row.dataset.href;
});

// Selection of rows.
const bar = $(".selection");
function counted() {
  if (!bar) return;
  const n = $$("tbody input[type=checkbox]:checked", main).length;
  $("#selected-n").textContent = n;
  bar.hidden = n === 0;
}
main.addEventListener("change", counted);
$("#copy-ids")?.addEventListener("click", () => {
  const ids = $$("tbody input[type=checkbox]:checked", main).map((box) => box.value);
  copied(ids.join("\n"), `${ids.length} trace ids copied`);
});

// Steps of a trace: another step is swapped in without loading the page; of several asked for in a row, the last one.
let wanted;
let shown = $(".tree a[aria-current]");
function point(link) {
  mark(link.closest(".step"));
  for (const other of $$(".tree a[aria-current]")) other.removeAttribute("aria-current");
  link.setAttribute("aria-current", "true");
}
async function selectStep(link) {
  wanted = link;
  point(link);
  await new Promise((resolve) => setTimeout(resolve, 60));
  if (wanted !== link) return;
  try {
    const page = await load(link.dataset.step);
    if (wanted !== link) return;
    $("#span").replaceWith(document.importNode($("#span", page), true));
    history.replaceState(null, "", link.href);
    shown = link;
  } catch (error) {
    if (wanted !== link) return;
    // The tree points at what is shown beside it.
    if (shown) point(shown);
    say(`This span could not be opened. ${error.message}`);
  }
}
document.addEventListener("click", async (event) => {
  const link = event.target.closest(".tree a[data-step]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  await selectStep(link);
  // Enter on a step goes on to what it says.
  if (event.detail === 0) $("#span")?.focus();
});

// The tree opens where the selected span is.
const chosen = $(".tree .step.at");
for (const box of chosen ? [chosen.closest(".tree"), chosen.closest(".beside")] : []) {
  const [inner, outer] = [chosen.getBoundingClientRect(), box.getBoundingClientRect()];
  if (inner.top < outer.top || inner.bottom > outer.bottom) box.scrollTop += inner.top - outer.top - box.clientHeight / 2;
}

// What lies below a step can be folded away. Steps follow each other depth first.
const depth = (step) => Number(step.dataset.depth);
function below(step) {
  const all = rows();
  const first = all.indexOf(step) + 1;
  const end = all.findIndex((other, i) => i >= first && depth(other) <= depth(step));
  return all.slice(first, end < 0 ? undefined : end);
}
function fold(step, open) {
  $(".twig", step).setAttribute("aria-expanded", open);
  let closed = Infinity;
  for (const other of below(step)) {
    if (depth(other) <= closed) closed = Infinity;
    other.hidden = !open || closed < Infinity;
    if (closed === Infinity && $(".twig[aria-expanded=false]", other)) closed = depth(other);
  }
}
document.addEventListener("click", (event) => {
  const twig = event.target.closest(".twig");
  if (twig) fold(twig.closest(".step"), twig.getAttribute("aria-expanded") === "false");
});
// Arrow keys in the tree: up and down walk, right unfolds or goes in, left folds or goes out.
document.addEventListener("keydown", (event) => {
  const step = event.target.closest?.(".tree .step");
  if (!step || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  const twig = $(".twig", step);
  const open = twig?.getAttribute("aria-expanded") === "true";
  const keys = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    ArrowRight: () => (twig && !open ? fold(step, true) : twig && move(1)),
    ArrowLeft: () => {
      if (open) return fold(step, false);
      const outer = rows().slice(0, rows().indexOf(step)).findLast((other) => depth(other) < depth(step));
      if (outer) go(outer);
    },
  };
  if (!keys[event.key]) return;
  mark(step);
  keys[event.key]();
  event.preventDefault();
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
  const pressed = $$("[data-press]", main).find((control) => control.dataset.press === event.key);
  if (pressed) {
    pressed.click();
    // What opens is filled in at once.
    $("input:not([type=hidden])", pressed.closest("details[open]") ?? document.createElement("p"))?.focus();
    event.preventDefault();
    return;
  }
  const row = here();
  const keys = {
    "?": () => help.showModal(),
    "/": () => $("#q")?.select(),
    u: () => $("[data-undo]")?.click(),
    j: () => move(1),
    k: () => move(-1),
    o: () => row && (row.dataset.panel ? openSide(row) : row.dataset.href && (location.href = row.dataset.href)),
    Enter: () => row?.dataset.href && !event.target.closest("a, button, summary") && (location.href = row.dataset.href),
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
