// Why the GPUs of a node are not read.

const REASONS = new Map([
  ['released', 'GPU reading is released by the owner'],
  ['off', 'GPU reading is switched off by the owner'],
  ['no_answer', 'GPUs were not read in time'],
])

export const gpusNotRead = (reason: string) => REASONS.get(reason) ?? 'GPUs are not read, for a reason not known to this version'
