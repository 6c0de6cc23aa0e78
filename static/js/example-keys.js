// Deciding on feedback examples from the keyboard: J K to move, A approve, D why not, O article, X tick.
const all = () => [...document.querySelectorAll("[data-example]")];
const current = () =>
  document.activeElement?.closest("[data-example]") || document.querySelector("[data-example].here");

function go(card) {
  if (!card) return;
  for (const other of all()) other.classList.toggle("here", other === card);
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

function move(step) {
  const cards = all();
  const at = cards.indexOf(current());
  go(cards[at < 0 ? 0 : Math.min(Math.max(at + step, 0), cards.length - 1)]);
}

const keys = {
  j: () => move(1),
  k: () => move(-1),
  a: (card) => card?.querySelector("[data-approve]")?.click(),
  d: (card) => card?.querySelector("[data-why]")?.focus(),
  o(card) {
    const fold = card?.querySelector("[data-article]");
    if (fold) fold.open = !fold.open;
  },
  x: (card) => card?.querySelector("input[type=checkbox][name=example]")?.click(),
  "?": () => document.getElementById("keys")?.showPopover?.(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.key === "Escape" && event.target.matches?.("[data-why]")) {
    go(event.target.closest("[data-example]"));
    return;
  }
  if (event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable], dialog, :popover-open")) {
    return;
  }
  const act = keys[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act(current());
});

// The card that was decided is replaced: go on with the one after it.
let next = null;
document.addEventListener("htmx:beforeSwap", (event) => {
  const card = event.detail.target;
  if (!card?.matches?.("[data-example]") || !event.detail.shouldSwap) return;
  const cards = all();
  next = cards[cards.indexOf(card) + 1]?.id || card.id;
});
document.addEventListener("htmx:afterSettle", () => {
  if (!next) return;
  go(document.getElementById(next));
  next = null;
});
