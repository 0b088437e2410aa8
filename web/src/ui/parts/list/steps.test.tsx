import { render, screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";
import { FIRST, useInSteps } from "./steps";

const seen: string[][] = [];

function Names({ rows }: { rows: readonly string[] }): React.ReactNode {
  const drawn = useInSteps(rows, (name) => name) ?? [];
  seen.push(drawn.map(({ row }) => row));
  return drawn.map(({ row, place }) => <p key={place}>{row}</p>);
}

function named(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, place) => `guest ${from + place}`);
}

function shown(): string[] {
  return screen.getAllByText(/^guest/).map((it) => it.textContent ?? "");
}

it("draws what fills the screen first, and in the end all, none of them twice", async () => {
  const before = named(0, 100);
  const { rerender } = render(<Names rows={before} />);
  await waitFor(() => expect(shown()).toEqual(before));
  expect(seen[0]).toEqual(before.slice(0, FIRST));

  const after = named(50, 150);
  seen.length = 0;
  rerender(<Names rows={after} />);
  await waitFor(() => expect(shown()).toEqual(after));
  expect(seen[0]?.slice(0, FIRST)).toEqual(after.slice(0, FIRST));
  for (const drawn of seen) expect(new Set(drawn).size).toBe(drawn.length);

  seen.length = 0;
  rerender(<Names rows={named(7, 9)} />);
  await waitFor(() => expect(shown()).toEqual(named(7, 9)));
  expect(seen[0]).toEqual(named(7, 9));
});

function elements(): Map<string, Element> {
  return new Map(screen.getAllByText(/^guest/).map((it) => [it.textContent ?? "", it]));
}

it("leaves who stays in the same element, and gives that of one who has gone to one who comes", async () => {
  const { rerender } = render(<Names rows={["guest a", "guest b", "guest c"]} />);
  await waitFor(() => expect(shown()).toHaveLength(3));
  const before = elements();
  rerender(<Names rows={["guest d", "guest c", "guest b"]} />);
  await waitFor(() => expect(shown()).toEqual(["guest d", "guest c", "guest b"]));
  const after = elements();
  expect(after.get("guest b")).toBe(before.get("guest b"));
  expect(after.get("guest c")).toBe(before.get("guest c"));
  expect(after.get("guest d")).toBe(before.get("guest a"));
  rerender(<Names rows={["guest e", "guest d", "guest c", "guest b"]} />);
  await waitFor(() => expect(shown()).toHaveLength(4));
  expect(elements().get("guest d")).toBe(after.get("guest d"));
});
