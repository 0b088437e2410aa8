import { Flex, FlexItem, PageSection, Title } from "@patternfly/react-core";
import { useTitle } from "./title";

interface Props {
  title: string;
  /** Beside the title: how it is. */
  status?: React.ReactNode;
  /** A line below the title. */
  text?: React.ReactNode;
  /** Buttons at the right. */
  actions?: React.ReactNode;
  /** What the page is in, for the browser's tab: the parent's name. */
  within?: string;
}

/** The top of a page: what it is about, and what can be done with the whole of it. */
export function PageHead({ title, status, text, actions, within }: Props): React.ReactNode {
  useTitle(title, ...(within === undefined ? [] : [within]));
  return (
    <PageSection>
      <Flex justifyContent={{ default: "justifyContentSpaceBetween" }} gap={{ default: "gapMd" }}>
        <FlexItem>
          <Flex alignItems={{ default: "alignItemsCenter" }} gap={{ default: "gapMd" }}>
            <Title headingLevel="h1" className="oms-break">
              {title}
            </Title>
            {status}
          </Flex>
          {text !== undefined && <div className="oms-subtle oms-under-title">{text}</div>}
        </FlexItem>
        {actions !== undefined && <FlexItem>{actions}</FlexItem>}
      </Flex>
    </PageSection>
  );
}
