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

const LOOKS = {
  running: { look: "green", icon: <PlayCircleIcon /> },
  paused: { look: "blue", icon: <PauseCircleIcon /> },
  shutdown: { look: "grey", icon: <BanIcon /> },
  crashed: { look: "red", icon: <ExclamationCircleIcon /> },
  unknown: { look: "orange", icon: <QuestionCircleIcon /> },
} as const;

/** How a guest is, in a word, a colour and a sign. */
export function GuestState({ state }: { state: FleetGuest["state"] }): React.ReactNode {
  return (
    <Mark isOutlined {...LOOKS[state]} {...(state === "unknown" && { title: words.guests.unknownText })}>
      {words.guests.state[state]}
    </Mark>
  );
}
