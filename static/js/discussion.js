// Conversations: names while one types @, quoting what is marked in the page, Ctrl+Enter to send, Escape to close.
const LONGEST_QUOTE = 2000;
const BEFORE = /(^|[^\p{L}\p{N}_@.+-])@([\p{L}\p{N}_.+-]{0,150})$/u;

// ---------------------------------------------------------------- names

let open = null; // {box, list, names, chosen, asked}
let asked = 0;

function close() {
  if (!open) return;
  open.list.remove();
  for (const name of ["aria-controls", "aria-activedescendant", "aria-autocomplete"]) open.box.removeAttribute(name);
  open = null;
}

function begun(box) {
  if (box.selectionStart !== box.selectionEnd) return null;
  const found = BEFORE.exec(box.value.slice(0, box.selectionStart));
  return found && { start: box.selectionStart - found[2].length, word: found[2] };
}

function choose(at) {
  if (!open) return;
  open.chosen = (at + open.names.length) % open.names.length;
  [...open.list.children].forEach((row, index) => row.setAttribute("aria-selected", String(index === open.chosen)));
  open.box.setAttribute("aria-activedescendant", open.list.children[open.chosen].id);
}

function take(index) {
  const { box, names } = open;
  const where = begun(box);
  close();
  if (!where) return;
  box.setRangeText(`${names[index]} `, where.start, box.selectionStart, "end");
  box.dispatchEvent(new Event("input", { bubbles: true }));
  box.focus();
}

function show(box, names) {
  close();
  if (!names.length) return;
  const list = document.createElement("ul");
  list.className = "people";
  list.id = `${box.id}-people`;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "People you can mention");
  names.forEach((name, index) => {
    const row = document.createElement("li");
    row.id = `${list.id}-${index}`;
    row.setAttribute("role", "option");
    row.textContent = name;
    row.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      take(index);
    });
    list.append(row);
  });
  box.after(list);
  box.setAttribute("aria-autocomplete", "list"); // a box of several lines may be no combobox
  box.setAttribute("aria-controls", list.id);
  open = { box, list, names, chosen: 0 };
  choose(0);
}

async function suggest(box) {
  const where = begun(box);
  const turn = (asked += 1);
  if (!where) {
    close();
    return;
  }
  const url = box.closest("[data-people]")?.dataset.people;
  if (!url) return;
  const answer = await fetch(`${url}?q=${encodeURIComponent(where.word)}`, { headers: { Accept: "application/json" } })
    .catch(() => null); // no connection: one types the name by hand
  if (!answer?.ok || turn !== asked) return;
  const { people } = await answer.json();
  if (turn === asked && document.activeElement === box && begun(box)) show(box, people);
}

document.addEventListener("input", (event) => {
  if (event.target.matches("[data-mentions]")) suggest(event.target);
});
document.addEventListener("focusout", (event) => {
  if (open && event.target === open.box) close();
});

// ---------------------------------------------------------------- keys

function shut(drawer) {
  drawer.open = false;
  drawer.querySelector("summary").focus();
}

// In the capturing phase and stopped there: keys of a page around (the desk's) must not fire from in here.
document.addEventListener("keydown", (event) => {
  const inside = event.target.closest?.("[data-talk], [data-talk-drawer]");
  if (!inside || event.isComposing) return;
  const box = event.target.closest("textarea");
  if (
    open && box === open.box && ["ArrowDown", "ArrowUp", "Enter", "Tab", "Escape"].includes(event.key) && !event.ctrlKey
  ) {
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.key === "ArrowDown") choose(open.chosen + 1);
    else if (event.key === "ArrowUp") choose(open.chosen - 1);
    else if (event.key === "Escape") close();
    else take(open.chosen);
    return;
  }
  if (box && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    event.stopImmediatePropagation();
    box.form.requestSubmit();
    return;
  }
  const drawer = event.target.closest("[data-talk-drawer]");
  if (drawer && event.key === "Escape") {
    event.preventDefault();
    event.stopImmediatePropagation();
    shut(drawer);
    return;
  }
  event.stopImmediatePropagation();
}, true);

// ---------------------------------------------------------------- quoting

/** The words that are marked in one of the item's texts, and which text that is. */
function marked() {
  const selection = getSelection();
  const words = selection && !selection.isCollapsed ? selection.toString().trim() : "";
  const node = selection?.anchorNode;
  const element = node && (node.nodeType === Node.ELEMENT_NODE ? node : node.parentElement);
  const place = element?.closest(".summary-text, .article");
  if (!words || words.length > LONGEST_QUOTE || !place || !place.contains(selection.focusNode)) return null;
  return { words, side: place.matches(".summary-text") ? "summary" : "source" };
}

let last = null; // a click on the button would clear the selection in some browsers
const offer = () =>
  document.querySelectorAll("[data-talk-take]").forEach((button) => {
    button.hidden = !last;
  });
document.addEventListener("selectionchange", () => {
  const now = marked();
  if (now) last = now;
  else if (!document.activeElement?.closest("[data-talk]")) last = null;
  offer();
});
document.addEventListener("htmx:afterSwap", offer);

document.addEventListener("click", (event) => {
  const form = event.target.closest("form");
  if (event.target.closest("[data-talk-close]")) shut(event.target.closest("[data-talk-drawer]"));
  if (event.target.closest("[data-talk-take]") && last) quote(form, last.words, last.side);
  if (event.target.closest("[data-talk-unquote]")) quote(form, "", "");
});

function quote(form, words, side) {
  form.querySelector("[data-talk-quote]").value = words;
  form.querySelector("[data-talk-side]").value = side;
  form.querySelector("[data-talk-quote-field]").hidden = !words;
  form.querySelector("[data-mentions]").focus();
}
