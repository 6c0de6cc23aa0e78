// Recent, in a dialog over the desk; back through them one by one, and forward to where I was.
export class Recent {
  constructor(desk) {
    this.desk = desk;
    const link = desk.find("[data-recent-open]");
    desk.on(link, "click", (event) => {
      if (!event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        this.open(link.href);
      }
    });
    const go = (url) => desk.leaveFor(() => location.assign(url));
    this.actions = {
      recent: () => link.click(),
      older: () => go(desk.data.olderUrl),
      newer: () => {
        if (desk.correcting) go(desk.data.newerUrl);
        else desk.say("You are where you were.");
      },
    };
  }

  async open(url) {
    const dialog = this.desk.find("#recent");
    try {
      const answer = await fetch(url, { headers: { "HX-Request": "true" } });
      if (!answer.ok || answer.redirected) {
        this.desk.leaveFor(() => location.assign(url));
        return;
      }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      this.desk.find("#recent [data-recent-list]").replaceWith(
        document.importNode(page.querySelector("[data-recent-list]"), true),
      );
    } catch (_) {
      this.desk.notice("No connection to Galley, so your earlier reviews cannot be shown.", "error");
      return;
    }
    const links = [...dialog.querySelectorAll("a")];
    for (const link of links) {
      link.addEventListener("click", (event) => {
        if (event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        dialog.close();
        this.desk.leaveFor(() => location.assign(link.href));
      });
    }
    dialog.onkeydown = (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
      if (!step || !links.length) return;
      event.preventDefault();
      const at = links.indexOf(document.activeElement);
      links[Math.max(0, Math.min(links.length - 1, at + step))].focus();
    };
    if (!dialog.open) dialog.showModal();
    (links.find((link) => link.getAttribute("aria-current")) || links[0])?.focus();
  }
}
