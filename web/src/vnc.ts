// The screen of a machine.

import RFB from "@novnc/novnc";
import "./console.css";
import { keepOpen } from "./session";
import { fullScreen, onlyLooks, toolbar } from "./toolbar";
import { askForText } from "./typebox";
import { CHORDS, strike, type } from "./typing";

const view = document.getElementById("view") as HTMLElement;
let screen: RFB | undefined;
let fits = true;

keepOpen((socket, given) => {
  screen = new RFB(view, socket, { shared: true });
  screen.viewOnly = given.view_only;
  screen.background = "#101214";
  scale();
  screen.focus();
  onlyLooks(given.view_only);
});

toolbar([
  { label: "Ctrl-Alt-Del", run: () => onScreen((there) => there.sendCtrlAltDel()) },
  {
    label: "Keys …",
    of: Object.fromEntries(CHORDS.map((chord) => [chord, () => onScreen((there) => strike(there, chord))])),
  },
  {
    label: "Type text …",
    title: "Types a text, or what you paste, key by key",
    run: () =>
      askForText(
        (text) => onScreen((there) => type(there, text)),
        () => screen?.focus(),
      ),
  },
  {
    label: "Fit / actual size",
    harmless: true,
    run: () => {
      fits = !fits;
      scale();
      screen?.focus();
    },
  },
  { label: "Full screen", harmless: true, run: fullScreen },
]);

/** As large as the window, or point for point with bars to move it by. */
function scale(): void {
  if (screen) {
    screen.scaleViewport = fits;
  }
}

function onScreen(act: (there: RFB) => void): void {
  if (screen) {
    act(screen);
    screen.focus();
  }
}
