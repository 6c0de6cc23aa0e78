// Trying another prompt on the article, in a dialog over the desk.
// What the model's process answers while it is busy or gone belongs into the dialog, not under it.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target?.id === "trial" && event.detail.xhr.status === 503) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

export class Trial {
  constructor(desk) {
    this.actions = { prompt: () => desk.find("[data-try-open]")?.click() };
  }
}
