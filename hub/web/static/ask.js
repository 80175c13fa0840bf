// Asks a person what an act needs: who, why, and what else its form has.

import { $, h, say } from "./dom.js";
import { state } from "./state.js";
import { t } from "./text.js";

export const mayAct = () => state.me && state.me.role !== "viewer";

/** A dialog with a form; `submit(form)` returns a promise and its error is shown. */
export function ask(title, subject, fields, button, submit) {
  const dialog = $("dialog");
  const error = h("p", { class: "form-error", role: "alert" });
  const form = h("form", { method: "dialog" },
    h("h2", { id: "dialog-title" }, title), h("p", { class: "muted" }, subject), ...fields, error,
    h("div", { class: "form-acts" },
      h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("form.cancel")),
      h("button", { type: "submit", class: "strong" }, button)));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const data = Object.fromEntries(new FormData(form));
    if (data.name !== undefined) localStorage.setItem("name", data.name);
    try {
      await submit(data);
      dialog.close();
    } catch (failure) {
      say(error, failure.message);
    }
  });
  dialog.replaceChildren(form);
  dialog.showModal();
}

export const nameField = () => h("label", {}, t("form.name"), h("input", { name: "name", maxlength: 64, autocomplete: "name", value: localStorage.getItem("name") ?? "" }));
export const whyField = (required, example = "form.why.example") => h("label", {}, t("form.why"), h("textarea", { name: "why", maxlength: 500, rows: 3, required, placeholder: t(example) }));
