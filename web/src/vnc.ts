// The screen of a machine.

import RFB from "@novnc/novnc";
import "./console.css";
import { keepOpen } from "./session";
import { toolbar } from "./toolbar";

const view = document.getElementById("view") as HTMLElement;
let screen: RFB | undefined;

keepOpen((socket, given) => {
  screen = new RFB(view, socket, { shared: true });
  screen.scaleViewport = true;
  screen.viewOnly = given.view_only;
  screen.background = "#101214";
  screen.focus();
});

toolbar([
  { label: "Ctrl-Alt-Del", run: () => screen?.sendCtrlAltDel() },
  {
    label: "Type the clipboard’s text",
    run: () => {
      void navigator.clipboard.readText().then((text) => screen?.clipboardPasteFrom(text));
    },
  },
  { label: "Full screen", run: () => void document.documentElement.requestFullscreen() },
]);
