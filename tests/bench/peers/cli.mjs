// The command line that both Node peers share.
import { parseArgs } from 'node:util'

const DAY = 24 * 60 * 60 * 1000
const BATCH = 5000

/** Runs one command of `peer`, which has `install`, `enqueue(jobs)`, `work()` and `close()`. */
export async function main(peer) {
  try {
    await run(peer)
    await peer.close()
  } catch (error) {
    console.error(error.message || error)
    process.exit(1)
  }
}

async function run(peer) {
  const text = { type: 'string' }
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { pending: text, start: text, count: text, rate: text },
  })
  const number = name => {
    const value = Number.parseFloat(values[name])
    if (!(value >= 0)) throw new Error(`--${name} needs a number of at least 0`)
    return value
  }
  if (!process.env.DATABASE_URL) throw new Error('DATABASE_URL is not set')

  switch (positionals[0]) {
    case 'prepare': {
      const pending = number('pending')
      const due = new Date(Date.now() + DAY)
      await peer.install()
      // Negative ids, so that a pending job could never be taken for one of `due`.
      await enqueue(peer, pending, i => ({ id: -1 - i, due }))
      console.log(`prepared ${pending}`)
      break
    }
    case 'due': {
      const [start, count, rate] = ['start', 'count', 'rate'].map(number)
      const step = rate > 0 ? 1000 / rate : 0
      // Whole milliseconds, because the peers' JavaScript dates carry no more.
      await enqueue(peer, count, i => ({ id: i, due: new Date(Math.round(start + i * step)) }))
      console.log(`enqueued ${count}`)
      break
    }
    case 'work': {
      const stopped = new Promise(resolve => process.once('SIGTERM', resolve))
      await peer.work()
      await stopped
      break
    }
    default:
      throw new Error('usage: prepare --pending N | due --start EPOCH_MS --count N --rate R | work')
  }
}

async function enqueue(peer, count, job) {
  for (let first = 0; first < count; first += BATCH) {
    const length = Math.min(BATCH, count - first)
    await peer.enqueue(Array.from({ length }, (_, i) => job(first + i)))
  }
}
