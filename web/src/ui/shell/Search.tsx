import { SearchInput } from "@patternfly/react-core";
import { useState } from "react";
import { useNavigate } from "react-router";
import { words } from "../messages";

/** Finds guests by words; Enter goes to what fits. */
export function Search(): React.ReactNode {
  const [sought, setSought] = useState("");
  const go = useNavigate();
  return (
    <SearchInput
      aria-label={words.parts.search}
      placeholder={words.parts.search}
      value={sought}
      onChange={(_, value) => setSought(value)}
      onClear={() => setSought("")}
      onSearch={(_, value) => {
        if (value.trim() !== "") void go(`/guests?search=${encodeURIComponent(value.trim())}`);
      }}
    />
  );
}
