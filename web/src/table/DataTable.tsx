import type { ReactNode } from 'react'
import { Icon } from '~/ui/Icon'

export interface Column<Row> {
  id: string
  title: string
  cell: (row: Row) => ReactNode
  isNumeric?: boolean
  /** Name of the server's sort order, where it has one. */
  sort?: string
  className?: string
}

interface Props<Row> {
  label: string
  columns: Column<Row>[]
  rows: Row[]
  rowKey: (row: Row) => string
  /** `-p95` is descending by p95. */
  sort?: string | undefined
  onSort?: (sort: string | undefined) => void
  onOpen?: (row: Row) => void
  onPointer?: (isOver: boolean) => void
  selectedKey?: string | undefined
  isRefreshing?: boolean
}

function nextSort(now: string | undefined, by: string): string | undefined {
  if (now === by) return `-${by}`
  return now === `-${by}` ? undefined : by
}

const ariaSort = (now: string | undefined, by: string) => (now === by ? 'ascending' : now === `-${by}` ? 'descending' : 'none')

/** A plain table: order and pages are the server's, the rows hold still. */
export function DataTable<Row>({ label, columns, rows, rowKey, sort, onSort, onOpen, onPointer, selectedKey, isRefreshing }: Props<Row>) {
  return (
    <div className="list-body">
      <div className="table-wrap" role="region" aria-label={label} tabIndex={0} aria-busy={isRefreshing || undefined}>
      {isRefreshing && <span className="progress" aria-hidden="true" />}
      <table className="table" onPointerEnter={() => onPointer?.(true)} onPointerLeave={() => onPointer?.(false)}>
        <caption className="sr-only">{label}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th
                key={column.id}
                scope="col"
                className={classOf(column)}
                aria-sort={column.sort && onSort ? ariaSort(sort, column.sort) : undefined}
              >
                {column.sort && onSort ? (
                  <SortButton title={column.title} by={column.sort} now={sort} onSort={onSort} />
                ) : (
                  column.title
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <Row key={rowKey(row)} row={row} columns={columns} isSelected={rowKey(row) === selectedKey} onOpen={onOpen} />
          ))}
        </tbody>
      </table>
      </div>
    </div>
  )
}

const classOf = <Row,>({ id, isNumeric, className }: Column<Row>) => ['col', `col-${id}`, isNumeric && 'numeric', className].filter(Boolean).join(' ')

function SortButton({ title, by, now, onSort }: { title: string; by: string; now: string | undefined; onSort: (sort: string | undefined) => void }) {
  const order = ariaSort(now, by)
  return (
    <button type="button" className="sort" onClick={() => onSort(nextSort(now, by))}>
      {title}
      <span className={order === 'none' ? 'sort-off' : 'sort-on'}>
        <Icon name={order === 'descending' ? 'down' : 'up'} size={13} />
      </span>
    </button>
  )
}

interface RowProps<Row> {
  row: Row
  columns: Column<Row>[]
  isSelected: boolean
  onOpen: ((row: Row) => void) | undefined
}

function Row<Row>({ row, columns, isSelected, onOpen }: RowProps<Row>) {
  return (
    // The link in the row serves keyboards; the click on the row is a larger target for the same.
    // oxlint-disable-next-line click-events-have-key-events, no-noninteractive-element-interactions
    <tr
      className={onOpen ? 'row-open' : ''}
      data-selected={isSelected || undefined}
      onClick={(event) => {
        const isControl = event.target instanceof Element && event.target.closest('a, button') !== null
        const isSelecting = (getSelection()?.toString() ?? '') !== ''
        if (onOpen && !isControl && !isSelecting && event.button === 0) onOpen(row)
      }}
    >
      {columns.map((column) => (
        <td key={column.id} className={classOf(column)}>
          {column.cell(row)}
        </td>
      ))}
    </tr>
  )
}
