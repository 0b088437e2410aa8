import { Breadcrumb, BreadcrumbItem } from "@patternfly/react-core";
import { Link, type Params, useMatches } from "react-router";
import { words } from "../messages";

/** What a route says of itself: its name in the way to a page, from what its address holds. */
export interface Handle {
  readonly crumb?: (params: Params) => string;
}

/** The way to this page, where it is below another one. */
export function Crumbs(): React.ReactNode {
  const steps = useMatches().flatMap(({ handle, params, pathname }) => {
    const name = (handle as Handle | undefined)?.crumb?.(params);
    return name === undefined ? [] : [{ name, to: pathname }];
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
