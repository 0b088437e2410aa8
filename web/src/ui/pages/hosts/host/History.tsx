// How a host was: its remembered figures as charts. uPlot draws them, which is in this page's own chunk.
import { Card, CardBody, CardHeader, CardTitle, FormSelect, FormSelectOption } from "@patternfly/react-core";
import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { HostHistory, HostSeries } from "../../../api/contract";
import { useAnswer } from "../../../api/queries";
import { words } from "../../../messages";
import { Failure } from "../../../parts/Failure";
import { kb } from "../../../parts/units";
import "./history.css";

const said = words.host.history;
const SERIES = ["cpu", "memory", "received", "sent", "load"] as const;
const HEIGHT = 150;
const SPANS = Object.keys(said.spans) as (keyof typeof said.spans)[];
type Series = (typeof SERIES)[number];

/** Colours of lines, as they are in the theme that is on. */
const COLOURS = [
  "--pf-t--global--color--brand--default",
  "--pf-t--global--color--status--custom--default",
] as const;
/** Moments at an axis: of a day its hours, of more its days. */
const HOURS = "{HH}:{mm}";
const MOMENTS = [
  [86_400, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1],
  [60, HOURS, "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [1, `${HOURS}:{ss}`, "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
] as unknown as uPlot.Axis["values"];

const POWERS = Array.from({ length: 50 }, (_, power) => 2 ** power);

interface Chart {
  readonly title: string;
  readonly lines: readonly { readonly series: Series; readonly label: string }[];
  readonly shown: (value: number) => string;
  /** The top of the scale, where it is always the same. */
  readonly top?: number;
  /** Whether it is an amount, whose round numbers are powers of two. */
  readonly isAmount?: true;
}

const CHARTS: readonly Chart[] = [
  {
    title: said.cpu,
    lines: [{ series: "cpu", label: said.average }],
    shown: (value) => `${value.toFixed(0)} %`,
    top: 100,
  },
  { title: said.memory, lines: [{ series: "memory", label: said.average }], shown: kb, isAmount: true },
  {
    title: said.traffic,
    lines: [
      { series: "received", label: said.received },
      { series: "sent", label: said.sent },
    ],
    shown: (value) => `${kb(value / 1024)}/s`,
    isAmount: true,
  },
  { title: said.load, lines: [{ series: "load", label: said.average }], shown: (value) => value.toFixed(1) },
];

export function History({ host }: { host: string }): React.ReactNode {
  const [span, setSpan] = useState<(typeof SPANS)[number]>("3600");
  const seconds = Number(span);
  const asked = useAnswer(
    "statsservices.get_history",
    { server_hostname: host, seconds, resolution: "auto", series_argument: [...SERIES] },
    { every: Math.max(5_000, Math.min(60_000, seconds * 2)), keepBefore: true },
  );
  return (
    <Card isCompact>
      <CardHeader
        actions={{
          hasNoOffset: true,
          actions: (
            <FormSelect aria-label={said.span} value={span} onChange={(_, value) => setSpan(value as typeof span)}>
              {SPANS.map((it) => (
                <FormSelectOption key={it} value={it} label={said.spans[it]} />
              ))}
            </FormSelect>
          ),
        }}
      >
        <CardTitle component="h2">{said.title}</CardTitle>
      </CardHeader>
      <CardBody>
        <Failure of={asked.error} />
        {asked.data && (
          <div className="oms-charts">
            {CHARTS.map((chart) => (
              <Drawn key={chart.title} chart={chart} history={asked.data} />
            ))}
          </div>
        )}
      </CardBody>
    </Card>
  );
}

function Drawn({ chart, history }: { chart: Chart; history: HostHistory }): React.ReactNode {
  const place = useRef<HTMLDivElement>(null);
  const lines = chart.lines.flatMap(({ series, label }) => {
    const found = history.series[series];
    return found ? [{ label, found }] : [];
  });
  const now = lines.map(({ label, found }) => {
    const value = newest(found);
    return { label, text: value === null ? words.parts.none : chart.shown(value) };
  });
  useDarkness();
  useEffect(() => {
    if (place.current === null || lines.length === 0) return;
    const drawn = draw(place.current, chart, history, lines);
    const fit = new ResizeObserver(([entry]) => {
      if (entry) drawn.setSize({ width: entry.contentRect.width, height: HEIGHT });
    });
    fit.observe(place.current);
    return () => {
      fit.disconnect();
      drawn.destroy();
    };
  });
  const text = now.map(({ label, text }) => (now.length > 1 ? `${label} ${text}` : text)).join(", ");
  return (
    <figure>
      <figcaption className="oms-chart-head">
        <span>{chart.title}</span>
        {now.map(({ label, text }, number) => (
          <span key={label}>
            {now.length > 1 && <i className={`oms-chart-line oms-chart-line-${number}`} />}
            {now.length > 1 && `${label} `}
            <strong>{text}</strong>
          </span>
        ))}
      </figcaption>
      {lines.length === 0 ? said.nothing : <div ref={place} role="img" aria-label={`${chart.title}: ${text}`} />}
    </figure>
  );
}

/** Draws anew when it becomes dark or light: a canvas keeps the colours that it was drawn in. */
function useDarkness(): void {
  const [, turn] = useState(0);
  useEffect(() => {
    const seen = new MutationObserver(() => turn((times) => times + 1));
    seen.observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
    return () => seen.disconnect();
  }, []);
}

function newest(series: HostSeries): number | null {
  return series.average.findLast((value) => value !== null) ?? null;
}

function draw(
  place: HTMLElement,
  chart: Chart,
  history: HostHistory,
  lines: readonly { label: string; found: HostSeries }[],
): uPlot {
  const style = getComputedStyle(place);
  const colour = (name: string): string => style.getPropertyValue(name).trim() || "currentColor";
  const begin = Date.parse(history.begin) / 1000;
  const times = (lines[0]?.found.average ?? []).map((_, step) => begin + step * history.step_seconds);
  const axis = {
    stroke: style.color,
    grid: { stroke: colour("--pf-t--global--border--color--default"), width: 1 },
  };
  return new uPlot(
    {
      width: place.clientWidth || 320,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: { y: { range: (_, __, highest) => [0, chart.top ?? Math.max(highest * 1.1, 0.1)] } },
      axes: [
        { ...axis, ...(MOMENTS && { values: MOMENTS }) },
        {
          ...axis,
          size: 70,
          values: (_, ticks) => ticks.map(chart.shown),
          ...(chart.isAmount && { incrs: POWERS }),
        },
      ],
      series: [
        {},
        ...lines.map(({ label }, number) => ({
          label,
          stroke: colour(COLOURS[number % COLOURS.length] ?? COLOURS[0]),
          width: 1.5,
          points: { show: false },
        })),
      ],
    },
    [times, ...lines.map(({ found }) => found.average)],
    place,
  );
}
