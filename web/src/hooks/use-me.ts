import { currentMe, session } from '~/stores/session'
import { useStore } from '~/stores/store'

export const useMe = () => currentMe(useStore(session))
