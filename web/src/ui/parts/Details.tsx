import {
  Card,
  CardBody,
  CardTitle,
  DescriptionList,
  DescriptionListDescription,
  DescriptionListGroup,
  DescriptionListTerm,
} from "@patternfly/react-core";
import { words } from "../messages";

export type Detail = readonly [term: string, value: React.ReactNode];

/** What something is, line by line. */
export function Details({ title, lines }: { title: string; lines: readonly Detail[] }): React.ReactNode {
  return (
    <Card isCompact>
      <CardTitle component="h2">{title}</CardTitle>
      <CardBody>
        <DescriptionList
          orientation={{ sm: "horizontal" }}
          isCompact
          columnModifier={{ default: "1Col", lg: "2Col" }}
        >
          {lines.map(([term, value]) => (
            <DescriptionListGroup key={term}>
              <DescriptionListTerm>{term}</DescriptionListTerm>
              <DescriptionListDescription className="oms-break">
                {value === "" ? words.parts.none : value}
              </DescriptionListDescription>
            </DescriptionListGroup>
          ))}
        </DescriptionList>
      </CardBody>
    </Card>
  );
}
