// Labelling by keyboard. The next item is loaded while this one is read; a label moves on at once.
import { $, load, say } from "./app.js";

let ahead = null;

// Words that differ, by longest common subsequence; long texts are compared line by line to stay quick.
export function difference(before, after) {
  const pieces = (text) => text.match(before.length + after.length > 8000 ? /[^\n]*\n?/g : /\s+|[^\s]+/g) ?? [];
  const a = pieces(before).filter((p) => p !== "");
  const b = pieces(after).filter((p) => p !== "");
  if (a.length * b.length > 4_000_000) return [["same", after]];
  const table = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      table[i][j] = a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
  const made = [];
  const push = (kind, text) => (made.at(-1)?.[0] === kind ? (made.at(-1)[1] += text) : made.push([kind, text]));
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) push("same", (j++, a[i++]));
    else if (i < a.length && (j === b.length || table[i + 1][j] >= table[i][j + 1])) push("gone", a[i++]);
    else push("new", b[j++]);
  }
  return made;
}

function showDifference() {
  const expected = $("#expected");
  const box = $("#diff");
  if (!expected || !box) return;
  const actual = $("#actual").value;
  box.hidden = expected.value === actual;
  if (box.hidden) return;
  const tags = { same: "span", gone: "del", new: "ins" };
  box.replaceChildren(
    ...difference(actual, expected.value).map(([kind, text]) => {
      const part = document.createElement(tags[kind]);
      part.textContent = text;
      return part;
    }),
  );
  const promote = $("#promote");
  if (promote && !promote.dataset.touched) promote.checked = true;
}

function preload() {
  const address = $("#label-form")?.dataset.next;
  ahead = address ? { address, page: load(address).catch(() => null) } : null;
}

function arrive(page, address) {
  const fresh = page && $("#main", page);
  if (!fresh || !$("#label-form", page)) {
    location.href = address;
    return;
  }
  $("#main").replaceChildren(...[...fresh.childNodes].map((node) => document.importNode(node, true)));
  for (const [from, to] of [[".rail", ".rail"]]) {
    const counts = $(`${from} .count:not(.bad)`, page);
    const mine = $(`${to} .count:not(.bad)`);
    if (counts && mine) mine.textContent = counts.textContent;
  }
  history.pushState(null, "", address);
  scrollTo(0, 0);
  $("#main").focus({ preventScroll: true });
  preload();
}

let busy = false;
async function submit(form) {
  if (busy) return;
  busy = true;
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { "x-csrf-token": document.body.dataset.csrf },
    });
    if (!answer.ok) {
      const page = new URL(answer.url).pathname;
      say(answer.status === 403 ? "You may not label here, or the page is out of date. Load it again." : `The label was not saved (${answer.status} at ${page}).`);
      return;
    }
    const landed = new URL(answer.url);
    const said = landed.searchParams.get("done");
    const known = ahead && new URL(ahead.address, location.href).pathname === landed.pathname ? await ahead.page : null;
    arrive(known ?? (await load(landed.href).catch(() => null)), landed.pathname + landed.search);
    const words = { promoted: "Labelled and added to the dataset", duplicate: "Labelled; the dataset already asks this", undone: "Label taken back" };
    say(words[said] ?? "Labelled", said === "undone" ? undefined : { words: "Undo", run: undo });
  } catch {
    say("The server does not answer; the label was not saved.");
  } finally {
    busy = false;
  }
}

function undo() {
  const form = $("#undo-form");
  if (form) submit(form);
}

document.addEventListener("click", (event) => {
  const choice = event.target.closest?.(".choice");
  if (!choice) return;
  event.preventDefault();
  const form = choice.form;
  form.elements.verdict.value = choice.dataset.verdict;
  form.elements.taxonomy.value = choice.dataset.taxonomy;
  submit(form);
});
document.addEventListener("input", (event) => {
  if (event.target.id === "expected") showDifference();
});
document.addEventListener("change", (event) => {
  if (event.target.id === "promote") event.target.dataset.touched = "yes";
});
document.addEventListener("keydown", (event) => {
  if (event.target.closest?.("input:not([type=checkbox]), textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if ($("dialog[open]")) return;
  const choice = /^[1-9]$/.test(event.key) && $(`.choice[data-key="${event.key}"]`);
  const focus = { e: "#expected", c: "#comment", s: "#severity" }[event.key];
  if (choice) choice.click();
  else if (focus && $(focus)) $(focus).focus();
  else if (event.key === "p" && $("#promote")) {
    $("#promote").checked = !$("#promote").checked;
    $("#promote").dataset.touched = "yes";
  } else if (event.key === "u") undo();
  else return;
  event.preventDefault();
});
addEventListener("popstate", () => location.reload());
preload();
