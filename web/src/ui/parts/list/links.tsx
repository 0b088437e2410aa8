// Links in the rows of a list. The router's own are drawn anew with every change of the address, each of some hundred: these are
// plain, and the list answers for all of them when one is clicked.
import { createContext, useCallback, useContext } from "react";
import { useHref, useNavigate } from "react-router";

const Base = createContext("/");

interface Props {
  /** An address of the GUI. */
  to: string;
  children: React.ReactNode;
}

export function RowLink({ to, children }: Props): React.ReactNode {
  const base = useContext(Base);
  return (
    <a href={base + to.slice(1)} className="oms-break">
      {children}
    </a>
  );
}

/** Around rows with such links. */
export function RowLinks({ children }: { children: React.ReactNode }): React.ReactNode {
  return <Base value={useBase()}>{children}</Base>;
}

/** What is done with a click on any of them; whatever else a browser does with links stays with it. */
export function useFollowing(): (event: React.MouseEvent) => void {
  const go = useNavigate();
  const base = useBase();
  return useCallback(
    (event) => {
      const link = (event.target as Element).closest("a");
      const href = link?.getAttribute("href");
      if (!link || !href?.startsWith(base) || event.defaultPrevented || isForBrowser(event)) return;
      event.preventDefault();
      // A browser lays out the whole list once more before it gives up an element that has the focus.
      link.blur();
      void go(`/${href.slice(base.length)}`);
    },
    [base, go],
  );
}

function useBase(): string {
  return useHref("/").replace(/\/*$/, "/");
}

function isForBrowser({ button, metaKey, ctrlKey, shiftKey, altKey }: React.MouseEvent): boolean {
  return button !== 0 || metaKey || ctrlKey || shiftKey || altKey;
}
