import { useEffect, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import type { Trends } from '~/api/types'
import type { ChartSpec } from '~/components/TrendPanel'
import { compact, ms } from '~/util/format'
import { hourOfDay } from '~/util/time'
import { lonePoints } from '~/util/trend'

const HEIGHT = 176
const X_AXIS = 30
const sync = uPlot.sync('overview')

const token = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()

function dataOf(spec: ChartSpec, { start, step_s: step, series }: Trends): uPlot.AlignedData {
  const first = Date.parse(start) / 1000
  const x = series.requests.map((_, i) => first + i * step)
  return [x, ...spec.series.map(({ key }) => series[key])] as uPlot.AlignedData
}

function optionsOf(spec: ChartSpec, width: number): uPlot.Options {
  const isTime = spec.text === ms
  const axis = { stroke: token('muted'), grid: { stroke: token('stroke'), width: 1 }, ticks: { show: false }, font: `11px ${getComputedStyle(document.body).fontFamily}` }
  return {
    width,
    height: HEIGHT,
    cursor: { sync: { key: sync.key }, points: { size: 6 }, drag: { x: false, y: false } },
    // At the right half of an hour's name finds room, when it is that of the last measurement.
    padding: [8, 20, 0, 0],
    legend: { show: true, live: true },
    scales: { y: { range: (_, _min, max) => [0, Math.max(1, max * 1.1)] } },
    axes: [
      { ...axis, grid: { show: false }, size: X_AXIS, values: (_, times) => times.map((time) => hourOfDay(new Date(time * 1000))), space: 64 },
      { ...axis, size: 58, values: (_, values) => values.map((value) => (isTime ? ms(value) : compact(value))), space: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 1e8, 1e9] },
    ],
    series: [
      { label: 'From', value: (_, time) => (time === null ? '—' : hourOfDay(new Date(time * 1000))) },
      ...spec.series.map(({ name, tone }) => ({
        label: name,
        stroke: token(tone),
        width: 1.75,
        spanGaps: false,
        // A measurement between two gaps has no line to be on.
        points: { show: false, size: 5, fill: token(tone), filter: (plot: uPlot, i: number) => lonePoints(plot.data[i] ?? []) },
        ...(spec.series.length === 1 && { fill: `color-mix(in srgb, ${token(tone)} 12%, transparent)` }),
        value: (_: uPlot, value: number | null) => spec.text(value),
      })),
    ],
  }
}

/** One canvas of fixed height; its width follows the page, its figures are in the table below. */
export function TrendChart({ spec, trends }: { spec: ChartSpec; trends: Trends }) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot>(undefined)
  const latest = useRef(trends)
  useEffect(() => {
    latest.current = trends
    plot.current?.setData(dataOf(spec, trends))
  }, [spec, trends])
  useEffect(() => {
    const element = box.current
    if (!element) return
    const chart = new uPlot(optionsOf(spec, element.clientWidth), dataOf(spec, latest.current), element)
    plot.current = chart
    const observer = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT }))
    observer.observe(element)
    return () => {
      observer.disconnect()
      chart.destroy()
      plot.current = undefined
    }
  }, [spec])
  return <div ref={box} className="chart" aria-hidden="true" />
}
