// Asks for a text that is to be typed: a browser gives its clipboard to a field that somebody pastes into, always.

/** Ask; `then` gets the text, and `after` is called however it ends. */
export function askForText(then: (text: string) => void, after: () => void): void {
  const dialog = document.createElement("dialog");
  const form = document.createElement("form");
  const label = document.createElement("label");
  const field = document.createElement("textarea");
  const type = document.createElement("button");
  const cancel = document.createElement("button");
  form.method = "dialog";
  label.textContent = "Text to type into the machine, key by key, as on a US keyboard:";
  field.rows = 6;
  field.spellcheck = false;
  type.textContent = "Type it";
  type.value = "type";
  cancel.textContent = "Cancel";
  label.append(field);
  form.append(label, type, cancel);
  dialog.append(form);
  dialog.addEventListener("close", () => {
    dialog.remove();
    after();
    if (dialog.returnValue === "type") {
      then(field.value);
    }
  });
  document.body.append(dialog);
  dialog.showModal();
}
