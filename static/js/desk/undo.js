// The offer to take something back: it stands for some seconds and goes by itself. On the desk, what is typed is saved
// before the page goes.
let leave = null;

/** How a desk leaves the page before something is taken back: (go, stay) => …; null where nobody is at one. */
export function leaveForUndoBy(act) {
  leave = act;
}

function watch(offer) {
  if (offer.dataset.watched) return;
  offer.dataset.watched = "1";
  const go = () => offer.remove();
  let timer = setTimeout(go, Number(offer.dataset.seconds) * 1000);
  offer.addEventListener("submit", (event) => {
    clearTimeout(timer);
    if (!leave) return;
    event.preventDefault();
    leave(() => event.target.submit(), () => {
      timer = setTimeout(go, 2000);
    });
  });
}

/** Puts up an offer that is made without a new page. */
export function offerUndo({ url, message, seconds, key, token }) {
  const box = document.getElementById("toasts");
  for (const old of document.querySelectorAll("[data-undo-offer]")) old.remove(); // one at a time: the last one
  const offer = document.createElement("div");
  offer.className = "message undo-offer success";
  offer.dataset.undoOffer = "";
  offer.dataset.seconds = seconds;
  const said = document.createElement("p");
  said.textContent = message;
  const form = document.createElement("form");
  form.method = "post";
  form.action = url;
  const hidden = document.createElement("input");
  Object.assign(hidden, { type: "hidden", name: "csrfmiddlewaretoken", value: token });
  const button = document.createElement("button");
  button.className = "btn s";
  button.dataset.undoButton = "";
  const cap = document.createElement("kbd");
  cap.textContent = key;
  button.append("Undo ", cap);
  form.append(hidden, button);
  offer.append(said, form);
  box.append(offer);
  watch(offer);
}

// What the page itself offers stands above it, where it would push everything down and up again.
for (const offer of document.querySelectorAll("[data-undo-offer]")) {
  document.getElementById("toasts")?.append(offer);
  watch(offer);
}
