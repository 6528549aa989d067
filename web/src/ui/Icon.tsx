const PATHS = {
  overview: 'M4 13h6V4H4zM14 20h6v-9h-6zM4 20h6v-3H4zM14 7h6V4h-6z',
  nodes: 'M5 4h14v6H5zM5 14h14v6H5zM8.5 7h.01M8.5 17h.01M12 7h4M12 17h4',
  receipts: 'M6 3h12v18l-3-2-3 2-3-2-3 2zM9.5 8h5M9.5 12h5',
  audit: 'M5 3h10l4 4v14H5zM14 3v5h5M8.5 12h7M8.5 16h7',
  account: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20c.6-3.4 3.6-5.5 7.5-5.5s6.9 2.1 7.5 5.5',
  users: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.8 19.5c.5-3 3-4.8 6.2-4.8s5.7 1.8 6.2 4.8M15.5 4.4a3.5 3.5 0 0 1 0 6.2M18 15.3c1.7.8 2.9 2.2 3.2 4.2',
  organisation: 'M5 20V4h9v16M14 9h5v11M3 20h18M8 8h3M8 12h3M8 16h3',
  assigned: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.8 19.5c.5-3 3-4.8 6.2-4.8 1.6 0 3 .5 4.1 1.2M15 18.5l2 2 4-4.5',
  run: 'M12 3v12M7 10l5 5 5-5M5 20h14',
  search: 'M10.5 17a6.5 6.5 0 1 1 0-13 6.5 6.5 0 0 1 0 13zM15.5 15.5 20 20',
  close: 'M6 6l12 12M18 6 6 18',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  cross: 'M7 7l10 10M17 7 7 17',
  download: 'M12 4v11M7.5 11 12 15.5 16.5 11M5 20h14',
  chevronRight: 'M9 5l7 7-7 7',
  chevronLeft: 'M15 5l-7 7 7 7',
  chevronDown: 'M5 9l7 7 7-7',
  up: 'M12 19V5M6 11l6-6 6 6',
  down: 'M12 5v14M6 13l6 6 6-6',
  help: 'M9.2 9.2a2.9 2.9 0 1 1 4.2 2.6c-.9.4-1.4 1-1.4 2v.4M12 17.6h.01',
  signOut: 'M14 4H5v16h9M10 12h10M16.5 8.5 20 12l-3.5 3.5',
  signIn: 'M10 4h9v16h-9M4 12h10M10.5 8.5 14 12l-3.5 3.5',
  shield: 'M12 3l7 3v5.5c0 4.3-2.9 7.7-7 9.5-4.1-1.8-7-5.2-7-9.5V6z',
  warning: 'M12 4 2.8 20h18.4zM12 10v4.5M12 17.2h.01',
  expand: 'M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7',
  retry: 'M19 12a7 7 0 1 1-2.2-5.1M19 4v4h-4',
} as const

export type IconName = keyof typeof PATHS

export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  )
}
