import { Label } from "@patternfly/react-core";
import {
  BanIcon,
  ExclamationCircleIcon,
  PauseCircleIcon,
  PlayCircleIcon,
  QuestionCircleIcon,
} from "@patternfly/react-icons";
import type { FleetGuest } from "../../api/contract";
import { words } from "../../messages";

const LOOKS = {
  running: { color: "green", icon: <PlayCircleIcon /> },
  paused: { color: "blue", icon: <PauseCircleIcon /> },
  shutdown: { color: "grey", icon: <BanIcon /> },
  crashed: { color: "red", icon: <ExclamationCircleIcon /> },
  unknown: { color: "orange", icon: <QuestionCircleIcon /> },
} as const;

/** How a guest is, in a word, a colour and a sign. */
export function GuestState({ state }: { state: FleetGuest["state"] }): React.ReactNode {
  return (
    <Label
      isCompact
      variant="outline"
      {...LOOKS[state]}
      {...(state === "unknown" && { title: words.guests.unknownText })}
    >
      {words.guests.state[state]}
    </Label>
  );
}
