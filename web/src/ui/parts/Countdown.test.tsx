import { act, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Countdown } from "./Countdown";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("runs down by the second, and says when no time is left", () => {
  render(<Countdown seconds={60} title="It waits" over="It is over" />);
  expect(screen.getByText("60 s")).toBeInTheDocument();
  act(() => vi.advanceTimersByTime(21_000));
  expect(screen.getByText("39 s")).toBeInTheDocument();
  expect(screen.getByText("It waits")).toBeInTheDocument();
  act(() => vi.advanceTimersByTime(40_000));
  expect(screen.getByText("0 s")).toBeInTheDocument();
  expect(screen.getByText("It is over")).toBeInTheDocument();
});
