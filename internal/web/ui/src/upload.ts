// Drag and drop, and progress, for the upload form. The form works without:
// this sends the same request and shows the same page as its answer.

/** enhance takes the form's submission over. */
export function enhance(form: HTMLFormElement): void {
  const zone = form.querySelector<HTMLElement>("[data-drop]")!;
  const input = form.querySelector<HTMLInputElement>("input[type=file]")!;
  const button = form.querySelector<HTMLButtonElement>("button")!;
  const doing = form.querySelector<HTMLElement>("[data-doing]")!;
  const bar = doing.querySelector("progress")!;
  const status = doing.querySelector<HTMLElement>("[data-status]")!;
  const limit = Number(form.dataset["limit"]);
  form.querySelector("[data-drop-hint]")?.removeAttribute("hidden");

  const say = (text = "") => {
    doing.hidden = false;
    status.textContent = text;
  };
  const send = (files: FileList | File[]) => {
    const list = [...files];
    if (list.length === 0) return;
    if (limit > 0 && list.reduce((sum, f) => sum + f.size, 0) > limit) {
      bar.hidden = true;
      say(form.dataset["tooLarge"]);
      return;
    }
    const body = new FormData();
    for (const f of list) body.append("file", f, f.name);
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.upload.addEventListener("progress", (e) => {
      if (e.lengthComputable) bar.value = e.loaded / e.total;
    });
    request.upload.addEventListener("load", () => {
      bar.removeAttribute("value");
      say(form.dataset["reading"]);
    });
    const failed = () => {
      button.disabled = false;
      bar.hidden = true;
      say(form.dataset["failed"]);
    };
    request.addEventListener("error", failed);
    request.addEventListener("load", () => {
      const page = new DOMParser().parseFromString(request.responseText, "text/html").querySelector("main");
      if (!page) return failed();
      document.querySelector("main")!.replaceWith(document.importNode(page, true));
      document.querySelector<HTMLElement>("main")!.focus();
      const next = document.querySelector<HTMLFormElement>("form[data-upload]");
      if (next) enhance(next);
      window.scrollTo(0, 0);
    });
    button.disabled = true;
    bar.hidden = false;
    bar.value = 0;
    say(form.dataset["sending"]);
    request.send(body);
  };

  form.addEventListener("submit", (e) => {
    e.preventDefault();
    send(input.files ?? []);
  });
  for (const type of ["dragenter", "dragover"]) {
    zone.addEventListener(type, (e) => {
      e.preventDefault();
      zone.classList.add("over");
    });
  }
  zone.addEventListener("dragleave", (e) => {
    if (!zone.contains(e.relatedTarget as Node | null)) zone.classList.remove("over");
  });
  zone.addEventListener("drop", (e) => {
    e.preventDefault();
    zone.classList.remove("over");
    send(e.dataTransfer?.files ?? []);
  });
}
