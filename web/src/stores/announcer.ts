import { createStore } from '~/stores/store'

/** What the polite live region of the shell says next. */
export const announcement = createStore('')

export const announce = (text: string) => announcement.set(text)
