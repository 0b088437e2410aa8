import { Breadcrumb, BreadcrumbItem } from "@patternfly/react-core";
import { useEffect } from "react";
import { Link, type Params, useLocation, useMatches } from "react-router";
import { words } from "../messages";
import { type Store, store, useStore } from "../parts/store";

/** What a route says of itself: its name in the way to a page, from what its address holds. */
export interface Handle {
  readonly crumb?: (params: Params) => string;
}

/** What the last step is called, where the page knows it better than its address. */
const known: Store<{ path: string; name: string }> = store({ path: "", name: "" });

/** Call this page so in the way to it. */
export function useCrumb(name: string): void {
  const { pathname } = useLocation();
  useEffect(() => known.set({ path: pathname, name }), [pathname, name]);
}

/** The way to this page, where it is below another one. */
export function Crumbs(): React.ReactNode {
  const better = useStore(known);
  const steps = useMatches().flatMap(({ handle, params, pathname }) => {
    const name = (handle as Handle | undefined)?.crumb?.(params);
    return name === undefined ? [] : [{ name: (pathname === better.path && better.name) || name, to: pathname }];
  });
  if (steps.length < 2) return null;
  return (
    <Breadcrumb aria-label={words.shell.breadcrumb}>
      {steps.map(({ name, to }, place) =>
        place === steps.length - 1 ? (
          <BreadcrumbItem key={to} isActive>
            {name}
          </BreadcrumbItem>
        ) : (
          <BreadcrumbItem
            key={to}
            render={({ className }) => (
              <Link className={className} to={to}>
                {name}
              </Link>
            )}
          />
        ),
      )}
    </Breadcrumb>
  );
}
