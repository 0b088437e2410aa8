import {
  BanIcon,
  ExclamationCircleIcon,
  PauseCircleIcon,
  PlayCircleIcon,
  QuestionCircleIcon,
} from "@patternfly/react-icons";
import type { FleetGuest } from "../../api/contract";
import { words } from "../../messages";
import { Mark } from "../Mark";

/** Signs of one set: without it, PatternFly draws each of them twice and hides one. */
const LOOKS = {
  running: { look: "green", icon: <PlayCircleIcon set="default" /> },
  paused: { look: "blue", icon: <PauseCircleIcon set="default" /> },
  shutdown: { look: "grey", icon: <BanIcon set="default" /> },
  crashed: { look: "red", icon: <ExclamationCircleIcon set="default" /> },
  unknown: { look: "orange", icon: <QuestionCircleIcon set="default" /> },
} as const;

/** How a guest is, in a word, a colour and a sign. */
export function GuestState({ state }: { state: FleetGuest["state"] }): React.ReactNode {
  return (
    <Mark isOutlined {...LOOKS[state]} {...(state === "unknown" && { title: words.guests.unknownText })}>
      {words.guests.state[state]}
    </Mark>
  );
}
