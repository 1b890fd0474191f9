// The trace explorer: new rows as they arrive, suggestions of the filter menu, two rows beside each other.
import { $, $$, load, options, say } from "./app.js";

const EVERY_MS = 1500;
const MOST = 50;
const MARKED = 12;
const LIVE = "Live, at most 2 s behind";
const FAST = "Live · more arrive than are shown";

// The live list. Rows wait while somebody reads: the pointer or the focus in the list, the page scrolled, rows selected.
const list = $("#live-rows");
if (list) {
  const state = $("#live-state");
  let next = list.dataset.live;
  let over = false;
  let waiting = new Map();
  // More came than the list holds: while it waits, and in the latest answer.
  let more = false;
  let fast = false;
  const card = list.closest(".card");
  const reading = () => over || scrollY > 8 || card.contains(document.activeElement) || !!$("input:checked", list) || $("#side")?.hidden === false;
  const known = (id) => $(`tr[data-id="${id}"]`, list);

  const tell = (words) => state.textContent !== words && state.replaceChildren(words);
  function show() {
    $("#live-empty")?.remove();
    const rows = [...waiting.values()].sort((a, b) => a.order - b.order);
    // Where everything is new, marking what is new tells nothing and costs every frame.
    const marked = rows.length <= MARKED;
    for (const { row } of rows) {
      const there = known(row.dataset.id);
      if (there) {
        // It is the same trace: what was selected stays so.
        row.classList.toggle("at", there.classList.contains("at"));
        for (const box of $$("input", row)) box.checked = $("input:checked", there) !== null;
        there.replaceWith(row);
        continue;
      }
      row.classList.toggle("fresh", marked);
      // Traces are shown in the order of their start, and one that took long arrives after shorter ones.
      const at = $$("tr", list).find((other) => when(other) <= when(row));
      if (at) at.before(row);
      else list.append(row);
    }
    for (const old of $$("tr", list).slice(MOST)) if (!$("input:checked", old)) old.remove();
    waiting = new Map();
    more = false;
    tell(fast ? FAST : LIVE);
  }
  // However long nobody looks, only rows that the list would show wait.
  function forget() {
    const fresh = [...waiting].filter(([id]) => !known(id));
    if (fresh.length <= MOST) return;
    fresh.sort(([, a], [, b]) => when(b.row).localeCompare(when(a.row)) || b.order - a.order);
    for (const [id] of fresh.slice(MOST)) waiting.delete(id);
    more = true;
  }
  const when = (row) => $("time", row)?.dateTime ?? "";
  function settle() {
    const fresh = [...waiting.keys()].filter((id) => !known(id)).length;
    if (!reading()) show();
    else if (fresh) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "button s", textContent: `Paused · show ${more ? `the newest ${MOST}` : `${fresh} new`}` });
      button.addEventListener("click", () => {
        scrollTo({ top: 0 });
        show();
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
        const rows = $$("tbody tr", table);
        fast = rows.length >= MOST && rows.every((row) => !known(row.dataset.id) && !waiting.has(row.dataset.id));
        rows.reverse().forEach((row, order) => {
          const there = known(row.dataset.id);
          const made = document.importNode(row, true);
          if (there?.textContent !== made.textContent) waiting.set(row.dataset.id, { row: made, order: Date.now() * 100 + order });
        });
        forget();
        settle();
      } catch (error) {
        tell(`Not live. ${error.message}`);
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
  tell(LIVE);
  setTimeout(ask, EVERY_MS);
}

// Dragging over the bars above the list narrows it to that stretch of time; a click on one is a link.
const bars = $(".hist .bars");
if (bars) {
  const drawn = $$("a", bars).map((link) => ({ box: $(".hit", link), to: new URL(link.href.baseVal, location.origin) }));
  let from;
  let brush;
  let dragged = false;
  const place = (event) => {
    const { left, width } = bars.getBoundingClientRect();
    return (Math.min(Math.max(event.clientX - left, 0), width) / width) * bars.viewBox.baseVal.width;
  };
  const stop = () => {
    from = undefined;
    brush?.remove();
    brush = undefined;
  };
  // Neither is the link dragged nor the focus moved to it.
  bars.addEventListener("mousedown", (event) => event.preventDefault());
  // The click that ends it is none on the bar beneath.
  bars.addEventListener("click", (event) => dragged && event.preventDefault());
  bars.addEventListener("pointerdown", (event) => {
    dragged = false;
    if (event.button === 0 && event.pointerType !== "touch") from = { x: place(event), seen: event.clientX };
  });
  addEventListener("pointermove", (event) => {
    if (!from || (!brush && Math.abs(event.clientX - from.seen) < 6)) return;
    if (!brush) {
      dragged = true;
      brush = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      brush.setAttribute("class", "brush");
      brush.setAttribute("height", bars.viewBox.baseVal.height);
      bars.append(brush);
    }
    const [low, high] = [from.x, place(event)].sort((a, b) => a - b);
    brush.setAttribute("x", low);
    brush.setAttribute("width", high - low);
  });
  addEventListener("pointerup", (event) => {
    if (brush) {
      const [low, high] = [from.x, place(event)].sort((a, b) => a - b);
      const side = (box, share) => box.x.baseVal.value + share * box.width.baseVal.value;
      const inside = drawn.filter(({ box }) => side(box, 1) > low && side(box, 0) < high);
      if (inside.length) {
        const { to } = inside[0];
        to.searchParams.set("until", inside.at(-1).to.searchParams.get("until"));
        location.href = to.href;
      } else say("No trace in that stretch");
    }
    stop();
  });
  addEventListener("keydown", (event) => event.key === "Escape" && stop());
}

// Names of attributes, asked for when the menu opens.
$("#filter-menu")?.addEventListener("toggle", async (event) => {
  const names = $("#f-attributes");
  if (!event.currentTarget.open || names.childElementCount) return;
  names.replaceChildren(...(await options(names.dataset.from)));
});

// Two selected rows beside each other: x selects, c compares. The older one is A.
const compare = $("#compare");
if (compare) {
  const chosen = () => $$("tbody input[name=trace]:checked").map((box) => box.value);
  const go = () => {
    const [newer, older] = chosen();
    const address = new URL(compare.dataset.href, location.origin);
    address.searchParams.set("a", older);
    address.searchParams.set("b", newer);
    location.href = address.href;
  };
  const settle = () => (compare.disabled = chosen().length !== 2);
  compare.addEventListener("click", go);
  document.addEventListener("change", settle);
  document.addEventListener("keyup", settle);
  let went = 0;
  document.addEventListener("keydown", (event) => {
    const going = Date.now() - went < 1200;
    went = event.key === "g" ? Date.now() : 0;
    const typing = event.target.closest?.("input:not([type=checkbox]), textarea, select");
    if (event.key !== "c" || going || typing || event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
    if (chosen().length === 2) go();
    else say("Select two rows with x first");
  });
}

// "The selected span as received" follows the selection, which changes without loading the page.
$("#raw-span")?.addEventListener("click", (event) => {
  const step = $("#span")?.dataset.span;
  if (!step) return;
  const address = new URL(event.currentTarget.href);
  address.searchParams.set("span", step);
  event.currentTarget.href = address.href;
});
