// The trace explorer: new rows as they arrive, suggestions of the filter menu, two rows beside each other.
// It does not import app.js, whose address carries a hash: another address would run it twice.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const EVERY_MS = 1500;
const MOST = 50;

function load(url) {
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

// The live list. Rows wait while somebody reads: the pointer or the focus in the list, the page scrolled, rows selected.
const list = $("#live-rows");
if (list) {
  const state = $("#live-state");
  let next = list.dataset.live;
  let over = false;
  let waiting = new Map();
  const card = list.closest(".card");
  const reading = () => over || scrollY > 8 || card.contains(document.activeElement) || !!$("input:checked", list) || $("#side")?.hidden === false;
  const known = (id) => $(`tr[data-id="${id}"]`, list);

  const tell = (words) => state.textContent !== words && state.replaceChildren(words);
  function show() {
    $("#live-empty")?.remove();
    const rows = [...waiting.values()].sort((a, b) => a.order - b.order);
    for (const { row } of rows) {
      const there = known(row.dataset.id);
      if (there) {
        there.replaceWith(row);
        continue;
      }
      row.classList.add("fresh");
      // Traces are shown in the order of their start, and one that took long arrives after shorter ones.
      const at = $$("tr", list).find((other) => when(other) <= when(row));
      if (at) at.before(row);
      else list.append(row);
    }
    for (const old of $$("tr", list).slice(MOST)) old.remove();
    waiting = new Map();
  }
  const when = (row) => $("time", row)?.dateTime ?? "";
  function settle() {
    const fresh = [...waiting.keys()].filter((id) => !known(id)).length;
    if (!reading()) {
      show();
      tell("Live");
    } else if (fresh) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "button s", textContent: `Paused · show ${fresh} new` });
      button.addEventListener("click", () => {
        scrollTo({ top: 0 });
        show();
        tell("Live");
      });
      if (state.textContent !== button.textContent) state.replaceChildren(button);
    } else tell("Paused");
  }
  async function ask() {
    if (!document.hidden) {
      try {
        const page = await load(next);
        const table = $("#live", page);
        next = table.dataset.next;
        $$("tbody tr", table).reverse().forEach((row, order) => {
          const there = known(row.dataset.id);
          const made = document.importNode(row, true);
          if (there?.textContent !== made.textContent) waiting.set(row.dataset.id, { row: made, order: Date.now() * 100 + order });
        });
        settle();
      } catch (error) {
        tell(`Not live: ${error.message}`);
      }
    }
    setTimeout(ask, EVERY_MS);
  }
  list.addEventListener("pointerenter", () => (over = true));
  list.addEventListener("pointerleave", () => {
    over = false;
    settle();
  });
  addEventListener("scroll", () => scrollY <= 8 && settle(), { passive: true });
  tell("Live");
  setTimeout(ask, EVERY_MS);
}

// Names of attributes, asked for when the menu opens.
$("#filter-menu")?.addEventListener("toggle", async (event) => {
  const names = $("#f-attributes");
  if (!event.currentTarget.open || names.childElementCount) return;
  const answer = await fetch(names.dataset.from);
  if (!answer.ok) return;
  names.replaceChildren(...(await answer.json()).map((value) => Object.assign(document.createElement("option"), { value })));
});
