import { Card, CardBody, CardTitle, Content, GalleryItem, Progress } from "@patternfly/react-core";
import { words } from "../messages";

interface Props {
  title: string;
  /** As OMS tells it; undefined while it is not known. */
  percent: string | undefined;
  text: string | undefined;
}

/** How much of something is used. */
export function Gauge({ title, percent, text }: Props): React.ReactNode {
  const value = percent === undefined ? undefined : Math.min(100, Number(percent));
  return (
    <GalleryItem>
      <Card isFullHeight isCompact>
        <CardTitle component="h2">{title}</CardTitle>
        <CardBody>
          {value === undefined ? (
            words.parts.none
          ) : (
            <>
              <Progress
                value={value}
                label={`${value.toFixed(value < 10 ? 1 : 0)} %`}
                aria-label={title}
                size="sm"
              />
              <Content component="small">{text}</Content>
            </>
          )}
        </CardBody>
      </Card>
    </GalleryItem>
  );
}
