// The offer to take something back: it stands for some seconds and goes by itself. On the desk, what is typed is saved
// before the page goes. window.galleyUndo({url, message, seconds, key, token}) puts one up from other scripts.
(() => {
  "use strict";

  function watch(offer) {
    if (offer.dataset.watched) return;
    offer.dataset.watched = "1";
    const go = () => offer.remove();
    let timer = setTimeout(go, Number(offer.dataset.seconds) * 1000);
    offer.addEventListener("submit", (event) => {
      clearTimeout(timer);
      if (!window.galleyDesk) return;
      event.preventDefault();
      window.galleyDesk.leaveFor(() => event.target.submit(), () => { timer = setTimeout(go, 2000); });
    });
  }

  window.galleyUndo = ({ url, message, seconds, key, token }) => {
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
  };

  // What the page itself offers stands above it, where it would push everything down and up again.
  const look = () => {
    for (const offer of document.querySelectorAll("[data-undo-offer]")) {
      document.getElementById("toasts")?.append(offer);
      watch(offer);
    }
  };
  document.addEventListener("DOMContentLoaded", look);
})();
