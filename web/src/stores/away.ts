import { createStore } from '~/stores/store'

/** Something that was asked for waits for a control plane that does not answer. */
export const away = createStore(false)
