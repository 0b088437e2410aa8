import { AngleLeftIcon, AngleRightIcon } from "@patternfly/react-icons";
import { words } from "../../messages";
import { type ListAddress, PER_PAGE } from "./address";
import "../plain.css";

const said = words.parts.pages;

interface Props<S extends string, F extends string> {
  at: ListAddress<S, F>;
  total: number | undefined;
}

/**
 * Which part of a list is shown, and the way to the others. PatternFly's own has a menu in it that lays out the page whenever
 * it is drawn, which is with each step.
 */
export function Pages<S extends string, F extends string>({ at, total = 0 }: Props<S, F>): React.ReactNode {
  if (total === 0) return null;
  const from = Math.min(at.offset + 1, total);
  const to = Math.min(at.offset + at.perPage, total);
  return (
    <nav className="oms-pages" aria-label={said.label}>
      <span>{said.part(from, to, total)}</span>
      <select
        aria-label={said.size}
        value={at.perPage}
        onChange={({ target }) => at.go({ perPage: Number(target.value) } as never)}
      >
        {PER_PAGE.map((size) => (
          <option key={size} value={size}>
            {said.sized(size)}
          </option>
        ))}
      </select>
      <Step at={at} by={-1} name={said.previous} isThere={at.page > 1}>
        <AngleLeftIcon set="default" />
      </Step>
      <Step at={at} by={1} name={said.next} isThere={to < total}>
        <AngleRightIcon set="default" />
      </Step>
    </nav>
  );
}

interface StepProps<S extends string, F extends string> {
  at: ListAddress<S, F>;
  by: number;
  name: string;
  isThere: boolean;
  children: React.ReactNode;
}

function Step<S extends string, F extends string>(props: StepProps<S, F>): React.ReactNode {
  const { at, by, name, isThere, children } = props;
  const way = ({ page }: { page: number }) => ({ page: page + by }) as never;
  return (
    <button
      type="button"
      className="oms-plain"
      aria-label={name}
      title={name}
      disabled={!isThere}
      onClick={() => at.go(way(at))}
      onPointerEnter={() => at.approach(way)}
      onPointerLeave={() => at.approach(undefined)}
    >
      {children}
    </button>
  );
}
