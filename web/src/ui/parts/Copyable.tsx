import { Button, Tooltip } from "@patternfly/react-core";
import { CheckIcon, CopyIcon } from "@patternfly/react-icons";
import { useEffect, useState } from "react";
import { words } from "../messages";

const SAID_MS = 2000;

function CopyButton({ text, what }: { text: string; what: string }): React.ReactNode {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    if (!isCopied) return;
    const timer = setTimeout(() => setCopied(false), SAID_MS);
    return () => clearTimeout(timer);
  }, [isCopied]);
  const said = isCopied ? words.parts.copied : `${words.parts.copy}: ${what}`;
  return (
    <Tooltip content={isCopied ? words.parts.copied : words.parts.copy} aria="none" aria-live="polite">
      <Button
        variant="plain"
        size="sm"
        aria-label={said}
        icon={isCopied ? <CheckIcon /> : <CopyIcon />}
        onClick={() => void navigator.clipboard.writeText(text).then(() => setCopied(true))}
      />
    </Tooltip>
  );
}

/** A command or a text to be used elsewhere, as a block. */
export function CopyBlock({ text, what }: { text: string; what: string }): React.ReactNode {
  return (
    <div className="oms-copy-block">
      <pre>{text}</pre>
      <CopyButton text={text} what={what} />
    </div>
  );
}

/** A fingerprint: in groups, so that two can be compared by eye; copied without the gaps. */
export function Fingerprint({
  sha256,
  what = words.parts.fingerprint,
}: {
  sha256: string;
  what?: string;
}): React.ReactNode {
  const groups = sha256.match(/.{1,8}/g) ?? [];
  return (
    <span className="oms-fingerprint">
      <code>
        {groups.map((group, place) => (
          <span key={place}>{group}</span>
        ))}
      </code>
      <CopyButton text={sha256} what={what} />
    </span>
  );
}
