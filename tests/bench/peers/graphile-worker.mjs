// The peer "graphile-worker".
import { Logger, makeWorkerUtils, run } from 'graphile-worker'
import { main } from './cli.mjs'

// Quiet, except for what has gone wrong.
const logger = new Logger(() => (level, message) => {
  if (level === 'error') console.error(message)
})

const preset = {
  worker: {
    connectionString: process.env.DATABASE_URL,
    logger,
    // The four settings of the documentation's own performance figures.
    concurrentJobs: 24,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
    // One connection a job in hand, and room for the fetch, the completion and the listener.
    maxPoolSize: 28,
    // A job of the future is found by polling alone, so this bounds its lateness.
    pollInterval: 50,
  },
}

const insert = { name: 'effect', text: 'insert into effect (id, due) values ($1, $2)' }

let utils
let runner

await main({
  async install() {
    utils = await makeWorkerUtils({ preset })
    await utils.migrate()
  },

  async enqueue(jobs) {
    utils ??= await makeWorkerUtils({ preset })
    await utils.addJobs(jobs.map(job => ({ identifier: 'effect', payload: job, runAt: job.due })))
  },

  async work() {
    runner = await run({
      preset,
      noHandleSignals: true, // so that SIGTERM ends in exit code 0
      parsedCronItems: [],
      taskList: {
        effect: ({ id, due }, { withPgClient }) =>
          withPgClient(client => client.query({ ...insert, values: [id, due] })),
      },
    })
    runner.promise.catch(error => {
      console.error(error)
      process.exit(1)
    })
  },

  async close() {
    await runner?.stop()
    await utils?.release()
  },
})
