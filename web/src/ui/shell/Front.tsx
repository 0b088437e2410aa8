import { Card, CardBody, Title } from "@patternfly/react-core";
import { words } from "../messages";
import { Logo } from "./Logo";
import "./front.css";

/** A page in front of the door: one card in the middle. */
export function Front({ title, children }: { title: string; children: React.ReactNode }): React.ReactNode {
  return (
    <main className="oms-front">
      <div className="oms-front-card">
        <div className="oms-front-brand">
          <Logo />
          <span>{words.shell.product}</span>
        </div>
        <Card>
          <CardBody>
            <Title headingLevel="h1" size="2xl" className="oms-front-title">
              {title}
            </Title>
            {children}
          </CardBody>
        </Card>
      </div>
    </main>
  );
}
