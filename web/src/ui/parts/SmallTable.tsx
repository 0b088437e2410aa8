import { Card, CardBody, CardHeader, CardTitle } from "@patternfly/react-core";
import { Table, Tbody, Td, Th, Thead, Tr } from "@patternfly/react-table";
import { words } from "../messages";

interface Props<Row> {
  title: string;
  /** What is said where there are no rows. */
  none: string;
  columns: readonly string[];
  rows: readonly Row[];
  keyOf: (row: Row) => string;
  cells: (row: Row) => readonly React.ReactNode[];
  actions?: ((row: Row) => React.ReactNode) | undefined;
  /** What can be done with the whole. */
  head?: React.ReactNode;
}

/** A short list that is shown whole. */
export function SmallTable<Row>(props: Props<Row>): React.ReactNode {
  const { title, none, columns, rows, keyOf, cells, actions, head } = props;
  return (
    <Card isCompact>
      <CardHeader {...(head && { actions: { actions: head, hasNoOffset: true } })}>
        <CardTitle component="h2">{title}</CardTitle>
      </CardHeader>
      <CardBody>
        {rows.length === 0 ? (
          none
        ) : (
          <Table aria-label={title} variant="compact" borders={false} className="oms-small-table">
            <Thead>
              <Tr>
                {columns.map((column) => (
                  <Th key={column}>{column}</Th>
                ))}
                {actions && <Th screenReaderText={words.parts.actions} />}
              </Tr>
            </Thead>
            <Tbody>
              {rows.map((row) => (
                <Tr key={keyOf(row)}>
                  {cells(row).map((cell, place) => (
                    <Td key={columns[place]} dataLabel={columns[place] ?? ""} className="oms-break">
                      {cell === "" || cell === undefined ? words.parts.none : cell}
                    </Td>
                  ))}
                  {actions && (
                    <Td isActionCell className="oms-row-buttons">
                      <div>{actions(row)}</div>
                    </Td>
                  )}
                </Tr>
              ))}
            </Tbody>
          </Table>
        )}
      </CardBody>
    </Card>
  );
}
