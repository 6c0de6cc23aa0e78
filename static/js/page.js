// Small behaviours, all attached by data- attributes; every page works without them.
//   data-dismiss            removes the message it stands in
//   data-dialog-open="id"   opens <dialog id> as modal; data-dialog-close closes the dialog around it
//   data-menu               <details> that closes on Escape and on a click elsewhere
//   data-copy="id"          copies the text of an element
//   data-autosubmit         a form that sends itself when a choice changes
//   data-key="r"            clicks the element when the key is pressed outside of a field
//   data-once               a form that can be sent only once
//   data-print              prints the page; hidden without script. On paper all <details> are open
const actions = {
  dismiss(button) {
    button.closest(".message")?.remove();
  },
  dialogOpen(button, event) {
    const dialog = document.getElementById(button.dataset.dialogOpen);
    if (!dialog?.showModal) return;
    event.preventDefault();
    if (!dialog.open) dialog.showModal();
  },
  dialogClose(button, event) {
    const dialog = button.closest("dialog");
    if (!dialog) return;
    event.preventDefault();
    dialog.matches(":popover-open") ? dialog.hidePopover() : dialog.close();
  },
  print() {
    globalThis.print();
  },
  async copy(button) {
    const source = document.getElementById(button.dataset.copy);
    const label = button.querySelector("[data-copy-label]") || button;
    const before = label.textContent;
    try {
      await navigator.clipboard.writeText("value" in source ? source.value : source.textContent);
      label.textContent = "Copied";
    } catch (_) { // no clipboard without https: select it, so that Ctrl+C does it
      getSelection().selectAllChildren(source);
      label.textContent = "Press Ctrl+C";
    }
    setTimeout(() => {
      label.textContent = before;
    }, 2000);
  },
};

document.addEventListener("click", (event) => {
  for (const [name, act] of Object.entries(actions)) {
    const attribute = "data-" + name.replace(/[A-Z]/g, (letter) => "-" + letter.toLowerCase());
    const button = event.target.closest(`[${attribute}]`);
    if (button) act(button, event);
  }
  if (event.target instanceof HTMLDialogElement && event.target.open && event.target.matches(":modal")) {
    const box = event.target.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top &&
      event.clientY <= box.bottom;
    if (!inside && event.detail) event.target.close();
  }
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-autosubmit]");
  if (form && event.target.matches("select, input[type=checkbox], input[type=radio]")) form.requestSubmit();
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]") || event.defaultPrevented) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "1";
  setTimeout(() => delete form.dataset.sent, 4000); // the answer may have been a download or an error
});
document.querySelectorAll("[data-print]").forEach((button) => button.hidden = false);
let closed = [];
window.addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("main details:not([open], [data-menu])")];
  for (const one of closed) one.open = true;
});
window.addEventListener("afterprint", () => {
  for (const one of closed) one.open = false;
});
window.addEventListener(
  "pageshow",
  () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent),
);

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details[data-menu][open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("input, textarea, select, [contenteditable], dialog")) return;
  const target = document.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (target) {
    event.preventDefault();
    target.click();
  }
});
