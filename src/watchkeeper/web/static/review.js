// Labelling by keyboard: the answer to a label is the next item, which takes the place of this one.
import { $, refusal, say, send } from "./app.js";

let shown = location.pathname + location.search;

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

function arrive(page, address) {
  const fresh = page && $("#main", page);
  if (!fresh || !$("#label-form", page)) {
    location.href = address;
    return;
  }
  // It is said beside the undo.
  $(".said-done", fresh)?.remove();
  $("#main").replaceChildren(...[...fresh.childNodes].map((node) => document.importNode(node, true)));
  const [waiting, before] = [page, document].map((where) => $(".rail .count:not(.bad)", where));
  if (waiting && before) before.replaceWith(document.importNode(waiting, true));
  history.pushState(null, "", address);
  shown = address;
  scrollTo(0, 0);
  $("#main").focus({ preventScroll: true });
}

let busy = false;
async function submit(form, pressed) {
  if (busy) return;
  busy = true;
  try {
    const answer = await send("POST", form.action, new URLSearchParams(new FormData(form, pressed)));
    const refused = refusal(answer);
    if (refused) {
      say(`${form.id === "skip-form" ? "It was not skipped" : "The label was not saved"}. ${refused}`);
      return;
    }
    const landed = new URL(answer.responseURL);
    const said = landed.searchParams.get("done");
    arrive(answer.response, landed.pathname + landed.search);
    const words = { promoted: "Labelled and added to the dataset", moved: "Labelled; the dataset had this case in another split: it is in regression now", duplicate: "Labelled; the dataset already asks this", skipped: "Skipped: it waits for others", undone: "Label taken back", undone_case: "Label taken back; the trace stays a case of its dataset" };
    say(words[said] ?? "Labelled", said === "skipped" || said?.startsWith("undone") ? undefined : { words: "Undo", run: undo });
  } catch {
    say("The server does not answer: the label may not be saved.");
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
  submit(choice.form, choice);
});
document.addEventListener("submit", (event) => {
  if (event.target.id !== "skip-form") return;
  event.preventDefault();
  submit(event.target);
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
  else if (event.key === "n" && $("#skip-form")) submit($("#skip-form"));
  else return;
  event.preventDefault();
});
// Back and forward show another item; a place on this page does not.
addEventListener("popstate", () => location.pathname + location.search !== shown && location.reload());
